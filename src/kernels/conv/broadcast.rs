//! The convolution for software adapters: a load costs them more than arithmetic, so the 8 lanes of a subgroup load the
//! weights between them and pass them around. Same problem, same bindings as in the base kernels.

use super::Conv2dShape;
use super::epilogue::{ForwardEpilogue, GradInputEpilogue};
use super::sizes::{Sizes, with};
use crate::gpu::{Shader, Variant};
use crate::kernels::check::{all_flags, flags};
use crate::kernels::{Call, Kernel, KernelError, Params, narrow, padded, params, shader};

const FORWARD: Shader = shader!("conv", "conv2d_forward_broadcast", "word_quads", "divide");
const GRAD_INPUT: Shader = shader!(
    "conv",
    "conv2d_grad_input_broadcast",
    "word_quads",
    "divide"
);
const GRAD_WEIGHT: Shader = shader!(
    "conv",
    "conv2d_grad_weight_broadcast",
    "word_quads",
    "divide"
);

/// Lanes of a subgroup; other sizes have no use for these shaders.
pub(super) const LANES: usize = 8;
/// `vec4`s of output channels that a lane sums for a pixel, and of rows of the weight's gradient.
const COLUMNS: usize = 4;
/// As many `vec4`s of columns in variants that need fewer loads.
pub(super) const MORE_COLUMNS: usize = 16;
/// Workgroups that no variant may go below for the sake of fewer loads.
const THREADS: usize = 16;
/// Pixels a workgroup: 4 subgroups of 8 lanes of 2, unless a variant has 4 of them.
const PIXELS: usize = 64;
/// Pixels are divided as f32.
const MAX_PIXELS: usize = 1 << 24;
/// WebGPU's default for workgroups a dimension.
pub(super) const MAX_TILES: usize = 65535;

params!(ForwardParams {
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
});

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
    phase_h: u32,
    phase_w: u32,
    pixels: u32,
});

params!(GradWeightParams {
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
    column_groups: u32,
});

/// A call over `groups` × `tiles` workgroups without its bindings; `None` for what these shaders cannot count.
fn call(
    shader: Shader,
    variant: Variant,
    params: &impl Params,
    groups: usize,
    tiles: usize,
) -> Result<Option<Call>, KernelError> {
    if tiles > MAX_TILES {
        return Ok(None);
    }
    let mut call = Call::new(shader, variant, params, groups as u64)?;
    call.workgroups[2] = narrow(shader.name, tiles)?;
    Ok(Some(call))
}

/// Twice as many pixels a lane share the loads of the weights, unless that left more lanes without a pixel. The variant, and the
/// pixels a workgroup.
fn each(variant: Variant, pixels: usize) -> (Variant, usize) {
    if pixels_each(pixels) == 4 * LANES {
        (variant.set("EACH", 4), 2 * PIXELS)
    } else {
        (variant, PIXELS)
    }
}

/// The pixels of a subgroup, of so many in all.
pub(super) fn pixels_each(pixels: usize) -> usize {
    let subgroup = 2 * LANES;
    let covered = |pixels_each: usize| pixels.next_multiple_of(pixels_each);
    if pixels > 8 * subgroup || covered(2 * subgroup) == covered(subgroup) {
        2 * subgroup
    } else {
        subgroup
    }
}

pub(super) fn forward(sizes: &Sizes, variant: Variant) -> Result<Option<Call>, KernelError> {
    let pixels = sizes.pixels();
    if pixels > MAX_PIXELS {
        return Ok(None);
    }
    let params: ForwardParams = with(&sizes.words, &[narrow(FORWARD.name, pixels)?]);
    // An epilogue is that of inference, which starts often: each of its variants with more columns would compile for seconds then.
    let wide = variant == ForwardEpilogue::default().variant();
    let (variant, pixels_each) = each(variant, pixels);
    let groups = pixels.div_ceil(pixels_each);
    let (variant, tiles) = tiles(variant, sizes.k4(), |tiles| {
        wide && groups.saturating_mul(tiles) >= THREADS
    });
    call(FORWARD, variant, &params, groups, tiles)
}

/// Tiles of this many vectors of columns: more columns a tile share the loads of the pixels, where they come out even and leave
/// workgroups enough for the threads of a CPU.
fn tiles(variant: Variant, columns: usize, enough: impl Fn(usize) -> bool) -> (Variant, usize) {
    let more = columns / MORE_COLUMNS;
    if columns.is_multiple_of(MORE_COLUMNS) && enough(more) {
        return (variant.set("COLUMNS", MORE_COLUMNS as i64), more);
    }
    (variant, columns.div_ceil(COLUMNS))
}

