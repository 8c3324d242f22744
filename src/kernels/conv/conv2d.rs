//! The convolution and its gradients with respect to input and filters.

use super::{Conv2dShape, SumGroups};
use crate::gpu::{Shader, Variant};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, padded, params, shader};

const FORWARD: Shader = shader!("conv", "conv2d_forward");
const GRAD_INPUT: Shader = shader!("conv", "conv2d_grad_input");
const GRAD_WEIGHT: Shader = shader!("conv", "conv2d_grad_weight");

/// `vec4` columns a workgroup.
const COLUMNS: usize = 8;
/// Pixels a workgroup of the forward pass and the input gradient.
const PIXELS: usize = 4;
/// Workgroups of the weight gradient from which on no more groups of rows are made: enough to fill a large GPU.
const ENOUGH_WORKGROUPS: usize = 512;

params!(ForwardParams {
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
    pixels: u32,
    column_groups: u32,
});

params!(GradInputParams {
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
    tiles: u32,
    groups: u32,
});

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
struct Sizes {
    output: [usize; 2],
    x_len: usize,
    y_len: usize,
    weight_len: usize,
    words: [u32; 13],
}

fn sizes(shape: &Conv2dShape, kernel: &'static str) -> Result<Sizes, KernelError> {
    let [ho, wo] = shape.checked_output(kernel)?;
    let (c, k) = (padded(shape.c), padded(shape.k));
    let values = [
        shape.n,
        shape.h,
        shape.w,
        c / 4,
        ho,
        wo,
        k / 4,
        shape.r,
        shape.s,
        shape.stride[0],
        shape.stride[1],
        shape.padding[0],
        shape.padding[1],
    ];
    let mut words = [0; 13];
    for (word, value) in words.iter_mut().zip(values) {
        *word = narrow(kernel, value)?;
    }
    let sizes = Sizes {
        output: [ho, wo],
        x_len: shape.n * shape.h * shape.w * c,
        y_len: shape.n * ho * wo * k,
        weight_len: shape.r * shape.s * c * k,
        words,
    };
    // Indices of elements are computed in 32 bits.
    for len in [sizes.x_len, sizes.y_len, sizes.weight_len] {
        narrow(kernel, len)?;
    }
    Ok(sizes)
}

/// `y = x * weight (+ bias)`. Binds `x`, `weight`, `y`, `bias`; without a bias, bind `weight` in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dForward {
    /// The shape.
    pub shape: Conv2dShape,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv2dForward {
    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] where the window does not fit; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let name = FORWARD.name;
        let sizes = sizes(&self.shape, name)?;
        let [
            n,
            h,
            w,
            c4,
            ho,
            wo,
            k4,
            r,
            s,
            stride_h,
            stride_w,
            pad_h,
            pad_w,
        ] = sizes.words;
        let pixels = self.shape.n * sizes.output[0] * sizes.output[1];
        let column_groups = (k4 as usize).div_ceil(COLUMNS);
        let params = ForwardParams {
            n,
            h,
            w,
            c4,
            ho,
            wo,
            k4,
            r,
            s,
            stride_h,
            stride_w,
            pad_h,
            pad_w,
            pixels: narrow(name, pixels)?,
            column_groups: narrow(name, column_groups)?,
        };
        let groups = (pixels.div_ceil(PIXELS) * column_groups) as u64;
        let variant = Variant::new().set("BIAS", self.bias);
        let bias = if self.bias { padded(self.shape.k) } else { 0 };
        Ok(Call::new(FORWARD, variant, &params, groups)?
            .bind("x", Access::Read, sizes.x_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind("y", Access::Write, sizes.y_len)
            .bind("bias", Access::Read, bias)
            .flops(self.shape.flops()))
    }
}

/// `grad_x` of a convolution. Binds `grad_y`, `weight`, `grad_x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGradInput {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
}

impl Conv2dGradInput {
    /// The dispatch.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let name = GRAD_INPUT.name;
        let sizes = sizes(&self.shape, name)?;
        let [
            n,
            h,
            w,
            c4,
            ho,
            wo,
            k4,
            r,
            s,
            stride_h,
            stride_w,
            pad_h,
            pad_w,
        ] = sizes.words;
        let column_groups = (c4 as usize).div_ceil(COLUMNS);
        // A tile is four pixels a stride apart; each phase of the stride has its own.
        let step = self.shape.stride[1];
        let tiles = self.shape.w.div_ceil(step).div_ceil(PIXELS) * step;
        let groups = self.shape.n * self.shape.h * tiles * column_groups;
        let params = GradInputParams {
            n,
            h,
            w,
            c4,
            ho,
            wo,
            k4,
            r,
            s,
            stride_h,
            stride_w,
            pad_h,
            pad_w,
            column_groups: narrow(name, column_groups)?,
            tiles: narrow(name, tiles)?,
            groups: narrow(name, groups)?,
        };
        Ok(
            Call::new(GRAD_INPUT, Variant::new(), &params, groups as u64)?
                .bind("grad_y", Access::Read, sizes.y_len)
                .bind("weight", Access::Read, sizes.weight_len)
                .bind("grad_x", Access::Write, sizes.x_len)
                .flops(self.shape.flops()),
        )
    }
}

/// `grad_weight` of a convolution, in two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGradWeight {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
}

impl Conv2dGradWeight {
    /// The dispatches: the first binds `x`, `grad_y`, `partial`, the second `partial`, `grad_weight`.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`].
    pub fn calls(&self) -> Result<[Call; 2], KernelError> {
        let name = GRAD_WEIGHT.name;
        let sizes = sizes(&self.shape, name)?;
        let [
            n,
            h,
            w,
            c4,
            ho,
            wo,
            k4,
            r,
            s,
            stride_h,
            stride_w,
            pad_h,
            pad_w,
        ] = sizes.words;
        let column_groups = (k4 as usize).div_ceil(COLUMNS);
        let (parts, rows) = self.parts(sizes.output[0]);
        let groups = parts * self.filters();
        let params = GradWeightParams {
            n,
            h,
            w,
            c4,
            ho,
            wo,
            k4,
            r,
            s,
            stride_h,
            stride_w,
            pad_h,
            pad_w,
            column_groups: narrow(name, column_groups)?,
            rows: narrow(name, rows)?,
            groups: narrow(name, groups)?,
        };
        narrow(name, parts * sizes.weight_len)?;
        let first = Call::new(GRAD_WEIGHT, Variant::new(), &params, groups as u64)?
            .bind("x", Access::Read, sizes.x_len)
            .bind("grad_y", Access::Read, sizes.y_len)
            .bind("partial", Access::Write, parts * sizes.weight_len)
            .flops(self.shape.flops());
        let sum = SumGroups {
            len: sizes.weight_len,
            parts,
        };
        Ok([first, sum.call()?])
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

pub(super) fn kernels() -> Vec<Kernel> {
    let kernel = |shader, params, variants| Kernel {
        family: "conv",
        shader,
        params,
        variants,
    };
    let bias = [0, 1].map(|bias| Variant::new().set("BIAS", bias)).to_vec();
    vec![
        kernel(FORWARD, ForwardParams::FIELDS, bias),
        kernel(GRAD_INPUT, GradInputParams::FIELDS, vec![Variant::new()]),
        kernel(GRAD_WEIGHT, GradWeightParams::FIELDS, vec![Variant::new()]),
    ]
}
