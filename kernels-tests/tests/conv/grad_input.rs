//! The gradient with respect to the input, alone and with everything that its epilogue does.

use super::forward_matrix::exact;
use super::{MappedGradient, SEED, shapes, software, tails};
use kernels_tests::Reference;
use kernels_tests::conv::{self as reference, Conv2dShape};
use kernels_tests::elementwise;
use kernels_tests::harness::{compare, execute, execute_as_is, pad, unpad};
use kernels_tests::layout::filters;
use kernels_tests::random::Draw;
use kinesic::kernels::conv::{Conv2dGradInput, GradInputEpilogue, Tile};
use kinesic::kernels::norm::BatchNormGradFinish;
use kinesic::kernels::{Access, padded};

#[test]
fn matches_reference_on_drawn_shapes() {
    for (index, shape) in shapes().iter().enumerate() {
        let mut draw = Draw::new(&format!("grad input {index}"), SEED);
        let grad_y = draw.tensor(shape.output_len(), 1.0);
        let w = draw.tensor(shape.weight_len(), 1.0);
        let want = reference::conv2d_grad_input(shape, &grad_y, &w);
        for software in software() {
            let call = Conv2dGradInput::new((*shape).into(), software)
                .call()
                .unwrap();
            let grad_x = execute(&call, &[&pad(&grad_y, shape.k), &filters(shape, &w)]);
            let what = format!("seed {SEED}, software {software}, {shape:?}");
            let depth = shape.r * shape.s * shape.k;
            compare(&what, &unpad(&what, &grad_x[0], shape.c), &want, depth);
        }
    }
}

/// All that an epilogue reads.
pub(super) struct Problem {
    pub(super) shape: Conv2dShape,
    pub(super) grad_y: Vec<f64>,
    pub(super) weight: Vec<f64>,
    pub(super) other: Vec<f64>,
    pub(super) x: Vec<f64>,
    z: Vec<f64>,
    mean: Vec<f64>,
    invstd: Vec<f64>,
}

impl Problem {
    pub(super) fn drawn(index: usize, shape: Conv2dShape) -> Self {
        let mut draw = Draw::new(&format!("grad input epilogue {index}"), SEED);
        let len = shape.input_len();
        let x = draw.tensor(len, 1.0);
        Self {
            shape,
            grad_y: draw.tensor(shape.output_len(), 1.0),
            weight: draw.tensor(shape.weight_len(), 1.0),
            other: draw.tensor(len, 3.0),
            x: elementwise::relu(&x).value,
            z: draw.tensor(len, 2.0),
            mean: draw.tensor(shape.c, 1.0),
            invstd: draw.tensor(shape.c, 0.25).iter().map(|s| 0.5 + s).collect(),
        }
    }

    /// The gradient of the input.
    pub(super) fn grad_x(&self, epilogue: GradInputEpilogue) -> Reference {
        self.finished(self.sums(), epilogue)
    }

    pub(super) fn sums(&self) -> Reference {
        reference::conv2d_grad_input(&self.shape, &self.grad_y, &self.weight)
    }

    /// What the epilogue makes of the sums.
    pub(super) fn finished(&self, mut grad: Reference, epilogue: GradInputEpilogue) -> Reference {
        for (index, (other, x)) in self.other.iter().zip(&self.x).enumerate() {
            if epilogue.add {
                grad.add(index, *other);
            }
            if epilogue.mask && *x <= 0.0 {
                grad.set(index, 0.0, 0.0);
            }
        }
        grad
    }

    /// Σ grad_x and Σ grad_x · ẑ of each channel.
    pub(super) fn column_sums(&self, grad_x: &Reference) -> [Reference; 2] {
        let channels = self.shape.c;
        let mut sums = [0; 2].map(|_| Reference::zeros(channels));
        for (index, (g, size)) in grad_x.value.iter().zip(&grad_x.magnitude).enumerate() {
            let c = index % channels;
            let (z, mean, invstd) = (self.z[index], self.mean[c], self.invstd[c]);
            sums[0].accumulate(c, *g, *size);
            let scale = (z.abs() + mean.abs()) * invstd;
            sums[1].accumulate(c, g * (z - mean) * invstd, size * scale);
        }
        sums
    }

