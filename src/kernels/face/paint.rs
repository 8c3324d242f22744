//! From drawings to pixels.

use super::DRAWING;
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{elements, positive, rule};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const SKIN: Shader = shader!("face", "face_skin");
const FEATURES: Shader = shader!("face", "face_features");
/// Pixels of one workgroup.
const TILE: usize = 256;

params!(Params {
    count: u32,
    size: u32,
    tiles: u32
});

/// Paints the skin and all that lies behind the features. Binds `drawings` [count, [`DRAWING`]] and `pixels`
/// [count, size, size, 3] bytes, which it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaceSkin {
    /// The number of faces.
    pub count: usize,
    /// Height and width of a picture in pixels: even.
    pub size: usize,
}

impl FaceSkin {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] without faces or for a size that is not positive and even; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        call(SKIN, self.count, self.size, Access::Write, 1500)
    }
}

/// Paints eyes, brows, beard, lips and glasses over [`FaceSkin`]'s pixels and adds the camera's noise. Binds `drawings`
/// [count, [`DRAWING`]] and `pixels` [count, size, size, 3] bytes, which it updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaceFeatures {
    /// The number of faces.
    pub count: usize,
    /// Height and width of a picture in pixels: even.
    pub size: usize,
}

impl FaceFeatures {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`FaceSkin::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        call(FEATURES, self.count, self.size, Access::Update, 700)
    }
}

fn call(
    shader: Shader,
    count: usize,
    size: usize,
    pixels: Access,
    flops_per_pixel: u64,
) -> Result<Call, KernelError> {
    let name = shader.name;
    positive(name, &[("count", count)])?;
    let even = size > 0 && size.is_multiple_of(2) && size <= 8192;
    rule(name, "size", size, even, "even, from 2 to 8192")?;
    let area = size * size;
    // The shader counts pixels in 32 bits.
    let all = elements(name, &[count, area])?;
    let drawings = elements(name, &[count, DRAWING])?;
    let tiles = area.div_ceil(TILE);
    let params = Params {
        count: narrow(name, count)?,
        size: narrow(name, size)?,
        tiles: narrow(name, tiles)?,
    };
    Ok(
        Call::new(shader, Variant::new(), &params, (count * tiles) as u64)?
            .bind("drawings", Access::Read, drawings)
            .bind("pixels", pixels, all / 4 * 3)
            .flops(flops_per_pixel * all as u64),
    )
}

pub(super) fn skin() -> Kernel {
    Kernel {
        family: "face",
        shader: SKIN,
        params: Params::FIELDS,
        variants: vec![Variant::new()],
    }
}

pub(super) fn features() -> Kernel {
    Kernel {
        shader: FEATURES,
        ..skin()
    }
}
