//! The convolution for devices with cooperative matrices, which multiply small matrices many times as fast as lanes do.

use super::epilogue::ForwardEpilogue;
use super::forward::{Conv2dForward, ForwardParams};
use super::sizes::Sizes;
use crate::gpu::{Matrices, Precision, Shader, Variant};
use crate::kernels::check::{all_flags, rule};
use crate::kernels::{Call, Kernel, KernelError, Params, shader};

const FORWARD: Shader = shader!("conv", "conv2d_forward_matrix");

/// Pixels and channels a workgroup.
const SIDE: usize = 64;
/// Fewer channels or products of a sum leave most of a matrix blank.
const ENOUGH: usize = 32;

impl Conv2dForward {
    /// The dispatch with cooperative matrices, of activations in this precision; `None` where the device has none for it, or
    /// the convolution is too small for them. Never chosen by [`call`](Self::call): only a measurement on the device says
    /// whether it is faster there. In f16 the weights are rounded to f16 as they are multiplied; sums are f32 in any case.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`].
    pub fn call_with_matrices(
        &self,
        precision: Precision,
        matrices: Matrices,
    ) -> Result<Option<Call>, KernelError> {
        let products = self.shape.r * self.shape.s * self.shape.c;
        match matrices.side(precision) {
            Some(side) if self.shape.k >= ENOUGH && products >= ENOUGH => {
                self.call_in_matrices(precision, side).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The dispatch with cooperative matrices of this side, 8 or, in f16, 16, whatever the device.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`], and [`KernelError::Argument`] for other sides.
    pub fn call_in_matrices(&self, precision: Precision, side: usize) -> Result<Call, KernelError> {
        let large = side == 16 && precision == Precision::F16;
        let allowed = "8, or 16 in f16";
        rule(FORWARD.name, "side", side, large || side == 8, allowed)?;
        let sizes = Sizes::new(&self.shape, FORWARD.name)?;
        let (pixels, columns) = (sizes.pixels(), 4 * sizes.k4());
        let tiles = [pixels.div_ceil(SIDE), columns.div_ceil(SIDE)];
        let params = ForwardParams::of(&sizes, tiles[1])?;
        let mut variant = self.epilogue.variant();
        if large {
            variant = variant.set("LARGE", true);
        }
        let groups = (tiles[0] * tiles[1]) as u64;
        let call = Call::new(FORWARD, variant, &params, groups)?;
        Ok(self.bind_all(call, &sizes)?.stored(precision))
    }
}

pub(super) fn kernel() -> Kernel {
    let small = all_flags(&ForwardEpilogue::FLAGS);
    // In f32 there is no large matrix, so these name their precision themselves.
    let large = small.iter().cloned().map(|variant: Variant| {
        let large = variant.set("LARGE", true);
        large.stored(Precision::F16)
    });
    let large: Vec<_> = large.collect();
    Kernel {
        family: "conv",
        shader: FORWARD,
        params: ForwardParams::FIELDS,
        variants: [small, large].concat(),
    }
}
