//! Convolution, and what depthwise convolution and the fully connected layer share with it.

use super::norm::map_part;
use super::ways::{
    by_winograd, filters, filters_by_winograd, forward_by_winograd, grad_input_by_winograd,
    grad_weight_by_winograd, in_one_dispatch,
};
use super::{BiasGrad, Op, OpSpec, no_gradient};
use crate::kernels::conv as kernels;
use crate::kernels::conv::{Conv2dShape, Input, Pass, Product};
use crate::kernels::{Call, KernelError, padded};
use crate::tape::{Graph, Lowering, Node, Operand, Shape, TapeError, Target, Value};

/// A convolution. Inputs `x` `[N,H,W,C]`, `weight` `[R,S,C,K]`, optionally `bias` `[K]`, what the epilogue takes and, where x is mapped
/// on load, the second output of the [`BatchNorm`](super::BatchNorm) that it is the input of; outputs `[N,Ho,Wo,K]` and what the
/// epilogue gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Step between windows, height and width.
    pub stride: [usize; 2],
    /// Zeros around the input, height and width.
    pub padding: [usize; 2],
    /// What fusion put into its pass.
    pub epilogue: Epilogue,
    /// What fusion made of its input.
    pub input: Input,
}

/// What fusion put into the pass of a convolution, behind its bias and in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epilogue {
    /// The first element of the channels' scale and shift in the next input, the maps of all [`BatchNormFold`](super::BatchNormFold)
    /// layers.
    pub affine: Option<usize>,
    /// Whether the last input, of the shape of the output, is added.
    pub residual: bool,
    /// Whether the result is rectified.
    pub relu: bool,
    /// Whether a second output has the statistics of groups of pixels, `[groups, 2, K]`.
    pub stats: bool,
}

impl Conv2d {
    /// The convolution alone.
    pub fn new(stride: [usize; 2], padding: [usize; 2]) -> Self {
        Self {
            stride,
            padding,
            epilogue: Epilogue::default(),
            input: Input::Stored,
        }
    }

    /// The groups of pixels whose statistics the epilogue can give, and the pixels of each, for values of these shapes.
    pub(in crate::tape) fn groups(&self, x: &Shape, weight: &Shape) -> Option<[usize; 2]> {
        let shape = recorded(x, weight, self.stride, self.padding);
        let groups = kernels::Conv2dForward::new(shape, false).groups().ok()?;
        Some([groups, kernels::Conv2dForward::GROUP_ROWS])
    }
}

/// The gradient with respect to the input, with what fusion put into its pass. Inputs `grad_y`, `weight`; with `add` another
/// gradient of the input; with `mask` the input; with `partials` the input and the statistics of the batch normalisation before
/// it. Outputs the gradient, of the shape given, and `partials`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2dGradInput {
    /// The forward pass.
    pub conv: Conv2d,
    /// The shape of its input.
    pub x: Shape,
    /// Whether another gradient is added.
    pub add: bool,
    /// Whether the gradient passes only where the input is above 0.
    pub mask: bool,
    /// Whether the gradient passes only where the normalised input of the batch normalisation before it is above 0.
    pub mask_map: bool,
    /// Whether `grad_y` is that behind a batch normalisation: its input and coefficients are the next inputs.
    pub mapped: bool,
    /// The shape of the column sums for the gradient of a batch normalisation, `[groups, 2, C]`, where they are written.
    pub partials: Option<Shape>,
}

impl Conv2dGradInput {
    /// The gradient alone.
    pub fn new(conv: Conv2d, x: Shape) -> Self {
        Self {
            conv,
            x,
            add: false,
            mask: false,
            mask_map: false,
            mapped: false,
            partials: None,
        }
    }

