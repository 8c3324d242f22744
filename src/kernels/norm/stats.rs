//! The statistics of a batch.

use super::{Layer, ReduceParams, WORD_COLUMNS, kernel};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{RowGroups, all_finishes, constant, elements, positive, rule};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, params, shader};

const STATS: Shader = shader!("norm", "batch_norm_stats");
const FINISH: Shader = shader!("norm", "batch_norm_finish", "../shared/fold_lanes");

params!(FinishParams {
    rows: u32,
    channels: u32,
    group_rows: u32,
    groups: u32,
    eps: f32,
    momentum: f32,
});

/// Mean and centred sum of squares of each channel within groups of rows. Binds `x` `[rows, C]` and `partials` of
/// [`partials_len`](super::partials_len) elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormStats {
    /// The number of rows: N·H·W.
    pub rows: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
}

impl BatchNormStats {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let layer = Layer::new(STATS.name, self.rows, self.channels)?;
        let params = layer.reduce_params(STATS.name)?;
        Ok(
            Call::new(STATS, Variant::new(), &params, layer.reduce_groups(1))?
                .in_words_over(layer.reduce_groups(WORD_COLUMNS))?
                .bind_stored("x", Access::Read, layer.len)
                .bind("partials", Access::Write, layer.partials_len())
                .flops(4 * layer.len as u64),
        )
    }
}

/// The batch's statistics from the partial ones, the map that normalises with them, and the running statistics moved
/// towards them. Binds `partials`, `gamma`, `beta`, `running_mean`, `running_var` (all `[C]`), `statistics` `[2, C]`, `affine`
/// `[2, C]`.
///
/// As in PyTorch, the batch is normalised by its biased variance and the running variance follows the unbiased one,
/// M / (M - 1) times as large; so a single row is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormFinish {
    /// The number of rows: N·H·W.
    pub rows: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
    /// Added to the variance under the root; above 0.
    pub eps: f32,
    /// The share of the batch in the new running statistics, in [0, 1].
    pub momentum: f32,
    /// The rows of a group in `partials`, the last one's being what is left, where another kernel than [`BatchNormStats`] has made
    /// them.
    pub group_rows: Option<usize>,
}

impl BatchNormFinish {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0 or a single row; [`KernelError::Constant`] for `eps` or `momentum` out of
    /// range; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let name = FINISH.name;
        let mut layer = Layer::new(name, self.rows, self.channels)?;
        if let Some(each) = self.group_rows {
            positive(name, &[("group_rows", each)])?;
            layer.split = RowGroups {
                each,
                count: self.rows.div_ceil(each),
            };
            elements(name, &[layer.split.count, layer.vectors(2)])?;
        }
        let several = "at least 2: one value has no variance to train with";
        rule(name, "rows", self.rows, self.rows > 1, several)?;
        check_eps(name, self.eps)?;
        let within = (0.0..=1.0).contains(&self.momentum);
        constant(name, "momentum", self.momentum.into(), within, "in [0, 1]")?;
        let params = FinishParams {
            rows: narrow(name, self.rows)?,
            channels: narrow(name, self.channels)?,
            group_rows: narrow(name, layer.split.each)?,
            groups: narrow(name, layer.split.count)?,
            eps: self.eps,
            momentum: self.momentum,
        };
        let variant = layer.split.finish(Variant::new());
        let call = Call::new(FINISH, variant, &params, layer.columns as u64)?;
        let width = layer.vectors(1);
        Ok(call
            .bind("partials", Access::Read, layer.partials_len())
            .bind("gamma", Access::Read, width)
            .bind("beta", Access::Read, width)
            .bind("running_mean", Access::Update, width)
            .bind("running_var", Access::Update, width)
            .bind("statistics", Access::Write, 2 * width)
            .bind("affine", Access::Write, 2 * width)
            .flops(5 * layer.partials_len() as u64))
    }
}

pub(super) fn check_eps(kernel: &'static str, eps: f32) -> Result<(), KernelError> {
    let finite = eps > 0.0 && eps.is_finite();
    constant(kernel, "eps", eps.into(), finite, "above 0 and finite")
}

pub(super) fn kernels() -> [Kernel; 2] {
    [
        kernel(STATS, ReduceParams::FIELDS, vec![Variant::new()]),
        kernel(
            FINISH,
            FinishParams::FIELDS,
            all_finishes(&[Variant::new()]),
        ),
    ]
}
