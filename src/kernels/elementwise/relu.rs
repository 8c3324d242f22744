//! The rectifier and its gradient.

use super::EACH;
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{vectors, workgroups};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const FORWARD: Shader = shader!("elementwise", "relu");
const GRAD: Shader = shader!("elementwise", "relu_grad");

params!(Params { count: u32 });

/// `y = max(x, 0)` over `len` elements, a multiple of 4. Binds `x`, `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu {
    /// The number of elements, padding included.
    pub len: usize,
}

impl Relu {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] unless `len` is a positive multiple of 4; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        Ok(call(FORWARD, self.len)?
            .bind_stored("x", Access::Read, self.len)
            .bind_stored("y", Access::Write, self.len)
            .flops(self.len as u64))
    }
}

/// `grad_x = grad_y` where the output `y > 0`, else 0. Binds `grad_y`, `y`, `grad_x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReluGrad {
    /// The number of elements, padding included.
    pub len: usize,
}

impl ReluGrad {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`Relu::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        Ok(call(GRAD, self.len)?
            .bind_stored("grad_y", Access::Read, self.len)
            .bind_stored("y", Access::Read, self.len)
            .bind_stored("grad_x", Access::Write, self.len)
            .flops(self.len as u64))
    }
}

fn call(shader: Shader, len: usize) -> Result<Call, KernelError> {
    let count = vectors(shader.name, len)?;
    let params = Params {
        count: narrow(shader.name, count)?,
    };
    Call::new(
        shader,
        Variant::new(),
        &params,
        workgroups(count.div_ceil(EACH)),
    )
}

pub(super) fn forward() -> Kernel {
    Kernel {
        family: "elementwise",
        shader: FORWARD,
        params: Params::FIELDS,
        variants: vec![Variant::new()],
    }
}

pub(super) fn grad() -> Kernel {
    Kernel {
        shader: GRAD,
        ..forward()
    }
}