    /// The same problem with values that f16 holds.
    pub(super) fn exact(&mut self) {
        let Self {
            grad_y,
            weight,
            other,
            x,
            z,
            ..
        } = self;
        for values in [grad_y, weight, other, x, z] {
            *values = exact(std::mem::take(values));
        }
    }

    /// |z - mean| · invstd of an element, with room for its own rounding.
    pub(super) fn far(&self, index: usize) -> f64 {
        let c = index % self.shape.c;
        (self.z[index].abs() + self.mean[c].abs()) * self.invstd[c]
    }

    /// A map for each channel: scale, shift, and what the kernel reads, the statistics with the map behind them.
    pub(super) fn map(&self, draw: &mut Draw) -> ([Vec<f64>; 2], Vec<f32>) {
        drawn_map(self, draw)
    }

    /// Makes x what that map and a rectifier make of z.
    pub(super) fn rectify(&mut self, [scale, shift]: &[Vec<f64>; 2]) {
        let channels = self.shape.c;
        let mapped = self.z.iter().enumerate();
        let x = mapped.map(|(i, z)| (z * scale[i % channels] + shift[i % channels]).max(0.0));
        self.x = x.collect();
    }

    fn statistics(&self) -> Vec<f32> {
        [&self.mean, &self.invstd]
            .map(|row| pad(row, self.shape.c))
            .concat()
    }

    /// `grad_x` and, where asked for, `partials`.
    fn run(&self, kernel: &Conv2dGradInput) -> Vec<Vec<f32>> {
        let inputs = self.inputs(kernel.epilogue);
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        execute(&kernel.call().unwrap(), &inputs)
    }

    pub(super) fn inputs(&self, epilogue: GradInputEpilogue) -> Vec<Vec<f32>> {
        let shape = &self.shape;
        let mut inputs = vec![pad(&self.grad_y, shape.k), filters(shape, &self.weight)];
        if epilogue.add {
            inputs.push(pad(&self.other, shape.c));
        }
        if epilogue.mask {
            inputs.push(pad(&self.x, shape.c));
        }
        if epilogue.reduce {
            inputs.push(pad(&self.z, shape.c));
            inputs.push(self.statistics());
        }
        inputs
    }
}

pub(super) fn epilogues() -> impl Iterator<Item = GradInputEpilogue> {
    (1..8).map(|bits| GradInputEpilogue {
        add: bits & 1 > 0,
        mask: bits & 2 > 0,
        mask_map: false,
        reduce: bits & 4 > 0,
    })
}

#[test]
fn epilogues_match_references_on_drawn_shapes() {
    for (index, shape) in shapes().into_iter().enumerate() {
        let problem = Problem::drawn(index, shape);
        for epilogue in epilogues() {
            let want = problem.grad_x(epilogue);
            let sums = problem.column_sums(&want);
            for software in software() {
                let kernel = Conv2dGradInput {
                    epilogue,
                    ..Conv2dGradInput::new(shape.into(), software)
                };
                let what = format!("seed {SEED}, software {software}, {epilogue:?}, {shape:?}");
                let got = problem.run(&kernel);
                let depth = shape.r * shape.s * shape.k + 1;
                compare(&what, &unpad(&what, &got[0], shape.c), &want, depth);
                if epilogue.reduce {
                    let groups = kernel.groups().unwrap();
                    check_sums(&what, &problem, groups, &got[1], &sums, depth);
                }
            }
        }
    }
}

