//! Optimisers over flat buffers: one dispatch updates all parameters of a range.
//!
//! What stays the same over a run (betas, eps, weight decay, momentum) is in the call; what changes with every step is in
//! the `schedule` buffer, so that a recorded plan is replayed with nothing but [`SCHEDULE`] words written anew:
//!
//! | word | content |
//! | --- | --- |
//! | 0 | f32: the learning rate lr |
//! | 1 | f32: 1 / (1 - beta1^t), t = step + 1 (Adam; 1 for SGD) |
//! | 2 | f32: 1 / √(1 - beta2^t) (Adam; 1 for SGD) |
//! | 3 | f32: 1 in the first step, else 0 (SGD's buffer begins as the gradient) |
//! | 4 | u32: the step, modulo 2³² (dropout) |
//! | 5 | u32: the seed (dropout) |
//! | 6, 7 | 0 |

mod scale;

use super::check::{all_flags, constant, flags, vectors, workgroups};
use super::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};
use crate::gpu::Shader;

pub use scale::{GradientCheck, INITIAL_SCALING, INTERVAL, LossScale, SCALING};

const ADAM: Shader = shader!("optim", "adam");
const SGD: Shader = shader!("optim", "sgd");

/// Words of the `schedule` buffer.
pub const SCHEDULE: usize = 8;

params!(AdamParams {
    count: u32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    eps: f32,
    weight_decay: f32,
});

params!(SgdParams {
    count: u32,
    momentum: f32,
    weight_decay: f32,
});

/// An optimiser and its constants, as PyTorch defines them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Adam; the weight decay is a part of the gradient (Kingma and Ba 2015).
    Adam(AdamConstants),
    /// AdamW; the weight decay is apart from the gradient (Loshchilov and Hutter 2019).
    AdamW(AdamConstants),
    /// Gradient descent with momentum, without dampening.
    Sgd {
        /// The share of the buffer that a step keeps, in [0, 1).
        momentum: f64,
        /// Whether a step looks ahead by Nesterov's rule; asks for a momentum above 0.
        nesterov: bool,
        /// The share of the parameter that is added to its gradient, 0 or above.
        weight_decay: f64,
    },
}

/// The constants of Adam and AdamW. The default is theirs without weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamConstants {
    /// The share of the first moment that a step keeps, in [0, 1).
    pub beta1: f64,
    /// The share of the second moment that a step keeps, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment; above 0.
    pub eps: f64,
    /// The share of the parameter that decays, times the learning rate for AdamW; 0 or above.
    pub weight_decay: f64,
}

impl Default for AdamConstants {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
        }
    }
}

impl Optimizer {
    /// The number of moments, each a flat buffer of the parameters' length that begins as zeros.
    pub const fn moments(&self) -> usize {
        match self {
            Self::Adam(_) | Self::AdamW(_) => 2,
            Self::Sgd { .. } => 1,
        }
    }

    /// The dispatch over `len` parameters, a multiple of 4. Binds `schedule` of [`SCHEDULE`] words, `gradient`, `parameter`,
    /// `moment1`, for two moments `moment2`, and `scaling`. With `scaled` that has [`SCALING`] words: the gradient is divided by the
    /// loss's scale, and nothing is touched where the step is to be skipped; without, bind anything. A longer buffer than one
    /// binding holds takes several calls over its parts.
    ///
    /// # Errors
    /// [`KernelError::Argument`] unless `len` is a positive multiple of 4, and for Nesterov's rule without momentum;
    /// [`KernelError::Constant`] for a constant out of range; [`KernelError::TooLarge`].
    pub fn call(&self, len: usize, scaled: bool) -> Result<Call, KernelError> {
        let mut call = match *self {
            Self::Adam(constants) => constants.call(len, false),
            Self::AdamW(constants) => constants.call(len, true),
            Self::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => sgd(len, momentum, nesterov, weight_decay),
        }?;
        if scaled {
            call.variant = call.variant.set("SCALED", true);
        }
        Ok(call.bind("scaling", Access::Read, if scaled { SCALING } else { 0 }))
    }

