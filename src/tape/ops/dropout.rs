//! Dropout.

use super::OpSpec;
use crate::kernels::elementwise as kernels;
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};

/// Zeroes half of the elements, drawn anew in every step, and doubles the others. Inputs `x` and the step's schedule (see
/// [`kernels::optim`](crate::kernels::optim)); output of x's shape. It is its own gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Tells the layers of a network apart.
    pub stream: u32,
}

impl OpSpec for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
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
        let grad_x = match upstream[0] {
            Some(grad_y) => Some(graph.record1(*self, &[grad_y, node.inputs[1]])?),
            None => None,
        };
        Ok(vec![grad_x, None])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError> {
        let (x, schedule, y) = (lowering.input(0), lowering.input(1), lowering.output(0));
        let dropout = kernels::Dropout {
            len: lowering.len(y),
            rate: 0.5,
            stream: self.stream,
        };
        lowering.call(dropout.call(), &[schedule, x, y])
    }
}
