//! Average pooling.

use super::{Checked, PoolShape, kernel};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{rule, workgroups};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const FORWARD: Shader = shader!("pool", "avg_pool2d");
const GRAD: Shader = shader!("pool", "avg_pool2d_grad");

params!(Params {
    count: u32,
    columns: u32,
    parts: u32,
    h: u32,
    w: u32,
    out_h: u32,
    out_w: u32,
    window_h: u32,
    window_w: u32,
    stride_h: u32,
    stride_w: u32,
    share: f32,
});

/// The mean of each window, without padding. Binds `x`, `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    /// The shape; its padding must be 0.
    pub shape: PoolShape,
}

impl AvgPool2d {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0, a padding, and a window larger than the input; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let checked = check(FORWARD.name, &self.shape)?;
        let params = params(FORWARD.name, &self.shape, &checked, checked.output)?;
        let groups = workgroups(checked.invocations(checked.output));
        Ok(Call::new(FORWARD, Variant::new(), &params, groups)?
            .bind_stored("x", Access::Read, checked.input)
            .bind_stored("y", Access::Write, checked.output)
            .flops(checked.additions(&self.shape)))
    }
}

/// Each window's gradient goes to all of its elements in equal shares. Binds `grad_y`, `grad_x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2dGrad {
    /// The shape of the forward pass.
    pub shape: PoolShape,
}

impl AvgPool2dGrad {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`AvgPool2d::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let checked = check(GRAD.name, &self.shape)?;
        let params = params(GRAD.name, &self.shape, &checked, checked.input)?;
        let groups = workgroups(checked.invocations(checked.input));
        Ok(Call::new(GRAD, Variant::new(), &params, groups)?
            .bind_stored("grad_y", Access::Read, checked.output)
            .bind_stored("grad_x", Access::Write, checked.input)
            .flops(checked.additions(&self.shape)))
    }
}

fn check(kernel: &'static str, shape: &PoolShape) -> Result<Checked, KernelError> {
    let padding = shape.padding[0].max(shape.padding[1]);
    rule(kernel, "padding", padding, padding == 0, "0")?;
    shape.check(kernel)
}

fn params(
    kernel: &'static str,
    shape: &PoolShape,
    checked: &Checked,
    len: usize,
) -> Result<Params, KernelError> {
    let narrow = |size| narrow(kernel, size);
    // The window's sides are below 2³², so f64 holds them.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let share = (1.0 / (shape.window[0] as f64 * shape.window[1] as f64)) as f32;
    Ok(Params {
        count: narrow(checked.invocations(len))?,
        columns: narrow(checked.columns)?,
        parts: narrow(checked.parts())?,
        h: narrow(shape.h)?,
        w: narrow(shape.w)?,
        out_h: narrow(checked.out[0])?,
        out_w: narrow(checked.out[1])?,
        window_h: narrow(shape.window[0])?,
        window_w: narrow(shape.window[1])?,
        stride_h: narrow(shape.stride[0])?,
        stride_w: narrow(shape.stride[1])?,
        share,
    })
}

pub(super) fn kernels() -> Vec<Kernel> {
    vec![
        kernel(FORWARD, Params::FIELDS),
        kernel(GRAD, Params::FIELDS),
    ]
}
