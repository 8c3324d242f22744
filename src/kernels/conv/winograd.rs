//! The 3 × 3 convolution of stride 1 by Winograd's minimal filtering F(4×4, 3×3), for software adapters: 36 products for a tile of
//! 16 pixels instead of 144, for transforms of the filters, the input and the output. `winograd_grad` has its gradients.
//!
//! The method: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308. Its points here are 0, ±√½, ±√2 and
//! ∞: with 0, ±1, ±2 and ∞ roundings are twice as large (benches/README.md), at the same number of products.

use super::Conv2dShape;
use super::broadcast::{LANES, MAX_TILES, MORE_COLUMNS, columns, pixels_each};
use super::epilogue::{ForwardEpilogue, when};
use super::sizes::{Sizes, with};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{elements, flags};
use crate::kernels::{Access, Call, Kernel, KernelError, narrow, params, shader};

const FILTER: Shader = shader!(
    "conv",
    "conv2d_forward_winograd_filter",
    "word_pairs",
    "winograd_points"
);
const INPUT: Shader = shader!(
    "conv",
    "conv2d_forward_winograd_input",
    "word_pairs",
    "winograd_points",
    "winograd_tiles",
    "divide"
);
const PRODUCT: Shader = shader!("conv", "conv2d_forward_winograd_product", "word_quads");
const OUTPUT: Shader = shader!(
    "conv",
    "conv2d_forward_winograd_output",
    "word_pairs",
    "winograd_points",
    "winograd_tiles",
    "divide"
);

/// The side of a tile of the output.
const TILE: usize = 4;
/// Products of a tile: the 6 × 6 positions of a transformed window.
pub(super) const POSITIONS: usize = 36;
/// Invocations a workgroup of the transforms.
pub(super) const INVOCATIONS: usize = 64;
/// Invocations are divided as f32.
const MAX_INVOCATIONS: usize = 1 << 24;
/// `vec4`s of output channels of a product.
const COLUMNS: usize = 4;

params!(WinogradParams {
    n: u32,
    h: u32,
    w: u32,
    c4: u32,
    ho: u32,
    wo: u32,
    k4: u32,
    pad_h: u32,
    pad_w: u32,
    tiles_h: u32,
    tiles_w: u32,
    tiles: u32,
    column_groups: u32,
});

/// A 3 × 3 convolution of stride 1 in tiles of its output, which its passes have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiled {
    pub(super) shape: Conv2dShape,
    tiles: [usize; 2],
}

impl Tiled {
    /// The convolution, where these shaders can do it: 3 × 3, stride 1, and sizes that they can count.
    pub(super) fn new(shape: Conv2dShape) -> Option<Self> {
        let [ho, wo] = shape.output()?;
        let fits = [shape.r, shape.s] == [3; 2] && shape.stride == [1; 2];
        let tiled = Self {
            shape,
            tiles: [ho.div_ceil(TILE), wo.div_ceil(TILE)],
        };
        let sizes = Sizes::new(&shape, PRODUCT.name).ok().filter(|_| fits)?;
        let most = sizes.c4().max(sizes.k4());
        let invocations = tiled.count().checked_mul(2 * most)?;
        let layers = POSITIONS * most.div_ceil(COLUMNS);
        (invocations <= MAX_INVOCATIONS && layers <= MAX_TILES).then_some(tiled)
    }

    /// Tiles of all images.
    pub(super) fn count(&self) -> usize {
        self.shape.n * self.tiles[0] * self.tiles[1]
    }

    pub(super) fn sizes(&self) -> Result<Sizes, KernelError> {
        Sizes::new(&self.shape, PRODUCT.name)
    }

    /// Elements of a matrix for each position.
    pub(super) fn len(rows: usize, columns: usize) -> Result<usize, KernelError> {
        elements(PRODUCT.name, &[POSITIONS, rows, columns])
    }

    /// Elements of the transformed filters `[6, 6, C, K]`.
    pub(super) fn filter_len(&self) -> Result<usize, KernelError> {
        let sizes = self.sizes()?;
        Self::len(4 * sizes.c4(), 4 * sizes.k4())
    }

    /// Elements of what is of the tiles and of `vectors` of channels: `[6, 6, tiles, ..]`.
    pub(super) fn tile_len(&self, vectors: usize) -> Result<usize, KernelError> {
        Self::len(self.count(), 4 * vectors)
    }

    fn params(&self, sizes: &Sizes) -> Result<WinogradParams, KernelError> {
        let tiles = [self.tiles[0], self.tiles[1], self.count()];
        let more = self.shape.padding.into_iter().chain(tiles);
        let mut words = [0; 6];
        for (word, value) in words.iter_mut().zip(more) {
            *word = narrow(PRODUCT.name, value)?;
        }
        words[5] = narrow(PRODUCT.name, sizes.k4().div_ceil(COLUMNS))?;
        Ok(with(&sizes.words[..7], &words))
    }