#[test]
fn larger_tiles_match_reference_on_drawn_shapes_and_tails() {
    let epilogue = GradInputEpilogue {
        add: true,
        mask: true,
        mask_map: false,
        reduce: true,
    };
    for (index, shape) in shapes().into_iter().chain(tails()).enumerate() {
        let problem = Problem::drawn(index, shape);
        let want = problem.grad_x(epilogue);
        let sums = problem.column_sums(&want);
        let kernel = Conv2dGradInput {
            epilogue,
            ..Conv2dGradInput::new(shape.into(), false)
        };
        let inputs = problem.inputs(epilogue);
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        for tile in [Tile::ALL[0], Tile::ALL[1]] {
            let got = execute_as_is(&kernel.call_in(tile).unwrap(), &inputs);
            let what = format!("seed {SEED}, {tile:?}, {shape:?}");
            let depth = shape.r * shape.s * shape.k + 1;
            compare(&what, &unpad(&what, &got[0], shape.c), &want, depth);
            let groups = kernel.groups_in(tile);
            check_sums(&what, &problem, groups, &got[1], &sums, depth);
        }
    }
}

/// The partial sums as batch normalisation's gradient goes on with them.
fn check_sums(
    what: &str,
    problem: &Problem,
    groups: usize,
    partials: &[f32],
    sums: &[Reference; 2],
    depth: usize,
) {
    let shape = &problem.shape;
    assert_eq!(partials.len(), groups * 2 * padded(shape.c), "{what}");
    let rows = shape.n * shape.h * shape.w;
    let finish = BatchNormGradFinish {
        rows,
        channels: shape.c,
        training: true,
        groups: Some(groups),
    };
    let gamma = vec![1.0; padded(shape.c)];
    let got = execute(
        &finish.call().unwrap(),
        &[partials, &gamma, &problem.statistics()],
    );
    for ((name, got), want) in ["products", "sums"].iter().zip(&got).zip(sums.iter().rev()) {
        let what = format!("{name}, {what}");
        compare(&what, &unpad(&what, got, shape.c), want, depth + rows);
    }
}

