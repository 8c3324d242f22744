//! The gradients of a 3 × 3 convolution of stride 1 by Winograd's method: those of its sums and its transforms, turned around.
//!
//! With Y = At (U ⊙ V) A, U = G g Gt and V = Bt d B of a tile, and W = A (grad Y) At, the gradient of d is B (U ⊙ W) Bt, of which
//! neighbouring tiles add up where their windows overlap, and that of g is Gt (V ⊙ W) G. Both take W; U and V are the forward pass's.

use super::Conv2dShape;
use super::broadcast::{LANES, MAX_TILES};
use super::epilogue::{GradInputEpilogue, when};
use super::winograd::{INVOCATIONS, POSITIONS, Tiled, kernel};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{all_flags, elements, flags};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, params, shader};

const GRAD_Y: Shader = shader!(
    "conv",
    "conv2d_grad_weight_winograd_grad_y",
    "word_pairs",
    "winograd_points",
    "winograd_tiles",
    "divide"
);
const PRODUCT: Shader = shader!("conv", "conv2d_grad_weight_winograd_product", "word_quads");
const FILTER: Shader = shader!(
    "conv",
    "conv2d_grad_weight_winograd_filter",
    "word_pairs",
    "winograd_points"
);
const OUTPUT: Shader = shader!(
    "conv",
    "conv2d_grad_input_winograd_output",
    "word_pairs",
    "winograd_points",
    "winograd_tiles",
    "divide"
);

/// `vec4`s of input channels a subgroup of the filters' gradient; twice as many in its variant WIDE.
const SOURCES: usize = 4;
/// Subgroups of the filters' gradient from which on tiles are not split into more groups: enough for the threads of a large CPU.
const ENOUGH: usize = 512;
/// Tiles of a group at least, of several: each writes its sums.
const GROUP_TILES: usize = 64;

params!(ProductParams {
    c4: u32,
    k4: u32,
    tiles: u32,
    group_tiles: u32,
    blocks: u32,
    column_groups: u32,
});

params!(FilterParams {
    pairs: u32,
    parts: u32,
});

/// The transform of the output's gradient, which both gradients take: `grad_y`, `w`.
fn grad_y(tiled: &Tiled) -> Result<Call, KernelError> {
    let sizes = tiled.sizes()?;
    let len = tiled.tile_len(sizes.k4())?;
    // Ten rows and columns of tiles, 14 operations each.
    Ok(tiled
        .transform(GRAD_Y, Variant::new(), sizes.k4())?
        .bind_stored("grad_y", Access::Read, sizes.y_len)
        .bind("w", Access::Write, len)
        .flops(14 * 10 * (len / POSITIONS) as u64))
}

/// [`Conv2dGradInput`](super::Conv2dGradInput) of a 3 × 3 window and stride 1 in four dispatches, rounded otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WinogradGradInput {
    tiled: Tiled,
    epilogue: GradInputEpilogue,
}

impl WinogradGradInput {
    /// The gradient with respect to the input of a convolution of this shape, where these shaders can do it: 3 × 3, stride 1, at least
    /// one zero around the input, no column sums, and sizes that they can count.
    pub fn new(shape: Conv2dShape, epilogue: GradInputEpilogue) -> Option<Self> {
        let fits = shape.padding.iter().all(|&zeros| zeros > 0);
        let tiled = Tiled::new(shape).filter(|_| fits)?;
        (!epilogue.mask_map && !epilogue.reduce).then_some(Self { tiled, epilogue })
    }

    /// Whether it is faster than one dispatch on software adapters; see [`Winograd::pays`](super::Winograd::pays).
    pub fn pays(&self) -> bool {
        let Conv2dShape { n, h, w, .. } = self.tiled.shape;
        let (c4, k4) = self.tiled.vectors();
        let transforms = (220 * c4 + 130 * k4) * self.tiled.count() + 480 * c4 * k4;
        let winograd = self.tiled.products() + transforms;
        10 * winograd <= 7 * Tiled::direct(n * h * w, k4, c4)
    }

