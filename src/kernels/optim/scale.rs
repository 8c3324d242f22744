//! Loss scaling for f16, decided on the device (Micikevicius et al. 2018, section 3.2).
//!
//! The gradient of the loss is multiplied by a scale, so that small gradients of activations do not vanish in f16. Where one
//! overflows, the step is skipped and the scale halved; after [`INTERVAL`] good steps in a row it is doubled. What
//! decides lies in the `scaling` buffer of [`SCALING`] f32 words, which the host writes once:
//!
//! | word | content |
//! | --- | --- |
//! | 0 | the scale of the next step's loss |
//! | 1 | 1 / the scale of this step's |
//! | 2 | 1 where this step is skipped, else 0 |
//! | 3 | good steps since the scale changed |
//! | 4, 5 | 1 - beta1^t and 1 - beta2^t, t the good steps so far (SGD: 1) |
//! | 6, 7 | 1 / (1 - beta1^t) and 1 / √(1 - beta2^t) |

use super::Optimizer;
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{positive, vectors};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const CHECK: Shader = shader!("optim", "gradient_check");
const SCALE: Shader = shader!("optim", "loss_scale");

/// Words of the `scaling` buffer.
pub const SCALING: usize = 8;
/// Good steps in a row before the scale doubles.
pub const INTERVAL: u32 = 2000;
/// The contents of the `scaling` buffer before the first step: a scale of 2¹⁶.
pub const INITIAL_SCALING: [f32; SCALING] = [65536.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0];
/// `vec4`s a group.
const GROUP: usize = 64 * 16;

params!(CheckParams {
    count: u32,
    first: u32,
});

params!(ScaleParams {
    groups: u32,
    interval: f32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
});

/// Looks for gradients that are not finite. Binds `gradient` of `len` elements and `broken`, a word a group, of which this call
/// writes those from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientCheck {
    /// Elements, a multiple of 4.
    pub len: usize,
    /// The number of the first group.
    pub first: usize,
}

impl GradientCheck {
    /// The groups of this call.
    pub const fn groups(&self) -> usize {
        self.len.div_ceil(4 * GROUP)
    }

    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] unless `len` is a positive multiple of 4; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let params = CheckParams {
            count: narrow(CHECK.name, vectors(CHECK.name, self.len)?)?,
            first: narrow(CHECK.name, self.first)?,
        };
        let groups = self.groups() as u64;
        Ok(Call::new(CHECK, Variant::new(), &params, groups)?
            .bind("gradient", Access::Read, self.len)
            .bind("broken", Access::Update, self.first + self.groups())
            .flops(self.len as u64))
    }
}

/// Decides on the step and the next scale. Binds `broken` of `groups` words, and `scaling`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// The groups of all calls of [`GradientCheck`].
    pub groups: usize,
    /// Good steps in a row before the scale doubles.
    pub interval: u32,
    /// Whose bias corrections are kept.
    pub optimizer: Optimizer,
}

impl LossScale {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] without groups or interval; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let interval = self.interval as usize;
        positive(
            SCALE.name,
            &[("groups", self.groups), ("interval", interval)],
        )?;
        let [beta1, beta2] = match self.optimizer {
            Optimizer::Adam(constants) | Optimizer::AdamW(constants) => {
                [constants.beta1, constants.beta2]
            }
            Optimizer::Sgd { .. } => [0.0, 0.0],
        };
        // Rounded once, from f64; an interval is far below 2²⁴.
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let params = ScaleParams {
            groups: narrow(SCALE.name, self.groups)?,
            interval: self.interval as f32,
            beta1: beta1 as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
        };
        Ok(Call::new(SCALE, Variant::new(), &params, 1)?
            .bind("broken", Access::Read, self.groups)
            .bind("scaling", Access::Update, SCALING)
            .flops(16))
    }
}

pub(super) fn kernels() -> Vec<Kernel> {
    let kernel = |shader, params| Kernel {
        family: "optim",
        shader,
        params,
        variants: vec![Variant::new()],
    };
    vec![
        kernel(CHECK, CheckParams::FIELDS),
        kernel(SCALE, ScaleParams::FIELDS),
    ]
}
