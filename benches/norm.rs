//! Batch normalisation, call by call: training, evaluation, and the gradients.

mod common;

use common::{Line, quick};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::elementwise;
use kernels_tests::harness::{compare, execute, ways};
use kernels_tests::norm::BatchNorm;
use kernels_tests::random::Draw;
use kinesic::kernels::Call;
use kinesic::kernels::norm::{
    BatchNormApply, BatchNormFinish, BatchNormFold, BatchNormGradFinish, BatchNormGradInput,
    BatchNormGradReduce, BatchNormStats, Mask,
};

const EPS: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// Rows and channels of two layers of `mobile` at 48, batch 64, and of two of ResNet-50 at 112, batch 4; multiples of 4.
fn shapes() -> Vec<(usize, usize)> {
    if quick() {
        return vec![(67, 12)];
    }
    vec![(36864, 96), (2304, 192), (12544, 64), (3136, 256)]
}

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// A drawn layer.
struct Problem {
    rows: usize,
    channels: usize,
    layer: BatchNorm,
    x: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
    mean: Vec<f64>,
    var: Vec<f64>,
    grad_y: Vec<f64>,
    y: Vec<f64>,
}

impl Problem {
    fn all() -> impl Iterator<Item = Self> {
        shapes().into_iter().map(|(rows, channels)| {
            let mut draw = Draw::new("norm bench", 1);
            let len = rows * channels;
            Self {
                rows,
                channels,
                layer: BatchNorm {
                    channels,
                    eps: EPS.into(),
                    momentum: MOMENTUM.into(),
                },
                x: draw.tensor(len, 2.0),
                gamma: draw.tensor(channels, 2.0),
                beta: draw.tensor(channels, 1.0),
                mean: draw.tensor(channels, 1.0),
                var: vec![1.0; channels],
                grad_y: draw.tensor(len, 1.0),
                y: draw.tensor(len, 1.0),
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

    fn stats(&self) -> Call {
        let (rows, channels) = (self.rows, self.channels);
        BatchNormStats { rows, channels }.call().unwrap()
    }

    fn finish(&self) -> Call {
        BatchNormFinish {
            rows: self.rows,
            channels: self.channels,
            eps: EPS,
            momentum: MOMENTUM,
            group_rows: None,
        }
        .call()
        .unwrap()
    }

    /// gamma, beta, running mean and variance.
    fn vectors(&self) -> [Vec<f32>; 4] {
        [&self.gamma, &self.beta, &self.mean, &self.var].map(|values| f32s(values))
    }

    /// running_mean, running_var, statistics, affine.
    fn finished(&self, partials: &[f32]) -> Vec<Vec<f32>> {
        let [gamma, beta, mean, var] = self.vectors();
        execute(&self.finish(), &[partials, &gamma, &beta, &mean, &var])
    }
}

fn statistics(criterion: &mut Criterion) {
    for problem in Problem::all() {
        let (stats, finish) = (problem.stats(), problem.finish());
        let x = f32s(&problem.x);
        let want = problem.layer.statistics(&problem.x);
        problem.line("norm/batch_norm_stats", &stats, |line| {
            line.stream(criterion, &stats, &[&x], |what, partials| {
                let statistics = &problem.finished(&partials[0])[2];
                let mean = &statistics[..problem.channels];
                compare(what, mean, &want.mean, problem.rows);
            });
        });
        let partials = execute(&stats, &[&x]).remove(0);
        let [gamma, beta, mean, var] = problem.vectors();
        let inputs: [&[f32]; 5] = [&partials, &gamma, &beta, &mean, &var];
        for finish in ways(&finish) {
            problem.line("norm/batch_norm_finish", &finish, |line| {
                line.stream(criterion, &finish, &inputs, |what, outputs| {
                    let invstd = &outputs[2][problem.channels..];
                    compare(what, invstd, &want.invstd, problem.rows);
                });
            });
        }
    }
}

fn normalisation(criterion: &mut Criterion) {
    for problem in Problem::all() {
        let channels = problem.channels;
        let want = problem.layer.eval(
            &problem.x,
            &problem.gamma,
            &problem.beta,
            &problem.mean,
            &problem.var,
        );
        let fold = BatchNormFold { channels, eps: EPS }.call().unwrap();
        let vectors = problem.vectors();
        let inputs = vectors.each_ref().map(|values| &values[..]);
        problem.line("norm/batch_norm_fold", &fold, |line| {
            line.stream(criterion, &fold, &inputs, |what, outputs| {
                assert_eq!(outputs[0][..channels], vectors[2], "{what}");
            });
        });
        let affine = execute(&fold, &inputs).remove(1);
        let x = f32s(&problem.x);
        let residual = f32s(&problem.grad_y);
        for (with_residual, relu) in [(false, false), (false, true), (true, true)] {
            let call = BatchNormApply {
                mapped: false,
                rows: problem.rows,
                channels,
                residual: with_residual,
                relu,
            };
            let call = call.call().unwrap();
            let mut want = want.clone();
            for (index, &added) in problem.grad_y.iter().enumerate() {
                if with_residual {
                    want.add(index, added);
                }
                if relu {
                    want.value[index] = want.value[index].max(0.0);
                }
            }
            let residual: &[f32] = if with_residual { &residual } else { &[] };
            problem.line("norm/batch_norm_apply", &call, |line| {
                line.stream(criterion, &call, &[&x, residual, &affine], |what, y| {
                    compare(what, &y[0], &want, 4);
                });
            });
        }
    }
}

fn gradients(criterion: &mut Criterion) {
    for problem in Problem::all() {
        let (rows, channels, mask) = (problem.rows, problem.channels, Mask::Output);
        let [x, y, grad_y, gamma] =
            [&problem.x, &problem.y, &problem.grad_y, &problem.gamma].map(|values| f32s(values));
        let upstream = elementwise::relu_grad(&problem.grad_y, &problem.y).value;
        let want = (problem.layer).training_gradients(&problem.x, &problem.gamma, &upstream);
        let partials = execute(&problem.stats(), &[&x]).remove(0);
        let statistics = problem.finished(&partials).remove(2);
        let reduce = BatchNormGradReduce {
            rows,
            channels,
            mask,
        };
        let finish = BatchNormGradFinish {
            rows,
            channels,
            training: true,
            groups: None,
        };
        let (reduce, finish) = (reduce.call().unwrap(), finish.call().unwrap());
        let inputs: [&[f32]; 4] = [&grad_y, &x, &y, &statistics];
        problem.line("norm/batch_norm_grad_reduce", &reduce, |line| {
            line.stream(criterion, &reduce, &inputs, |what, partials| {
                let sums = execute(&finish, &[&partials[0], &gamma, &statistics]);
                compare(what, &sums[1], &want.beta, rows);
            });
        });
        let partials = execute(&reduce, &inputs).remove(0);
        let of_finish: [&[f32]; 3] = [&partials, &gamma, &statistics];
        for finish in ways(&finish) {
            problem.line("norm/batch_norm_grad_finish", &finish, |line| {
                line.stream(criterion, &finish, &of_finish, |what, sums| {
                    compare(what, &sums[0], &want.gamma, rows);
                });
            });
        }
        let coefficients = execute(&finish, &of_finish).remove(2);
        let input = BatchNormGradInput {
            rows,
            channels,
            residual: true,
            mask,
        };
        let input = input.call().unwrap();
        let inputs: [&[f32]; 4] = [&grad_y, &x, &y, &coefficients];
        problem.line("norm/batch_norm_grad_input", &input, |line| {
            line.stream(criterion, &input, &inputs, |what, outputs| {
                compare(what, &outputs[0], &want.x, rows);
            });
        });
    }
}

criterion_group!(benches, statistics, normalisation, gradients);
criterion_main!(benches);
