//! The 3 × 3 convolution of stride 1 by Winograd's minimal filtering F(4×4, 3×3), for software adapters: 36 products for a tile of
//! 16 pixels instead of 144, for transforms of the filters, the input and the output. The input's gradient is such a convolution, too: of
//! the output's gradient with the filters turned by half a turn, their channels changed over.
//!
//! The method and its matrices for the points 0, ±1, ±2 and ∞: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
//! arXiv:1509.09308.

use super::Conv2dShape;
use super::broadcast::{LANES, MAX_TILES, pixels_each};
use super::epilogue::{ForwardEpilogue, GradInputEpilogue, when};
use super::sizes::{Sizes, with};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{all_flags, elements, flags};
use crate::kernels::{Access, Call, Kernel, KernelError, narrow, params, shader};

const FILTER: Shader = shader!("conv", "conv2d_forward_winograd_filter");
const INPUT: Shader = shader!("conv", "conv2d_forward_winograd_input");
const PRODUCT: Shader = shader!("conv", "conv2d_forward_winograd_product");
const OUTPUT: Shader = shader!("conv", "conv2d_forward_winograd_output");

/// The side of a tile of the output.
const TILE: usize = 4;
/// Products of a tile: the 6 × 6 positions of a transformed window.
const POSITIONS: usize = 36;
/// Invocations a workgroup of the transforms.
const INVOCATIONS: usize = 64;
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

/// [`Conv2dForward`](super::Conv2dForward) or [`Conv2dGradInput`](super::Conv2dGradInput) of a 3 × 3 window and stride 1 in four
/// dispatches, rounded otherwise: transforms amplify roundings about tenfold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Winograd {
    /// Of the convolution that is made: an input's gradient is one of the output's.
    shape: Conv2dShape,
    behind: Behind,
    tiles: [usize; 2],
}

/// What follows the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Forward(ForwardEpilogue),
    /// Another gradient is added; then it passes where x is above 0.
    GradInput {
        add: bool,
        mask: bool,
    },
}

impl Winograd {
    /// The convolution, where these shaders can do it: 3 × 3, stride 1, no statistics, and sizes that they can count.
    pub fn forward(shape: Conv2dShape, epilogue: ForwardEpilogue) -> Option<Self> {
        let epilogue = Some(epilogue).filter(|epilogue| !epilogue.stats)?;
        Self::new(shape, Behind::Forward(epilogue))
    }

    /// The gradient with respect to the input of a convolution of this shape, where these shaders can do it: 3 × 3, stride 1, at most
    /// 2 zeros around the input, no column sums, and sizes that they can count.
    pub fn grad_input(shape: Conv2dShape, epilogue: GradInputEpilogue) -> Option<Self> {
        let GradInputEpilogue {
            add,
            mask,
            mask_map,
            reduce,
        } = epilogue;
        let [h, w] = shape.output()?;
        let [above, left] = shape.padding.map(|zeros| 2_usize.checked_sub(zeros));
        let turned = Conv2dShape {
            h,
            w,
            c: shape.k,
            k: shape.c,
            padding: [above?, left?],
            ..shape
        };
        let kernel = Self::new(turned, Behind::GradInput { add, mask })?;
        (!mask_map && !reduce).then_some(kernel)
    }

    fn new(shape: Conv2dShape, behind: Behind) -> Option<Self> {
        let [ho, wo] = shape.output()?;
        let fits = [shape.r, shape.s] == [3; 2] && shape.stride == [1; 2];
        let kernel = Self {
            shape,
            behind,
            tiles: [ho.div_ceil(TILE), wo.div_ceil(TILE)],
        };
        let sizes = Sizes::new(&shape, PRODUCT.name).ok().filter(|_| fits)?;
        let (c4, k4) = (sizes.c4(), sizes.k4());
        let invocations = kernel.tiles().checked_mul(2 * c4.max(k4))?;
        let layers = POSITIONS * k4.div_ceil(COLUMNS);
        (invocations <= MAX_INVOCATIONS && layers <= MAX_TILES).then_some(kernel)
    }

