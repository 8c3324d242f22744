//! Depthwise convolution and its gradients. Of the [`Conv2dShape`], `k` must equal `c`; weights are `[R, S, C]`.

use super::{Conv2dShape, SumGroups};
use crate::gpu::{Shader, Variant};
use crate::kernels::{
    Access, Call, Kernel, KernelError, Params as _, narrow, padded, params, shader,
};

const FORWARD: Shader = shader!("conv", "depthwise_forward");
const GRAD_INPUT: Shader = shader!("conv", "depthwise_grad_input");
const GRAD_WEIGHT: Shader = shader!("conv", "depthwise_grad_weight");

const WORKGROUP: usize = 64;
/// Pixels an invocation of the forward pass and the input gradient.
const PIXELS: usize = 4;
/// Invocations of the weight gradient from which on no more groups of rows are made.
const ENOUGH_INVOCATIONS: usize = 1 << 14;

params!(ForwardParams {
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
    tiles: u32,
    count: u32,
});

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

/// The sizes as the shaders take them, each checked to fit.
struct Sizes {
    output: [usize; 2],
    columns: usize,
    x_len: usize,
    y_len: usize,
    weight_len: usize,
    words: [u32; 12],
    flops: u64,
}

fn sizes(shape: &Conv2dShape, kernel: &'static str) -> Result<Sizes, KernelError> {
    let [ho, wo] = shape.checked_output(kernel)?;
    if shape.k != shape.c {
        return Err(KernelError::Argument {
            kernel,
            name: "k",
            asked: i64::try_from(shape.k).unwrap_or(i64::MAX),
            allowed: "equal to c",
        });
    }
    let c = padded(shape.c);
    let values = [
        shape.n,
        shape.h,
        shape.w,
        c / 4,
        ho,
        wo,
        shape.r,
        shape.s,
        shape.stride[0],
        shape.stride[1],
        shape.padding[0],
        shape.padding[1],
    ];
    let mut words = [0; 12];
    for (word, value) in words.iter_mut().zip(values) {
        *word = narrow(kernel, value)?;
    }
    let sizes = Sizes {
        output: [ho, wo],
        columns: c / 4,
        x_len: shape.n * shape.h * shape.w * c,
        y_len: shape.n * ho * wo * c,
        weight_len: shape.r * shape.s * c,
        words,
        flops: 2 * (shape.n * ho * wo * shape.c * shape.r * shape.s) as u64,
    };
    narrow(kernel, sizes.x_len)?;
    narrow(kernel, sizes.y_len)?;
    Ok(sizes)
}

fn forward_params(
    sizes: &Sizes,
    kernel: &'static str,
    tiles: usize,
    count: usize,
) -> Result<ForwardParams, KernelError> {
    let [n, h, w, c4, ho, wo, r, s, stride_h, stride_w, pad_h, pad_w] = sizes.words;
    Ok(ForwardParams {
        n,
        h,
        w,
        c4,
        ho,
        wo,
        r,
        s,
        stride_h,
        stride_w,
        pad_h,
        pad_w,
        tiles: narrow(kernel, tiles)?,
        count: narrow(kernel, count)?,
    })
}

/// `y[.., c] = x[.., c] * weight[.., c]`. Binds `x`, `weight`, `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseForward {
    /// The shape, with `k = c`.
    pub shape: Conv2dShape,
}

impl DepthwiseForward {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] where the window does not fit or `k` is not `c`; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let sizes = sizes(&self.shape, FORWARD.name)?;
        let tiles = sizes.output[1].div_ceil(PIXELS);
        let count = self.shape.n * sizes.output[0] * tiles * sizes.columns;
        let params = forward_params(&sizes, FORWARD.name, tiles, count)?;
        let groups = count.div_ceil(WORKGROUP) as u64;
        Ok(Call::new(FORWARD, Variant::new(), &params, groups)?
            .bind("x", Access::Read, sizes.x_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind("y", Access::Write, sizes.y_len)
            .flops(sizes.flops))
    }
}

/// `grad_x` of a depthwise convolution. Binds `grad_y`, `weight`, `grad_x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseGradInput {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
}

impl DepthwiseGradInput {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`DepthwiseForward::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let sizes = sizes(&self.shape, GRAD_INPUT.name)?;
        let step = self.shape.stride[1];
        let tiles = self.shape.w.div_ceil(step).div_ceil(PIXELS) * step;
        let count = self.shape.n * self.shape.h * tiles * sizes.columns;
        let params = forward_params(&sizes, GRAD_INPUT.name, tiles, count)?;
        let groups = count.div_ceil(WORKGROUP) as u64;
        Ok(Call::new(GRAD_INPUT, Variant::new(), &params, groups)?
            .bind("grad_y", Access::Read, sizes.y_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind("grad_x", Access::Write, sizes.x_len)
            .flops(sizes.flops))
    }
}

/// `grad_weight` of a depthwise convolution, in two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseGradWeight {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
}

impl DepthwiseGradWeight {
    /// The dispatches: the first binds `x`, `grad_y`, `partial`, the second `partial`, `grad_weight`.
    ///
    /// # Errors
    /// As [`DepthwiseForward::call`].
    pub fn calls(&self) -> Result<[Call; 2], KernelError> {
        let sizes = sizes(&self.shape, GRAD_WEIGHT.name)?;
        let (parts, rows) = self.parts(sizes.output[0]);
        let count = parts * sizes.weight_len / 4;
        let [n, h, w, c4, ho, wo, r, s, stride_h, stride_w, pad_h, pad_w] = sizes.words;
        let params = GradWeightParams {
            n,
            h,
            w,
            c4,
            ho,
            wo,
            r,
            s,
            stride_h,
            stride_w,
            pad_h,
            pad_w,
            rows: narrow(GRAD_WEIGHT.name, rows)?,
            count: narrow(GRAD_WEIGHT.name, count)?,
        };
        let groups = count.div_ceil(WORKGROUP) as u64;
        let first = Call::new(GRAD_WEIGHT, Variant::new(), &params, groups)?
            .bind("x", Access::Read, sizes.x_len)
            .bind("grad_y", Access::Read, sizes.y_len)
            .bind("partial", Access::Write, parts * sizes.weight_len)
            .flops(sizes.flops);
        let sum = SumGroups {
            len: sizes.weight_len,
            parts,
        };
        Ok([first, sum.call()?])
    }

    /// Elements of `partial`.
    pub fn partial_len(&self) -> usize {
        let [ho, _] = self.shape.output().unwrap_or_default();
        self.parts(ho).0 * self.shape.r * self.shape.s * padded(self.shape.c)
    }

    /// How many groups the output rows are split into, and the rows of each, from the shape alone.
    fn parts(&self, ho: usize) -> (usize, usize) {
        let rows = (self.shape.n * ho).max(1);
        let each = (self.shape.r * self.shape.s * padded(self.shape.c) / 4).max(1);
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
        kernel(FORWARD, ForwardParams::FIELDS),
        kernel(GRAD_INPUT, ForwardParams::FIELDS),
        kernel(GRAD_WEIGHT, GradWeightParams::FIELDS),
    ]
}
