//! The gradient of a convolution with respect to its input, and what follows it in a backward pass.

use super::epilogue::{GradInputEpilogue, when};
use super::sizes::{Sizes, with};
use super::{Conv2dShape, broadcast};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{elements, rule};
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
/// [`groups`](Self::groups) of Σ grad_x and Σ grad_x ẑ each, ẑ the normalised z. What is not asked for is not touched: bind
/// anything. Where it is `mapped`, `z_y` and `coefficients` `[3, K]` take the places of `other` and `x`; with `mask_map` the statistics
/// are followed, at the next multiple of 64 elements, by scale and shift `[2, C]`. The shader for software adapters has nothing
/// behind `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGradInput {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
    /// What is done to the gradient.
    pub epilogue: GradInputEpilogue,
    /// Whether `grad_y` is that behind a batch normalisation, whose own gradient is computed on load:
    /// `k1 · grad_y + k2 · z_y + k3`, z_y the forward pass's output. Not with `add` or `mask`, for want of bindings.
    pub mapped: bool,
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
            mapped: false,
            software,
        }
    }

    /// The dispatch.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`](super::Conv2dForward::call).
    pub fn call(&self) -> Result<Call, KernelError> {
        let sizes = Sizes::new(&self.shape, GRAD_INPUT.name)?;
        let GradInputEpilogue {
            add,
            mask,
            mask_map,
            reduce,
        } = self.epilogue;
        let named = usize::from(mask_map);
        let holds = self.epilogue.holds();
        rule(
            GRAD_INPUT.name,
            "mask_map",
            named,
            holds,
            "0 without `reduce` and with `mask`",
        )?;
        let named = usize::from(self.mapped);
        let free = !self.mapped || (!add && !mask);
        rule(
            GRAD_INPUT.name,
            "mapped",
            named,
            free,
            "0 with `add` or `mask`",
        )?;
        if self.software
            && !reduce
            && !self.mapped
            && let Some(call) = broadcast::grad_input(&sizes, self.epilogue.variant())?
        {
            return Ok(self.bind(call, &sizes));
        }
        let width = 4 * sizes.c4();
        let partials = elements(GRAD_INPUT.name, &[self.groups()?, 2, width])?;
        let access = if reduce { Access::Write } else { Access::Read };
        // Statistics, and at the next multiple of 64 elements the map.
        let vectors = match mask_map {
            true => (2 * width).next_multiple_of(64) + 2 * width,
            false => 2 * width,
        };
        let call = self.base(&sizes)?;
        let call = match self.mapped {
            true => self
                .begin(call, &sizes)
                .bind_stored("z_y", Access::Read, sizes.y_len)
                .bind("coefficients", Access::Read, 12 * sizes.k4()),
            false => self.bind(call, &sizes),
        };
        Ok(call
            .bind_stored("z", Access::Read, when(reduce, sizes.x_len))
            .bind("statistics", Access::Read, when(reduce, vectors))
            .bind("partials", access, when(reduce, partials)))
    }

    /// The call with the bindings that all shaders have.
    fn begin(&self, call: Call, sizes: &Sizes) -> Call {
        let GradInputEpilogue { add, reduce, .. } = self.epilogue;
        let len = sizes.x_len;
        // An addition; a subtraction, a product and two sums; two products and two sums.
        let more = when(add, len) + when(reduce, 5 * len) + when(self.mapped, 4 * sizes.y_len);
        call.bind_stored("grad_y", Access::Read, sizes.y_len)
            .bind("weight", Access::Read, sizes.weight_len)
            .bind_stored("grad_x", Access::Write, len)
            .flops(self.shape.flops() + more as u64)
    }

    /// And with those that the base shader and the one for software adapters have.
    fn bind(&self, call: Call, sizes: &Sizes) -> Call {
        let GradInputEpilogue { add, mask, .. } = self.epilogue;
        self.begin(call, sizes)
            .bind_stored("other", Access::Read, when(add, sizes.x_len))
            .bind_stored("x", Access::Read, when(mask, sizes.x_len))
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
        let variant = mapped(self.epilogue.variant(), self.mapped);
        Call::new(GRAD_INPUT, variant, &params, workgroups)
    }
}

fn mapped(variant: Variant, mapped: bool) -> Variant {
    if mapped {
        variant.set("MAPPED", true)
    } else {
        variant
    }
}

pub(super) fn kernel() -> Kernel {
    let all = GradInputEpilogue::all();
    let plain = all.iter().map(|epilogue| epilogue.variant());
    let free = all
        .iter()
        .filter(|epilogue| !epilogue.add && !epilogue.mask);
    let variants = plain.chain(free.map(|epilogue| mapped(epilogue.variant(), true)));
    Kernel {
        family: "conv",
        shader: GRAD_INPUT,
        params: GradInputParams::FIELDS,
        variants: variants.collect(),
    }
}
