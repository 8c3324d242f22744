//! Max, average and global average pooling of NHWC activations, and their gradients. Gradients gather: an input element looks
//! at the windows that it is in, so no sum needs an atomic.

mod avg;
mod global;
mod max;

use super::check::{elements, positive, rule};
use super::{Kernel, KernelError, narrow, padded};

pub use avg::{AvgPool2d, AvgPool2dGrad};
pub use global::{GlobalAvgPool2d, GlobalAvgPool2dGrad};
pub use max::{MaxPool2d, MaxPool2dGrad};

/// A pooling: `[N,H,W,C]` to `[N,P,Q,C]`. Pairs are height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolShape {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Channels, before padding.
    pub c: usize,
    /// Window height and width.
    pub window: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Rows and columns around the input that take no part; at most half the window. 0 for average pooling.
    pub padding: [usize; 2],
}

/// What a kernel needs of a shape that was checked.
struct Checked {
    /// `vec4`s of a pixel.
    columns: usize,
    /// Elements of the input.
    input: usize,
    /// Elements of the output.
    output: usize,
    /// Output height and width.
    out: [usize; 2],
}

impl Checked {
    /// Invocations a pixel: each does up to 4 `vec4`s, as finding a pixel and its windows costs as much as reading one.
    fn parts(&self) -> usize {
        self.columns.div_ceil(4)
    }

    /// Invocations for a tensor of `len` elements.
    fn invocations(&self, len: usize) -> usize {
        len / 4 / self.columns * self.parts()
    }

    /// One operation for each element of each window.
    fn additions(&self, shape: &PoolShape) -> u64 {
        let [r, s] = shape.window.map(|side| side as u64);
        r.saturating_mul(s).saturating_mul(self.output as u64)
    }
}

impl PoolShape {
    /// Output height and width, ⌊(size + 2·padding - window) / stride⌋ + 1; `None` where the window does not fit or a stride
    /// is zero.
    pub fn output(&self) -> Option<[usize; 2]> {
        let side = |size: usize, axis: usize| {
            let room = size.checked_add(self.padding[axis].checked_mul(2)?)?;
            let steps = room.checked_sub(self.window[axis])?;
            Some(steps.checked_div(self.stride[axis])? + 1)
        };
        Some([side(self.h, 0)?, side(self.w, 1)?])
    }

    fn check(&self, kernel: &'static str) -> Result<Checked, KernelError> {
        let sizes = [("n", self.n), ("h", self.h), ("w", self.w), ("c", self.c)];
        positive(kernel, &sizes)?;
        for axis in 0..2 {
            let (window, padding) = (self.window[axis], self.padding[axis]);
            let sizes = [("window", window), ("stride", self.stride[axis])];
            positive(kernel, &sizes)?;
            let half = padding <= window / 2;
            rule(kernel, "padding", padding, half, "at most half the window")?;
        }
        let Some(out) = self.output() else {
            let within = "a window within the padded input";
            return Err(KernelError::Argument {
                kernel,
                name: "window",
                asked: i64::try_from(self.window[0].max(self.window[1])).unwrap_or(i64::MAX),
                allowed: within,
            });
        };
        // Positions of the padded image are u32 in the shaders.
        for (size, axis) in [(self.h, 0), (self.w, 1)] {
            narrow(kernel, size.saturating_add(2 * self.padding[axis]))?;
        }
        let width = elements(kernel, &[self.c]).map(padded)?;
        Ok(Checked {
            columns: width / 4,
            input: elements(kernel, &[self.n, self.h, self.w, width])?,
            output: elements(kernel, &[self.n, out[0], out[1], width])?,
            out,
        })
    }
}

pub(super) fn kernels() -> Vec<Kernel> {
    [max::kernels(), avg::kernels(), global::kernels()].concat()
}

fn kernel(shader: crate::gpu::Shader, params: &'static [&'static str]) -> Kernel {
    Kernel {
        family: "pool",
        shader,
        params,
        variants: vec![crate::gpu::Variant::new()],
    }
}
