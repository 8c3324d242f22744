//! The forward pass by Winograd's method: the same convolution, by other sums.

use super::forward::{Problem, epilogues};
use super::{SEED, software};
use kernels_tests::Reference;
use kernels_tests::conv::{self as reference, Conv2dShape};
use kernels_tests::harness::{compare, execute, pad, unpad};
use kernels_tests::layout::filters;
use kernels_tests::random::Draw;
use kernels_tests::winograd;
use kinesic::kernels::conv::{self, ForwardEpilogue, Winograd};
use kinesic::kernels::padded;

/// The edges of tiles (4 × 4 pixels, 8, 16 and 32 of them, 16 channels), every padding, a backbone's layer and drawn sizes.
pub(super) fn shapes() -> Vec<Conv2dShape> {
    let same = |n, h, w, c, k| Conv2dShape {
        n,
        h,
        w,
        c,
        k,
        r: 3,
        s: 3,
        stride: [1; 2],
        padding: [1; 2],
    };
    let mut shapes = vec![
        same(1, 1, 1, 1, 1),
        same(1, 3, 4, 4, 16),
        same(1, 4, 5, 5, 17),
        same(2, 16, 17, 16, 15),
        same(9, 5, 13, 3, 20),
        same(2, 14, 14, 128, 64),
    ];
    let mut draw = Draw::new("winograd shapes", SEED);
    for _ in 0..8 {
        shapes.push(Conv2dShape {
            padding: [draw.int(0..=2), draw.int(0..=2)],
            ..same(
                draw.int(1..=3),
                draw.int(3..=19),
                draw.int(3..=13),
                draw.pick(&[1, 3, 4, 17]),
                draw.pick(&[1, 7, 32, 37]),
            )
        });
    }
    shapes
}

fn run(problem: &Problem, epilogue: ForwardEpilogue) -> Vec<f32> {
    let shape = &problem.shape;
    let kernel = Winograd::forward((*shape).into(), epilogue).unwrap();
    let x = pad(&problem.x, shape.c);
    let weight = filters(shape, &problem.weight);
    in_four(&kernel, &x, &weight, problem.read_behind(epilogue))
}

/// The four dispatches.
fn in_four(kernel: &Winograd, x: &[f32], weight: &[f32], behind: Vec<Vec<f32>>) -> Vec<f32> {
    let [input, product, output] = kernel.calls().unwrap();
    let u = execute(&kernel.filter().unwrap(), &[weight]);
    let v = execute(&input, &[x]);
    let lens = kernel.scratch_lens().unwrap();
    assert_eq!([u[0].len(), v[0].len()], lens[..2]);
    let m = execute(&product, &[&v[0], &u[0]]);
    assert_eq!(m[0].len(), lens[2]);
    let mut inputs = m;
    inputs.extend(behind);
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    execute(&output, &inputs).remove(0)
}

/// The convolution's reference; only the terms, of which roundings are shares, are the method's.
fn want(problem: &Problem) -> Reference {
    let Problem {
        shape, x, weight, ..
    } = problem;
    let mut y = reference::conv2d(shape, x, weight, None);
    y.magnitude = winograd::magnitude(shape, x, weight);
    y
}

#[test]
fn matches_reference_on_drawn_shapes_with_every_epilogue() {
    if !software().contains(&true) {
        return;
    }
    for (index, shape) in shapes().into_iter().enumerate() {
        let problem = Problem::drawn(index, shape);
        let sums = want(&problem);
        // Sixteen without statistics: each meets at least three shapes.
        let some = epilogues().filter(|epilogue| !epilogue.stats);
        let some = some.skip(index % 4).step_by(4);
        // The plain one has variants of its own.
        for epilogue in some.chain([ForwardEpilogue::default()]) {
            let what = format!("seed {SEED}, {epilogue:?}, {shape:?}");
            let y = unpad(&what, &run(&problem, epilogue), shape.k);
            // The products' sum over c; each of the three transforms adds at most 5 terms along rows and then columns.
            let depth = shape.c + 30 + 3;
            compare(&what, &y, &problem.finished(sums.clone(), epilogue), depth);
        }
    }
}