    /// The words of the `schedule` buffer for a step counted from 0, in the order of the [module](self)'s table.
    pub fn schedule(&self, lr: f64, step: u64, seed: u32) -> [u32; SCHEDULE] {
        let (inverse1, inverse2) = match self {
            Self::Adam(constants) | Self::AdamW(constants) => constants.corrections(step),
            Self::Sgd { .. } => (1.0, 1.0),
        };
        let first = if step == 0 { 1.0 } else { 0.0 };
        // The step wraps: dropout only needs steps that lie near each other to differ.
        #[allow(clippy::cast_possible_truncation)]
        let words = (
            step as u32,
            [lr, inverse1, inverse2, first].map(|x| x as f32),
        );
        let [lr, inverse1, inverse2, first] = words.1.map(f32::to_bits);
        [lr, inverse1, inverse2, first, words.0, seed, 0, 0]
    }
}

impl AdamConstants {
    /// `1 / (1 - beta1^t)` and `1 / √(1 - beta2^t)`.
    fn corrections(&self, step: u64) -> (f64, f64) {
        // Far beyond 2⁵³ steps both powers are 0, whatever the rounding.
        #[allow(clippy::cast_precision_loss)]
        let t = step as f64 + 1.0;
        (
            1.0 / (1.0 - self.beta1.powf(t)),
            1.0 / (1.0 - self.beta2.powf(t)).sqrt(),
        )
    }

    fn call(&self, len: usize, decoupled: bool) -> Result<Call, KernelError> {
        let name = ADAM.name;
        let count = narrow(name, vectors(name, len)?)?;
        let share = |name, beta| {
            let within = (0.0..1.0).contains(&beta);
            constant(ADAM.name, name, beta, within, "in [0, 1)")
        };
        share("beta1", self.beta1)?;
        share("beta2", self.beta2)?;
        // Rounded to f32 it must still be above 0: padding and unused parameters have √v = 0.
        #[allow(clippy::cast_possible_truncation)]
        let eps = self.eps as f32;
        let positive = eps > 0.0 && eps.is_finite();
        constant(name, "eps", self.eps, positive, "above 0 and finite")?;
        check_decay(name, self.weight_decay)?;
        #[allow(clippy::cast_possible_truncation)] // rounded once, from f64
        let params = AdamParams {
            count,
            beta1: self.beta1 as f32,
            rest1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            rest2: (1.0 - self.beta2) as f32,
            eps,
            weight_decay: self.weight_decay as f32,
        };
        let variant = flags(&[("DECOUPLED", decoupled)]);
        Ok(Call::new(ADAM, variant, &params, workgroups(len / 4))?
            .bind("schedule", Access::Read, SCHEDULE)
            .bind("gradient", Access::Read, len)
            .bind("parameter", Access::Update, len)
            .bind("moment1", Access::Update, len)
            .bind("moment2", Access::Update, len)
            .flops(14 * len as u64))
    }
}

fn sgd(len: usize, momentum: f64, nesterov: bool, weight_decay: f64) -> Result<Call, KernelError> {
    let name = SGD.name;
    let count = narrow(name, vectors(name, len)?)?;
    let least = "in [0, 1), and above 0 with Nesterov's rule";
    let within = (0.0..1.0).contains(&momentum) && (momentum > 0.0 || !nesterov);
    constant(name, "momentum", momentum, within, least)?;
    check_decay(name, weight_decay)?;
    #[allow(clippy::cast_possible_truncation)] // rounded once, from f64
    let params = SgdParams {
        count,
        momentum: momentum as f32,
        weight_decay: weight_decay as f32,
    };
    let variant = flags(&[("NESTEROV", nesterov)]);
    Ok(Call::new(SGD, variant, &params, workgroups(len / 4))?
        .bind("schedule", Access::Read, SCHEDULE)
        .bind("gradient", Access::Read, len)
        .bind("parameter", Access::Update, len)
        .bind("moment1", Access::Update, len)
        .flops(8 * len as u64))
}

fn check_decay(kernel: &'static str, decay: f64) -> Result<(), KernelError> {
    let within = decay >= 0.0 && decay.is_finite();
    constant(kernel, "weight_decay", decay, within, "0 or above")
}

pub(super) fn kernels() -> Vec<Kernel> {
    let kernel = |shader, params, option| Kernel {
        family: "optim",
        shader,
        params,
        variants: all_flags(&[option, "SCALED"]),
    };
    let mut kernels = scale::kernels();
    kernels.push(kernel(ADAM, AdamParams::FIELDS, "DECOUPLED"));
    kernels.push(kernel(SGD, SgdParams::FIELDS, "NESTEROV"));
    kernels
}