pub(super) fn grad_input(sizes: &Sizes, variant: Variant) -> Result<Option<Call>, KernelError> {
    let shape = &sizes.shape;
    let [stride_h, stride_w] = shape.stride;
    let phase = [shape.h.div_ceil(stride_h), shape.w.div_ceil(stride_w)];
    let pixels = shape.n * phase[0] * phase[1];
    let Some(phases) = stride_h.checked_mul(stride_w) else {
        return Ok(None);
    };
    // Paddings are divided, too.
    let positions = [shape.padding[0] + stride_h, shape.padding[1] + stride_w];
    if pixels > MAX_PIXELS || positions.iter().any(|&at| at > MAX_PIXELS) {
        return Ok(None);
    }
    let mut more = [0; 3];
    for (word, value) in more.iter_mut().zip([phase[0], phase[1], pixels]) {
        *word = narrow(GRAD_INPUT.name, value)?;
    }
    let params: GradInputParams = with(&sizes.words, &more);
    let (variant, pixels_each) = each(variant, pixels);
    let groups = pixels.div_ceil(pixels_each);
    let enough = |tiles: usize| groups.saturating_mul(tiles * phases) >= THREADS;
    let (variant, tiles) = tiles(variant, sizes.c4(), enough);
    call(
        GRAD_INPUT,
        variant,
        &params,
        groups,
        tiles.saturating_mul(phases),
    )
}

/// `vec4`s of (r, s, c) a subgroup of the filters' gradient; twice as many in its variant WIDE.
const SOURCES: usize = 4;

/// Groups of pixels of the filters' gradient: enough for the threads of a large CPU. From the shape alone: the order of the
/// sum must not depend on the machine.
pub(super) fn parts(shape: &Conv2dShape) -> usize {
    let [ho, _] = shape.output().unwrap_or_default();
    let columns = (padded(shape.k) / 4).div_ceil(LANES);
    let filters = shape.r * shape.s * (padded(shape.c) / 4) * columns;
    let rows = (shape.n * ho).max(1);
    let wanted = 512_usize.div_ceil(filters.max(1)).min(rows);
    rows.div_ceil(rows.div_ceil(wanted))
}

/// The first stage over `parts` groups of pixels, some of which may be empty.
pub(super) fn grad_weight(sizes: &Sizes, parts: usize) -> Result<Option<Call>, KernelError> {
    let shape = &sizes.shape;
    let pixels = sizes.pixels();
    let sources = shape.r * shape.s * sizes.c4();
    if pixels > MAX_PIXELS - LANES || sources > MAX_PIXELS {
        return Ok(None);
    }
    // Whole steps of a subgroup, so that only the last pixels of all leave lanes idle.
    let group_pixels = pixels.div_ceil(parts).next_multiple_of(LANES);
    let column_groups = sizes.k4().div_ceil(LANES);
    let mut more = [0; 3];
    for (word, value) in more.iter_mut().zip([pixels, group_pixels, column_groups]) {
        *word = narrow(GRAD_WEIGHT.name, value)?;
    }
    let params: GradWeightParams = with(&sizes.words, &more);
    // Twice as many rows of the weight share the loads of grad_y, unless most of the last ones were beyond the end.
    let wide = sources.is_multiple_of(2 * SOURCES) || sources >= 6 * SOURCES;
    let each = if wide { 2 * SOURCES } else { SOURCES };
    let tiles = sources.div_ceil(each) * column_groups;
    call(GRAD_WEIGHT, flags(&[("WIDE", wide)]), &params, parts, tiles)
}

/// Each variant for two and for four pixels a lane.
fn either(variants: Vec<Variant>) -> Vec<Variant> {
    let four = variants
        .iter()
        .cloned()
        .map(|variant| variant.set("EACH", 4));
    let four: Vec<_> = four.collect();
    [variants, four].concat()
}

/// Each variant as it is and with more columns.
pub(super) fn columns(variants: &[Variant]) -> Vec<Variant> {
    let more = variants.iter().cloned();
    let more = more.map(|variant| variant.set("COLUMNS", MORE_COLUMNS as i64));
    variants.iter().cloned().chain(more).collect()
}

pub(super) fn kernels() -> [Kernel; 3] {
    let kernel = |shader, params, variants| Kernel {
        family: "conv",
        shader,
        params,
        variants,
    };
    let plain = columns(&either(vec![ForwardEpilogue::default().variant()]));
    [
        kernel(
            FORWARD,
            ForwardParams::FIELDS,
            [
                either(ForwardEpilogue::variants_without_stats()),
                plain[plain.len() / 2..].to_vec(),
            ]
            .concat(),
        ),
        kernel(
            GRAD_INPUT,
            GradInputParams::FIELDS,
            columns(&either(GradInputEpilogue::variants_without_sums())),
        ),
        kernel(GRAD_WEIGHT, GradWeightParams::FIELDS, all_flags(&["WIDE"])),
    ]
}
