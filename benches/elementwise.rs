//! Kernels that pass once over their tensors, and the column sums of a bias's gradient.

mod common;

use common::{Line, quick};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::elementwise as reference;
use kernels_tests::harness::{compare, execute};
use kernels_tests::random::Draw;
use kinesic::kernels::Call;
use kinesic::kernels::elementwise::{Add, BiasAdd, BiasGrad, Dropout, Relu, ReluGrad};
use kinesic::kernels::optim::Optimizer;

/// Rows and channels of a layer of `mobile` at 48, batch 64, and of one of ResNet-50 at 112, batch 4; multiples of 4.
fn shapes() -> Vec<(usize, usize)> {
    if quick() {
        return vec![(67, 12)];
    }
    vec![(36864, 96), (3136, 256)]
}

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// A shape with drawn tensors.
struct Problem {
    rows: usize,
    channels: usize,
    a: Vec<f64>,
    b: Vec<f64>,
    bias: Vec<f64>,
}

impl Problem {
    fn all() -> impl Iterator<Item = Self> {
        shapes().into_iter().map(|(rows, channels)| {
            let mut draw = Draw::new("elementwise bench", 1);
            Self {
                rows,
                channels,
                a: draw.tensor(rows * channels, 1.0),
                b: draw.tensor(rows * channels, 1.0),
                bias: draw.tensor(channels, 1.0),
            }
        })
    }

    fn line(&self, kernel: &str, call: &Call, run: impl FnOnce(&Line<'_>)) {
        run(&Line {
            kernel,
            variant: &call.variant.to_string(),
            shape: format!("m{}c{}", self.rows, self.channels),
        });
    }
}

fn activations(criterion: &mut Criterion) {
    for problem in Problem::all() {
        let (a, b) = (f32s(&problem.a), f32s(&problem.b));
        let len = a.len();
        let call = Relu { len }.call().unwrap();
        problem.line("elementwise/relu", &call, |line| {
            let want = reference::relu(&problem.a);
            line.stream(criterion, &call, &[&a], |what, y| {
                compare(what, &y[0], &want, 1);
            });
        });
        let call = ReluGrad { len }.call().unwrap();
        problem.line("elementwise/relu_grad", &call, |line| {
            let want = reference::relu_grad(&problem.a, &problem.b);
            line.stream(criterion, &call, &[&a, &b], |what, y| {
                compare(what, &y[0], &want, 1);
            });
        });
        let call = Add { len, relu: true }.call().unwrap();
        problem.line("elementwise/add", &call, |line| {
            let want = reference::add_relu(&problem.a, &problem.b);
            line.stream(criterion, &call, &[&a, &b], |what, y| {
                compare(what, &y[0], &want, 1);
            });
        });
    }
}

fn dropout(criterion: &mut Criterion) {
    for problem in Problem::all() {
        let len = problem.a.len();
        let (rate, stream) = (0.5, 1);
        let call = Dropout { len, rate, stream }.call().unwrap();
        let schedule = Optimizer::Adam(Default::default()).schedule(1e-3, 1, 1);
        let inputs = [&schedule.map(f32::from_bits)[..], &f32s(&problem.a)];
        problem.line("elementwise/dropout", &call, |line| {
            line.stream(criterion, &call, &inputs, |what, y| {
                let kept = y[0].iter().zip(inputs[1]);
                let right = kept.clone().all(|(&y, &x)| y == 0.0 || y == 2.0 * x);
                assert!(right, "{what}: neither dropped nor scaled");
            });
        });
    }
}

fn bias(criterion: &mut Criterion) {
    for problem in Problem::all() {
        let (rows, channels) = (problem.rows, problem.channels);
        let (x, bias) = (f32s(&problem.a), f32s(&problem.bias));
        let relu = false;
        let call = BiasAdd {
            rows,
            channels,
            relu,
        };
        let call = call.call().unwrap();
        problem.line("elementwise/bias_add", &call, |line| {
            let want = reference::bias_add(&problem.a, &problem.bias);
            line.stream(criterion, &call, &[&x, &bias], |what, y| {
                compare(what, &y[0], &want, 1);
            });
        });
        let grad = BiasGrad { rows, channels };
        let (reduce, finish) = (grad.reduce().unwrap(), grad.finish().unwrap());
        let want = reference::column_sums(&problem.a, channels);
        problem.line("elementwise/bias_grad_reduce", &reduce, |line| {
            line.stream(criterion, &reduce, &[&x], |what, partials| {
                let sums = execute(&finish, &[&partials[0]]);
                compare(what, &sums[0], &want, rows);
            });
        });
        let partials = execute(&reduce, &[&x]);
        problem.line("elementwise/bias_grad_finish", &finish, |line| {
            line.stream(criterion, &finish, &[&partials[0]], |what, sums| {
                compare(what, &sums[0], &want, rows);
            });
        });
    }
}

criterion_group!(benches, activations, dropout, bias);
criterion_main!(benches);
