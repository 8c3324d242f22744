//! The sizes of a depthwise convolution as its shaders take them.

use super::Conv2dShape;
use super::sizes::with;
use crate::gpu::{Shader, Variant};
use crate::kernels::check::elements;
use crate::kernels::{Call, KernelError, Params as _, narrow, padded, params};

const WORKGROUP: usize = 64;
/// Pixels an invocation of the forward pass and the input gradient.
pub(super) const PIXELS: usize = 4;

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
    pub(super) words: [u32; 12],
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
