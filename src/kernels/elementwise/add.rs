//! The sum of two tensors.

use super::EACH;
use crate::gpu::Shader;
use crate::kernels::check::{all_flags, flags, vectors, workgroups};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const SHADER: Shader = shader!("elementwise", "add");

params!(Params { count: u32 });

/// `y = a + b`, or `max(a + b, 0)`, over `len` elements, a multiple of 4. Binds `a`, `b`, `y`.
///
/// A sum passes its gradient to both inputs as it is; of a rectified one it first goes through
/// [`ReluGrad`](super::ReluGrad) of `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add {
    /// The number of elements, padding included.
    pub len: usize,
    /// Whether the sum is rectified.
    pub relu: bool,
}

impl Add {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] unless `len` is a positive multiple of 4; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let count = vectors(SHADER.name, self.len)?;
        let params = Params {
            count: narrow(SHADER.name, count)?,
        };
        let variant = flags(&[("RELU", self.relu)]);
        Ok(
            Call::new(SHADER, variant, &params, workgroups(count.div_ceil(EACH)))?
                .bind_stored("a", Access::Read, self.len)
                .bind_stored("b", Access::Read, self.len)
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
        variants: all_flags(&["RELU"]),
    }
}
