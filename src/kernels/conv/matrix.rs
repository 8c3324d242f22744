//! Convolutions and their gradients for devices with cooperative matrices, which multiply small matrices many times as fast as
//! lanes do.

use super::epilogue::{ForwardEpilogue, GradInputEpilogue};
use super::forward::{Conv2dForward, ForwardParams};
use super::grad_input::{Conv2dGradInput, GradInputParams};
use super::grad_weight::{Conv2dGradWeight, GradWeightParams};
use super::sizes::Sizes;
use super::{Conv2dShape, Pass};
use crate::gpu::{Matrices, Precision, Shader, Variant};
use crate::kernels::check::rule;
use crate::kernels::{Call, Kernel, KernelError, Params, shader};

const FORWARD: Shader = shader!(
    "conv",
    "conv2d_forward_matrix",
    "matrix_blocks",
    "normalised"
);
const GRAD_INPUT: Shader = shader!(
    "conv",
    "conv2d_grad_input_matrix",
    "stride_phases",
    "matrix_blocks"
);
const GRAD_WEIGHT: Shader = shader!(
    "conv",
    "conv2d_grad_weight_matrix",
    "matrix_blocks",
    "normalised"
);

/// Rows of the product a workgroup makes, and columns where it is wide; else half as many.
const SIDE: usize = 128;
/// Pixels of a group of the gradient's column sums.
const GROUP: usize = 64;
/// Fewer rows, columns or products of a sum leave most of a matrix blank.
const ENOUGH: usize = 32;
/// The largest side of an image: rows and columns are kept in 16 bits, with room for a window around them.
const MOST: usize = 1 << 15;
/// Workgroups of the filters' gradient from which on pixels are not split further: what a large GPU works on at a time.
const WORKGROUPS: usize = 128;
/// Steps over pixels from which on a group's sums cost little beside its products.
const STEPS: usize = 16;

/// Whether a workgroup is as wide as it is tall: not where that would leave half of its last columns blank.
fn wide(columns: usize) -> bool {
    columns.is_multiple_of(SIDE) || columns % SIDE > SIDE / 2
}

fn width(columns: usize) -> usize {
    if wide(columns) { SIDE } else { SIDE / 2 }
}

/// Elements of the inner dimension that are staged at a time.
fn step(large: bool) -> usize {
    if large { 64 } else { 16 }
}

fn variant(variant: Variant, large: bool, columns: usize, shape: &Conv2dShape) -> Variant {
    let constants = [
        ("WIDE", !wide(columns), false),
        ("POINT", shape.is_point(), true),
        ("LARGE", large, true),
    ];
    let set = constants.into_iter().filter(|(_, set, _)| *set);
    set.fold(variant, |variant, (name, _, value)| {
        variant.set(name, value)
    })
}

/// The call with filters of f16 where the matrices are large.
fn half_filters(mut call: Call, large: bool) -> Call {
    let filters = call.extents.iter_mut().find(|it| it.name == "weight");
    if let Some(extent) = filters.filter(|_| large) {
        extent.bytes /= 2;
    }
    call
}

/// Whether a side is one of the large matrices.
fn is_large(kernel: &'static str, precision: Precision, side: usize) -> Result<bool, KernelError> {
    let large = side == 16 && precision == Precision::F16;
    let allowed = "8, or 16 in f16";
    rule(kernel, "side", side, large || side == 8, allowed)?;
    Ok(large)
}

impl Conv2dShape {
    /// The side of the matrices that a pass of this convolution is made with, of activations in this precision; `None` where the
    /// device has none for it, or the convolution is too small for them.
    pub fn matrices(&self, pass: Pass, precision: Precision, matrices: Matrices) -> Option<usize> {
        let Self { c, k, r, s, .. } = *self;
        let fills = match pass {
            Pass::Forward | Pass::GradWeight => k.min(r * s * c) >= ENOUGH,
            Pass::GradInput => c.min(r * s * k) >= ENOUGH,
        };
        let mut sides = [self.h, self.w].into_iter().chain(self.padding);
        let fits = fills && sides.all(|side| side < MOST);
        matrices.side(precision).filter(|_| fits)
    }
}

impl Conv2dForward {
    /// The dispatch with cooperative matrices of this side, 8 or, in f16, 16, whatever the device. In f16 the weights are rounded
    /// to f16 as they are multiplied, or before for side 16, which binds [`HalfFilters`](super::HalfFilters)'; sums are f32 in
    /// any case.
    ///
    /// # Errors
    /// As [`Conv2dForward::call`], and [`KernelError::Argument`] for other sides.
    pub fn call_in_matrices(&self, precision: Precision, side: usize) -> Result<Call, KernelError> {
        let large = is_large(FORWARD.name, precision, side)?;
        let sizes = self.checked()?;
        let columns = 4 * sizes.k4();
        let tiles = [
            sizes.pixels().div_ceil(SIDE),
            columns.div_ceil(width(columns)),
        ];
        let params = ForwardParams::of(&sizes, step(large) / 4, tiles[1])?;
        let variant = variant(self.variant(), large, columns, &self.shape);
        let call = Call::new(FORWARD, variant, &params, (tiles[0] * tiles[1]) as u64)?;
        let call = self.bind_all(call, &sizes)?;
        Ok(half_filters(call, large).stored(precision))
    }
}

