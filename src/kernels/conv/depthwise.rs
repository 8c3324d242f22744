//! The gradients of depthwise convolution, and the sizes that its three passes share. Of the [`Conv2dShape`], `k` must equal `c`; weights are `[R, S, C]`.

use super::conv2d::with;
use super::{Conv2dShape, SumGroups, strip};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::elements;
use crate::kernels::{
    Access, Call, Kernel, KernelError, Params as _, narrow, padded, params, shader,
};

const GRAD_INPUT: Shader = shader!("conv", "depthwise_grad_input");
const GRAD_WEIGHT: Shader = shader!("conv", "depthwise_grad_weight");

pub(super) const WORKGROUP: usize = 64;
/// Pixels an invocation of the forward pass and the input gradient.
pub(super) const PIXELS: usize = 4;
/// Invocations of the weight gradient from which on no more groups of rows are made.
const ENOUGH_INVOCATIONS: usize = 1 << 14;

params!(TiledParams {
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

/// The parameters of [`Sizes::tiled`].
pub(super) const TILED_FIELDS: &[&str] = TiledParams::FIELDS;

/// The sizes as the shaders take them, each checked to fit.
pub(super) struct Sizes {
    pub(super) shape: Conv2dShape,
    pub(super) output: [usize; 2],
    /// `vec4`s of channels.
    pub(super) columns: usize,
    pub(super) x_len: usize,
    pub(super) y_len: usize,
    pub(super) weight_len: usize,
    /// The first members of every `Params`, n to pad_w.
    words: [u32; 12],
    pub(super) flops: u64,
}

impl Sizes {
    pub(super) fn new(shape: &Conv2dShape, kernel: &'static str) -> Result<Self, KernelError> {
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
        let first = [shape.n, shape.h, shape.w, c / 4, ho, wo];
        let window = [shape.r, shape.s];
        let mut words = [0; 12];
        let values = first.iter().chain(&window);
        let values = values.chain(&shape.stride).chain(&shape.padding);
        for (word, &value) in words.iter_mut().zip(values) {
            *word = narrow(kernel, value)?;
        }
        Ok(Self {
            shape: *shape,
            output: [ho, wo],
            columns: c / 4,
            x_len: elements(kernel, &[shape.n, shape.h, shape.w, c])?,
            y_len: elements(kernel, &[shape.n, ho, wo, c])?,
            weight_len: elements(kernel, &[shape.r, shape.s, c])?,
            words,
            flops: 2 * (shape.n * ho * wo * shape.c * shape.r * shape.s) as u64,
        })
    }

    /// A base call over rows of tiles of [`PIXELS`] pixels without its bindings.
    pub(super) fn tiled(
        &self,
        shader: Shader,
        variant: Variant,
        rows: usize,
        tiles: usize,
    ) -> Result<Call, KernelError> {
        let count = self.shape.n * rows * tiles * self.columns;
        let more = [narrow(shader.name, tiles)?, narrow(shader.name, count)?];
        let params: TiledParams = with(&self.words, &more);
        let groups = count.div_ceil(WORKGROUP) as u64;
        Call::new(shader, variant, &params, groups)
    }
}

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
            .bind("grad_y", Access::Read, sizes.y_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind("grad_x", Access::Write, sizes.x_len)
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
        let output = self.shape.output().unwrap_or_default();
        self.parts(output).0 * self.shape.r * self.shape.s * padded(self.shape.c)
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