    /// Elements of what passes between the dispatches: the transformed filters `[6, 6, C, K]`, the transformed gradient of the output
    /// `[6, 6, tiles, K]` and the products `[6, 6, tiles, C]`.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn scratch_lens(&self) -> Result<[usize; 3], KernelError> {
        let sizes = self.tiled.sizes()?;
        Ok([
            self.tiled.filter_len()?,
            self.tiled.tile_len(sizes.k4())?,
            self.tiled.tile_len(sizes.c4())?,
        ])
    }

    /// The transform of the filters, that of the forward pass. Binds `weight` and `u`, the first of
    /// [`scratch_lens`](Self::scratch_lens).
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn filter(&self) -> Result<Call, KernelError> {
        self.tiled.filter()
    }

    /// The other three, one after the other. The first binds `grad_y` and `w`, the second `w`, `u` and `m`, of
    /// [`scratch_lens`](Self::scratch_lens) in the order u, w, m; the third `m`, `grad_x`, `other`, the gradient to add, and `x`.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn calls(&self) -> Result<[Call; 3], KernelError> {
        let product = self.tiled.product(true, true)?;
        Ok([grad_y(&self.tiled)?, product, self.output()?])
    }

    fn output(&self) -> Result<Call, KernelError> {
        let sizes = self.tiled.sizes()?;
        let (len, m) = (sizes.x_len, self.tiled.tile_len(sizes.c4())?);
        let GradInputEpilogue { add, mask, .. } = self.epilogue;
        let call = self
            .tiled
            .transform(OUTPUT, self.epilogue.variant(), sizes.c4())?;
        // Twelve columns and rows of products, 22 operations each.
        Ok(call
            .bind("m", Access::Read, m)
            .bind_stored("grad_x", Access::Write, len)
            .bind_stored("other", Access::Read, when(add, len))
            .bind_stored("x", Access::Read, when(mask, len))
            .flops((22 * 12 * (m / POSITIONS) + when(add, len)) as u64))
    }
}

/// [`Conv2dGradWeight`](super::Conv2dGradWeight) of a 3 × 3 window and stride 1 in four dispatches, rounded otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WinogradGradWeight {
    tiled: Tiled,
}

impl WinogradGradWeight {
    /// The gradient with respect to the filters of a convolution of this shape, where these shaders can do it: 3 × 3, stride 1, and
    /// sizes that they can count.
    pub fn new(shape: Conv2dShape) -> Option<Self> {
        let kernel = Self {
            tiled: Tiled::new(shape)?,
        };
        let layers = POSITIONS * kernel.subgroups();
        (layers <= MAX_TILES).then_some(kernel)
    }

    /// Whether it is faster than the one dispatch, or two, on software adapters; see [`Winograd::pays`](super::Winograd::pays). Lanes
    /// are vectors of output channels here, and some may have none.
    pub fn pays(&self) -> bool {
        let Conv2dShape { n, .. } = self.tiled.shape;
        let (c4, k4) = self.tiled.vectors();
        let pixels = self.tiled.shape.output().map_or(0, |[h, w]| n * h * w);
        let lanes = k4.next_multiple_of(LANES);
        let products = c4 * lanes * self.tiled.count().next_multiple_of(LANES);
        let transforms = (180 * c4 + 130 * k4) * self.tiled.count();
        let sums = 860 * c4 * k4 * self.parts().0;
        10 * (POSITIONS * products + transforms + sums) <= 7 * (9 * c4 * lanes * pixels)
    }

    /// Blocks of input channels by columns of output channels, a subgroup each.
    fn subgroups(&self) -> usize {
        let (c4, k4) = self.tiled.vectors();
        c4.div_ceil(self.sources()) * k4.div_ceil(LANES)
    }

    /// Twice as many channels share the loads of w, unless most of the last ones were beyond the end.
    fn sources(&self) -> usize {
        let (c4, _) = self.tiled.vectors();
        let wide = c4.is_multiple_of(2 * SOURCES) || c4 >= 6 * SOURCES;
        if wide { 2 * SOURCES } else { SOURCES }
    }

