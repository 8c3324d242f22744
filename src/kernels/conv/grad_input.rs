//! The gradient of a convolution with respect to its input, and what follows it in a backward pass.

use super::epilogue::{GradInputEpilogue, when};
use super::sizes::{Sizes, with};
use super::{Conv2dShape, Product, Tile, broadcast};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{elements, rule};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, padded, params, shader};

const GRAD_INPUT: Shader = shader!("conv", "conv2d_grad_input", "stride_phases");

params!(pub(super) GradInputParams {
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
    phase_h: u32,
    phase_w: u32,
    column_groups: u32,
    blocks: u32,
});

impl GradInputParams {
    /// With the sides of a phase of the stride, and the tiles of its pixels.
    pub(super) fn of(
        sizes: &Sizes,
        [h, w]: [usize; 2],
        column_groups: usize,
        blocks: usize,
    ) -> Result<Self, KernelError> {
        let mut more = [0; 4];
        for (word, value) in more.iter_mut().zip([h, w, column_groups, blocks]) {
            *word = narrow(GRAD_INPUT.name, value)?;
        }
        Ok(with(&sizes.words, &more))
    }
}

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
    /// How the product is made.
    pub product: Product,
}

impl Conv2dGradInput {
    /// The gradient alone.
    pub fn new(shape: Conv2dShape, software: bool) -> Self {
        Self {
            shape,
            epilogue: GradInputEpilogue::default(),
            mapped: false,
            software,
            product: Product::Own,
        }
    }

    /// The dispatch.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`](super::Conv2dForward::call).
    pub fn call(&self) -> Result<Call, KernelError> {
        if let Product::Matrices(precision, side) = self.product {
            return self.call_in_matrices(precision, side);
        }
        let sizes = self.checked()?;
        if self.software
            && !self.epilogue.reduce
            && !self.mapped
            && let Some(call) = broadcast::grad_input(&sizes, self.epilogue.variant())?
        {
            return Ok(self.bind(call, &sizes));
        }
        self.tiled(&sizes, self.tile())
    }

    pub(super) fn checked(&self) -> Result<Sizes, KernelError> {
        let name = GRAD_INPUT.name;
        let GradInputEpilogue { add, mask, .. } = self.epilogue;
        let named = usize::from(self.epilogue.mask_map);
        let allowed = "0 without `reduce` and with `mask`";
        rule(name, "mask_map", named, self.epilogue.holds(), allowed)?;
        let free = !self.mapped || (!add && !mask);
        let named = usize::from(self.mapped);
        rule(name, "mapped", named, free, "0 with `add` or `mask`")?;
        Sizes::new(&self.shape, name)
    }

    /// The dispatch of the base kernel in this tile, whatever the adapter; `partials` has a group for each tile.
    ///
    /// # Errors
    /// As [`Conv2dGradInput::call`].
    pub fn call_in(&self, tile: Tile) -> Result<Call, KernelError> {
        self.tiled(&self.checked()?, tile)
    }

    fn tiled(&self, sizes: &Sizes, tile: Tile) -> Result<Call, KernelError> {
        self.bind_all(self.base(sizes, tile)?, sizes, self.groups_in(tile))
    }

    /// The call with the bindings of the shaders that know column sums.
    pub(super) fn bind_all(
        &self,
        call: Call,
        sizes: &Sizes,
        groups: usize,
    ) -> Result<Call, KernelError> {
        let GradInputEpilogue {
            mask_map, reduce, ..
        } = self.epilogue;
        let width = 4 * sizes.c4();
        let partials = elements(GRAD_INPUT.name, &[groups, 2, width])?;
        let access = if reduce { Access::Write } else { Access::Read };
        // Statistics, and at the next multiple of 64 elements the map.
        let vectors = match mask_map {
            true => (2 * width).next_multiple_of(64) + 2 * width,
            false => 2 * width,
        };
        let call = match self.mapped {
            true => self
                .begin(call, sizes)
                .bind_stored("z_y", Access::Read, sizes.y_len)
                .bind("coefficients", Access::Read, 12 * sizes.k4()),
            false => self.bind(call, sizes),
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
        Ok(match self.product {
            Product::Matrices(..) => self.groups_in_matrices(),
            Product::Own | Product::Tile(_) => self.groups_in(self.tile()),
        })
    }

    /// Groups in this tile.
    pub fn groups_in(&self, tile: Tile) -> usize {
        self.phases() * self.pixels().div_ceil(tile.rows())
    }

    /// Each phase of the stride has tiles of its own.
    fn tile(&self) -> Tile {
        match self.product {
            Product::Tile(tile) => tile,
            _ => Tile::new(self.pixels(), padded(self.shape.c)),
        }
    }

    /// Phases of the stride.
    pub(super) fn phases(&self) -> usize {
        self.shape.stride[0] * self.shape.stride[1]
    }

    /// The sides of a phase of the stride, the largest one's.
    pub(super) fn phase(&self) -> [usize; 2] {
        let Conv2dShape { h, w, stride, .. } = self.shape;
        [h.div_ceil(stride[0]), w.div_ceil(stride[1])]
    }

    /// Pixels of a phase.
    pub(super) fn pixels(&self) -> usize {
        let [h, w] = self.phase();
        self.shape.n * h * w
    }

    fn base(&self, sizes: &Sizes, tile: Tile) -> Result<Call, KernelError> {
        let column_groups = (4 * sizes.c4()).div_ceil(tile.columns());
        let blocks = self.pixels().div_ceil(tile.rows());
        let params = GradInputParams::of(sizes, self.phase(), column_groups, blocks)?;
        let workgroups = self.groups_in(tile) * column_groups;
        let variant = tile.of(self.variant());
        Call::new(GRAD_INPUT, variant, &params, workgroups as u64)
    }

    pub(super) fn variant(&self) -> Variant {
        self.epilogue.mapped(self.mapped)
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "conv",
        shader: GRAD_INPUT,
        params: GradInputParams::FIELDS,
        variants: Tile::all(&GradInputEpilogue::all_mapped()),
    }
}
