//! Convolutions and their filters' gradients that make their input of the one of the batch normalisation before it, on load.

use super::forward::check_groups;
use super::forward_matrix::{check_all, exact, filters_of, sides};
use super::grad_matrix::{allowed, both, problems, rounded, stored};
use super::{MappedGradient, SEED, shapes, tails};
use kernels_tests::Reference;
use kernels_tests::conv::{self as reference, Conv2dShape};
use kernels_tests::harness::{compare, execute, execute_as_is, pad, unpad};
use kernels_tests::layout::{filters, unfilters};
use kernels_tests::random::Draw;
use kinesic::gpu::Precision;
use kinesic::kernels::conv::{Conv2dForward, Conv2dGradWeight, ForwardEpilogue, Input, Tile};
use kinesic::kernels::{Call, KernelError, padded};

const MAPS: [Input; 2] = [Input::Normalised, Input::Rectified];

/// What the kernels read, of which z, the filters and the gradients are the same in f16.
struct Problem {
    shape: Conv2dShape,
    input: Input,
    z: Vec<f64>,
    /// Scale and shift of each channel.
    map: [Vec<f64>; 2],
    weight: Vec<f64>,
    grad_y: Vec<f64>,
    z_y: Vec<f64>,
    /// The coefficients of `grad_y`, where that is mapped, too.
    rows: Option<[Vec<f64>; 3]>,
}

fn absolute(values: &[f64]) -> Vec<f64> {
    values.iter().map(|v| v.abs()).collect()
}

impl Problem {
    fn drawn(index: usize, shape: Conv2dShape, input: Input) -> Self {
        let mut draw = Draw::new(&format!("normalised {index}"), SEED);
        let rows = [1.0, 0.5, 0.25].map(|size| draw.tensor(shape.k, size));
        Self {
            shape,
            input,
            z: exact(draw.tensor(shape.input_len(), 1.0)),
            map: [1.0, 1.5].map(|size| draw.tensor(shape.c, size)),
            weight: exact(draw.tensor(shape.weight_len(), 1.0)),
            grad_y: exact(draw.tensor(shape.output_len(), 1.0)),
            z_y: exact(draw.tensor(shape.output_len(), 1.0)),
            rows: (!index.is_multiple_of(2)).then_some(rows),
        }
    }

    /// The input that is made, and the sizes of its terms.
    fn x(&self) -> [Vec<f64>; 2] {
        let [scale, shift] = &self.map;
        let terms = |index: usize| {
            let c = index % self.shape.c;
            [scale[c] * self.z[index], shift[c]]
        };
        let value = |index| match self.input {
            Input::Rectified => f64::max(terms(index).iter().sum(), 0.0),
            _ => terms(index).iter().sum(),
        };
        let indices = 0..self.z.len();
        let sizes = indices.clone().map(|i| terms(i).map(f64::abs).iter().sum());
        [indices.map(value).collect(), sizes.collect()]
    }

    fn y(&self) -> Reference {
        let [x, sizes] = self.x();
        let mut y = reference::conv2d(&self.shape, &x, &self.weight, None);
        y.magnitude = reference::conv2d(&self.shape, &sizes, &absolute(&self.weight), None).value;
        y
    }

    fn grad_weight(&self) -> Reference {
        let [x, sizes] = self.x();
        let (grad_y, grad_sizes) = match &self.rows {
            Some(rows) => {
                let mapped = MappedGradient::new(&self.grad_y, &self.z_y, rows);
                (mapped.value, mapped.magnitude)
            }
            None => (self.grad_y.clone(), absolute(&self.grad_y)),
        };
        let mut grad = reference::conv2d_grad_weight(&self.shape, &x, &grad_y);
        grad.magnitude = reference::conv2d_grad_weight(&self.shape, &sizes, &grad_sizes).value;
        grad
    }

    fn affine(&self) -> Vec<f32> {
        let rows = self.map.each_ref();
        rows.map(|row| pad(row, self.shape.c)).concat()
    }

