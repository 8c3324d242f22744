//! Depthwise convolution.

use super::conv::{affine_part, call_known, checked, layer_gradients, recorded, three, two_stages};
use super::{OpSpec, no_gradient};
use crate::kernels::conv as kernels;
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};

/// A convolution of each channel by itself. Inputs `x` `[N,H,W,C]`, `weight` `[R,S,C]`, optionally `bias` `[C]` and, with `affine`,
/// the maps of all [`BatchNormFold`](super::BatchNormFold) layers; output `[N,Ho,Wo,C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseConv2d {
    /// Step between windows, height and width.
    pub stride: [usize; 2],
    /// Zeros around the input, height and width.
    pub padding: [usize; 2],
    /// The first element of the channels' scale and shift in the maps, where fusion put them into this pass.
    pub affine: Option<usize>,
    /// Whether the result is rectified.
    pub relu: bool,
}

impl DepthwiseConv2d {
    /// The convolution alone.
    pub fn new(stride: [usize; 2], padding: [usize; 2]) -> Self {
        Self {
            stride,
            padding,
            affine: None,
            relu: false,
        }
    }
}

/// The gradient with respect to the input. Inputs `grad_y`, `weight`; output of the shape given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthwiseGradInput {
    /// The forward pass.
    pub conv: DepthwiseConv2d,
    /// The shape of its input.
    pub x: Shape,
}

/// The gradient with respect to the filters. Inputs `x`, `grad_y`; output of the shape given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthwiseGradWeight {
    /// The forward pass.
    pub conv: DepthwiseConv2d,
    /// The shape of its filters.
    pub weight: Shape,
}

impl OpSpec for DepthwiseConv2d {
    fn name(&self) -> &'static str {
        "depthwise_conv2d"
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
        let input = DepthwiseGradInput { conv: *self, x };
        let filters = DepthwiseGradWeight {
            conv: *self,
            weight,
        };
        layer_gradients(graph, node, grad_y, wanted, input, filters)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let (x, weight) = (lowering.input_shape(0), lowering.input_shape(1));
        let shape = recorded(x, weight, self.stride, self.padding);
        let software = lowering.target().software;
        let bias = lowering.input_count() > 2 + usize::from(self.affine.is_some());
        let kernel = kernels::DepthwiseForward {
            shape,
            epilogue: kernels::DepthwiseEpilogue {
                bias,
                affine: self.affine.is_some(),
                relu: self.relu,
            },
            software,
        };
        let mut operands = three(lowering).to_vec();
        let more = [
            bias.then(|| lowering.input(2)),
            affine_part(lowering, self.affine, 2 + usize::from(bias), shape.c),
        ];
        operands.extend(more.map(|used| used.unwrap_or_else(|| lowering.scratch(4))));
        lowering.call(kernel.call(), &operands)
    }
}

impl OpSpec for DepthwiseGradInput {
    fn name(&self) -> &'static str {
        "depthwise_grad_input"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![self.x.clone()])
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
        let DepthwiseConv2d {
            stride, padding, ..
        } = self.conv;
        let shape = recorded(&self.x, lowering.input_shape(1), stride, padding);
        let software = lowering.target().software;
        let kernel = kernels::DepthwiseGradInput { shape, software };
        let [grad_y, weight, grad_x] = three(lowering);
        // What the forward pass's shader binds besides.
        let [bias, affine] = [(); 2].map(|()| lowering.scratch(4));
        let operands = [grad_y, weight, grad_x, bias, affine];
        call_known(lowering, kernel.call(), &operands)
    }
}

impl OpSpec for DepthwiseGradWeight {
    fn name(&self) -> &'static str {
        "depthwise_grad_weight"
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
        let DepthwiseConv2d {
            stride, padding, ..
        } = self.conv;
        let shape = recorded(lowering.input_shape(0), &self.weight, stride, padding);
        let software = lowering.target().software;
        let kernel = kernels::DepthwiseGradWeight { shape, software };
        let calls = lowering.check(kernel.calls())?;
        two_stages(lowering, calls, [None; 3])
    }
}