    /// The transform of the filters: `weight`, `u`.
    pub(super) fn filter(&self) -> Result<Call, KernelError> {
        let sizes = self.sizes()?;
        let groups = (8 * sizes.c4() * sizes.k4()).div_ceil(INVOCATIONS);
        let len = self.filter_len()?;
        // Nine columns and rows of filters, 12 operations each.
        let call = Call::new(FILTER, Variant::new(), &self.params(&sizes)?, groups as u64)?;
        Ok(call
            .bind("weight", Access::Read, sizes.weight_len)
            .bind("u", Access::Write, len)
            .flops(12 * 9 * (len / POSITIONS) as u64))
    }

    /// A transform whose invocations do two channels of a tile, without its bindings.
    pub(super) fn transform(
        &self,
        shader: Shader,
        variant: Variant,
        vectors: usize,
    ) -> Result<Call, KernelError> {
        let groups = (2 * self.count() * vectors).div_ceil(INVOCATIONS);
        let params = self.params(&self.sizes()?)?;
        Call::new(shader, variant, &params, groups as u64)
    }

    /// The transform of the input: `x`, `v`.
    pub(super) fn input(&self) -> Result<Call, KernelError> {
        let sizes = self.sizes()?;
        let len = self.tile_len(sizes.c4())?;
        // Twelve rows and columns of windows, 20 operations each.
        Ok(self
            .transform(INPUT, Variant::new(), sizes.c4())?
            .bind_stored("x", Access::Read, sizes.x_len)
            .bind("v", Access::Write, len)
            .flops(20 * 12 * (len / POSITIONS) as u64))
    }

    /// The products with the filters: `v`, `u`, `m`, of the forward pass or, with the filters transposed, of the input's gradient.
    /// `wide`: with more columns at once, where they come out even.
    pub(super) fn product(&self, transposed: bool, wide: bool) -> Result<Call, KernelError> {
        let sizes = self.sizes()?;
        let mut params = self.params(&sizes)?;
        let (tiles, mut columns_each) = (self.count(), COLUMNS);
        let (pixels_each, _) = each(tiles);
        let variant = flags(&[("TRANSPOSED", transposed)]);
        let mut variant = variant.set("EACH", pixels_each as i64);
        if transposed {
            std::mem::swap(&mut params.c4, &mut params.k4);
        }
        if wide && params.k4.is_multiple_of(MORE_COLUMNS as u32) {
            columns_each = MORE_COLUMNS;
            variant = variant.set("COLUMNS", MORE_COLUMNS as i64);
        }
        let columns = params.k4 as usize;
        let column_groups = columns.div_ceil(columns_each);
        params.column_groups = narrow(PRODUCT.name, column_groups)?;
        let groups = tiles.div_ceil(4 * LANES * pixels_each);
        let mut call = Call::new(PRODUCT, variant, &params, groups as u64)?;
        call.workgroups = [
            narrow(PRODUCT.name, groups)?,
            1,
            narrow(PRODUCT.name, POSITIONS * column_groups)?,
        ];
        let Conv2dShape { c, k, .. } = self.shape;
        Ok(call
            .bind("v", Access::Read, self.tile_len(params.c4 as usize)?)
            .bind("u", Access::Read, self.filter_len()?)
            .bind("m", Access::Write, self.tile_len(columns)?)
            .flops(2 * (POSITIONS * tiles * c * k) as u64))
    }

    /// The lanes' products of vectors of one dispatch over this many pixels with `rows` and `columns` of vectors.
    pub(super) fn direct(pixels: usize, rows: usize, columns: usize) -> usize {
        9 * rows * columns * pixels.next_multiple_of(pixels_each(pixels))
    }

    /// Those of the products with the filters.
    pub(super) fn products(&self) -> usize {
        let (c4, k4) = self.vectors();
        let (_, products) = each(self.count());
        POSITIONS * c4 * k4 * products / 10
    }

    /// Vectors of input and of output channels.
    pub(super) fn vectors(&self) -> (usize, usize) {
        (self.shape.c.div_ceil(4), self.shape.k.div_ceil(4))
    }
}

/// [`Conv2dForward`](super::Conv2dForward) of a 3 × 3 window and stride 1 in four dispatches, rounded otherwise: transforms double
/// or treble roundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Winograd {
    tiled: Tiled,
    epilogue: ForwardEpilogue,
}

