//! Activation and sum.

use super::{OpSpec, no_gradient, same_shape};
use crate::kernels::elementwise as kernels;
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};

/// `y = max(x, 0)`. Input `x`, output `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu;

impl OpSpec for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn outputs(&self, _: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(vec![inputs[0].clone()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let Some(grad_y) = upstream[0] else {
            return Ok(vec![None]);
        };
        let grad_x = graph.record1(ReluGrad, &[grad_y, node.outputs[0]])?;
        Ok(vec![Some(grad_x)])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let (x, y) = (lowering.input(0), lowering.output(0));
        let len = lowering.len(y);
        lowering.call(kernels::Relu { len }.call(), &[x, y])
    }
}

/// `grad_x = grad_y` where `y > 0`. Inputs `grad_y`, `y`; output `grad_x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReluGrad;

impl OpSpec for ReluGrad {
    fn name(&self) -> &'static str {
        "relu_grad"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        same_shape(self.name(), layer, "grad_y", inputs[0], inputs[1])?;
        Ok(vec![inputs[0].clone()])
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
        let operands = [lowering.input(0), lowering.input(1), lowering.output(0)];
        let len = lowering.len(operands[2]);
        lowering.call(kernels::ReluGrad { len }.call(), &operands)
    }
}

/// `y = a + b`, rectified where `relu`. Inputs `a`, `b`; output `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add {
    /// Whether the sum is rectified.
    pub relu: bool,
}

impl OpSpec for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        same_shape(self.name(), layer, "b", inputs[1], inputs[0])?;
        Ok(vec![inputs[0].clone()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        _: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError> {
        let grad = match upstream[0] {
            Some(grad_y) if self.relu => Some(graph.record1(ReluGrad, &[grad_y, node.outputs[0]])?),
            other => other,
        };
        Ok(vec![grad, grad])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let operands = [lowering.input(0), lowering.input(1), lowering.output(0)];
        let call = kernels::Add {
            len: lowering.len(operands[2]),
            relu: self.relu,
        };
        lowering.call(call.call(), &operands)
    }
}
