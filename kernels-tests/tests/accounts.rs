//! The plan's accounts against what shaders touch: their loops are walked here, invocation by invocation, from the parameters
//! and the workgroups of a call, and the distinct elements of each binding are counted.

use kinesic::kernels::conv::{Conv2dForward, Conv2dShape, ForwardEpilogue};
use kinesic::kernels::norm::BatchNormApply;
use kinesic::kernels::pool::{MaxPool2d, PoolShape};
use kinesic::kernels::{Access, Call};
use std::collections::{BTreeMap, HashSet};

/// The vectors of each binding that were touched.
#[derive(Default)]
struct Touched(BTreeMap<&'static str, HashSet<u32>>);

impl Touched {
    fn touch(&mut self, binding: &'static str, vector: u32) {
        self.0.entry(binding).or_default().insert(vector);
    }

    /// Holds the counts against the extents. `bytes` are those of a vector of a binding.
    fn check(&self, call: &Call, bytes: impl Fn(&str) -> u64) {
        let name = call.shader.name;
        let mut accounts = [0, 0];
        for extent in &call.extents {
            let touched = self.0.get(extent.name).map_or(0, HashSet::len) as u64;
            let touched = touched * bytes(extent.name);
            assert_eq!(touched, extent.bytes, "{name}: `{}`", extent.name);
            accounts[usize::from(extent.access == Access::Write)] += touched;
        }
        let stated = call.extents.iter().map(|extent| extent.name);
        let stated: HashSet<_> = stated.collect();
        assert!(
            self.0.keys().all(|binding| stated.contains(binding)),
            "{name}"
        );
        assert_eq!(
            accounts,
            [call.bytes_read(), call.bytes_written()],
            "{name}"
        );
    }
}

/// The words of a call's parameters.
fn words(call: &Call) -> Vec<u32> {
    bytemuck::pod_collect_to_vec(&call.params)
}

/// The invocations of a call with workgroups of `size` over x and y, as the shaders number them.
fn invocations(call: &Call, size: u32) -> impl Iterator<Item = u32> {
    let [x, y, _] = call.workgroups;
    0..x * y * size
}

#[test]
fn of_batch_norm_apply_are_what_its_loop_touches() {
    for (rows, channels) in [(1, 1), (7, 5), (8, 64), (997, 13), (3136, 256)] {
        let call = BatchNormApply {
            rows,
            channels,
            residual: true,
            mapped: true,
            relu: true,
        };
        let call = call.call().unwrap();
        let [rows, columns] = words(&call).try_into().unwrap();
        let mut touched = Touched::default();
        for i in invocations(&call, 64) {
            let (block, column) = (i / columns, i % columns);
            for vector in [column, columns + column] {
                touched.touch("affine", vector);
                touched.touch("residual_affine", vector);
            }
            for row in block * 8..(block * 8 + 8).min(rows) {
                for binding in ["x", "residual", "y"] {
                    touched.touch(binding, row * columns + column);
                }
            }
        }
        touched.check(&call, |_| 16);
    }
}

#[test]
fn of_max_pool2d_are_what_its_loop_touches() {
    for (n, side, c, window, stride, padding) in [
        (1, 1, 1, 1, 1, 0),
        (2, 9, 5, 3, 2, 1),
        (1, 56, 64, 3, 2, 1),
        (3, 6, 70, 2, 2, 0),
    ] {
        let shape = PoolShape {
            n,
            h: side,
            w: side,
            c,
            window: [window; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        };
        let pool = MaxPool2d {
            shape,
            mapped: true,
        };
        let call = pool.call().unwrap();
        let [
            count,
            columns,
            parts,
            h,
            w,
            out_h,
            out_w,
            window_h,
            window_w,
            stride_h,
            stride_w,
            padding_h,
            padding_w,
        ] = words(&call).try_into().unwrap();
        let mut touched = Touched::default();
        for i in invocations(&call, 64).filter(|&i| i < count) {
            let pixel = i / parts;
            let row = pixel / out_w;
            let image = row / out_h;
            let top = (row - image * out_h) * stride_h;
            let left = (pixel - row * out_w) * stride_w;
            let mut column = i - pixel * parts;
            while column < columns {
                touched.touch("affine", column);
                touched.touch("affine", columns + column);
                for v in top.max(padding_h)..(top + window_h).min(padding_h + h) {
                    for u in left.max(padding_w)..(left + window_w).min(padding_w + w) {
                        let source = (image * h + v - padding_h) * w + u - padding_w;
                        touched.touch("x", source * columns + column);
                    }
                }
                touched.touch("y", pixel * columns + column);
                touched.touch("winner", pixel * columns + column);
                column += parts;
            }
        }
        touched.check(&call, |binding| if binding == "winner" { 4 } else { 16 });
    }
}

#[test]
fn of_conv2d_forward_broadcast_are_what_its_loop_touches() {
    for (n, side, c, k, r, stride) in [
        (1, 1, 1, 1, 1, 1),
        (2, 9, 5, 19, 3, 1),
        (1, 28, 64, 64, 3, 1),
        (1, 14, 8, 30, 3, 2),
    ] {
        let shape = Conv2dShape {
            n,
            h: side,
            w: side,
            c,
            k,
            r,
            s: r,
            stride: [stride; 2],
            padding: [r / 2; 2],
        };
        let epilogue = ForwardEpilogue {
            affine: true,
            residual: true,
            ..ForwardEpilogue::default()
        };
        let kernel = Conv2dForward {
            epilogue,
            ..Conv2dForward::new(shape, true)
        };
        let call = kernel.call().unwrap();
        assert_eq!(call.shader.name, "conv2d_forward_broadcast");
        let mut touched = Touched::default();
        walk_forward(&call, &mut touched);
        touched.check(&call, |_| 16);
    }
}

fn walk_forward(call: &Call, touched: &mut Touched) {
    let [
        n,
        h,
        w,
        c4,
        ho,
        wo,
        k4,
        r,
        s,
        stride_h,
        stride_w,
        pad_h,
        pad_w,
        pixels,
    ] = words(call).try_into().unwrap();
    assert_eq!(pixels, n * ho * wo);
    let constants = call.variant.constants().iter();
    let each = constants
        .filter(|(name, _)| *name == "EACH")
        .map(|(_, value)| *value);
    let each = each.max().unwrap_or(2) as u32;
    for (tile, i) in
        (0..call.workgroups[2]).flat_map(|z| invocations(call, 32).map(move |i| (z, i)))
    {
        let (subgroup, lane) = (i / 8, i % 8);
        let first = subgroup * 8 * each + lane;
        let k = tile * 4;
        let column = (k + lane % 4).min(k4 - 1);
        touched.touch("affine", lane / 4 * k4 + column);
        for pixel in (0..each).map(|p| first + 8 * p) {
            let at = pixel.min(pixels - 1);
            let (row, ox) = (at / wo, at % wo);
            let (image, oy) = (row / ho, row % ho);
            for (tap_r, tap_s) in (0..r).flat_map(|a| (0..s).map(move |b| (a, b))) {
                let iy = (oy * stride_h + tap_r).wrapping_sub(pad_h);
                let ix = (ox * stride_w + tap_s).wrapping_sub(pad_w);
                let inside = iy < h && ix < w;
                let from = if inside {
                    ((image * h + iy) * w + ix) * c4
                } else {
                    0
                };
                for c in 0..c4 {
                    touched.touch("x", from + c);
                    let weight = ((tap_r * s + tap_s) * c4 + c) * 4 * k4 + lane / 4 * k4 + column;
                    touched.touch("weight", weight);
                    touched.touch("weight", weight + 2 * k4);
                }
            }
            for column in (k..k + 4).filter(|&column| pixel < pixels && column < k4) {
                touched.touch("y", pixel * k4 + column);
                touched.touch("residual", pixel * k4 + column);
            }
        }
    }
}