    /// Groups of tiles, and the tiles of each. From the shape alone: the order of the sum must not depend on the machine.
    fn parts(&self) -> (usize, usize) {
        let tiles = self.tiled.count();
        let wanted = ENOUGH.div_ceil(POSITIONS * self.subgroups());
        let each = tiles.div_ceil(wanted).max(GROUP_TILES);
        let each = each.next_multiple_of(LANES);
        (tiles.div_ceil(each), each)
    }

    /// Elements of what passes between the dispatches: the transformed input `[6, 6, tiles, C]`, the transformed gradient of the
    /// output `[6, 6, tiles, K]` and the products `[groups, 6, 6, C, K]`.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn scratch_lens(&self) -> Result<[usize; 3], KernelError> {
        let sizes = self.tiled.sizes()?;
        let products = [self.parts().0, self.tiled.filter_len()?];
        Ok([
            self.tiled.tile_len(sizes.c4())?,
            self.tiled.tile_len(sizes.k4())?,
            elements(PRODUCT.name, &products)?,
        ])
    }

    /// The dispatches, one after the other. The first binds `x` and `v`, the second `grad_y` and `w`, the third `v`, `w` and `partial`,
    /// of [`scratch_lens`](Self::scratch_lens) in this order; the fourth `partial` and `grad_weight`.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn calls(&self) -> Result<[Call; 4], KernelError> {
        let [input, grad_y] = [self.tiled.input()?, grad_y(&self.tiled)?];
        Ok([input, grad_y, self.product()?, self.filter()?])
    }

    fn product(&self) -> Result<Call, KernelError> {
        let sizes = self.tiled.sizes()?;
        let (parts, group_tiles) = self.parts();
        let blocks = sizes.c4().div_ceil(self.sources());
        let column_groups = sizes.k4().div_ceil(LANES);
        let word = |value| narrow(PRODUCT.name, value);
        let params = ProductParams {
            c4: word(sizes.c4())?,
            k4: word(sizes.k4())?,
            tiles: word(self.tiled.count())?,
            group_tiles: word(group_tiles)?,
            blocks: word(blocks)?,
            column_groups: word(column_groups)?,
        };
        let variant = flags(&[("WIDE", self.sources() > SOURCES)]);
        let mut call = Call::new(PRODUCT, variant, &params, parts as u64)?;
        call.workgroups = [word(parts)?, 1, word(POSITIONS * blocks * column_groups)?];
        let Conv2dShape { c, k, .. } = self.tiled.shape;
        let [v, w, partial] = self.scratch_lens()?;
        Ok(call
            .bind("v", Access::Read, v)
            .bind("w", Access::Read, w)
            .bind("partial", Access::Write, partial)
            .flops(2 * (POSITIONS * self.tiled.count() * c * k) as u64))
    }

    fn filter(&self) -> Result<Call, KernelError> {
        let len = self.tiled.sizes()?.weight_len;
        let (pairs, parts) = (len / 18, self.parts().0);
        let params = FilterParams {
            pairs: narrow(FILTER.name, pairs)?,
            parts: narrow(FILTER.name, parts)?,
        };
        let groups = pairs.div_ceil(INVOCATIONS);
        let call = Call::new(FILTER, Variant::new(), &params, groups as u64)?;
        let [_, _, partial] = self.scratch_lens()?;
        // Nine columns and rows of products, 15 operations each, and a sum over groups.
        Ok(call
            .bind("partial", Access::Read, partial)
            .bind("grad_weight", Access::Write, len)
            .flops((parts * (15 * len + len)) as u64))
    }
}

pub(super) fn kernels() -> [Kernel; 4] {
    let own = |shader, params, variants| Kernel {
        family: "conv",
        shader,
        params,
        variants,
    };
    [
        kernel(GRAD_Y, vec![Variant::new()]),
        own(PRODUCT, ProductParams::FIELDS, all_flags(&["WIDE"])),
        own(FILTER, FilterParams::FIELDS, vec![Variant::new()]),
        kernel(OUTPUT, GradInputEpilogue::variants_without_sums()),
    ]
}
