//! A bias on every row, and its gradient.

use crate::gpu::{Shader, Variant};
use crate::kernels::check::{RowGroups, all_finishes, all_flags, flags, matrix, workgroups};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, padded, params, shader};

const ADD: Shader = shader!("elementwise", "bias_add");
const REDUCE: Shader = shader!("elementwise", "bias_grad_reduce");
const FINISH: Shader = shader!("elementwise", "bias_grad_finish", "../shared/fold_lanes");
/// Rows an invocation of `bias_add`.
const ROWS: usize = 8;

params!(AddParams {
    rows: u32,
    columns: u32
});

params!(ReduceParams {
    rows: u32,
    columns: u32,
    group_rows: u32,
    groups: u32,
});

params!(FinishParams {
    columns: u32,
    groups: u32
});

/// `y = x + bias`, or `max(x + bias, 0)`, for rows of channels `[rows, C]`. Binds `x`, `bias` `[C]`, `y`.
///
/// The gradient passes to `x` as it is (of a rectified sum first through [`ReluGrad`](super::ReluGrad) of `y`), and to the
/// bias through [`BiasGrad`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BiasAdd {
    /// The number of rows: N, or N·H·W.
    pub rows: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
    /// Whether the sum is rectified.
    pub relu: bool,
}

impl BiasAdd {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let (columns, len) = matrix(ADD.name, self.rows, self.channels)?;
        let params = AddParams {
            rows: narrow(ADD.name, self.rows)?,
            columns: narrow(ADD.name, columns)?,
        };
        let variant = flags(&[("RELU", self.relu)]);
        let groups = workgroups(self.rows.div_ceil(ROWS) * columns);
        Ok(Call::new(ADD, variant, &params, groups)?
            .bind_stored("x", Access::Read, len)
            .bind("bias", Access::Read, 4 * columns)
            .bind_stored("y", Access::Write, len)
            .flops(len as u64))
    }
}

/// `grad_bias = Σ grad_y` over the rows of `[rows, C]`, in two dispatches of fixed order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BiasGrad {
    /// The number of rows: N, or N·H·W.
    pub rows: usize,
    /// The number of channels C, before padding.
    pub channels: usize,
}

impl BiasGrad {
    /// Elements of `partials`, what [`reduce`](Self::reduce) hands to [`finish`](Self::finish).
    pub fn partials_len(&self) -> usize {
        let columns = padded(self.channels) / 4;
        RowGroups::new(self.rows, columns).count * 4 * columns
    }

    /// The first dispatch. Binds `grad_y`, `partials`.
    ///
    /// # Errors
    /// As [`BiasAdd::call`].
    pub fn reduce(&self) -> Result<Call, KernelError> {
        let (columns, len) = matrix(REDUCE.name, self.rows, self.channels)?;
        let split = RowGroups::new(self.rows, columns);
        let params = ReduceParams {
            rows: narrow(REDUCE.name, self.rows)?,
            columns: narrow(REDUCE.name, columns)?,
            group_rows: narrow(REDUCE.name, split.each)?,
            groups: narrow(REDUCE.name, split.count)?,
        };
        let groups = workgroups(split.count * columns);
        Ok(Call::new(REDUCE, Variant::new(), &params, groups)?
            .bind_stored("grad_y", Access::Read, len)
            .bind("partials", Access::Write, self.partials_len())
            .flops(len as u64))
    }

    /// The second dispatch. Binds `partials`, `grad_bias` `[C]`.
    ///
    /// # Errors
    /// As [`BiasAdd::call`].
    pub fn finish(&self) -> Result<Call, KernelError> {
        let (columns, _) = matrix(FINISH.name, self.rows, self.channels)?;
        let split = RowGroups::new(self.rows, columns);
        let params = FinishParams {
            columns: narrow(FINISH.name, columns)?,
            groups: narrow(FINISH.name, split.count)?,
        };
        Ok(Call::new(
            FINISH,
            split.finish(Variant::new()),
            &params,
            columns as u64,
        )?
        .bind("partials", Access::Read, self.partials_len())
        .bind("grad_bias", Access::Write, 4 * columns)
        .flops(self.partials_len() as u64))
    }
}

pub(super) fn kernels() -> [Kernel; 3] {
    let kernel = |shader, params, variants| Kernel {
        family: "elementwise",
        shader,
        params,
        variants,
    };
    [
        kernel(ADD, AddParams::FIELDS, all_flags(&["RELU"])),
        kernel(REDUCE, ReduceParams::FIELDS, vec![Variant::new()]),
        kernel(
            FINISH,
            FinishParams::FIELDS,
            all_finishes(&[Variant::new()]),
        ),
    ]
}