impl Winograd {
    /// The convolution, where these shaders can do it: 3 × 3, stride 1, no statistics, and sizes that they can count.
    pub fn forward(shape: Conv2dShape, epilogue: ForwardEpilogue) -> Option<Self> {
        let tiled = Tiled::new(shape).filter(|_| !epilogue.stats)?;
        Some(Self { tiled, epilogue })
    }

    /// Whether it is faster than one dispatch on software adapters, by a model of both: lanes' products
    /// of vectors, those of lanes without a pixel or a tile too, and the transforms in the same unit. The filters' is counted even
    /// where it runs but once, so that a network has the same bits in every plan. `benches/README.md` has the measurements.
    pub fn pays(&self) -> bool {
        let Conv2dShape { n, .. } = self.tiled.shape;
        let (c4, k4) = self.tiled.vectors();
        let pixels = self.tiled.shape.output().map_or(0, |[h, w]| n * h * w);
        let transforms = (180 * c4 + 155 * k4) * self.tiled.count() + 480 * c4 * k4;
        let winograd = self.tiled.products() + transforms;
        // The model is within some 40 per cent of what was measured.
        10 * winograd <= 7 * Tiled::direct(pixels, c4, k4)
    }

    /// Elements of what passes between the dispatches: the transformed filters `[6, 6, C, K]`, the transformed input
    /// `[6, 6, tiles, C]` and the products `[6, 6, tiles, K]`.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn scratch_lens(&self) -> Result<[usize; 3], KernelError> {
        let sizes = self.tiled.sizes()?;
        Ok([
            self.tiled.filter_len()?,
            self.tiled.tile_len(sizes.c4())?,
            self.tiled.tile_len(sizes.k4())?,
        ])
    }

    /// The transform of the filters, which depends on nothing else. Binds `weight` and `u`, the first of
    /// [`scratch_lens`](Self::scratch_lens).
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn filter(&self) -> Result<Call, KernelError> {
        self.tiled.filter()
    }

    /// The other three, one after the other. The first binds `x` and `v`, the second `v`, `u` and `m`, of
    /// [`scratch_lens`](Self::scratch_lens) in the order u, v, m; the third `m`, `y`, `bias`, `affine` and `residual`.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn calls(&self) -> Result<[Call; 3], KernelError> {
        // As `broadcast::forward`: an epilogue is that of inference, for which more columns compile too long.
        let wide = self.epilogue == ForwardEpilogue::default();
        let [input, product] = [self.tiled.input()?, self.tiled.product(false, wide)?];
        Ok([input, product, self.output()?])
    }

    fn output(&self) -> Result<Call, KernelError> {
        let sizes = self.tiled.sizes()?;
        let (len, width) = (sizes.y_len, 4 * sizes.k4());
        let m = self.tiled.tile_len(sizes.k4())?;
        let ForwardEpilogue {
            bias,
            affine,
            residual,
            ..
        } = self.epilogue;
        let more = when(bias, len) + when(affine, 2 * len) + when(residual, len);
        // Ten columns and rows of products, 16 operations each.
        let call = self
            .tiled
            .transform(OUTPUT, self.epilogue.variant(), sizes.k4())?;
        Ok(call
            .bind("m", Access::Read, m)
            .bind_stored("y", Access::Write, len)
            .bind("bias", Access::Read, when(bias, width))
            .bind("affine", Access::Read, when(affine, 2 * width))
            .bind_stored("residual", Access::Read, when(residual, len))
            .flops((16 * 10 * (m / POSITIONS) + more) as u64))
    }
}

/// Tiles a lane of the product, and ten times the lanes' tiles that this costs: more share the loads of the filters, but leave more
/// lanes without a tile.
fn each(tiles: usize) -> (usize, usize) {
    let cost = |(each, tenths)| (each, tiles.next_multiple_of(LANES * each) * tenths);
    let mut costs = [(4, 10), (2, 11), (1, 14)].map(cost);
    costs.sort_by_key(|(_, cost)| *cost); // stable: of equals the first
    costs[0]
}

pub(super) fn kernels() -> [Kernel; 4] {
    let products =
        |transposed| [1, 2, 4].map(|each| flags(&[("TRANSPOSED", transposed)]).set("EACH", each));
    let products = [columns(&products(false)), columns(&products(true))];
    [
        kernel(FILTER, vec![Variant::new()]),
        kernel(INPUT, vec![Variant::new()]),
        kernel(PRODUCT, products.concat()),
        kernel(OUTPUT, ForwardEpilogue::variants_without_stats()),
    ]
}

/// A kernel with the parameters that all but the filters' gradient share.
pub(super) fn kernel(shader: Shader, variants: Vec<Variant>) -> Kernel {
    Kernel {
        family: "conv",
        shader,
        params: <WinogradParams as crate::kernels::Params>::FIELDS,
        variants,
    }
}
