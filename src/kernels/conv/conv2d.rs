//! The gradient of a convolution with respect to the filters, and the sizes that its three passes share.

use super::{Conv2dShape, SumGroups, broadcast};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::elements;
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

/// The sizes as the shaders take them, each checked to fit.
pub(super) struct Sizes {
    pub(super) shape: Conv2dShape,
    output: [usize; 2],
    pub(super) x_len: usize,
    pub(super) y_len: usize,
    pub(super) weight_len: usize,
    /// The first members of every `Params`, n to pad_w.
    pub(super) words: [u32; 13],
}

impl Sizes {
    pub(super) fn new(shape: &Conv2dShape, kernel: &'static str) -> Result<Self, KernelError> {
        let [ho, wo] = shape.checked_output(kernel)?;
        let [c, k] = [shape.c, shape.k].map(padded);
        let first = [shape.n, shape.h, shape.w, c / 4, ho, wo, k / 4];
        let window = [shape.r, shape.s];
        let mut words = [0; 13];
        let values = first.iter().chain(&window);
        let values = values.chain(&shape.stride).chain(&shape.padding);
        for (word, &value) in words.iter_mut().zip(values) {
            *word = narrow(kernel, value)?;
        }
        // Indices of elements are computed in 32 bits.
        Ok(Self {
            shape: *shape,
            output: [ho, wo],
            x_len: elements(kernel, &[shape.n, shape.h, shape.w, c])?,
            y_len: elements(kernel, &[shape.n, ho, wo, k])?,
            weight_len: elements(kernel, &[shape.r, shape.s, c, k])?,
            words,
        })
    }

    /// Output pixels of all images.
    pub(super) fn pixels(&self) -> usize {
        self.shape.n * self.output[0] * self.output[1]
    }

    /// `vec4`s of input channels.
    pub(super) fn c4(&self) -> usize {
        padded(self.shape.c) / 4
    }

    /// `vec4`s of output channels.
    pub(super) fn k4(&self) -> usize {
        padded(self.shape.k) / 4
    }
}

/// The `Params` that begin with `words` and go on with `more`.
pub(super) fn with<P: Params>(words: &[u32], more: &[u32]) -> P {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(&[words, more].concat()))
}

/// `grad_weight` of a convolution, in two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGradWeight {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters.
    pub software: bool,
}

impl Conv2dGradWeight {
    /// The dispatches: the first binds `x`, `grad_y`, `partial`, the second `partial`, `grad_weight`.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`](super::Conv2dForward::call).
    pub fn calls(&self) -> Result<[Call; 2], KernelError> {
        let name = GRAD_WEIGHT.name;
        let sizes = Sizes::new(&self.shape, name)?;
        let (parts, rows) = self.parts(sizes.output[0]);
        let partial_len = elements(name, &[parts, sizes.weight_len])?;
        let software = self.software.then(|| broadcast::grad_weight(&sizes, parts));
        let call = match software.transpose()?.flatten() {
            Some(call) => call,
            None => self.base(&sizes, parts, rows)?,
        };
        let first = call
            .bind("x", Access::Read, sizes.x_len)
            .bind("grad_y", Access::Read, sizes.y_len)
            .bind("partial", Access::Write, partial_len)
            .flops(self.shape.flops());
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
        Call::new(GRAD_WEIGHT, Variant::new(), &params, groups as u64)
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
        variants: vec![Variant::new()],
    }
}
