//! Dropout, forward and backward.

use crate::gpu::{Shader, Variant};
use crate::kernels::check::{constant, vectors, workgroups};
use crate::kernels::optim::SCHEDULE;
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const SHADER: Shader = shader!("elementwise", "dropout");

params!(Params {
    count: u32,
    stream: u32,
    threshold: u32,
    scale: f32,
});

/// Zeroes each element with probability `rate` and multiplies the others by `1 / (1 - rate)`. Binds `schedule`, `x`, `y`.
///
/// The mask is a function of the schedule's seed and step (see [`Optimizer::schedule`](crate::kernels::optim::Optimizer::schedule)), of
/// `stream` and of the element's index; so the gradient is the same call on `grad_y`, and no mask is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The number of elements, padding included; a multiple of 4.
    pub len: usize,
    /// The probability of zero, in [0, 1).
    pub rate: f64,
    /// Tells the layers of a network apart, which else would all draw the same mask.
    pub stream: u32,
}

impl Dropout {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] unless `len` is a positive multiple of 4; [`KernelError::Constant`] for a rate outside
    /// [0, 1); [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let count = vectors(SHADER.name, self.len)?;
        let within = self.rate >= 0.0 && self.rate < 1.0;
        constant(SHADER.name, "rate", self.rate, within, "in [0, 1)")?;
        // Both casts round a number in range.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let params = Params {
            count: narrow(SHADER.name, count)?,
            stream: self.stream,
            threshold: (self.rate * f64::powi(2.0, 32)) as u32,
            scale: (1.0 / (1.0 - self.rate)) as f32,
        };
        Ok(
            Call::new(SHADER, Variant::new(), &params, workgroups(count))?
                .bind("schedule", Access::Read, SCHEDULE)
                .bind_stored("x", Access::Read, self.len)
                .bind_stored("y", Access::Write, self.len)
                .flops(self.len as u64),
        )
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "elementwise",
        shader: SHADER,
        params: Params::FIELDS,
        variants: vec![Variant::new()],
    }
}