#[test]
fn repeats_bit_for_bit() {
    if !software().contains(&true) {
        return;
    }
    let problem = Problem::drawn(0, shapes()[3]);
    let bits = || {
        let y = run(&problem, ForwardEpilogue::default());
        y.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(), bits());
}

/// The magnitude is of the order of the roundings that the method amplifies, not a licence: the mean over a layer of what it allows
/// is some fifty times what the direct sums' allows.
#[test]
fn amplifies_roundings_a_hundredfold_at_most_on_average() {
    let problem = Problem::drawn(5, shapes()[5]);
    let direct = reference::conv2d(&problem.shape, &problem.x, &problem.weight, None);
    let sum = |reference: &Reference| reference.magnitude.iter().sum::<f64>();
    let ratio = sum(&want(&problem)) / sum(&direct);
    assert!((2.0..100.0).contains(&ratio), "{ratio}");
}

#[test]
fn states_what_it_touches() {
    let shape: conv::Conv2dShape = shapes()[2].into();
    let epilogue = ForwardEpilogue {
        bias: true,
        affine: true,
        residual: true,
        ..ForwardEpilogue::default()
    };
    let kernel = Winograd::forward(shape, epilogue).unwrap();
    let [input, product, output] = kernel.calls().unwrap();
    let (c, k, tiles) = (padded(5), padded(17), 2);
    let (pixels, u, v, m) = (20, 36 * c * k, 36 * tiles * c, 36 * tiles * k);
    let bytes = |elements: usize| 4 * elements as u64;
    let filter = kernel.filter().unwrap();
    assert_eq!(filter.bytes_read(), bytes(9 * c * k));
    assert_eq!(filter.bytes_written(), bytes(u));
    assert_eq!(input.bytes_read(), bytes(pixels * c));
    assert_eq!(input.bytes_written(), bytes(v));
    assert_eq!(product.bytes_read(), bytes(v + u));
    assert_eq!(product.bytes_written(), bytes(m));
    assert_eq!(output.bytes_read(), bytes(m + 3 * k + pixels * k));
    assert_eq!(output.bytes_written(), bytes(pixels * k));
}

#[test]
fn rejects_other_windows_strides_and_statistics() {
    let plain = ForwardEpilogue::default();
    let shape: conv::Conv2dShape = shapes()[3].into();
    let new = Winograd::forward;
    assert!(new(shape, plain).is_some());
    assert!(new(conv::Conv2dShape { r: 1, ..shape }, plain).is_none());
    assert!(new(conv::Conv2dShape { s: 5, ..shape }, plain).is_none());
    let strided = conv::Conv2dShape {
        stride: [1, 2],
        ..shape
    };
    assert!(new(strided, plain).is_none());
    let stats = ForwardEpilogue {
        stats: true,
        ..plain
    };
    assert!(new(shape, stats).is_none());
    // More invocations than are divided exactly, and no images at all.
    let large = conv::Conv2dShape {
        n: 1 << 20,
        ..shape
    };
    assert!(new(large, plain).is_none());
    assert!(new(conv::Conv2dShape { n: 0, ..shape }, plain).is_none());
}

/// Layers that were measured (benches/README.md): images, side, channels, and whether it won.
#[test]
fn pays_where_it_was_measured_to() {
    for (n, side, channels, wins) in [
        (1, 28, 64, true),
        (16, 28, 64, true),
        (1, 14, 128, true),
        (16, 14, 128, true),
        (1, 7, 256, false),
        (16, 7, 256, true),
        (1, 4, 512, false),
        (16, 4, 512, true),
    ] {
        let shape = conv::Conv2dShape {
            n,
            h: side,
            w: side,
            c: channels,
            k: channels,
            ..shapes()[0].into()
        };
        let kernel = Winograd::forward(shape, ForwardEpilogue::default()).unwrap();
        assert_eq!(kernel.pays(), wins, "{shape:?}");
    }
}
