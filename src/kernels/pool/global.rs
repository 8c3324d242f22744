//! Global average pooling.

use super::kernel;
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{elements, positive, workgroups};
use crate::kernels::{
    Access, Call, Kernel, KernelError, Params as _, narrow, padded, params, shader,
};

const FORWARD: Shader = shader!("pool", "global_avg_pool2d");
const GRAD: Shader = shader!("pool", "global_avg_pool2d_grad");

params!(Params {
    count: u32,
    columns: u32,
    pixels: u32,
    share: f32,
});

/// The mean over height and width, `[N,H,W,C]` to `[N,C]`. Binds `x`, `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAvgPool2d {
    /// Images.
    pub n: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels, before padding.
    pub c: usize,
}

impl GlobalAvgPool2d {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let (params, image, vector) = check(FORWARD.name, [self.n, self.h, self.w, self.c])?;
        let groups = workgroups(vector / 4);
        Ok(Call::new(FORWARD, Variant::new(), &params, groups)?
            .bind_stored("x", Access::Read, image)
            .bind_stored("y", Access::Write, vector)
            .flops(image as u64))
    }
}

/// The gradient of [`GlobalAvgPool2d`]: an equal share for every pixel. Binds `grad_y`, `grad_x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAvgPool2dGrad {
    /// Images.
    pub n: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels, before padding.
    pub c: usize,
}

impl GlobalAvgPool2dGrad {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`GlobalAvgPool2d::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let (params, image, vector) = check(GRAD.name, [self.n, self.h, self.w, self.c])?;
        let groups = workgroups(vector / 4);
        Ok(Call::new(GRAD, Variant::new(), &params, groups)?
            .bind_stored("grad_y", Access::Read, vector)
            .bind_stored("grad_x", Access::Write, image)
            .flops(vector as u64))
    }
}

/// The parameters, and the elements of `[N,H,W,C]` and of `[N,C]`.
fn check(
    kernel: &'static str,
    [n, h, w, c]: [usize; 4],
) -> Result<(Params, usize, usize), KernelError> {
    positive(kernel, &[("n", n), ("h", h), ("w", w), ("c", c)])?;
    let width = elements(kernel, &[c]).map(padded)?;
    let image = elements(kernel, &[n, h, w, width])?;
    let vector = n * width;
    // u32 counts the pixels, so f64 holds their number.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let params = Params {
        count: narrow(kernel, vector / 4)?,
        columns: narrow(kernel, width / 4)?,
        pixels: narrow(kernel, h * w)?,
        share: (1.0 / (h * w) as f64) as f32,
    };
    Ok((params, image, vector))
}

pub(super) fn kernels() -> Vec<Kernel> {
    vec![
        kernel(FORWARD, Params::FIELDS),
        kernel(GRAD, Params::FIELDS),
    ]
}
