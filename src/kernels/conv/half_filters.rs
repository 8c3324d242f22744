//! Filters rounded to f16.

use crate::gpu::{Shader, Variant};
use crate::kernels::check::{rule, workgroups};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const SHADER: Shader = shader!("conv", "half_filters");
/// `vec4`s a workgroup.
const EACH: usize = 256;

params!(Params { count: u32 });

/// Filters as the kernels with matrices of f16 want them. Binds `weight` and `half`, of half as many 4-byte elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfFilters {
    /// Elements, a multiple of 4.
    pub len: usize,
}

impl HalfFilters {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] unless `len` is a positive multiple of 4; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let whole = self.len > 0 && self.len.is_multiple_of(4);
        let allowed = "a positive multiple of 4";
        rule(SHADER.name, "len", self.len, whole, allowed)?;
        let count = self.len / 4;
        let params = Params {
            count: narrow(SHADER.name, count)?,
        };
        let groups = workgroups(count.div_ceil(EACH / 64));
        Ok(Call::new(SHADER, Variant::new(), &params, groups)?
            .bind("weight", Access::Read, self.len)
            .bind("half", Access::Write, self.len / 2))
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "conv",
        shader: SHADER,
        params: Params::FIELDS,
        variants: vec![Variant::new()],
    }
}
