//! The gradient of a convolution with respect to its input, and what follows it in a backward pass.

use super::epilogue::{GradInputEpilogue, when};
use super::sizes::{Sizes, with};
use super::{Conv2dShape, broadcast};
use crate::gpu::Shader;
use crate::kernels::check::{all_flags, elements};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, params, shader};

const GRAD_INPUT: Shader = shader!("conv", "conv2d_grad_input");

/// `vec4` columns a workgroup.
const COLUMNS: usize = 8;
/// Tiles of a row a workgroup.
const TILES: usize = 16;
/// Pixels a tile.
const PIXELS: usize = 4;

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
    all_tiles: u32,
});

/// `grad_x` of a convolution. Binds `grad_y`, `weight`, `grad_x`; then `other`, the gradient to add; `x`, the convolution's input;
/// `z`, the input of the batch normalisation that x was made by, and its `statistics` `[2, C]`; `partials` `[groups, 2, C]` with
/// [`groups`](Self::groups) of Σ grad_x and Σ grad_x ẑ each, ẑ the normalised z. What the epilogue does not ask for is not
/// touched: bind anything; the shader for software adapters has nothing behind `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGradInput {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
    /// What is done to the gradient.
    pub epilogue: GradInputEpilogue,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters. They have none with
    /// `reduce`: sums over lanes that are different pixels cost such an adapter more than to read the gradient again.
    pub software: bool,
}

impl Conv2dGradInput {
    /// The gradient alone.
    pub fn new(shape: Conv2dShape, software: bool) -> Self {
        Self {
            shape,
            epilogue: GradInputEpilogue::default(),
            software,
        }
    }

    /// The dispatch.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`](super::Conv2dForward::call).
    pub fn call(&self) -> Result<Call, KernelError> {
        let sizes = Sizes::new(&self.shape, GRAD_INPUT.name)?;
        let reduce = self.epilogue.reduce;
        if self.software
            && !reduce
            && let Some(call) = broadcast::grad_input(&sizes, self.epilogue.variant())?
        {
            return Ok(self.bind(call, &sizes));
        }
        let width = 4 * sizes.c4();
        let partials = elements(GRAD_INPUT.name, &[self.groups()?, 2, width])?;
        let access = if reduce { Access::Write } else { Access::Read };
        Ok(self
            .bind(self.base(&sizes)?, &sizes)
            .bind_stored("z", Access::Read, when(reduce, sizes.x_len))
            .bind("statistics", Access::Read, when(reduce, 2 * width))
            .bind("partials", access, when(reduce, partials)))
    }

    /// The call with the bindings that both shaders have.
    fn bind(&self, call: Call, sizes: &Sizes) -> Call {
        let GradInputEpilogue { add, mask, reduce } = self.epilogue;
        let len = sizes.x_len;
        // An addition, and a subtraction, a product and two sums.
        let more = when(add, len) + when(reduce, 5 * len);
        call.bind_stored("grad_y", Access::Read, sizes.y_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind_stored("grad_x", Access::Write, len)
            .bind_stored("other", Access::Read, when(add, len))
            .bind_stored("x", Access::Read, when(mask, len))
            .flops(self.shape.flops() + more as u64)
    }

    /// Groups of pixels whose column sums `partials` holds.
    ///
    /// # Errors
    /// As [`Conv2dGradInput::call`].
    pub fn groups(&self) -> Result<usize, KernelError> {
        Sizes::new(&self.shape, GRAD_INPUT.name)?;
        Ok(self.tiles()[1].div_ceil(TILES))
    }

    /// Tiles of a row, and of all rows. A tile is four pixels a stride apart; each phase of the stride has its own.
    fn tiles(&self) -> [usize; 2] {
        let step = self.shape.stride[1];
        let tiles = self.shape.w.div_ceil(step).div_ceil(PIXELS) * step;
        [tiles, self.shape.n * self.shape.h * tiles]
    }

    fn base(&self, sizes: &Sizes) -> Result<Call, KernelError> {
        let column_groups = sizes.c4().div_ceil(COLUMNS);
        let [tiles, all_tiles] = self.tiles();
        let mut more = [0; 3];
        for (word, value) in more.iter_mut().zip([column_groups, tiles, all_tiles]) {
            *word = narrow(GRAD_INPUT.name, value)?;
        }
        let params: GradInputParams = with(&sizes.words, &more);
        let workgroups = (all_tiles.div_ceil(TILES) * column_groups) as u64;
        Call::new(GRAD_INPUT, self.epilogue.variant(), &params, workgroups)
    }
}
pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "conv",
        shader: GRAD_INPUT,
        params: GradInputParams::FIELDS,
        variants: all_flags(&GradInputEpilogue::FLAGS),
    }
}
