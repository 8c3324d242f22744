//! The convolution, and what follows it in a forward pass.

use super::epilogue::{ForwardEpilogue, when};
use super::sizes::{SIDE, STEP, Sizes, with, with_points};
use super::{Conv2dShape, Input, Tile, broadcast};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{elements, rule};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, padded, params, shader};

const FORWARD: Shader = shader!("conv", "conv2d_forward", "register_tile", "normalised");

/// Pixels of a group of the statistics; a tile has one or two of them.
const PIXELS: usize = 64;

params!(pub(super) ForwardParams {
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
    step_r: u32,
    step_s: u32,
    step_c: u32,
});

impl ForwardParams {
    /// Of a shader that stages `step` vectors of (r, s, c) at a time.
    pub(super) fn of(
        sizes: &Sizes,
        step: usize,
        column_groups: usize,
    ) -> Result<Self, KernelError> {
        let [r, s, c] = sizes.place(step);
        let mut more = [0; 5];
        let values = [sizes.pixels(), column_groups, r, s, c];
        for (word, value) in more.iter_mut().zip(values) {
            *word = narrow(FORWARD.name, value)?;
        }
        Ok(with(&sizes.words, &more))
    }
}

/// `y = x * weight`. Binds `x`, `weight`, `y`; then `bias` `[K]`; `affine` `[2, K]`, scale and shift, or `[2, C]` those of a mapped
/// [`Input`]; `residual`, of the shape of y;
/// `partials` `[groups, 2, K]` with the mean and the centred sum of squares of each [`GROUP_ROWS`](Self::GROUP_ROWS) pixels, for
/// [`BatchNormFinish`](crate::kernels::norm::BatchNormFinish). What the epilogue does not ask for is not touched: bind
/// anything; the shader for software adapters has no `partials` at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dForward {
    /// The shape.
    pub shape: Conv2dShape,
    /// What is done to the sums.
    pub epilogue: ForwardEpilogue,
    /// What `x` holds. A map goes with `stats` or nothing of the epilogue.
    pub input: Input,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters. They have none with
    /// `stats`: a barrier, and sums over lanes that are different pixels, cost such an adapter more than to read y again.
    pub software: bool,
}

impl Conv2dForward {
    /// Pixels of a group of the statistics; the last group has what is left.
    pub const GROUP_ROWS: usize = PIXELS;

    /// The convolution alone.
    pub fn new(shape: Conv2dShape, software: bool) -> Self {
        Self {
            shape,
            epilogue: ForwardEpilogue::default(),
            input: Input::Stored,
            software,
        }
    }

    /// The dispatch.
    ///
    /// # Errors
    /// [`KernelError::Argument`] where the window does not fit, or an epilogue does not go with the input; [`KernelError::TooLarge`].
    pub fn call(&self) -> Result<Call, KernelError> {
        let sizes = self.checked()?;
        if self.software
            && !self.epilogue.stats
            && !self.input.is_mapped()
            && let Some(call) = broadcast::forward(&sizes, self.epilogue.variant())?
        {
            return Ok(self.bind(call, &sizes));
        }
        self.tiled(&sizes, Tile::new(sizes.pixels(), 4 * sizes.k4()))
    }

    /// The dispatch of the base kernel in this tile, whatever the adapter.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`].
    pub fn call_in(&self, tile: Tile) -> Result<Call, KernelError> {
        self.tiled(&self.checked()?, tile)
    }

    /// The sizes, where there is a variant for what is asked.
    pub(super) fn checked(&self) -> Result<Sizes, KernelError> {
        let alone = ForwardEpilogue {
            stats: self.epilogue.stats,
            ..ForwardEpilogue::default()
        };
        rule(
            FORWARD.name,
            "input",
            usize::from(self.input.is_mapped()),
            !self.input.is_mapped() || self.epilogue == alone,
            "0, as stored, with another epilogue than statistics",
        )?;
        Sizes::new(&self.shape, FORWARD.name)
    }

    /// What of the variant the input and the epilogue make.
    pub(super) fn variant(&self) -> Variant {
        self.input.of(self.epilogue.variant())
    }

    fn tiled(&self, sizes: &Sizes, tile: Tile) -> Result<Call, KernelError> {
        self.bind_all(self.base(sizes, tile)?, sizes)
    }

    /// The call with the bindings of the shaders that know statistics.
    pub(super) fn bind_all(&self, call: Call, sizes: &Sizes) -> Result<Call, KernelError> {
        let call = self.bind(call, sizes);
        if !self.epilogue.stats {
            return Ok(call.bind("partials", Access::Read, 0));
        }
        let groups = sizes.pixels().div_ceil(PIXELS);
        let partials = elements(FORWARD.name, &[groups, 2, 4 * sizes.k4()])?;
        Ok(call.bind("partials", Access::Write, partials))
    }

    /// The call with the bindings that all shaders have.
    fn bind(&self, call: Call, sizes: &Sizes) -> Call {
        let ForwardEpilogue {
            bias,
            affine,
            residual,
            relu: _,
            stats,
        } = self.epilogue;
        let (len, width) = (sizes.y_len, 4 * sizes.k4());
        let mapped = self.input.is_mapped();
        // The map is a product and a sum; a mean is a sum, its squares a difference, a product and a sum.
        let more =
            when(bias, len) + when(affine, 2 * len) + when(residual, len) + when(stats, 4 * len);
        let more = more + when(mapped, 2 * sizes.x_len);
        let map = when(affine, 2 * width) + when(mapped, 2 * padded(self.shape.c));
        call.bind_stored("x", Access::Read, sizes.x_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind_stored("y", Access::Write, len)
            .bind("bias", Access::Read, when(bias, width))
            .bind("affine", Access::Read, map)
            .bind_stored("residual", Access::Read, when(residual, len))
            .flops(self.shape.flops() + more as u64)
    }

    /// Groups of pixels whose statistics `partials` holds.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`].
    pub fn groups(&self) -> Result<usize, KernelError> {
        Ok(Sizes::new(&self.shape, FORWARD.name)?
            .pixels()
            .div_ceil(PIXELS))
    }

    fn base(&self, sizes: &Sizes, tile: Tile) -> Result<Call, KernelError> {
        let (pixels, columns) = (sizes.pixels(), 4 * sizes.k4());
        let column_groups = columns.div_ceil(tile.columns());
        let params = ForwardParams::of(sizes, STEP, column_groups)?;
        let groups = tile.workgroups(pixels, columns) as u64;
        let mut variant = self.variant();
        if self.shape.is_point() && (4 * sizes.c4()).is_multiple_of(SIDE) {
            variant = variant.set("POINT", true);
        }
        Call::new(FORWARD, tile.of(variant), &params, groups)
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "conv",
        shader: FORWARD,
        params: ForwardParams::FIELDS,
        variants: Tile::all(&with_points(&ForwardEpilogue::planned())),
    }
}
