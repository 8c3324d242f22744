//! Depthwise convolution.

use super::conv::{checked, recorded, three, two_stages};
use super::{BiasGrad, OpSpec, no_gradient};
use crate::kernels::conv as kernels;
use crate::kernels::elementwise::BiasAdd;
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};

/// A convolution of each channel by itself. Inputs `x` `[N,H,W,C]`, `weight` `[R,S,C]` and optionally `bias` `[C]`; output
/// `[N,Ho,Wo,C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseConv2d {
    /// Step between windows, height and width.
    pub stride: [usize; 2],
    /// Zeros around the input, height and width.
    pub padding: [usize; 2],
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
        let (x, weight) = (node.inputs[0], node.inputs[1]);
        let input = DepthwiseGradInput {
            conv: *self,
            x: graph.shape(x).clone(),
        };
        let filters = DepthwiseGradWeight {
            conv: *self,
            weight: graph.shape(weight).clone(),
        };
        let mut grads = vec![
            if wanted[0] {
                Some(graph.record1(input, &[grad_y, weight])?)
            } else {
                None
            },
            if wanted[1] {
                Some(graph.record1(filters, &[x, grad_y])?)
            } else {
                None
            },
        ];
        if node.inputs.len() > 2 {
            grads.push(Some(graph.record1(BiasGrad, &[grad_y])?));
        }
        Ok(grads)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let (x, weight) = (lowering.input_shape(0), lowering.input_shape(1));
        let shape = recorded(x, weight, self.stride, self.padding);
        let software = lowering.target().software;
        let kernel = kernels::DepthwiseForward { shape, software };
        if lowering.input_count() == 2 {
            return lowering.call(kernel.call(), &three(lowering));
        }
        let y = lowering.output(0);
        let sum = lowering.scratch(lowering.len(y));
        let (rows, channels) = (lowering.output_shape(0).row_count(), shape.c);
        let bias = BiasAdd {
            rows,
            channels,
            relu: false,
        };
        lowering.call(kernel.call(), &[lowering.input(0), lowering.input(1), sum])?;
        lowering.call(bias.call(), &[sum, lowering.input(2), y])
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
        let DepthwiseConv2d { stride, padding } = self.conv;
        let shape = recorded(&self.x, lowering.input_shape(1), stride, padding);
        let software = lowering.target().software;
        let call = kernels::DepthwiseGradInput { shape, software };
        lowering.call(call.call(), &three(lowering))
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
        let DepthwiseConv2d { stride, padding } = self.conv;
        let shape = recorded(lowering.input_shape(0), &self.weight, stride, padding);
        let software = lowering.target().software;
        let kernel = kernels::DepthwiseGradWeight { shape, software };
        let calls = lowering.check(kernel.calls())?;
        two_stages(lowering, calls, kernel.partial_len())
    }
}
