//! Two-dimensional convolution in NHWC, as implicit matrix products, and its gradients.

mod broadcast;
mod depthwise;
mod depthwise_forward;
mod depthwise_sizes;
mod epilogue;
mod forward;
mod grad_input;
mod grad_weight;
mod half_filters;
mod input;
mod matrix;
mod sizes;
mod strip;
mod sum_groups;
mod tile;
mod ways;
mod winograd;
mod winograd_grad;

use super::{Kernel, KernelError};
use serde::{Deserialize, Serialize};

pub use depthwise::{DepthwiseGradInput, DepthwiseGradWeight};
pub use depthwise_forward::DepthwiseForward;
pub use epilogue::{DepthwiseEpilogue, ForwardEpilogue, GradInputEpilogue};
pub use forward::Conv2dForward;
pub use grad_input::Conv2dGradInput;
pub use grad_weight::Conv2dGradWeight;
pub use half_filters::HalfFilters;
pub use input::Input;
pub use sum_groups::SumGroups;
pub use tile::Tile;
pub use ways::{Measured, Pass, Problem, Product, Tuning, Way, Ways};
pub use winograd::Winograd;
pub use winograd_grad::{WinogradGradInput, WinogradGradWeight};

/// A convolution: `[N,H,W,C]` with filters `[R,S,C,K]` to `[N,Ho,Wo,K]`. Pairs are height, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conv2dShape {
    /// Images.
    pub n: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Output channels.
    pub k: usize,
    /// Filter height.
    pub r: usize,
    /// Filter width.
    pub s: usize,
    /// Step between windows.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: [usize; 2],
}

impl Conv2dShape {
    /// A fully connected layer `[N,C]` to `[N,K]`.
    pub const fn linear(n: usize, c: usize, k: usize) -> Self {
        Self {
            n,
            h: 1,
            w: 1,
            c,
            k,
            r: 1,
            s: 1,
            stride: [1; 2],
            padding: [0; 2],
        }
    }

    /// Output height and width; `None` where the window does not fit or a size or stride is zero.
    pub fn output(&self) -> Option<[usize; 2]> {
        let side = |size: usize, window: usize, stride: usize, padding: usize| {
            let room = (size + 2 * padding).checked_sub(window)?;
            (size > 0 && window > 0).then_some(())?;
            Some(room.checked_div(stride)? + 1)
        };
        Some([
            side(self.h, self.r, self.stride[0], self.padding[0])?,
            side(self.w, self.s, self.stride[1], self.padding[1])?,
        ])
    }

    /// Whether an output pixel sees its own input pixel alone: 1 × 1, stride 1, no padding.
    fn is_point(&self) -> bool {
        [self.r, self.s] == [1; 2] && self.stride == [1; 2] && self.padding == [0; 2]
    }

    /// Multiply-adds counted as two operations, padding channels not counted.
    pub fn flops(&self) -> u64 {
        let [ho, wo] = self.output().unwrap_or_default();
        2 * (self.n * ho * wo * self.k * self.r * self.s * self.c) as u64
    }

    fn checked_output(&self, kernel: &'static str) -> Result<[usize; 2], KernelError> {
        let refused = |name, asked: usize, allowed| {
            Err(KernelError::Argument {
                kernel,
                name,
                asked: i64::try_from(asked).unwrap_or(i64::MAX),
                allowed,
            })
        };
        if self.n == 0 || self.c == 0 || self.k == 0 {
            let empty = self.n.min(self.c).min(self.k);
            return refused("n, c or k", empty, "at least 1");
        }
        match self.output() {
            Some(output) => Ok(output),
            None => refused(
                "r",
                self.r,
                "a window within the padded input, at a stride of at least 1",
            ),
        }
    }
}

pub(super) fn kernels() -> Vec<Kernel> {
    [
        vec![
            forward::kernel(),
            grad_input::kernel(),
            grad_weight::kernel(),
        ],
        matrix::kernels().to_vec(),
        broadcast::kernels().to_vec(),
        winograd::kernels().to_vec(),
        winograd_grad::kernels().to_vec(),
        vec![depthwise_forward::kernel()],
        depthwise::kernels(),
        strip::kernels().to_vec(),
        vec![half_filters::kernel(), sum_groups::kernel()],
    ]
    .concat()
}
