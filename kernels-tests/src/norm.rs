//! Batch normalisation over the rows of x `[M,C]`, M = N·H·W (Ioffe and Szegedy 2015; running statistics as in PyTorch).
//!
//! The magnitudes of chained values follow first-order error propagation: that of (x − mean) is |x| plus the magnitude of the
//! mean, that of a product is one factor's value times the other's magnitude, summed over both.

use crate::Reference;
use crate::elementwise::column_sums;

/// Constants of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Channels C; x has a multiple of C elements.
    pub channels: usize,
    /// Added to the variance under the root.
    pub eps: f64,
    /// Share of the batch in the new running statistics.
    pub momentum: f64,
}

/// Mean and variance of a batch, per channel.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Σ x / M.
    pub mean: Reference,
    /// Σ (x − mean)² / M. The magnitude has the largest (x − mean)² on top: what a sum loses that is shifted by any value of
    /// the channel instead of its mean.
    pub var: Reference,
    /// 1 / √(var + eps).
    pub invstd: Reference,
}

/// What a training step of the layer gives.
#[derive(Clone, Debug)]
pub struct Training {
    /// (x − mean) · invstd · gamma + beta, `[M,C]`.
    pub y: Reference,
    /// The batch's statistics.
    pub statistics: Statistics,
    /// (1 − momentum) · running_mean + momentum · mean.
    pub running_mean: Reference,
    /// (1 − momentum) · running_var + momentum · var · M / (M − 1); the factor is 1 for M = 1, which PyTorch refuses.
    pub running_var: Reference,
}

/// Gradients of the layer.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// With respect to x, `[M,C]`.
    pub x: Reference,
    /// With respect to gamma, `[C]`.
    pub gamma: Reference,
    /// With respect to beta, `[C]`.
    pub beta: Reference,
}

impl BatchNorm {
    fn rows(&self, x: &[f64]) -> usize {
        assert!(
            !x.is_empty() && x.len().is_multiple_of(self.channels),
            "x has {} elements for {} channels",
            x.len(),
            self.channels
        );
        x.len() / self.channels
    }

    /// Mean, biased variance and 1 / √(var + eps) of each channel.
    pub fn statistics(&self, x: &[f64]) -> Statistics {
        let rows = self.rows(x) as f64;
        let mut mean = column_sums(x, self.channels);
        mean.scale(1.0 / rows);
        let mut var = Reference::zeros(self.channels);
        let mut largest = vec![0.0_f64; self.channels];
        for (index, x) in x.iter().enumerate() {
            let c = index % self.channels;
            let square = (x - mean.value[c]).powi(2);
            var.add(c, square / rows);
            largest[c] = largest[c].max(square);
        }
        let mut invstd = Reference::zeros(self.channels);
        for (c, largest) in largest.into_iter().enumerate() {
            var.magnitude[c] += largest;
            invstd.add(c, 1.0 / (var.value[c] + self.eps).sqrt());
            // d invstd / d var = −½ invstd³.
            invstd.magnitude[c] += 0.5 * invstd.value[c].powi(3) * var.magnitude[c];
        }
        Statistics { mean, var, invstd }
    }

    /// Statistics of evaluation: the running ones, taken as exact.
    fn running(&self, mean: &[f64], var: &[f64]) -> Statistics {
        let mut invstd = Reference::zeros(self.channels);
        for (c, var) in var.iter().enumerate() {
            invstd.add(c, 1.0 / (var + self.eps).sqrt());
        }
        Statistics {
            mean: Reference::exact(mean),
            var: Reference::exact(var),
            invstd,
        }
    }

    /// (x − mean) · invstd.
    fn normalised(&self, x: &[f64], statistics: &Statistics) -> Reference {
        let Statistics { mean, invstd, .. } = statistics;
        let mut normalised = Reference::zeros(x.len());
        for (index, x) in x.iter().enumerate() {
            let c = index % self.channels;
            let difference = x - mean.value[c];
            normalised.value[index] = difference * invstd.value[c];
            normalised.magnitude[index] = (x.abs() + mean.magnitude[c]) * invstd.value[c]
                + difference.abs() * invstd.magnitude[c];
        }
        normalised
    }

    fn scaled(&self, mut normalised: Reference, gamma: &[f64], beta: &[f64]) -> Reference {
        for index in 0..normalised.value.len() {
            let c = index % self.channels;
            normalised.value[index] *= gamma[c];
            normalised.magnitude[index] *= gamma[c].abs();
            normalised.add(index, beta[c]);
        }
        normalised
    }

