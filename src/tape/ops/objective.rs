//! The multi-task objective as one operation: its gradient is its second output.

use super::{OpSpec, no_gradient};
use crate::kernels::loss::{LABEL_WORDS, LOSSES, Objective as Kernels};
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};

/// The objective and its gradient. Inputs `logits` `[N, outputs]`, `labels`, `tables` (see
/// [`kernels::loss::Objective`](crate::kernels::loss::Objective)); outputs `grad_logits`, which seeds
/// [`Graph::gradients`], and `losses`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective(pub Kernels);

impl OpSpec for Objective {
    fn name(&self) -> &'static str {
        "objective"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let expected = [
            ("logits", self.0.batch * self.0.width),
            ("labels", self.0.batch * LABEL_WORDS),
            ("tables", self.0.tables_len()),
        ];
        for ((input, len), shape) in expected.into_iter().zip(inputs) {
            if shape.len() != len {
                return Err(TapeError::Shape {
                    layer: layer.to_owned(),
                    op: self.name(),
                    input,
                    asked: shape.dims().to_vec(),
                    allowed: format!("it must have {len} elements"),
                });
            }
        }
        Ok(vec![inputs[0].clone(), Shape::raw(LOSSES)])
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
        let [logits, labels, tables] = [0, 1, 2].map(|index| lowering.input(index));
        let [grad_logits, losses] = [0, 1].map(|index| lowering.output(index));
        let scratch = lowering.scratch(self.0.scratch_len());
        let [terms, reduce, grad] = lowering.check(self.0.calls(lowering.is_scaled()))?;
        lowering.call(Ok(terms), &[logits, labels, tables, scratch])?;
        lowering.call(Ok(reduce), &[labels, scratch, losses])?;
        let scaling = lowering.scaling();
        lowering.call(Ok(grad), &[labels, tables, scratch, grad_logits, scaling])
    }
}
