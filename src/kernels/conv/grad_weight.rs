//! The gradient of a convolution with respect to the filters.

use super::epilogue::when;
use super::sizes::{SIDE, Sizes, with, with_points};
use super::{Conv2dShape, Input, SumGroups, Tile, broadcast};
use crate::gpu::{Precision, Shader, Variant};
use crate::kernels::check::{all_flags, elements, flags};
use crate::kernels::{Access, Call, Kernel, KernelError, Params, narrow, padded, params, shader};

const GRAD_WEIGHT: Shader = shader!("conv", "conv2d_grad_weight", "register_tile", "normalised");

/// Steps of a group of pixels from which on its sums, which are f32, cost little beside activations of f32; twice as many in f16.
const STEPS: usize = 64;
/// Workgroups from which on no more groups of pixels are made: each is a tile written and read again.
const ENOUGH: usize = 256;

params!(pub(super) GradWeightParams {
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
    group_pixels: u32,
    row_groups: u32,
    column_groups: u32,
    step_n: u32,
    step_h: u32,
    step_w: u32,
});

impl GradWeightParams {
    /// Of a shader that sums `step` pixels at a time.
    pub(super) fn of(
        sizes: &Sizes,
        step: usize,
        group_pixels: usize,
        groups: [usize; 2],
    ) -> Result<Self, KernelError> {
        let [ho, wo] = sizes.output;
        let place = [step / wo / ho, step / wo % ho, step % wo];
        let values = [sizes.pixels(), group_pixels];
        let values = values.into_iter().chain(groups).chain(place);
        let mut more = [0; 7];
        for (word, value) in more.iter_mut().zip(values) {
            *word = narrow(GRAD_WEIGHT.name, value)?;
        }
        Ok(with(&sizes.words, &more))
    }
}

/// `grad_weight` of a convolution, in two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGradWeight {
    /// The shape of the forward pass.
    pub shape: Conv2dShape,
    /// Whether `grad_y` is that behind a batch normalisation, whose own gradient is computed on load:
    /// `k1 · grad_y + k2 · z_y + k3`, z_y the forward pass's output.
    pub mapped: bool,
    /// What `x` holds.
    pub input: Input,
    /// How activations are stored: the bytes of sums weigh more beside those of f16.
    pub precision: Precision,
    /// Whether the device runs the kernels for [software](crate::gpu::Gpu::has_software_kernels) adapters; they have none that is
    /// `mapped`, as loads are what costs there.
    pub software: bool,
}

impl Conv2dGradWeight {
    /// The gradient of a plain convolution.
    pub fn new(shape: Conv2dShape, software: bool) -> Self {
        Self {
            shape,
            mapped: false,
            precision: Precision::F32,
            input: Input::Stored,
            software,
        }
    }

    /// The dispatches: the first binds `x`, `grad_y`, `partial`, and the base kernel `z_y` and `coefficients` `[3, K]`, not touched
    /// unless `mapped`, and `affine` `[2, C]`, not touched unless the [`Input`] is mapped; the second `partial`, `grad_weight`.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`](super::Conv2dForward::call).
    pub fn calls(&self) -> Result<[Call; 2], KernelError> {
        let sizes = Sizes::new(&self.shape, GRAD_WEIGHT.name)?;
        if self.software && !self.mapped && !self.input.is_mapped() {
            let parts = broadcast::parts(&self.shape);
            if let Some(call) = broadcast::grad_weight(&sizes, parts)? {
                return self.both(self.bind(call, &sizes, parts)?, &sizes, parts);
            }
        }
        self.tiled(&sizes, self.tile())
    }

    /// The dispatches with the base kernel in this tile, whatever the adapter.
    ///
    /// # Errors
    /// As [`Conv2dGradWeight::calls`].
    pub fn calls_in(&self, tile: Tile) -> Result<[Call; 2], KernelError> {
        self.tiled(&Sizes::new(&self.shape, GRAD_WEIGHT.name)?, tile)
    }

    fn tiled(&self, sizes: &Sizes, tile: Tile) -> Result<[Call; 2], KernelError> {
        let (parts, group_pixels) = self.parts(tile);
        self.bind_all(self.base(sizes, tile, group_pixels)?, sizes, parts)
    }

