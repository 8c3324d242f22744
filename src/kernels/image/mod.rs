//! From bytes to activations.

use super::check::{all_flags, elements, flags, positive, workgroups};
use super::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};
use crate::gpu::Shader;

const INPUT: Shader = shader!("image", "image_input");
/// Floats an image in the `matrices` of [`ImageInput`]: a 2 x 3 matrix row major, and two that are not read.
pub const MATRIX: usize = 8;

params!(Params {
    count: u32,
    h: u32,
    w: u32,
    height: u32,
    width: u32,
});

/// Crops u8 images to activations in [-1, 1]: v / 127.5 - 1 of the bilinear interpolation at
///
/// (source x, source y) = matrix · (x + ½, y + ½, 1) - ½,
///
/// beyond the border the nearest pixel. Binds `pixels`, `matrices` `[N, MATRIX]` (the row of source x first), `y` `[N,H,W,3]`.
///
/// `pixels` are the bytes `[N,H,W,3]`, or `[N,H,W]` of grey images, as they lie in memory, filled up to whole words of 4; each
/// word holds its first byte in the lowest bits, as little-endian machines do. Grey images give three equal channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// Images.
    pub n: usize,
    /// Height and width of the u8 images.
    pub source: [usize; 2],
    /// Height and width of the activations.
    pub size: [usize; 2],
    /// Whether the images have one byte a pixel; else three, RGB.
    pub grey: bool,
}

impl ImageInput {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let name = INPUT.name;
        let ([h, w], [height, width]) = (self.source, self.size);
        positive(
            name,
            &[
                ("n", self.n),
                ("source height", h),
                ("source width", w),
                ("height", height),
                ("width", width),
            ],
        )?;
        let channels = if self.grey { 1 } else { 3 };
        let bytes = elements(name, &[self.n, h, w, channels])?;
        let len = elements(name, &[self.n, height, width, 4])?;
        let matrices = elements(name, &[self.n, MATRIX])?;
        let params = Params {
            count: narrow(name, len / 4)?,
            h: narrow(name, h)?,
            w: narrow(name, w)?,
            height: narrow(name, height)?,
            width: narrow(name, width)?,
        };
        let variant = flags(&[("GREY", self.grey)]);
        Ok(Call::new(INPUT, variant, &params, workgroups(len / 4))?
            .bind("pixels", Access::Read, bytes.div_ceil(4))
            .bind("matrices", Access::Read, matrices)
            .bind_stored("y", Access::Write, len)
            .flops(8 * len as u64))
    }
}

pub(super) fn kernels() -> Vec<Kernel> {
    vec![Kernel {
        family: "image",
        shader: INPUT,
        params: Params::FIELDS,
        variants: all_flags(&["GREY"]),
    }]
}
