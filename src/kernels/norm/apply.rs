//! Normalisation by given statistics.

use super::stats::check_eps;
use super::{Layer, MapParams, ROWS, kernel};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{all_flags, flags, rule, workgroups};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, params, shader};

const APPLY: Shader = shader!("norm", "batch_norm_apply");
const FOLD: Shader = shader!("norm", "batch_norm_fold");

params!(FoldParams {
    channels: u32,
    eps: f32
});

/// `y = x · scale + shift`, plus a residual, rectified: each if asked for, in this order. Binds `x`, `residual`, `affine` `[2, C]`,
/// `y`, `residual_affine` `[2, C]`. What is not asked for is not touched: bind anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormApply {
    /// The number of rows: N·H·W.
    pub rows: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
    /// Whether a residual is added.
    pub residual: bool,
    /// Whether the residual is mapped, too: the input of another normalisation. Only with `residual`.
    pub mapped: bool,
    /// Whether the result is rectified.
    pub relu: bool,
}

impl BatchNormApply {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let layer = Layer::new(APPLY.name, self.rows, self.channels)?;
        let params = layer.map_params(APPLY.name)?;
        let Self {
            residual,
            mapped,
            relu,
            ..
        } = *self;
        let named = usize::from(mapped);
        rule(
            APPLY.name,
            "mapped",
            named,
            residual || !mapped,
            "0 without a residual",
        )?;
        let variant = flags(&[("RESIDUAL", residual), ("MAPPED", mapped), ("RELU", relu)]);
        let groups = workgroups(self.rows.div_ceil(ROWS) * layer.columns);
        let residual = if residual { layer.len } else { 0 };
        let residual_affine = if mapped { layer.vectors(2) } else { 0 };
        Ok(Call::new(APPLY, variant, &params, groups)?
            .bind_stored("x", Access::Read, layer.len)
            .bind_stored("residual", Access::Read, residual)
            .bind("affine", Access::Read, layer.vectors(2))
            .bind_stored("y", Access::Write, layer.len)
            .bind("residual_affine", Access::Read, residual_affine)
            .flops(2 * layer.len as u64))
    }
}

/// The map of evaluation from the running statistics. Binds `gamma`, `beta`, `running_mean`, `running_var` (all `[C]`),
/// `statistics` `[2, C]`, `affine` `[2, C]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormFold {
    /// The number of channels C, before padding.
    pub channels: usize,
    /// Added to the variance under the root; above 0.
    pub eps: f32,
}

impl BatchNormFold {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for no channels; [`KernelError::Constant`] for `eps` out of range;
    /// [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let layer = Layer::new(FOLD.name, 1, self.channels)?;
        check_eps(FOLD.name, self.eps)?;
        let params = FoldParams {
            channels: narrow(FOLD.name, self.channels)?,
            eps: self.eps,
        };
        let call = Call::new(FOLD, Variant::new(), &params, workgroups(layer.columns))?;
        let width = layer.vectors(1);
        Ok(call
            .bind("gamma", Access::Read, width)
            .bind("beta", Access::Read, width)
            .bind("running_mean", Access::Read, width)
            .bind("running_var", Access::Read, width)
            .bind("statistics", Access::Write, 2 * width)
            .bind("affine", Access::Write, 2 * width)
            .flops(6 * width as u64))
    }
}

fn variants() -> Vec<Variant> {
    let mut variants = all_flags(&["RESIDUAL", "RELU"]);
    for relu in [false, true] {
        variants.push(flags(&[
            ("RESIDUAL", true),
            ("MAPPED", true),
            ("RELU", relu),
        ]));
    }
    variants
}

pub(super) fn kernels() -> [Kernel; 2] {
    [
        kernel(APPLY, MapParams::FIELDS, variants()),
        kernel(FOLD, FoldParams::FIELDS, vec![Variant::new()]),
    ]
}
