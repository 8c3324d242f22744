//! The gradient of a convolution with respect to the filters.

use super::epilogue::when;
use super::sizes::{Sizes, with};
use super::{Conv2dShape, SumGroups, broadcast};
use crate::gpu::Shader;
use crate::kernels::check::{all_flags, elements, flags};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, padded, params, shader};

const GRAD_WEIGHT: Shader = shader!("conv", "conv2d_grad_weight");

/// `vec4` columns a workgroup.
const COLUMNS: usize = 8;
/// Workgroups of the weight gradient from which on no more groups of rows are made: enough to fill a large GPU.
const ENOUGH_WORKGROUPS: usize = 512;

params!(GradWeightParams {
    n: u32,
    h: u32,
    w: u32,
    c4: u32,
    ho: u32,
    wo: u32,
    k4: u32,
    r: u32,
    s: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    column_groups: u32,
    rows: u32,
    groups: u32,
});

/// `grad_weight` of a convolution, in two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGradWeight {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
    /// Whether `grad_y` is that behind a batch normalisation, whose own gradient is computed on load:
    /// `k1 · grad_y + k2 · z_y + k3`, z_y the forward pass's output.
    pub mapped: bool,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters; they have none that is
    /// `mapped`, as loads are what costs there.
    pub software: bool,
}

impl Conv2dGradWeight {
    /// The gradient of a plain convolution.
    pub fn new(shape: Conv2dShape, software: bool) -> Self {
        Self {
            shape,
            mapped: false,
            software,
        }
    }

    /// The dispatches: the first binds `x`, `grad_y`, `partial`, and the base kernel `z_y` and `coefficients` `[3, K]`, not touched
    /// unless `mapped`; the second `partial`, `grad_weight`.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`](super::Conv2dForward::call).
    pub fn calls(&self) -> Result<[Call; 2], KernelError> {
        let name = GRAD_WEIGHT.name;
        let sizes = Sizes::new(&self.shape, name)?;
        let (parts, rows) = self.parts(sizes.output[0]);
        let partial_len = elements(name, &[parts, sizes.weight_len])?;
        let bind = |call: Call| {
            call.bind_stored("x", Access::Read, sizes.x_len)
                .bind_stored("grad_y", Access::Read, sizes.y_len)
                .bind("partial", Access::Write, partial_len)
                .flops(self.shape.flops() + when(self.mapped, 4 * sizes.y_len) as u64)
        };
        let software = self.software && !self.mapped;
        let software = software.then(|| broadcast::grad_weight(&sizes, parts));
        let first = match software.transpose()?.flatten() {
            Some(call) => bind(call),
            None => bind(self.base(&sizes, parts, rows)?)
                .bind_stored("z_y", Access::Read, when(self.mapped, sizes.y_len))
                .bind(
                    "coefficients",
                    Access::Read,
                    when(self.mapped, 12 * sizes.k4()),
                ),
        };
        let sum = SumGroups {
            len: sizes.weight_len,
            parts,
        };
        Ok([first, sum.call()?])
    }

    fn base(&self, sizes: &Sizes, parts: usize, rows: usize) -> Result<Call, KernelError> {
        let column_groups = sizes.k4().div_ceil(COLUMNS);
        let groups = parts * self.filters();
        let mut more = [0; 3];
        for (word, value) in more.iter_mut().zip([column_groups, rows, groups]) {
            *word = narrow(GRAD_WEIGHT.name, value)?;
        }
        let params: GradWeightParams = with(&sizes.words, &more);
        Call::new(
            GRAD_WEIGHT,
            flags(&[("MAPPED", self.mapped)]),
            &params,
            groups as u64,
        )
    }

    /// Elements of `partial`.
    pub fn partial_len(&self) -> usize {
        let [ho, _] = self.shape.output().unwrap_or_default();
        let weight = self.shape.r * self.shape.s * padded(self.shape.c) * padded(self.shape.k);
        self.parts(ho).0 * weight
    }

    /// Workgroups for one group of rows.
    fn filters(&self) -> usize {
        let columns = (padded(self.shape.k) / 4).div_ceil(COLUMNS);
        self.shape.r * self.shape.s * (padded(self.shape.c) / 4) * columns
    }

    /// How many groups the output rows are split into, and the rows of each. From the shape alone: the order of the sum must
    /// not depend on the machine.
    fn parts(&self, ho: usize) -> (usize, usize) {
        let rows = (self.shape.n * ho).max(1);
        let wanted = ENOUGH_WORKGROUPS.div_ceil(self.filters().max(1)).min(rows);
        let rows_each = rows.div_ceil(wanted);
        (rows.div_ceil(rows_each), rows_each)
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "conv",
        shader: GRAD_WEIGHT,
        params: GradWeightParams::FIELDS,
        variants: all_flags(&["MAPPED"]),
    }
}
