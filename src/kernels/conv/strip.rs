//! Depthwise convolution with 3 × 3 filters for software adapters: a load costs them more than arithmetic, so each input is
//! loaded once and kept for all the outputs that it reaches. Same problem, same bindings as in [`depthwise`](super::depthwise).

use super::Conv2dShape;
use super::depthwise_sizes::Sizes;
use super::epilogue::DepthwiseEpilogue;
use crate::gpu::{Shader, Variant};
use crate::kernels::{Call, Kernel, KernelError, Params, narrow, params, shader};

pub(super) const FORWARD: Shader = shader!("conv", "depthwise_forward_strip", "word_quads");
const GRAD_INPUT: Shader = shader!("conv", "depthwise_grad_input_strip", "word_quads");
const GRAD_WEIGHT: Shader = shader!("conv", "depthwise_grad_weight_strip", "word_quads");

const WORKGROUP: usize = 64;
/// Columns of a strip.
const COLUMNS: usize = 4;
/// Invocations of the weight gradient from which on no more groups are made.
const ENOUGH_INVOCATIONS: usize = 1 << 11;

params!(ForwardParams {
    h: u32,
    w: u32,
    c4: u32,
    ho: u32,
    wo: u32,
    pad_h: u32,
    pad_w: u32,
    strips: u32,
    count: u32,
});

params!(GradInputParams {
    h: u32,
    w: u32,
    c4: u32,
    ho: u32,
    wo: u32,
    pad_h: u32,
    pad_w: u32,
    strips: u32,
    rows: u32,
    count: u32,
});

params!(GradWeightParams {
    h: u32,
    w: u32,
    c4: u32,
    ho: u32,
    wo: u32,
    pad_h: u32,
    pad_w: u32,
    strips: u32,
    all_strips: u32,
    group_strips: u32,
    count: u32,
});

/// Whether these shaders know the filter and the stride.
pub(super) fn fits(shape: &Conv2dShape) -> bool {
    (shape.r, shape.s) == (3, 3) && matches!(shape.stride, [1, 1] | [2, 2])
}

/// Whether [`grad_input`] does, which at stride 1 pads by what the padding lacks of 2.
pub(super) fn fits_grad_input(shape: &Conv2dShape) -> bool {
    fits(shape) && (shape.stride == [2, 2] || shape.padding.iter().all(|&side| side <= 2))
}

fn narrowed<P: Params>(kernel: &'static str, values: &[usize]) -> Result<P, KernelError> {
    let words: Result<Vec<u32>, _> = values.iter().map(|&value| narrow(kernel, value)).collect();
    Ok(bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words?)))
}

/// A call over `count` invocations without its bindings.
fn call(
    shader: Shader,
    variant: Variant,
    params: &impl Params,
    count: usize,
) -> Result<Call, KernelError> {
    Call::new(shader, variant, params, count.div_ceil(WORKGROUP) as u64)
}

fn variant(base: Variant, stride: usize, flip: bool) -> Variant {
    base.set("STRIDE", if stride == 2 { 2 } else { 1 })
        .set("FLIP", flip)
}

pub(super) fn forward(sizes: &Sizes, epilogue: Variant) -> Result<Call, KernelError> {
    let shape = &sizes.shape;
    let [ho, wo] = sizes.output;
    let strips = wo.div_ceil(COLUMNS);
    let count = shape.n * strips * sizes.columns;
    let (image, output) = ([shape.h, shape.w, sizes.columns], [ho, wo]);
    let values = [&image[..], &output, &shape.padding, &[strips, count]].concat();
    let params: ForwardParams = narrowed(FORWARD.name, &values)?;
    let variant = variant(epilogue, shape.stride[0], false);
    call(FORWARD, variant, &params, count)
}

pub(super) fn grad_input(sizes: &Sizes) -> Result<Call, KernelError> {
    let shape = &sizes.shape;
    if shape.stride == [1, 1] {
        return flipped_forward(sizes);
    }
    // Rows and columns come in pairs, the first of which may lie in the padding.
    let [rows, columns] = [(shape.h, shape.padding[0]), (shape.w, shape.padding[1])]
        .map(|(n, p)| (n + p).div_ceil(2));
    let strips = columns.div_ceil(COLUMNS);
    let count = shape.n * strips * sizes.columns;
    let (image, output) = ([shape.h, shape.w, sizes.columns], sizes.output);
    let values = [&image[..], &output, &shape.padding, &[strips, rows, count]].concat();
    let params: GradInputParams = narrowed(GRAD_INPUT.name, &values)?;
    call(GRAD_INPUT, Variant::new(), &params, count)
}

/// At stride 1 the gradient with respect to the input is a convolution of `grad_y` with the flipped filters.
fn flipped_forward(sizes: &Sizes) -> Result<Call, KernelError> {
    let shape = &sizes.shape;
    let [ho, wo] = sizes.output;
    let strips = shape.w.div_ceil(COLUMNS);
    let count = shape.n * strips * sizes.columns;
    let (image, output) = ([ho, wo, sizes.columns], [shape.h, shape.w]);
    let padding = shape.padding.map(|side| 2 - side);
    let values = [&image[..], &output, &padding, &[strips, count]].concat();
    let params: ForwardParams = narrowed(FORWARD.name, &values)?;
    call(FORWARD, variant(Variant::new(), 1, true), &params, count)
}

/// How many groups the strips of all images are split into, and the strips of each, from the shape alone.
pub(super) fn parts(shape: &Conv2dShape, columns: usize, wo: usize) -> (usize, usize) {
    let strips = (shape.n * wo.div_ceil(COLUMNS)).max(1);
    let wanted = ENOUGH_INVOCATIONS.div_ceil(columns.max(1)).min(strips);
    let each = strips.div_ceil(wanted);
    (strips.div_ceil(each), each)
}

pub(super) fn grad_weight(sizes: &Sizes) -> Result<Call, KernelError> {
    let shape = &sizes.shape;
    let [ho, wo] = sizes.output;
    let (parts, each) = parts(shape, sizes.columns, wo);
    let strips = wo.div_ceil(COLUMNS);
    let count = parts * sizes.columns;
    let (image, output) = ([shape.h, shape.w, sizes.columns], [ho, wo]);
    let split = [strips, shape.n * strips, each, count];
    let values = [&image[..], &output, &shape.padding, &split].concat();
    let params: GradWeightParams = narrowed(GRAD_WEIGHT.name, &values)?;
    let variant = Variant::new().set("STRIDE", if shape.stride[0] == 2 { 2 } else { 1 });
    call(GRAD_WEIGHT, variant, &params, count)
}

pub(super) fn kernels() -> [Kernel; 3] {
    let kernel = |shader, params, variants| Kernel {
        family: "conv",
        shader,
        params,
        variants,
    };
    let mut forward = vec![variant(Variant::new(), 1, true)];
    for epilogue in DepthwiseEpilogue::variants() {
        forward.extend([1, 2].map(|stride| variant(epilogue.clone(), stride, false)));
    }
    let strides = [1, 2].map(|stride| Variant::new().set("STRIDE", stride));
    [
        kernel(FORWARD, ForwardParams::FIELDS, forward),
        kernel(GRAD_INPUT, GradInputParams::FIELDS, vec![Variant::new()]),
        kernel(GRAD_WEIGHT, GradWeightParams::FIELDS, strides.to_vec()),
    ]
}