    /// The kernel for filters of this shape.
    pub(in crate::tape) fn kernel(
        &self,
        weight: &Shape,
        target: &Target,
    ) -> kernels::Conv2dGradInput {
        let Conv2d {
            stride, padding, ..
        } = self.conv;
        let shape = recorded(&self.x, weight, stride, padding);
        kernels::Conv2dGradInput {
            shape,
            epilogue: kernels::GradInputEpilogue {
                add: self.add,
                mask: self.mask,
                mask_map: self.mask_map,
                reduce: self.partials.is_some(),
            },
            mapped: self.mapped,
            software: target.software,
            product: target.product(Pass::GradInput, shape),
        }
    }
}

/// The gradient with respect to the filters. Inputs `x`, `grad_y`, and where x is mapped on load, last, what the convolution has for
/// it; output of the shape given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2dGradWeight {
    /// The forward pass.
    pub conv: Conv2d,
    /// The shape of its filters.
    pub weight: Shape,
    /// Whether `grad_y` is that behind a batch normalisation: its input and coefficients are the next inputs.
    pub mapped: bool,
}

/// The kernels' shape, when the values' shapes are those of a convolution; filters are `[R, S, C, K]` or, depthwise,
/// `[R, S, C]`.
fn window(
    x: &Shape,
    weight: &Shape,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Option<Conv2dShape> {
    let [n, h, w, c] = x.nhwc()?;
    let (r, s, c_, k) = match *weight.dims() {
        [r, s, c, k] => (r, s, c, k),
        [r, s, c] => (r, s, c, c),
        _ => return None,
    };
    (c == c_).then_some(Conv2dShape {
        n,
        h,
        w,
        c,
        k,
        r,
        s,
        stride,
        padding,
    })
}

pub(super) fn checked(
    op: &'static str,
    layer: &str,
    inputs: &[&Shape],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Result<Vec<Shape>, TapeError> {
    let (x, weight) = (inputs[0], inputs[1]);
    let shape = window(x, weight, stride, padding).ok_or_else(|| TapeError::Shape {
        layer: layer.to_owned(),
        op,
        input: "x",
        asked: x.dims().to_vec(),
        allowed: format!(
            "the filters are {:?}: [R, S, C, ..] with the input's C",
            weight.dims()
        ),
    })?;
    let [ho, wo] = shape.output().ok_or_else(|| TapeError::Window {
        layer: layer.to_owned(),
        op,
        window: [shape.r, shape.s],
        padding,
        input: [shape.h, shape.w],
    })?;
    Ok(vec![Shape::rows(&[shape.n, ho, wo, shape.k])])
}

/// The shape of a node whose values were checked when it was recorded.
pub(super) fn recorded(
    x: &Shape,
    weight: &Shape,
    stride: [usize; 2],
    padding: [usize; 2],
) -> Conv2dShape {
    window(x, weight, stride, padding).unwrap_or(Conv2dShape::linear(0, 0, 0))
}

impl OpSpec for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        checked(self.name(), layer, inputs, self.stride, self.padding)
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let Some(grad_y) = upstream[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let [x, weight] = [0, 1].map(|input| graph.shape(node.inputs[input]).clone());
        let input = Conv2dGradInput::new(*self, x);
        let filters = Conv2dGradWeight {
            conv: *self,
            weight,
            mapped: false,
        };
        layer_gradients(graph, node, grad_y, wanted, input, filters)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let (x, weight) = (lowering.input_shape(0), lowering.input_shape(1));
        let shape = recorded(x, weight, self.stride, self.padding);
        forward(lowering, shape, self.epilogue, self.input)
    }
}

/// A convolution whose optional third input is the bias, and behind it what the epilogue takes or a map of x.
pub(super) fn forward(
    lowering: &mut Lowering<'_>,
    shape: Conv2dShape,
    epilogue: Epilogue,
    input: Input,
) -> Result<(), TapeError> {
    let Epilogue {
        affine,
        residual,
        relu,
        stats,
    } = epilogue;
    let inputs = lowering.input_count();
    let others = [affine.is_some(), residual, input.is_mapped()];
    let bias = inputs > 2 + others.iter().filter(|it| **it).count();
    let kernel = kernels::Conv2dForward {
        shape,
        epilogue: kernels::ForwardEpilogue {
            bias,
            affine: affine.is_some(),
            residual,
            relu,
            stats,
        },
        input,
        software: lowering.target().software,
    };
    let way = lowering.way(Pass::Forward, shape);
    let winograd = forward_by_winograd(lowering.target(), &kernel, way);
    let mut operands = three(lowering).to_vec();
    let map = match input.is_mapped() {
        true => Some(map_part(lowering, inputs - 1, shape.c)),
        false => affine_part(lowering, affine, 2 + usize::from(bias), shape.k),
    };
    let more = [
        bias.then(|| lowering.input(2)),
        map,
        residual.then(|| lowering.input(inputs - 1)),
        stats.then(|| lowering.output(1)),
    ];
    // No two writable bindings of a dispatch may share bytes, touched or not.
    operands.extend(more.map(|used| used.unwrap_or_else(|| lowering.scratch(4))));
    if let Some(kernel) = winograd {
        let (filter, calls, lens) = (kernel.filter(), kernel.calls(), kernel.scratch_lens());
        let three = three(lowering);
        return by_winograd(lowering, filter, calls, lens, three, &operands[3..6]);
    }
    let product = lowering.target().product(Pass::Forward, shape);
    operands[1] = filters(lowering, operands[1], product)?;
    let call = in_one_dispatch(&kernel, product);
    call_known(lowering, call, &operands)
}

/// Emits a call on as many operands as its shader knows: those for software adapters lack the last.
pub(super) fn call_known(
    lowering: &mut Lowering<'_>,
    call: Result<Call, KernelError>,
    operands: &[Operand],
) -> Result<(), TapeError> {
    let call = lowering.check(call)?;
    let known = operands.len().min(call.extents.len());
    lowering.call(Ok(call), &operands[..known])
}

/// The gradients of a layer with filters: of its input and of its filters where they are wanted, and of its bias where it has one.
pub(super) fn layer_gradients(
    graph: &mut Graph,
    node: &Node,
    grad_y: Value,
    wanted: &[bool],
    input: impl Into<Op>,
    filters: impl Into<Op>,
) -> Result<Vec<Option<Value>>, TapeError> {
    let (x, weight) = (node.inputs[0], node.inputs[1]);
    let mut grads = vec![None; 2];
    if wanted[0] {
        grads[0] = Some(graph.record1(input, &[grad_y, weight])?);
    }
    if wanted[1] {
        grads[1] = Some(graph.record1(filters, &[x, grad_y])?);
    }
    if node.inputs.len() > 2 {
        grads.push(Some(graph.record1(BiasGrad, &[grad_y])?));
    }
    Ok(grads)
}

/// The scale and shift of `channels` channels in input number `index`, the maps of all layers.
pub(super) fn affine_part(
    lowering: &Lowering<'_>,
    affine: Option<usize>,
    index: usize,
    channels: usize,
) -> Option<Operand> {
    affine.map(|first| lowering.part(index, first, 2 * padded(channels)))
}

pub(super) fn grad_weight(
    lowering: &mut Lowering<'_>,
    shape: Conv2dShape,
    mapped: bool,
    input: Input,
) -> Result<(), TapeError> {
    let kernel = kernels::Conv2dGradWeight {
        shape,
        mapped,
        input,
        precision: lowering.target().precision,
        software: lowering.target().software,
    };
    let way = lowering.way(Pass::GradWeight, shape);
    if let Some(kernel) = grad_weight_by_winograd(lowering.target(), &kernel, way) {
        return filters_by_winograd(lowering, &kernel);
    }
    let calls = match lowering.target().product(Pass::GradWeight, shape) {
        Product::Tile(tile) => kernel.calls_in(tile),
        Product::Matrices(precision, side) => kernel.calls_in_matrices(precision, side),
        Product::Own => kernel.calls(),
    };
    let calls = lowering.check(calls)?;
    let map = input.is_mapped();
    let map = map.then(|| map_part(lowering, lowering.input_count() - 1, shape.c));
    let operand = |index| mapped.then(|| lowering.input(index));
    let behind = [operand(2), operand(3), map];
    two_stages(lowering, calls, behind)
}

/// The gradient of filters: sums of groups of pixels, and their sum. Where one group holds all, that is the gradient. The first
/// call binds behind its sums what is given.
pub(super) fn two_stages(
    lowering: &mut Lowering<'_>,
    [first, second]: [Call; 2],
    behind: [Option<Operand>; 3],
) -> Result<(), TapeError> {
    let (x, grad_y, grad) = (lowering.input(0), lowering.input(1), lowering.output(0));
    let partial_len = (first.extents[2].bytes / 4) as usize; // sums are f32
    let whole = partial_len == lowering.len(grad);
    let partial = if whole {
        grad
    } else {
        lowering.scratch(partial_len)
    };
    let behind = behind.map(|used| used.unwrap_or_else(|| lowering.scratch(4)));
    let operands = [&[x, grad_y, partial], &behind[..]].concat();
    call_known(lowering, Ok(first), &operands)?;
    if whole {
        return Ok(());
    }
    lowering.call(Ok(second), &[partial, grad])
}

/// The gradient with respect to the input, whose epilogue takes the node's further inputs in order.
pub(super) fn grad_input(
    lowering: &mut Lowering<'_>,
    kernel: kernels::Conv2dGradInput,
) -> Result<(), TapeError> {
    // A tile is the kernel's own already.
    let way = lowering.way(Pass::GradInput, kernel.shape);
    let mut operands = three(lowering).to_vec();
    let kernels::GradInputEpilogue {
        add, mask, reduce, ..
    } = kernel.epilogue;
    // A mapped gradient has neither `add` nor `mask`, and its two operands lie where theirs would.
    let (first, second) = (add || kernel.mapped, mask || kernel.mapped);
    let mut next = 2;
    for used in [first, second, reduce, reduce] {
        if used {
            operands.push(lowering.input(next));
            next += 1;
        } else {
            operands.push(lowering.scratch(4));
        }
    }
    operands.push(if reduce {
        lowering.output(1)
    } else {
        lowering.scratch(4)
    });
    match grad_input_by_winograd(lowering.target(), &kernel, way) {
        Some(kernel) => {
            let (filter, calls, lens) = (kernel.filter(), kernel.calls(), kernel.scratch_lens());
            let three = three(lowering);
            by_winograd(lowering, filter, calls, lens, three, &operands[3..5])
        }
        None => {
            operands[1] = filters(lowering, operands[1], kernel.product)?;
            call_known(lowering, kernel.call(), &operands)
        }
    }
}

pub(super) fn three(lowering: &Lowering<'_>) -> [Operand; 3] {
    [lowering.input(0), lowering.input(1), lowering.output(0)]
}

impl OpSpec for Conv2dGradInput {
    fn name(&self) -> &'static str {
        "conv2d_grad_input"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let mut outputs = vec![self.x.clone()];
        outputs.extend(self.partials.clone());
        Ok(outputs)
    }

    fn gradient(
        &self,
        _: &mut Graph,
        node: &Node,
        _: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        Err(no_gradient(node))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let kernel = self.kernel(lowering.input_shape(1), lowering.target());
        grad_input(lowering, kernel)
    }
}

impl OpSpec for Conv2dGradWeight {
    fn name(&self) -> &'static str {
        "conv2d_grad_weight"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![self.weight.clone()])
    }

    fn gradient(
        &self,
        _: &mut Graph,
        node: &Node,
        _: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        Err(no_gradient(node))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let Conv2d {
            stride,
            padding,
            input,
            ..
        } = self.conv;
        let shape = recorded(lowering.input_shape(0), &self.weight, stride, padding);
        grad_weight(lowering, shape, self.mapped, input)
    }
}
