//! One step of Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019) and SGD with momentum, as PyTorch computes them.
//!
//! Magnitudes follow first-order error propagation through the step. Factors like 1 − beta and the bias corrections are taken
//! as exact: a kernel must get them from the host, as 1 − 0.999 loses 15 bits in f32.

use crate::Reference;

/// Options of Adam and AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first and second moment a step, each in [0, 1).
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// λ.
    pub weight_decay: f64,
    /// AdamW: the parameter shrinks by lr · λ a step; else λ · parameter is added to the gradient.
    pub decoupled: bool,
}

/// Parameters and moments after a step of [`Adam`].
#[derive(Clone, Debug)]
pub struct AdamStep {
    /// The parameters.
    pub parameter: Reference,
    /// The first moments m.
    pub first: Reference,
    /// The second moments v.
    pub second: Reference,
}

impl Adam {
    /// Step number `step`, from 1, from parameters, their gradients, and the moments before it (0 before the first):
    ///
    /// g = gradient (+ λ · parameter), m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²,
    /// parameter ← parameter (· (1 − lr λ)) − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps).
    pub fn step(
        &self,
        step: u32,
        parameter: &[f64],
        gradient: &[f64],
        first: &[f64],
        second: &[f64],
    ) -> AdamStep {
        let [beta1, beta2] = self.betas;
        let rate = self.lr / (1.0 - beta1.powi(step.cast_signed()));
        let root_correction = (1.0 - beta2.powi(step.cast_signed())).sqrt();
        let coupled = if self.decoupled {
            0.0
        } else {
            self.weight_decay
        };
        let shrink = self.lr * (self.weight_decay - coupled);
        let mut out = AdamStep {
            parameter: Reference::zeros(parameter.len()),
            first: Reference::zeros(parameter.len()),
            second: Reference::zeros(parameter.len()),
        };
        for (i, &p) in parameter.iter().enumerate() {
            let g = gradient[i] + coupled * p;
            let g_magnitude = gradient[i].abs() + (coupled * p).abs();
            let m = beta1 * first[i] + (1.0 - beta1) * g;
            let m_magnitude = beta1 * first[i].abs() + (1.0 - beta1) * g_magnitude;
            let v = beta2 * second[i] + (1.0 - beta2) * g * g;
            let v_magnitude = beta2 * second[i] + (1.0 - beta2) * 2.0 * g.abs() * g_magnitude;
            let root = v.sqrt() / root_correction;
            let root_magnitude = if v > 0.0 {
                root * (1.0 + 0.5 * v_magnitude / v)
            } else {
                0.0
            };
            let below = root + self.eps;
            let move_magnitude =
                m_magnitude / below + m.abs() * (root_magnitude + self.eps) / (below * below);
            out.first.set(i, m, m_magnitude);
            out.second.set(i, v, v_magnitude);
            out.parameter.set(
                i,
                p - shrink * p - rate * m / below,
                p.abs() * (1.0 + shrink) + rate * move_magnitude,
            );
        }
        out
    }
}

/// Options of stochastic gradient descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// μ: share of the last step's direction that is kept; 0 for none.
    pub momentum: f64,
    /// Nesterov's form: looks ahead along the new direction.
    pub nesterov: bool,
    /// λ, added to the gradient as λ · parameter.
    pub weight_decay: f64,
}

/// Parameters and directions after a step of [`Sgd`].
#[derive(Clone, Debug)]
pub struct SgdStep {
    /// The parameters.
    pub parameter: Reference,
    /// The directions b.
    pub direction: Reference,
}

impl Sgd {
    /// A step from parameters, their gradients, and the directions before it (0 before the first; without dampening that
    /// equals PyTorch's first direction, the gradient):
    ///
    /// g = gradient + λ · parameter, b ← μ b + g, parameter ← parameter − lr · (b, or g + μ b with Nesterov).
    pub fn step(&self, parameter: &[f64], gradient: &[f64], direction: &[f64]) -> SgdStep {
        let mut out = SgdStep {
            parameter: Reference::zeros(parameter.len()),
            direction: Reference::zeros(parameter.len()),
        };
        for (i, &p) in parameter.iter().enumerate() {
            let g = gradient[i] + self.weight_decay * p;
            let g_magnitude = gradient[i].abs() + (self.weight_decay * p).abs();
            let b = self.momentum * direction[i] + g;
            let b_magnitude = (self.momentum * direction[i]).abs() + g_magnitude;
            let (along, along_magnitude) = if self.nesterov {
                (
                    g + self.momentum * b,
                    g_magnitude + self.momentum * b_magnitude,
                )
            } else {
                (b, b_magnitude)
            };
            out.direction.set(i, b, b_magnitude);
            let magnitude = p.abs() + self.lr * along_magnitude;
            out.parameter.set(i, p - self.lr * along, magnitude);
        }
        out
    }
}

/// The scale of the loss in f16, and what decides on it (Micikevicius et al. 2018, section 3.2), with Adam's bias corrections
/// over the steps that were taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// By what the next step's loss is multiplied.
    pub scale: f64,
    /// Steps taken since the scale changed.
    pub streak: u32,
    /// Steps taken.
    pub taken: u32,
}

impl LossScale {
    /// After a step whose gradients were finite or not; `interval` steps taken in a row double the scale.
    pub fn after(self, finite: bool, interval: u32) -> Self {
        if !finite {
            return Self {
                scale: (self.scale / 2.0).max(1.0),
                streak: 0,
                ..self
            };
        }
        let (streak, taken) = (self.streak + 1, self.taken + 1);
        if streak < interval {
            return Self {
                streak,
                taken,
                ..self
            };
        }
        Self {
            scale: (self.scale * 2.0).min(f64::from(1 << 24)),
            streak: 0,
            taken,
        }
    }

    /// `1 - βᵗ` after t steps taken.
    pub fn correction(&self, beta: f64) -> f64 {
        1.0 - beta.powi(self.taken.cast_signed())
    }
}
