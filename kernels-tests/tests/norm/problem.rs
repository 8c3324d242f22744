//! A drawn layer, and the chains of calls over it.

use kernels_tests::harness::{compare, execute, pad, unpad};
use kernels_tests::norm::BatchNorm;
use kernels_tests::random::Draw;
use kernels_tests::{Reference, elementwise};
use kinesic::kernels::norm::{
    BatchNormApply, BatchNormFinish, BatchNormFold, BatchNormGradFinish, BatchNormGradInput,
    BatchNormGradReduce, BatchNormStats, Mask, partials_len,
};

pub const EPS: f32 = 1e-5;
pub const MOMENTUM: f32 = 0.1;
/// Rows and channels: the least, 7 to 9 rows around the 8 of an invocation, 31 to 33 around the rows of a group, primes, more
/// groups than the 64 lanes of a finish, and layers of `mobile` at 48 and of ResNet-50 at 112 (batch 4).
const SHAPES: [(usize, usize); 12] = [
    (2, 1),
    (7, 4),
    (8, 5),
    (9, 3),
    (31, 16),
    (32, 8),
    (33, 7),
    (997, 13),
    (2053, 12),
    (5003, 2),
    (2304, 192),
    (3136, 256),
];

fn mask(relu: bool) -> Mask {
    if relu { Mask::Output } else { Mask::None }
}

/// A drawn layer with its input and upstream gradient.
pub struct Problem {
    pub what: String,
    pub rows: usize,
    pub channels: usize,
    pub layer: BatchNorm,
    pub x: Vec<f64>,
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
    pub running_mean: Vec<f64>,
    pub running_var: Vec<f64>,
    pub residual: Vec<f64>,
    /// A rectified output: it only says where the gradient passes.
    pub y: Vec<f64>,
    pub grad_y: Vec<f64>,
}

