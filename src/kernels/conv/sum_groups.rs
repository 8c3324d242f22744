//! The second stage of every sum that is split into groups.

use crate::gpu::{Shader, Variant};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const SHADER: Shader = shader!("conv", "sum_groups");
const WORKGROUP: usize = 64;

params!(Params {
    count: u32,
    parts: u32
});

/// `total = Σ_g partial[g]`. Binds `partial`, `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumGroups {
    /// Elements of the total, a multiple of 4.
    pub len: usize,
    /// The number of groups.
    pub parts: usize,
}

impl SumGroups {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] unless `len` is a positive multiple of 4 and there is a group; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let refused = |name, asked: usize, allowed| KernelError::Argument {
            kernel: SHADER.name,
            name,
            asked: i64::try_from(asked).unwrap_or(i64::MAX),
            allowed,
        };
        if self.len == 0 || !self.len.is_multiple_of(4) {
            return Err(refused("len", self.len, "a positive multiple of 4"));
        }
        if self.parts == 0 {
            return Err(refused("parts", 0, "at least 1"));
        }
        let params = Params {
            count: narrow(SHADER.name, self.len / 4)?,
            parts: narrow(SHADER.name, self.parts)?,
        };
        let groups = (self.len / 4).div_ceil(WORKGROUP) as u64;
        Ok(Call::new(SHADER, Variant::new(), &params, groups)?
            .bind("partial", Access::Read, self.len * self.parts)
            .bind("total", Access::Write, self.len)
            .flops((self.len * self.parts) as u64))
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
