//! Depthwise convolution, and what follows it in a forward pass.

use super::depthwise_sizes::{PIXELS, Sizes, TILED_FIELDS};
use super::epilogue::{DepthwiseEpilogue, when};
use super::{Conv2dShape, strip};
use crate::gpu::Shader;
use crate::kernels::{Access, Call, Kernel, KernelError, shader};

const FORWARD: Shader = shader!("conv", "depthwise_forward");

/// `y[.., c] = x[.., c] * weight[.., c]`. Binds `x`, `weight`, `y`; then `bias` `[C]`; `affine` `[2, C]`, scale and shift. What the
/// epilogue does not ask for is not touched: bind anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseForward {
    /// The shape, with `k = c`.
    pub shape: Conv2dShape,
    /// What is done to the sums.
    pub epilogue: DepthwiseEpilogue,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters.
    pub software: bool,
}

impl DepthwiseForward {
    /// The convolution alone.
    pub fn new(shape: Conv2dShape, software: bool) -> Self {
        Self {
            shape,
            epilogue: DepthwiseEpilogue::default(),
            software,
        }
    }

    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] where the window does not fit or `k` is not `c`; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let sizes = Sizes::new(&self.shape, FORWARD.name)?;
        let variant = self.epilogue.variant();
        let call = if self.software && strip::fits(&self.shape) {
            strip::forward(&sizes, variant)?
        } else {
            let [ho, wo] = sizes.output;
            sizes.tiled(FORWARD, variant, ho, wo.div_ceil(PIXELS))?
        };
        let DepthwiseEpilogue { bias, affine, .. } = self.epilogue;
        let (len, width) = (sizes.y_len, 4 * sizes.columns);
        // A bias is a sum, the map a product and a sum.
        let more = when(bias, len) + when(affine, 2 * len);
        Ok(call
            .bind_stored("x", Access::Read, sizes.x_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind_stored("y", Access::Write, len)
            .bind("bias", Access::Read, when(bias, width))
            .bind("affine", Access::Read, when(affine, 2 * width))
            .flops(sizes.flops + more as u64))
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "conv",
        shader: FORWARD,
        params: TILED_FIELDS,
        variants: DepthwiseEpilogue::variants(),
    }
}