impl Problem {
    /// Every third problem has channels whose mean is large against their deviation.
    pub fn drawn(seed: usize, (rows, channels): (usize, usize)) -> Self {
        let mut draw = Draw::new("batch_norm", seed as u64);
        let len = rows * channels;
        let far = if seed % 3 == 2 { 64.0 } else { 0.5 };
        let means = draw.tensor(channels, far);
        let mut x = draw.tensor(len, 2.0);
        for (index, x) in x.iter_mut().enumerate() {
            *x = f64::from((*x + means[index % channels]) as f32);
        }
        Self {
            what: format!("{rows} x {channels} seed {seed}"),
            rows,
            channels,
            layer: BatchNorm {
                channels,
                eps: EPS.into(),
                momentum: MOMENTUM.into(),
            },
            x,
            gamma: draw.tensor(channels, 2.0),
            beta: draw.tensor(channels, 1.0),
            running_mean: draw.tensor(channels, far),
            running_var: (draw.tensor(channels, 1.0).iter())
                .map(|var| var.abs() + 0.125)
                .collect(),
            residual: draw.tensor(len, 2.0),
            y: (draw.tensor(len, 1.0).iter()).map(|y| y.max(0.0)).collect(),
            grad_y: draw.tensor(len, 1.0),
        }
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..)
            .zip(SHAPES)
            .map(|(seed, shape)| Self::drawn(seed, shape))
    }

    pub fn pad(&self, values: &[f64]) -> Vec<f32> {
        pad(values, self.channels)
    }

    /// Holds padded rows of channels against a reference.
    pub fn check(&self, name: &str, got: &[f32], want: &Reference, depth: usize) {
        let what = format!("{name} of {}", self.what);
        compare(&what, &unpad(&what, got, self.channels), want, depth);
    }

    pub fn partials(&self) -> Vec<f32> {
        let (rows, channels) = (self.rows, self.channels);
        let call = BatchNormStats { rows, channels }.call().unwrap();
        let partials = execute(&call, &[&self.pad(&self.x)]).remove(0);
        assert_eq!(partials.len(), partials_len(rows, channels).unwrap());
        partials
    }

    /// running_mean, running_var, statistics, affine.
    pub fn finish(&self) -> [Vec<f32>; 4] {
        let call = BatchNormFinish {
            rows: self.rows,
            channels: self.channels,
            eps: EPS,
            momentum: MOMENTUM,
            group_rows: None,
        };
        let inputs = [
            &self.gamma,
            &self.beta,
            &self.running_mean,
            &self.running_var,
        ]
        .map(|v| self.pad(v));
        let [gamma, beta, mean, var] = &inputs;
        let outputs = execute(
            &call.call().unwrap(),
            &[&self.partials(), gamma, beta, mean, var],
        );
        outputs.try_into().unwrap()
    }

    /// statistics, affine.
    pub fn fold(&self) -> [Vec<f32>; 2] {
        let call = BatchNormFold {
            channels: self.channels,
            eps: EPS,
        };
        let inputs = [
            &self.gamma,
            &self.beta,
            &self.running_mean,
            &self.running_var,
        ]
        .map(|v| self.pad(v));
        let outputs = execute(&call.call().unwrap(), &inputs.each_ref().map(|v| &v[..]));
        outputs.try_into().unwrap()
    }

    pub fn apply(&self, affine: &[f32], residual: bool, relu: bool) -> Vec<f32> {
        let call = BatchNormApply {
            rows: self.rows,
            channels: self.channels,
            residual,
            mapped: false,
            relu,
        };
        let added = if residual {
            self.pad(&self.residual)
        } else {
            Vec::new()
        };
        let inputs = [&self.pad(&self.x)[..], &added, affine];
        execute(&call.call().unwrap(), &inputs).remove(0)
    }

    /// The reference of [`Self::apply`] from that of plain normalisation.
    pub fn applied(&self, plain: &Reference, residual: bool, relu: bool) -> Reference {
        let mut want = plain.clone();
        for (index, &added) in self.residual.iter().enumerate() {
            if residual {
                want.add(index, added);
            }
            if relu {
                want.value[index] = want.value[index].max(0.0);
            }
        }
        want
    }

    pub fn rectified(&self, relu: bool) -> Vec<f32> {
        if relu { self.pad(&self.y) } else { Vec::new() }
    }

    /// grad_gamma, grad_beta, coefficients.
    pub fn reduced(&self, statistics: &[f32], training: bool, relu: bool) -> [Vec<f32>; 3] {
        let (rows, channels, mask) = (self.rows, self.channels, mask(relu));
        let reduce = BatchNormGradReduce {
            rows,
            channels,
            mask,
        };
        let (grad_y, x, y) = (
            self.pad(&self.grad_y),
            self.pad(&self.x),
            self.rectified(relu),
        );
        let partials = execute(&reduce.call().unwrap(), &[&grad_y, &x, &y, statistics]).remove(0);
        let finish = BatchNormGradFinish {
            rows,
            channels,
            training,
            groups: None,
        };
        let inputs = [&partials[..], &self.pad(&self.gamma), statistics];
        execute(&finish.call().unwrap(), &inputs)
            .try_into()
            .unwrap()
    }

    /// grad_x and, with a residual, its gradient.
    pub fn grad_input(&self, coefficients: &[f32], residual: bool, relu: bool) -> Vec<Vec<f32>> {
        let mask = mask(relu);
        let call = BatchNormGradInput {
            rows: self.rows,
            channels: self.channels,
            residual,
            mask,
        };
        let (grad_y, x, y) = (
            self.pad(&self.grad_y),
            self.pad(&self.x),
            self.rectified(relu),
        );
        execute(&call.call().unwrap(), &[&grad_y, &x, &y, coefficients])
    }

    /// The upstream gradient behind the rectifier.
    pub fn upstream(&self, relu: bool) -> Vec<f64> {
        if relu {
            elementwise::relu_grad(&self.grad_y, &self.y).value
        } else {
            self.grad_y.clone()
        }
    }
}
