//! The fully connected layer, and the gradient of every bias.

use super::conv::{Epilogue, forward, grad_input, grad_weight, layer_gradients};
use super::{OpSpec, no_gradient};
use crate::kernels::conv as kernels;
use crate::kernels::conv::{Conv2dShape, Input, Pass};
use crate::kernels::elementwise::BiasGrad as BiasGradKernels;
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};

/// A fully connected layer. Inputs `x` with N rows of C values, `weight` `[C,K]`, `bias` `[K]`; output `[N,K]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear;

/// The gradient of a fully connected layer with respect to its input. Inputs `grad_y`, `weight`; output of the shape given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearGradInput {
    /// The shape of the input.
    pub x: Shape,
}

/// The gradient of a fully connected layer with respect to its weight `[C,K]`. Inputs `x`, `grad_y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearGradWeight;

/// The gradient with respect to a bias: the sum over all rows. Input `grad_y` `[.., K]`; output `[K]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BiasGrad;

fn linear_shape(x: &Shape, k: usize) -> Conv2dShape {
    Conv2dShape::linear(x.row_count(), x.channels(), k)
}

impl OpSpec for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        match *inputs[1].dims() {
            [c, k] if c == inputs[0].channels() => {
                Ok(vec![Shape::rows(&[inputs[0].row_count(), k])])
            }
            _ => Err(TapeError::Shape {
                layer: layer.to_owned(),
                op: self.name(),
                input: "x",
                asked: inputs[0].dims().to_vec(),
                allowed: format!(
                    "the weight is {:?}: [C, K] with the input's C",
                    inputs[1].dims()
                ),
            }),
        }
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let Some(grad_y) = upstream[0] else {
            return Ok(vec![None; 3]);
        };
        let input = LinearGradInput {
            x: graph.shape(node.inputs[0]).clone(),
        };
        layer_gradients(graph, node, grad_y, wanted, input, LinearGradWeight)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let shape = linear_shape(lowering.input_shape(0), lowering.output_shape(0).channels());
        forward(lowering, shape, Epilogue::default(), Input::Stored)
    }
}

impl OpSpec for LinearGradInput {
    fn name(&self) -> &'static str {
        "linear_grad_input"
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
        let shape = linear_shape(&self.x, lowering.input_shape(0).channels());
        let target = lowering.target();
        let kernel = kernels::Conv2dGradInput {
            product: target.product(Pass::GradInput, shape),
            ..kernels::Conv2dGradInput::new(shape, target.software)
        };
        grad_input(lowering, kernel)
    }
}

impl OpSpec for LinearGradWeight {
    fn name(&self) -> &'static str {
        "linear_grad_weight"
    }

    fn outputs(&self, _: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![Shape::matrix(
            inputs[0].channels(),
            inputs[1].channels(),
        )])
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
        let shape = linear_shape(lowering.input_shape(0), lowering.input_shape(1).channels());
        grad_weight(lowering, shape, false, Input::Stored)
    }
}

impl OpSpec for BiasGrad {
    fn name(&self) -> &'static str {
        "bias_grad"
    }

    fn outputs(&self, _: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![Shape::rows(&[inputs[0].channels()])])
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
        let grad_y = lowering.input_shape(0);
        let kernel = BiasGradKernels {
            rows: grad_y.row_count(),
            channels: grad_y.channels(),
        };
        let partials = lowering.scratch(kernel.partials_len());
        lowering.call(kernel.reduce(), &[lowering.input(0), partials])?;
        lowering.call(kernel.finish(), &[partials, lowering.output(0)])
    }
}
