//! Matrix products and linear layers. A product *is* a convolution with 1 × 1 filters over 1 × 1 images, so these twins
//! dispatch the shaders of [`conv`](super::conv): one set of variants serves both.
//!
//! Matrices are row major, with rows padded to a multiple of 4 by zeros; where the rows of one matrix meet the columns of
//! another, or become columns of the product, their number is padded likewise.
//!
//! What a linear layer `[N,C]` to `[N,K]` calls, with weights `[C,K]` and `shape = Conv2dShape::linear(n, c, k)`:
//! forward with bias [`Conv2dForward`]; with respect to x [`Conv2dGradInput`]; with respect to the weights
//! [`Conv2dGradWeight`]; with respect to the bias [`BiasGrad`](super::elementwise::BiasGrad), the column sum of `grad_y`.

use super::conv::{Conv2dForward, Conv2dGradInput, Conv2dGradWeight, Conv2dShape};
use super::{Call, KernelError};

/// A product of `m` × `k` by `k` × `n` terms, in one of three forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul {
    /// Rows of the product.
    pub m: usize,
    /// Columns of the product.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters.
    pub software: bool,
}

impl MatMul {
    /// `y = a · b` with `a` `[M,K]` and `b` `[K,N]`, the latter of `padded(K)` rows. Binds `a`, `b`, `y`, and four
    /// that are not touched.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a size of 0; [`KernelError::TooLarge`].
    pub fn a_b(&self) -> Result<Call, KernelError> {
        let call = Conv2dForward::new(Conv2dShape::linear(self.m, self.k, self.n), self.software);
        Ok(named(call.call()?, &["a", "b", "y"]))
    }

    /// `y = a · bᵀ` with `a` `[M,K]` and `b` `[N,K]`, the latter of `padded(N)` rows. Binds `a`, `b`, `y`, and five
    /// that are not touched.
    ///
    /// # Errors
    /// As [`MatMul::a_b`].
    pub fn a_bt(&self) -> Result<Call, KernelError> {
        let shape = Conv2dShape::linear(self.m, self.n, self.k);
        let call = Conv2dGradInput::new(shape, self.software);
        Ok(named(call.call()?, &["a", "b", "y"]))
    }

    /// `y = aᵀ · b` with `a` `[K,M]` and `b` `[K,N]`; `y` `[M,N]` has `padded(M)` rows. The first call binds `a`, `b`,
    /// `partial`, the second `partial`, `y`.
    ///
    /// # Errors
    /// As [`MatMul::a_b`].
    pub fn at_b(&self) -> Result<[Call; 2], KernelError> {
        let [first, second] = self.transposed().calls()?;
        Ok([
            named(first, &["a", "b", "partial"]),
            named(second, &["partial", "y"]),
        ])
    }

    fn transposed(&self) -> Conv2dGradWeight {
        Conv2dGradWeight::new(Conv2dShape::linear(self.k, self.m, self.n), self.software)
    }
}

/// The call with its bindings called what the formula calls them.
fn named(mut call: Call, names: &[&'static str]) -> Call {
    for (extent, name) in call.extents.iter_mut().zip(names) {
        extent.name = name;
    }
    call
}