#[test]
fn column_sums_repeat_bit_for_bit() {
    let shape = shapes()[3];
    let problem = Problem::drawn(3, shape);
    for software in software() {
        for epilogue in epilogues() {
            let kernel = Conv2dGradInput {
                epilogue,
                ..Conv2dGradInput::new(shape.into(), software)
            };
            let bits = || {
                let outputs = problem.run(&kernel).concat();
                outputs.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            assert_eq!(bits(), bits(), "{epilogue:?}");
        }
    }
}

#[test]
fn states_what_the_epilogue_touches() {
    let shape = shapes()[3];
    for epilogue in epilogues() {
        let kernel = Conv2dGradInput {
            epilogue,
            ..Conv2dGradInput::new(shape.into(), false)
        };
        let call = kernel.call().unwrap();
        let plain = Conv2dGradInput::new(shape.into(), false).call().unwrap();
        let (len, width) = (4 * shape.input_len() as u64, 4 * shape.c as u64);
        // The channels of this shape need no padding.
        assert_eq!(shape.c % 4, 0);
        let GradInputEpilogue {
            add, mask, reduce, ..
        } = epilogue;
        let tensors = u64::from(add) + u64::from(mask) + u64::from(reduce);
        let statistics = u64::from(reduce) * 2 * width;
        let read = plain.bytes_read() + tensors * len + statistics;
        assert_eq!(call.bytes_read(), read, "{epilogue:?}");
        let groups = u64::from(reduce) * kernel.groups().unwrap() as u64;
        let written = plain.bytes_written() + groups * 2 * width;
        assert_eq!(call.bytes_written(), written, "{epilogue:?}");
        let last = call.extents.last().unwrap();
        assert_eq!(last.access == Access::Write, reduce);
    }
}

/// Scale and shift of each channel, and what the kernel reads of them behind the statistics.
fn drawn_map(problem: &Problem, draw: &mut Draw) -> ([Vec<f64>; 2], Vec<f32>) {
    let channels = problem.shape.c;
    let map = [draw.tensor(channels, 2.0), draw.tensor(channels, 1.0)];
    let mut statistics = problem.statistics();
    statistics.resize(statistics.len().next_multiple_of(64), f32::NAN);
    statistics.extend(map.each_ref().map(|row| pad(row, channels)).concat());
    (map, statistics)
}

#[test]
fn a_mask_from_the_map_is_that_of_the_rectified_output() {
    for (index, shape) in shapes().into_iter().enumerate() {
        let mut problem = Problem::drawn(index, shape);
        let mut draw = Draw::new("mask map", index as u64);
        let (map, statistics) = drawn_map(&problem, &mut draw);
        problem.rectify(&map);
        for add in [false, true] {
            let epilogue = GradInputEpilogue {
                add,
                mask: true,
                mask_map: false,
                reduce: true,
            };
            let kernel = Conv2dGradInput {
                epilogue,
                ..Conv2dGradInput::new(shape.into(), false)
            };
            let want = problem.run(&kernel);
            let kernel = Conv2dGradInput {
                epilogue: GradInputEpilogue {
                    mask: false,
                    mask_map: true,
                    ..epilogue
                },
                ..kernel
            };
            let other = if add {
                pad(&problem.other, shape.c)
            } else {
                Vec::new()
            };
            let (grad_y, z) = (pad(&problem.grad_y, shape.k), pad(&problem.z, shape.c));
            let weight = filters(&shape, &problem.weight);
            let inputs: [&[f32]; 5] = [&grad_y, &weight, &other, &z, &statistics];
            let got = execute(&kernel.call().unwrap(), &inputs);
            assert_eq!(got, want, "add {add}, {shape:?}");
        }
    }
}

#[test]
fn a_mapped_gradient_is_that_of_the_map() {
    for (index, shape) in shapes().into_iter().enumerate() {
        let problem = Problem::drawn(index, shape);
        let mut draw = Draw::new("mapped", index as u64);
        let z_y = draw.tensor(shape.output_len(), 1.0);
        let rows = [1.0, 0.5, 0.25].map(|size| draw.tensor(shape.k, size));
        let mapped = MappedGradient::new(&problem.grad_y, &z_y, &rows);
        let mut want = reference::conv2d_grad_input(&shape, &mapped.value, &problem.weight);
        let absolute: Vec<f64> = problem.weight.iter().map(|w| w.abs()).collect();
        want.magnitude = reference::conv2d_grad_input(&shape, &mapped.magnitude, &absolute).value;
        let kernel = Conv2dGradInput {
            mapped: true,
            ..Conv2dGradInput::new(shape.into(), false)
        };
        let coefficients = rows.each_ref().map(|row| pad(row, shape.k)).concat();
        let (grad_y, z_y) = (pad(&problem.grad_y, shape.k), pad(&z_y, shape.k));
        let weight = filters(&shape, &problem.weight);
        let inputs: [&[f32]; 4] = [&grad_y, &weight, &z_y, &coefficients];
        let tile = Tile::ALL[index % 3];
        let got = execute(&kernel.call_in(tile).unwrap(), &inputs);
        let what = format!("mapped, {tile:?}, {shape:?}");
        let depth = 3 * shape.r * shape.s * shape.k;
        compare(&what, &unpad(&what, &got[0], shape.c), &want, depth);
    }
}

#[test]
fn rejects_epilogues_that_it_has_no_bindings_for() {
    let kernel = Conv2dGradInput::new(shapes()[3].into(), false);
    let plain = kernel.epilogue;
    let refused = [
        (
            false,
            GradInputEpilogue {
                mask_map: true,
                ..plain
            },
        ),
        (true, GradInputEpilogue { add: true, ..plain }),
        (
            true,
            GradInputEpilogue {
                mask: true,
                ..plain
            },
        ),
    ];
    for (mapped, epilogue) in refused {
        let kernel = Conv2dGradInput {
            mapped,
            epilogue,
            ..kernel
        };
        assert!(kernel.call().is_err(), "{kernel:?}");
    }
}
