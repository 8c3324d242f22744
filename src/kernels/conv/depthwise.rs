//! The gradients of depthwise convolution. Of the [`Conv2dShape`], `k` must equal `c`; weights are `[R, S, C]`.

use super::depthwise_sizes::{PIXELS, Sizes, TILED_FIELDS};
use super::sizes::with;
use super::{Conv2dShape, SumGroups, strip};
use crate::gpu::{Shader, Variant};
use crate::kernels::{
    Access, Call, Kernel, KernelError, Params as _, narrow, padded, params, shader,
};

const GRAD_INPUT: Shader = shader!("conv", "depthwise_grad_input");
const GRAD_WEIGHT: Shader = shader!("conv", "depthwise_grad_weight");

const WORKGROUP: usize = 64;
/// Invocations of the weight gradient from which on no more groups of rows are made.
const ENOUGH_INVOCATIONS: usize = 1 << 14;

params!(GradWeightParams {
    n: u32,
    h: u32,
    w: u32,
    c4: u32,
    ho: u32,
    wo: u32,
    r: u32,
    s: u32,
    stride_h: u32,
    stride_w: u32,
    pad_h: u32,
    pad_w: u32,
    rows: u32,
    count: u32,
});

/// `grad_x` of a depthwise convolution. Binds `grad_y`, `weight`, `grad_x` and, where the forward pass's shader does it, what
/// that would bind besides: bind anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseGradInput {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters.
    pub software: bool,
}

impl DepthwiseGradInput {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`DepthwiseForward::call`](super::DepthwiseForward::call).
    pub fn call(&self) -> Result<Call, KernelError> {
        let sizes = Sizes::new(&self.shape, GRAD_INPUT.name)?;
        let call = if self.software && strip::fits_grad_input(&self.shape) {
            strip::grad_input(&sizes)?
        } else {
            let step = self.shape.stride[1];
            let tiles = self.shape.w.div_ceil(step).div_ceil(PIXELS) * step;
            sizes.tiled(GRAD_INPUT, Variant::new(), self.shape.h, tiles)?
        };
        let call = call
            .bind_stored("grad_y", Access::Read, sizes.y_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind_stored("grad_x", Access::Write, sizes.x_len)
            .flops(sizes.flops);
        Ok(if call.shader == strip::FORWARD {
            call.bind("bias", Access::Read, 0)
                .bind("affine", Access::Read, 0)
        } else {
            call
        })
    }
}

/// `grad_weight` of a depthwise convolution, in two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseGradWeight {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters.
    pub software: bool,
}

impl DepthwiseGradWeight {
    /// The dispatches: the first binds `x`, `grad_y`, `partial`, the second `partial`, `grad_weight`.
    ///
    /// # Errors
    /// As [`DepthwiseForward::call`](super::DepthwiseForward::call).
    pub fn calls(&self) -> Result<[Call; 2], KernelError> {
        let sizes = Sizes::new(&self.shape, GRAD_WEIGHT.name)?;
        let (parts, rows) = self.parts(sizes.output);
        let call = if self.strips() {
            strip::grad_weight(&sizes)?
        } else {
            let count = parts * sizes.weight_len / 4;
            let name = GRAD_WEIGHT.name;
            let more = [narrow(name, rows)?, narrow(name, count)?];
            let params: GradWeightParams = with(&sizes.words, &more);
            let groups = count.div_ceil(WORKGROUP) as u64;
            Call::new(GRAD_WEIGHT, Variant::new(), &params, groups)?
        };
        let first = call
            .bind_stored("x", Access::Read, sizes.x_len)
            .bind_stored("grad_y", Access::Read, sizes.y_len)
            .bind("partial", Access::Write, parts * sizes.weight_len)
            .flops(sizes.flops);
        let sum = SumGroups {
            len: sizes.weight_len,
            parts,
        };
        Ok([first, sum.call()?])
    }

    fn strips(&self) -> bool {
        self.software && strip::fits(&self.shape)
    }

    /// How many groups the output rows, or strips, are split into, and how many each has; from the shape alone.
    fn parts(&self, [ho, wo]: [usize; 2]) -> (usize, usize) {
        let columns = padded(self.shape.c) / 4;
        if self.strips() {
            return strip::parts(&self.shape, columns, wo);
        }
        let rows = (self.shape.n * ho).max(1);
        let each = (self.shape.r * self.shape.s * columns).max(1);
        let wanted = ENOUGH_INVOCATIONS.div_ceil(each).min(rows);
        let rows_each = rows.div_ceil(wanted);
        (rows.div_ceil(rows_each), rows_each)
    }
}

pub(super) fn kernels() -> Vec<Kernel> {
    let kernel = |shader, params| Kernel {
        family: "conv",
        shader,
        params,
        variants: vec![Variant::new()],
    };
    vec![
        kernel(GRAD_INPUT, TILED_FIELDS),
        kernel(GRAD_WEIGHT, GradWeightParams::FIELDS),
    ]
}
