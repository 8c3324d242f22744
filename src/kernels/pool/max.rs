//! Max pooling.

use super::{Checked, PoolShape, kernel};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{all_flags, flags, rule, workgroups};
use crate::kernels::{Access, Call, Kernel, KernelError, Params as _, narrow, params, shader};

const FORWARD: Shader = shader!("pool", "max_pool2d");
const GRAD: Shader = shader!("pool", "max_pool2d_grad");

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
    padding_h: u32,
    padding_w: u32,
});

/// The largest element of each window; what lies outside the image takes no part. Binds `x`, `y` and `winner`, a byte an element of
/// `y`: the place of the largest element in its window, r · (width of the window) + s.
///
/// Where x is `mapped`, of `max(x · scale + shift, 0)` with `affine` `[2, C]`, the last binding; else bind anything there.
///
/// Of equal elements the first in row-major order wins, and a NaN wins over all, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    /// The shape.
    pub shape: PoolShape,
    /// Whether x is normalised and rectified on load.
    pub mapped: bool,
}

impl MaxPool2d {
    /// The pooling alone.
    pub fn new(shape: PoolShape) -> Self {
        Self {
            shape,
            mapped: false,
        }
    }

    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0, a padding above half the window, a window larger than the padded input, and one of
    /// more than 256 elements; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let name = FORWARD.name;
        let checked = check(name, &self.shape)?;
        let params = params(name, &self.shape, &checked, checked.output)?;
        let groups = workgroups(checked.invocations(checked.output));
        let affine = if self.mapped { 8 * checked.columns } else { 0 };
        Ok(
            Call::new(FORWARD, flags(&[("MAPPED", self.mapped)]), &params, groups)?
                .bind_stored("x", Access::Read, checked.input)
                .bind_stored("y", Access::Write, checked.output)
                .bind("winner", Access::Write, checked.output / 4)
                .bind("affine", Access::Read, affine)
                .flops(checked.additions(&self.shape)),
        )
    }
}

/// Each window's gradient goes to the element that won it. Binds `grad_y`, `winner`, `grad_x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dGrad {
    /// The shape of the forward pass.
    pub shape: PoolShape,
}

impl MaxPool2dGrad {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`MaxPool2d::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let name = GRAD.name;
        let checked = check(name, &self.shape)?;
        let params = params(name, &self.shape, &checked, checked.input)?;
        let groups = workgroups(checked.invocations(checked.input));
        Ok(Call::new(GRAD, Variant::new(), &params, groups)?
            .bind_stored("grad_y", Access::Read, checked.output)
            .bind("winner", Access::Read, checked.output / 4)
            .bind_stored("grad_x", Access::Write, checked.input)
            .flops(checked.output as u64))
    }
}

/// A place in the window is a byte.
fn check(kernel: &'static str, shape: &PoolShape) -> Result<Checked, KernelError> {
    let checked = shape.check(kernel)?;
    let elements = shape.window[0].saturating_mul(shape.window[1]);
    rule(
        kernel,
        "window",
        elements,
        elements <= 256,
        "at most 256 elements",
    )?;
    Ok(checked)
}

fn params(
    kernel: &'static str,
    shape: &PoolShape,
    checked: &Checked,
    len: usize,
) -> Result<Params, KernelError> {
    let narrow = |size| narrow(kernel, size);
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
        padding_h: narrow(shape.padding[0])?,
        padding_w: narrow(shape.padding[1])?,
    })
}

pub(super) fn kernels() -> Vec<Kernel> {
    vec![
        Kernel {
            variants: all_flags(&["MAPPED"]),
            ..kernel(FORWARD, Params::FIELDS)
        },
        kernel(GRAD, Params::FIELDS),
    ]
}