    /// The dispatches with the bindings of the shaders that map.
    pub(super) fn bind_all(
        &self,
        call: Call,
        sizes: &Sizes,
        parts: usize,
    ) -> Result<[Call; 2], KernelError> {
        let (z_len, rows) = (when(self.mapped, sizes.y_len), 12 * sizes.k4());
        let call = self.bind(call, sizes, parts)?;
        let map = when(self.input.is_mapped(), 2 * padded(self.shape.c));
        let call = call
            .bind_stored("z_y", Access::Read, z_len)
            .bind("coefficients", Access::Read, when(self.mapped, rows))
            .bind("affine", Access::Read, map);
        self.both(call, sizes, parts)
    }

    /// The call with the bindings that all shaders have.
    fn bind(&self, call: Call, sizes: &Sizes, parts: usize) -> Result<Call, KernelError> {
        let partial_len = elements(GRAD_WEIGHT.name, &[parts, sizes.weight_len])?;
        let mapped = when(self.input.is_mapped(), 2 * sizes.x_len);
        let more = (when(self.mapped, 4 * sizes.y_len) + mapped) as u64;
        Ok(call
            .bind_stored("x", Access::Read, sizes.x_len)
            .bind_stored("grad_y", Access::Read, sizes.y_len)
            .bind("partial", Access::Write, partial_len)
            .flops(self.shape.flops() + more))
    }

    fn both(&self, first: Call, sizes: &Sizes, parts: usize) -> Result<[Call; 2], KernelError> {
        let len = sizes.weight_len;
        Ok([first, SumGroups { len, parts }.call()?])
    }

    fn base(&self, sizes: &Sizes, tile: Tile, group_pixels: usize) -> Result<Call, KernelError> {
        let [rows, columns] = self.product();
        let groups = [rows.div_ceil(tile.rows()), columns.div_ceil(tile.columns())];
        let params = GradWeightParams::of(sizes, SIDE, group_pixels, groups)?;
        let mut variant = self.variant();
        if self.shape.is_point() {
            variant = variant.set("POINT", true);
        }
        let variant = tile.of(variant);
        let workgroups = sizes.pixels().div_ceil(group_pixels) * groups[0] * groups[1];
        Call::new(GRAD_WEIGHT, variant, &params, workgroups as u64)
    }

    /// What of the variant the factors make.
    pub(super) fn variant(&self) -> Variant {
        self.input.of(flags(&[("MAPPED", self.mapped)]))
    }

    /// Every variant of the factors.
    pub(super) fn all_variants() -> Vec<Variant> {
        Input::variants(all_flags(&["MAPPED"]), "MAPPED")
    }

    /// Rows and columns of the gradient as a matrix product.
    pub(super) fn product(&self) -> [usize; 2] {
        let Conv2dShape { c, k, r, s, .. } = self.shape;
        [r * s * padded(c), padded(k)]
    }

    /// Steps over the pixels of all images.
    fn steps(&self) -> usize {
        let [ho, wo] = self.shape.output().unwrap_or_default();
        (self.shape.n * ho * wo).div_ceil(SIDE)
    }

    fn tile(&self) -> Tile {
        let [rows, columns] = self.product();
        Tile::filling(rows, columns, 1)
    }

    /// How many groups the pixels are split into, and the pixels of each. From the shape alone: the order of the sum must not
    /// depend on the machine.
    fn parts(&self, tile: Tile) -> (usize, usize) {
        let [rows, columns] = self.product();
        let wanted = ENOUGH.div_ceil(tile.workgroups(rows, columns));
        let steps = self.steps();
        let least = match self.precision {
            Precision::F32 => STEPS,
            Precision::F16 => 2 * STEPS,
        };
        let each = steps.div_ceil(wanted).max(least);
        (steps.div_ceil(each), each * SIDE)
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        family: "conv",
        shader: GRAD_WEIGHT,
        params: GradWeightParams::FIELDS,
        variants: Tile::all(&with_points(&Conv2dGradWeight::all_variants())),
    }
}