impl Conv2dGradInput {
    /// The dispatch with cooperative matrices, as [`Conv2dForward::call_in_matrices`]. In f16 a mapped gradient, too, is rounded
    /// to f16 as it is multiplied. `partials` has a group for every [`groups_in_matrices`](Self::groups_in_matrices).
    ///
    /// # Errors
    /// As [`Conv2dGradInput::call`], and [`KernelError::Argument`] for other sides.
    pub fn call_in_matrices(&self, precision: Precision, side: usize) -> Result<Call, KernelError> {
        let large = is_large(GRAD_INPUT.name, precision, side)?;
        let sizes = self.checked()?;
        let columns = 4 * sizes.c4();
        let column_groups = columns.div_ceil(width(columns));
        let blocks = self.pixels().div_ceil(SIDE);
        let params = GradInputParams::of(&sizes, self.phase(), column_groups, blocks)?;
        let variant = variant(self.variant(), large, columns, &self.shape);
        let workgroups = self.phases() * blocks * column_groups;
        let call = Call::new(GRAD_INPUT, variant, &params, workgroups as u64)?;
        let call = self.bind_all(call, &sizes, self.groups_in_matrices())?;
        Ok(half_filters(call, large).stored(precision))
    }

    /// Groups of the column sums where matrices are used.
    pub fn groups_in_matrices(&self) -> usize {
        self.phases() * self.pixels().div_ceil(SIDE) * (SIDE / GROUP)
    }
}

impl Conv2dGradWeight {
    /// The dispatches with cooperative matrices, as [`Conv2dForward::call_in_matrices`]. In f16 a mapped gradient, too, is
    /// rounded to f16 as it is multiplied.
    ///
    /// # Errors
    /// As [`Conv2dGradWeight::calls`], and [`KernelError::Argument`] for other sides.
    pub fn calls_in_matrices(
        &self,
        precision: Precision,
        side: usize,
    ) -> Result<[Call; 2], KernelError> {
        let large = is_large(GRAD_WEIGHT.name, precision, side)?;
        let sizes = Sizes::new(&self.shape, GRAD_WEIGHT.name)?;
        let [rows, columns] = self.product();
        let tiles = [rows.div_ceil(SIDE), columns.div_ceil(width(columns))];
        let (parts, group_pixels) = parts(sizes.pixels(), step(large), tiles[0] * tiles[1]);
        let params = GradWeightParams::of(&sizes, step(large), group_pixels, tiles)?;
        let variant = variant(self.variant(), large, columns, &self.shape);
        let workgroups = parts * tiles[0] * tiles[1];
        let call = Call::new(GRAD_WEIGHT, variant, &params, workgroups as u64)?;
        let [first, second] = self.bind_all(call, &sizes, parts)?;
        Ok([first.stored(precision), second])
    }
}

/// How many groups the pixels are split into, and the pixels of each. From the shape alone: the order of the sum must not depend
/// on the machine.
fn parts(pixels: usize, step: usize, tiles: usize) -> (usize, usize) {
    let steps = pixels.div_ceil(step);
    let each = steps.div_ceil((WORKGROUPS / tiles).max(1)).max(STEPS);
    (steps.div_ceil(each), each * step)
}

fn kernel(shader: Shader, params: &'static [&'static str], variants: &[Variant]) -> Kernel {
    let with = |variants: &[Variant], name: &'static str, value: bool| -> Vec<Variant> {
        let each = variants.iter().cloned();
        each.map(|variant| variant.set(name, value)).collect()
    };
    let narrow = [variants, &with(variants, "WIDE", false)].concat();
    let small = [&narrow[..], &with(&narrow, "POINT", true)].concat();
    // In f32 there is no large matrix, so these name their precision themselves.
    let large = with(&small, "LARGE", true).into_iter();
    let large = large.map(|variant| variant.stored(Precision::F16));
    Kernel {
        family: "conv",
        shader,
        params,
        variants: small.into_iter().chain(large).collect(),
    }
}

pub(super) fn kernels() -> [Kernel; 3] {
    [
        kernel(FORWARD, ForwardParams::FIELDS, &ForwardEpilogue::planned()),
        kernel(
            GRAD_INPUT,
            GradInputParams::FIELDS,
            &GradInputEpilogue::all_mapped(),
        ),
        kernel(
            GRAD_WEIGHT,
            GradWeightParams::FIELDS,
            &Conv2dGradWeight::all_variants(),
        ),
    ]
}