    fn forward(&self, stats: bool) -> (Conv2dForward, Vec<Vec<f32>>) {
        let epilogue = ForwardEpilogue {
            stats,
            ..ForwardEpilogue::default()
        };
        let kernel = Conv2dForward {
            epilogue,
            input: self.input,
            ..Conv2dForward::new(self.shape.into(), false)
        };
        let weight = filters(&self.shape, &self.weight);
        let inputs = vec![pad(&self.z, self.shape.c), weight, self.affine()];
        (kernel, inputs)
    }

    fn gradient(&self) -> (Conv2dGradWeight, Vec<Vec<f32>>) {
        let kernel = Conv2dGradWeight {
            mapped: self.rows.is_some(),
            input: self.input,
            ..Conv2dGradWeight::new(self.shape.into(), false)
        };
        let k = self.shape.k;
        let mut inputs = vec![pad(&self.z, self.shape.c), pad(&self.grad_y, k)];
        if let Some(rows) = &self.rows {
            inputs.push(pad(&self.z_y, k));
            inputs.push(rows.each_ref().map(|row| pad(row, k)).concat());
        }
        inputs.push(self.affine());
        (kernel, inputs)
    }

    /// Products of a sum of the forward pass, and of the gradient; a factor or both are sums, too.
    fn depths(&self) -> [usize; 2] {
        let Conv2dShape { n, c, r, s, .. } = self.shape;
        let pixels = n * self.shape.out_h() * self.shape.out_w();
        [3 * r * s * c, 5 * pixels]
    }
}

fn slices(inputs: &[Vec<f32>]) -> Vec<&[f32]> {
    inputs.iter().map(Vec::as_slice).collect()
}

#[test]
fn forward_reads_z_and_is_that_of_the_mapped_x() {
    for (index, shape) in shapes().into_iter().chain(tails()).enumerate() {
        let (input, stats) = (MAPS[index % 2], index / 2 % 2 > 0);
        let problem = Problem::drawn(index, shape, input);
        let (kernel, inputs) = problem.forward(stats);
        let tile = Tile::ALL[index % 3];
        let got = execute(&kernel.call_in(tile).unwrap(), &slices(&inputs));
        let what = format!("seed {SEED}, {input:?}, {tile:?}, stats {stats}, {shape:?}");
        let y = unpad(&what, &got[0], shape.k);
        compare(&what, &y, &problem.y(), problem.depths()[0]);
        if stats {
            check_groups(&what, shape.k, &y, &got[1]);
        }
    }
}

#[test]
fn grad_weight_reads_z_and_is_that_of_the_mapped_x() {
    for (index, shape) in shapes().into_iter().chain(tails()).enumerate() {
        let input = MAPS[index / 2 % 2];
        let problem = Problem::drawn(index, shape, input);
        let (kernel, inputs) = problem.gradient();
        let tile = Tile::ALL[index % 3];
        let [first, second] = kernel.calls_in(tile).unwrap();
        let partial = execute(&first, &slices(&inputs));
        let what = format!("seed {SEED}, {input:?}, {tile:?}, {shape:?}");
        let got = unfilters(&what, &shape, &execute(&second, &[&partial[0]])[0]);
        compare(&what, &got, &problem.grad_weight(), problem.depths()[1]);
    }
}

#[test]
fn matrix_forward_reads_z_and_is_that_of_the_mapped_x() {
    for (index, shape) in problems().into_iter().enumerate() {
        let input = MAPS[index % 2];
        let problem = Problem::drawn(index, shape, input);
        let want = problem.y();
        let (kernel, inputs) = problem.forward(index % 3 > 0);
        for (precision, side) in sides() {
            let what = format!("seed {SEED}, {input:?}, {precision:?} {side}, {shape:?}");
            let call = kernel.call_in_matrices(precision, side).unwrap();
            let mut inputs = inputs.clone();
            inputs[1] = filters_of(side, std::mem::take(&mut inputs[1]));
            let got = execute_as_is(&call, &slices(&inputs));
            let sums = rounded(&want, allowed(&want, problem.depths()[0]), precision);
            let y = unpad(&what, &got[0], shape.k);
            check_all(&what, &y, &want.value, &stored(&want, &sums, precision));
        }
    }
}

