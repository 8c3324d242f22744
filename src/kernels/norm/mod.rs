//! Batch normalisation over the rows of `[rows, C]` (Ioffe and Szegedy 2015), rows = N·H·W, and its gradients.
//!
//! | pass | calls |
//! | --- | --- |
//! | training | [`BatchNormStats`], [`BatchNormFinish`], [`BatchNormApply`] |
//! | evaluation | [`BatchNormFold`], [`BatchNormApply`] |
//! | evaluation behind a convolution | [`BatchNormFoldLayers`], then [`Conv2dForward`](super::conv::Conv2dForward) applies it |
//! | gradient of either | [`BatchNormGradReduce`], [`BatchNormGradFinish`], [`BatchNormGradInput`] |
//!
//! Between the calls travel, besides the partial sums of groups of rows: `statistics` `[2, C]`, the mean and 1 / √(var + eps);
//! `affine` `[2, C]`, scale and shift; `coefficients` `[3, C]`, of which grad_x is made. All are padded to whole `vec4`s a row.
//!
//! A binding that a variant does not touch is stated as 4 elements that are read; any tensor will do for it.

mod apply;
mod fold;
mod grad;
mod stats;

use super::check::{RowGroups, matrix, workgroups};
use super::{Kernel, KernelError, narrow, params};

pub use apply::{BatchNormApply, BatchNormFold};
pub use fold::{BatchNormFoldLayers, FoldedLayer};
pub use grad::{BatchNormGradFinish, BatchNormGradInput, BatchNormGradReduce, Mask};
pub use stats::{BatchNormFinish, BatchNormStats};

/// Columns an invocation of the reductions in words.
const WORD_COLUMNS: usize = 4;

/// Rows an invocation of the kernels that go element by element.
const ROWS: usize = 8;

params!(ReduceParams {
    rows: u32,
    columns: u32,
    group_rows: u32,
    groups: u32,
});

params!(MapParams {
    rows: u32,
    columns: u32
});

/// The sizes that all kernels of a layer share.
struct Layer {
    rows: usize,
    columns: usize,
    len: usize,
    split: RowGroups,
}

impl Layer {
    fn new(kernel: &'static str, rows: usize, channels: usize) -> Result<Self, KernelError> {
        let (columns, len) = matrix(kernel, rows, channels)?;
        Ok(Self {
            rows,
            columns,
            len,
            split: RowGroups::new(rows, columns),
        })
    }

    /// Elements of `count` rows of channels.
    fn vectors(&self, count: usize) -> usize {
        4 * count * self.columns
    }

    /// Workgroups of a reduction whose invocations sum a group of this many columns.
    fn reduce_groups(&self, columns: usize) -> u64 {
        workgroups(self.split.count * self.columns.div_ceil(columns))
    }

    /// Two rows of channels a group.
    fn partials_len(&self) -> usize {
        self.vectors(2 * self.split.count)
    }

    fn reduce_params(&self, kernel: &'static str) -> Result<ReduceParams, KernelError> {
        Ok(ReduceParams {
            rows: narrow(kernel, self.rows)?,
            columns: narrow(kernel, self.columns)?,
            group_rows: narrow(kernel, self.split.each)?,
            groups: narrow(kernel, self.split.count)?,
        })
    }

    fn map_params(&self, kernel: &'static str) -> Result<MapParams, KernelError> {
        Ok(MapParams {
            rows: narrow(kernel, self.rows)?,
            columns: narrow(kernel, self.columns)?,
        })
    }
}

/// Elements of the `partials` of a layer: what the first call of a reduction hands to the second.
///
/// # Errors
/// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
pub fn partials_len(rows: usize, channels: usize) -> Result<usize, KernelError> {
    Ok(Layer::new("batch_norm", rows, channels)?.partials_len())
}

pub(super) fn kernels() -> Vec<Kernel> {
    let mut kernels = Vec::new();
    kernels.extend(stats::kernels());
    kernels.extend(apply::kernels());
    kernels.extend(fold::kernels());
    kernels.extend(grad::kernels());
    kernels
}

fn kernel(
    shader: crate::gpu::Shader,
    params: &'static [&'static str],
    variants: Vec<crate::gpu::Variant>,
) -> Kernel {
    Kernel {
        family: "norm",
        shader,
        params,
        variants,
    }
}
