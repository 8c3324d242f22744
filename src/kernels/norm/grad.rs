//! The gradients of batch normalisation, in training and in evaluation.
//!
//! With x̂ the normalised x, M rows and u the gradient of y (where the output was rectified, that of the sum before):
//! grad_beta = Σ u, grad_gamma = Σ u x̂ and, in training, grad_x = gamma · invstd · (u - grad_beta / M - x̂ · grad_gamma / M)
//! (Ioffe and Szegedy 2015, section 3). In evaluation the statistics are constants and grad_x = gamma · invstd · u.

use super::{Layer, MapParams, ROWS, ReduceParams, WORD_COLUMNS, kernel};
use crate::gpu::Shader;
use crate::kernels::check::{all_finishes, all_flags, elements, flags, positive, workgroups};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, params, shader};

const REDUCE: Shader = shader!("norm", "batch_norm_grad_reduce");
const FINISH: Shader = shader!("norm", "batch_norm_grad_finish", "../shared/fold_lanes");
const INPUT: Shader = shader!("norm", "batch_norm_grad_input");

params!(FinishParams {
    rows: u32,
    columns: u32,
    groups: u32,
});

/// Where the gradient passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// Everywhere.
    #[default]
    None,
    /// Where the rectified output `y` is above 0.
    Output,
    /// Where the normalised `x` is above 0: y without a residual, from x and its map.
    Map,
}

impl Mask {
    fn flags(self) -> [(&'static str, bool); 2] {
        [
            ("RELU", self == Self::Output),
            ("MAPPED", self == Self::Map),
        ]
    }

    /// The elements of `y` and of `affine`.
    fn touches(self, layer: &Layer) -> [usize; 2] {
        match self {
            Self::None => [0, 0],
            Self::Output => [layer.len, 0],
            Self::Map => [0, layer.vectors(2)],
        }
    }
}

/// Partial sums of the gradient and of its product with x̂. Binds `grad_y`, `x`, `y`, `statistics` `[2, C]`, `partials` of
/// [`partials_len`](super::partials_len) elements, `affine` `[2, C]`. What the mask does not ask for is not touched: bind anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormGradReduce {
    /// The number of rows: N·H·W.
    pub rows: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
    /// Where the gradient passes.
    pub mask: Mask,
}

impl BatchNormGradReduce {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let layer = Layer::new(REDUCE.name, self.rows, self.channels)?;
        let params = layer.reduce_params(REDUCE.name)?;
        let variant = flags(&self.mask.flags());
        let [y, affine] = self.mask.touches(&layer);
        Ok(Call::new(REDUCE, variant, &params, layer.reduce_groups(1))?
            .in_words_over(layer.reduce_groups(WORD_COLUMNS))?
            .bind_stored("grad_y", Access::Read, layer.len)
            .bind_stored("x", Access::Read, layer.len)
            .bind_stored("y", Access::Read, y)
            .bind("statistics", Access::Read, layer.vectors(2))
            .bind("partials", Access::Write, layer.partials_len())
            .bind("affine", Access::Read, affine)
            .flops(4 * layer.len as u64))
    }
}

/// The gradients of gamma and beta, and the coefficients of that of x. Binds `partials`, `gamma` `[C]`, `statistics`
/// `[2, C]`, `grad_gamma` `[C]`, `grad_beta` `[C]`, `coefficients` `[3, C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormGradFinish {
    /// The number of rows: N·H·W.
    pub rows: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
    /// Whether the statistics were the batch's, and so depend on x; else they were the running ones.
    pub training: bool,
    /// The groups of rows in `partials` where another kernel than [`BatchNormGradReduce`] has summed them.
    pub groups: Option<usize>,
}

impl BatchNormGradFinish {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`BatchNormGradReduce::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let mut layer = Layer::new(FINISH.name, self.rows, self.channels)?;
        if let Some(groups) = self.groups {
            positive(FINISH.name, &[("groups", groups)])?;
            elements(FINISH.name, &[groups, layer.vectors(2)])?;
            layer.split.count = groups;
        }
        let params = FinishParams {
            rows: narrow(FINISH.name, self.rows)?,
            columns: narrow(FINISH.name, layer.columns)?,
            groups: narrow(FINISH.name, layer.split.count)?,
        };
        let variant = layer.split.finish(flags(&[("EVAL", !self.training)]));
        let call = Call::new(FINISH, variant, &params, layer.columns as u64)?;
        let width = layer.vectors(1);
        Ok(call
            .bind("partials", Access::Read, layer.partials_len())
            .bind("gamma", Access::Read, width)
            .bind("statistics", Access::Read, 2 * width)
            .bind("grad_gamma", Access::Write, width)
            .bind("grad_beta", Access::Write, width)
            .bind("coefficients", Access::Write, 3 * width)
            .flops(layer.partials_len() as u64))
    }
}

/// The gradient of x and, if asked for, of the residual. Binds `grad_y`, `x`, `y`, `coefficients` `[3, C]`, `grad_x`,
/// `grad_residual`, `affine` `[2, C]`. What is not asked for is not touched: bind anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormGradInput {
    /// The number of rows: N·H·W.
    pub rows: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
    /// Whether the gradient of a residual is written: `grad_y` where it passes.
    pub residual: bool,
    /// Where the gradient passes.
    pub mask: Mask,
}

impl BatchNormGradInput {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`BatchNormGradReduce::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let layer = Layer::new(INPUT.name, self.rows, self.channels)?;
        let params = layer.map_params(INPUT.name)?;
        let [relu, mapped] = self.mask.flags();
        let variant = flags(&[("RESIDUAL", self.residual), relu, mapped]);
        let groups = workgroups(self.rows.div_ceil(ROWS) * layer.columns);
        let [y, affine] = self.mask.touches(&layer);
        let call = Call::new(INPUT, variant, &params, groups)?
            .bind_stored("grad_y", Access::Read, layer.len)
            .bind_stored("x", Access::Read, layer.len)
            .bind_stored("y", Access::Read, y)
            .bind("coefficients", Access::Read, layer.vectors(3))
            .bind_stored("grad_x", Access::Write, layer.len)
            .flops(4 * layer.len as u64);
        let (access, residual) = match self.residual {
            true => (Access::Write, layer.len),
            false => (Access::Read, 0),
        };
        Ok(call
            .bind_stored("grad_residual", access, residual)
            .bind("affine", Access::Read, affine))
    }
}

pub(super) fn kernels() -> [Kernel; 3] {
    let masks = [Mask::None, Mask::Output, Mask::Map].map(Mask::flags);
    let input = |residual| masks.map(|[relu, map]| flags(&[("RESIDUAL", residual), relu, map]));
    let variants = [input(false), input(true)].concat();
    [
        kernel(
            REDUCE,
            ReduceParams::FIELDS,
            masks.map(|mask| flags(&mask)).to_vec(),
        ),
        kernel(
            FINISH,
            FinishParams::FIELDS,
            all_finishes(&all_flags(&["EVAL"])),
        ),
        kernel(INPUT, MapParams::FIELDS, variants),
    ]
}