#[test]
fn matrix_grad_weight_reads_z_and_is_that_of_the_mapped_x() {
    for (index, shape) in problems().into_iter().enumerate() {
        let input = MAPS[index % 2];
        let problem = Problem::drawn(index, shape, input);
        let want = problem.grad_weight();
        let (kernel, inputs) = problem.gradient();
        for (precision, side) in sides() {
            let what = format!("seed {SEED}, {input:?}, {precision:?} {side}, {shape:?}");
            let got = both(&shape, &what, &kernel, (precision, side), &slices(&inputs));
            let mut sums = allowed(&want, problem.depths()[1]);
            // Either factor is rounded.
            for _ in 0..2 {
                sums = rounded(&want, sums, precision);
            }
            check_all(&what, &got, &want.value, &sums);
        }
    }
}

/// The bytes of the calls' bindings of this name.
fn bytes(call: &Call, name: &str) -> u64 {
    let extents = call.extents.iter().filter(|extent| extent.name == name);
    extents.map(|extent| extent.bytes).sum()
}

#[test]
fn a_map_is_read_besides_what_is_read_without() {
    let shape = shapes()[4];
    let rows = 8 * padded(shape.c) as u64;
    for (input, software) in MAPS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let plain = Conv2dForward::new(shape.into(), false);
        let mapped = Conv2dForward {
            input,
            software,
            ..plain
        };
        let (call, plain) = (mapped.call().unwrap(), plain.call().unwrap());
        assert_eq!(call.shader.name, "conv2d_forward");
        assert_eq!(bytes(&call, "affine"), rows);
        assert_eq!(call.bytes_read(), plain.bytes_read() + rows);
        assert_eq!(call.bytes_written(), plain.bytes_written());
        let matrix = mapped.call_in_matrices(Precision::F16, 16).unwrap();
        let mut extents = matrix.extents;
        extents[1].bytes *= 2; // filters of f16
        assert_eq!(extents, call.stored(Precision::F16).extents);

        let plain = Conv2dGradWeight::new(shape.into(), false);
        let mapped = Conv2dGradWeight {
            input,
            software,
            ..plain
        };
        let ([call, _], [plain, _]) = (mapped.calls().unwrap(), plain.calls().unwrap());
        assert_eq!(call.shader.name, "conv2d_grad_weight");
        assert_eq!(bytes(&call, "affine"), rows);
        assert_eq!(call.bytes_read(), plain.bytes_read() + rows);
        let [matrix, _] = mapped.calls_in_matrices(Precision::F16, 16).unwrap();
        assert_eq!(bytes(&matrix, "affine"), rows);
    }
}

#[test]
fn rejects_epilogues_that_do_not_go_with_a_map() {
    let plain = ForwardEpilogue::default();
    let epilogues = [
        ForwardEpilogue {
            bias: true,
            ..plain
        },
        ForwardEpilogue {
            affine: true,
            ..plain
        },
        ForwardEpilogue {
            residual: true,
            ..plain
        },
        ForwardEpilogue {
            relu: true,
            ..plain
        },
    ];
    for (epilogue, input) in epilogues
        .into_iter()
        .flat_map(|it| MAPS.map(|map| (it, map)))
    {
        let kernel = Conv2dForward {
            epilogue,
            input,
            ..Conv2dForward::new(shapes()[4].into(), false)
        };
        let calls = [
            kernel.call(),
            kernel.call_in(Tile::ALL[0]),
            kernel.call_in_matrices(Precision::F32, 8),
        ];
        for call in calls {
            let error = call.unwrap_err();
            let named = matches!(error, KernelError::Argument { name: "input", .. });
            assert!(named, "{error}");
        }
    }
}
