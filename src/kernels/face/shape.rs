//! From parameters to drawings.

use super::PARAMETERS;
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{elements, positive};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const SHAPE: Shader = shader!("face", "face_shape");
const WORKGROUP: usize = 64;

/// The number of 4-byte elements of a face's drawing, `struct Drawing` in the shaders.
pub const DRAWING: usize = 4 * 26 + 8 + 13 * 6 + 19 * 8 + 2;

params!(Params { count: u32 });

/// Turns the parameters of `count` faces into drawings. Binds `faces` [count, [`PARAMETERS`]] and `drawings`
/// [count, [`DRAWING`]].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaceShape {
    /// The number of faces.
    pub count: usize,
}

impl FaceShape {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] without faces; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        positive(SHAPE.name, &[("count", self.count)])?;
        let faces = elements(SHAPE.name, &[self.count, PARAMETERS])?;
        let drawings = elements(SHAPE.name, &[self.count, DRAWING])?;
        let params = Params {
            count: narrow(SHAPE.name, self.count)?,
        };
        let groups = self.count.div_ceil(WORKGROUP) as u64;
        Ok(Call::new(SHAPE, Variant::new(), &params, groups)?
            .bind("faces", Access::Read, faces)
            .bind("drawings", Access::Write, drawings)
            .flops(600 * self.count as u64))
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "face",
        shader: SHAPE,
        params: Params::FIELDS,
        variants: vec![Variant::new()],
    }
}