    /// A training step: normalises by the batch's statistics and moves the running ones.
    pub fn training(
        &self,
        x: &[f64],
        gamma: &[f64],
        beta: &[f64],
        running_mean: &[f64],
        running_var: &[f64],
    ) -> Training {
        let rows = self.rows(x) as f64;
        let statistics = self.statistics(x);
        let unbiased = rows / (rows - 1.0).max(1.0);
        let y = self.scaled(self.normalised(x, &statistics), gamma, beta);
        Training {
            y,
            running_mean: self.moved(running_mean, &statistics.mean, 1.0),
            running_var: self.moved(running_var, &statistics.var, unbiased),
            statistics,
        }
    }

    fn moved(&self, running: &[f64], batch: &Reference, factor: f64) -> Reference {
        let mut after = batch.clone();
        after.scale(self.momentum * factor);
        for (c, running) in running.iter().enumerate() {
            after.add(c, (1.0 - self.momentum) * running);
        }
        after
    }

    /// Evaluation: (x − running_mean) / √(running_var + eps) · gamma + beta.
    pub fn eval(
        &self,
        x: &[f64],
        gamma: &[f64],
        beta: &[f64],
        running_mean: &[f64],
        running_var: &[f64],
    ) -> Reference {
        self.rows(x);
        let statistics = self.running(running_mean, running_var);
        self.scaled(self.normalised(x, &statistics), gamma, beta)
    }

    /// Gradients of [`BatchNorm::training`]'s y. With x̂ the normalised x, grad_beta = Σ grad_y, grad_gamma = Σ grad_y x̂ and
    /// grad_x = gamma · invstd · (grad_y − grad_beta / M − x̂ · grad_gamma / M).
    pub fn training_gradients(&self, x: &[f64], gamma: &[f64], grad_y: &[f64]) -> Gradients {
        let rows = self.rows(x) as f64;
        let statistics = self.statistics(x);
        let normalised = self.normalised(x, &statistics);
        let (grad_gamma, grad_beta) = self.affine_gradients(&normalised, grad_y);
        let invstd = &statistics.invstd;
        let mut grad_x = Reference::zeros(x.len());
        for (index, &grad) in grad_y.iter().enumerate() {
            let c = index % self.channels;
            let hat = normalised.value[index];
            let inner = grad - grad_beta.value[c] / rows - hat * grad_gamma.value[c] / rows;
            let inner_magnitude = grad.abs()
                + grad_beta.magnitude[c] / rows
                + hat.abs() * grad_gamma.magnitude[c] / rows
                + normalised.magnitude[index] * grad_gamma.value[c].abs() / rows;
            grad_x.value[index] = gamma[c] * invstd.value[c] * inner;
            grad_x.magnitude[index] = gamma[c].abs()
                * (invstd.value[c] * inner_magnitude + invstd.magnitude[c] * inner.abs());
        }
        Gradients {
            x: grad_x,
            gamma: grad_gamma,
            beta: grad_beta,
        }
    }

    /// Gradients of [`BatchNorm::eval`]: the statistics are constants, so grad_x = gamma · invstd · grad_y.
    pub fn eval_gradients(
        &self,
        x: &[f64],
        gamma: &[f64],
        running_mean: &[f64],
        running_var: &[f64],
        grad_y: &[f64],
    ) -> Gradients {
        self.rows(x);
        let statistics = self.running(running_mean, running_var);
        let normalised = self.normalised(x, &statistics);
        let (grad_gamma, grad_beta) = self.affine_gradients(&normalised, grad_y);
        let mut grad_x = Reference::zeros(x.len());
        for (index, grad_y) in grad_y.iter().enumerate() {
            let c = index % self.channels;
            grad_x.add(index, gamma[c] * statistics.invstd.value[c] * grad_y);
        }
        Gradients {
            x: grad_x,
            gamma: grad_gamma,
            beta: grad_beta,
        }
    }

    /// Gradients with respect to gamma and beta.
    fn affine_gradients(&self, normalised: &Reference, grad_y: &[f64]) -> (Reference, Reference) {
        assert_eq!(grad_y.len(), normalised.value.len(), "elements of grad_y");
        let mut grad_gamma = Reference::zeros(self.channels);
        for (index, grad_y) in grad_y.iter().enumerate() {
            let c = index % self.channels;
            grad_gamma.value[c] += grad_y * normalised.value[index];
            grad_gamma.magnitude[c] += grad_y.abs() * normalised.magnitude[index];
        }
        (grad_gamma, column_sums(grad_y, self.channels))
    }
}