    /// Whether it is faster than one dispatch on software adapters, by a model of both: lanes' products
    /// of vectors, those of lanes without a pixel or a tile too, and the transforms in the same unit. The filters' is counted even
    /// where it runs but once, so that a network has the same bits in every plan. `benches/README.md` has the measurements.
    pub fn pays(&self) -> bool {
        let (c4, k4) = (self.shape.c.div_ceil(4), self.shape.k.div_ceil(4));
        let tiles = self.tiles();
        let pixels = self.shape.output().map_or(0, |[h, w]| self.shape.n * h * w);
        let direct = 9 * c4 * k4 * pixels.next_multiple_of(pixels_each(pixels));
        let (_, products) = each(tiles);
        let transforms = (180 * c4 + 155 * k4) * tiles + 480 * c4 * k4;
        let winograd = POSITIONS * c4 * k4 * products / 10 + transforms;
        // The model is within some 40 per cent of what was measured.
        10 * winograd <= 7 * direct
    }

    /// Tiles of all images.
    fn tiles(&self) -> usize {
        self.shape.n * self.tiles[0] * self.tiles[1]
    }

    /// Elements of what passes between the dispatches: the transformed filters `[6, 6, C, K]`, the transformed input
    /// `[6, 6, tiles, C]` and the products `[6, 6, tiles, K]`.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn scratch_lens(&self) -> Result<[usize; 3], KernelError> {
        let sizes = self.sizes()?;
        let (c, k, tiles) = (4 * sizes.c4(), 4 * sizes.k4(), self.tiles());
        let len = |rows, columns| elements(PRODUCT.name, &[POSITIONS, rows, columns]);
        Ok([len(c, k)?, len(tiles, c)?, len(tiles, k)?])
    }

    fn sizes(&self) -> Result<Sizes, KernelError> {
        Sizes::new(&self.shape, PRODUCT.name)
    }

    fn params(&self, sizes: &Sizes) -> Result<WinogradParams, KernelError> {
        let more = [
            self.tiles[0],
            self.tiles[1],
            self.tiles(),
            sizes.k4().div_ceil(COLUMNS),
        ];
        let mut words = [0; 6];
        let padding = self.shape.padding;
        for (word, value) in words.iter_mut().zip(padding.into_iter().chain(more)) {
            *word = narrow(PRODUCT.name, value)?;
        }
        Ok(with(&sizes.words[..7], &words))
    }

    /// The transform of the filters, which depends on nothing else. Binds `weight` of the forward pass and `u`, the first of
    /// [`scratch_lens`](Self::scratch_lens).
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn filter(&self) -> Result<Call, KernelError> {
        let sizes = self.sizes()?;
        let groups = (8 * sizes.c4() * sizes.k4()).div_ceil(INVOCATIONS);
        let turned = matches!(self.behind, Behind::GradInput { .. });
        let variant = flags(&[("TURNED", turned)]);
        let call = Call::new(FILTER, variant, &self.params(&sizes)?, groups as u64)?;
        let [len, ..] = self.scratch_lens()?;
        // Nine columns of filters, 14 operations for six of them.
        Ok(call
            .bind("weight", Access::Read, sizes.weight_len)
            .bind("u", Access::Write, len)
            .flops(14 * 9 * (len / POSITIONS) as u64))
    }

    /// The other three, one after the other. The first binds `x` and `v`, the second `v`, `u` and `m`, of
    /// [`scratch_lens`](Self::scratch_lens) in the order u, v, m; the third `m`, `y`, `bias` or, of a gradient with a mask, the forward pass's input, `affine`
    /// and `residual`, of a gradient the other that is added.
    ///
    /// # Errors
    /// [`KernelError::TooLarge`].
    pub fn calls(&self) -> Result<[Call; 3], KernelError> {
        let sizes = self.sizes()?;
        let (tiles, params) = (self.tiles(), self.params(&sizes)?);
        let [u, v, m] = self.scratch_lens()?;
        let transform = |shader, variant, vectors: usize| {
            let groups = (2 * tiles * vectors).div_ceil(INVOCATIONS);
            Call::new(shader, variant, &params, groups as u64)
        };
        // Twelve rows and columns of windows, 18 operations each.
        let input = transform(INPUT, Variant::new(), sizes.c4())?
            .bind_stored("x", Access::Read, sizes.x_len)
            .bind("v", Access::Write, v)
            .flops(18 * 12 * (v / POSITIONS) as u64);
        let (pixels_each, _) = each(tiles);
        let variant = Variant::new().set("EACH", pixels_each as i64);
        let groups = tiles.div_ceil(4 * LANES * pixels_each);
        let mut product = Call::new(PRODUCT, variant, &params, groups as u64)?;
        product.workgroups = [
            narrow(PRODUCT.name, groups)?,
            1,
            narrow(PRODUCT.name, POSITIONS * sizes.k4().div_ceil(COLUMNS))?,
        ];
        let product = product
            .bind("v", Access::Read, v)
            .bind("u", Access::Read, u)
            .bind("m", Access::Write, m)
            .flops(2 * (POSITIONS * tiles * self.shape.c * self.shape.k) as u64);
        let output = transform(OUTPUT, self.behind.variant(), sizes.k4())?;
        Ok([input, product, self.bind_output(output, &sizes, m)])
    }

    fn bind_output(&self, call: Call, sizes: &Sizes, m: usize) -> Call {
        let (len, width) = (sizes.y_len, 4 * sizes.k4());
        let call = call
            .bind("m", Access::Read, m)
            .bind_stored("y", Access::Write, len);
        let (call, affine, residual, more) = match self.behind {
            Behind::Forward(epilogue) => {
                let bias = when(epilogue.bias, width);
                let more = when(epilogue.bias, len) + when(epilogue.affine, 2 * len);
                let call = call.bind("bias", Access::Read, bias);
                (call, epilogue.affine, epilogue.residual, more)
            }
            Behind::GradInput { add, mask: true } => {
                (call.bind_stored("source", Access::Read, len), false, add, 0)
            }
            Behind::GradInput { add, mask: false } => {
                (call.bind("bias", Access::Read, 0), false, add, 0)
            }
        };
        // Ten columns and rows of products, 13 operations each.
        let more = 13 * 10 * (m / POSITIONS) + more + when(residual, len);
        call.bind("affine", Access::Read, when(affine, 2 * width))
            .bind_stored("residual", Access::Read, when(residual, len))
            .flops(more as u64)
    }
}

impl Behind {
    fn variant(self) -> Variant {
        match self {
            Self::Forward(epilogue) => epilogue.variant(),
            Self::GradInput { add, mask } => flags(&[("RESIDUAL", add), ("MASK", mask)]),
        }
    }

    /// Every variant of the shader that does it.
    fn variants() -> Vec<Variant> {
        let masked = [false, true].map(|add| Self::GradInput { add, mask: true }.variant());
        let mut variants = ForwardEpilogue::variants_without_stats();
        variants.extend(masked); // without a mask a gradient's are those of a forward pass
        variants
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
    let kernel = |shader, variants| Kernel {
        family: "conv",
        shader,
        params: <WinogradParams as crate::kernels::Params>::FIELDS,
        variants,
    };
    let each = [1, 2, 4].map(|each| Variant::new().set("EACH", each));
    [
        kernel(FILTER, all_flags(&["TURNED"])),
        kernel(INPUT, vec![Variant::new()]),
        kernel(PRODUCT, each.to_vec()),
        kernel(OUTPUT, Behind::variants()),
    ]
}
