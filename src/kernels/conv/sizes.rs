//! The sizes of a convolution as its shaders take them.

use super::Conv2dShape;
use crate::gpu::Variant;
use crate::kernels::check::elements;
use crate::kernels::{KernelError, Params, narrow, padded};

/// The sizes as the shaders take them, each checked to fit.
pub(super) struct Sizes {
    pub(super) shape: Conv2dShape,
    pub(super) output: [usize; 2],
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

    /// A number of `vec4`s of (r, s, c) as steps along each of them.
    pub(super) fn place(&self, vectors: usize) -> [usize; 3] {
        let (row, c4) = (self.shape.s, self.c4());
        [vectors / c4 / row, vectors / c4 % row, vectors % c4]
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

/// Lanes along either side of a workgroup's tile, and rows of the inner dimension staged at a time, in the base kernels.
pub(super) const SIDE: usize = 16;
/// `vec4`s of the inner dimension staged at a time where it is the one along `vec4`s.
pub(super) const STEP: usize = SIDE / 4;

/// Variants, and each of them for a 1 × 1 window of stride 1 without padding.
pub(super) fn with_points(variants: &[Variant]) -> Vec<Variant> {
    let points = variants.iter().cloned();
    let points = points.map(|variant| variant.set("POINT", true));
    variants.iter().cloned().chain(points).collect()
}
