//! The multi-task objective as one operation: its gradient is its second output.

use super::{OpSpec, no_gradient};
use crate::kernels::loss::Objective as Kernels;
use crate::tape::{Graph, Lowering, Node, Shape, TapeError, Value};
use std::ops::Range;

/// The objective and its gradient, three dispatches a block. Inputs `logits` `[N, outputs]`, `labels`, `tables` (see
/// [`kernels::loss::Objective`](crate::kernels::loss::Objective)); outputs `grad_logits`, which seeds
/// [`Graph::gradients`], and `losses`.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective(pub Kernels);

impl OpSpec for Objective {
    fn name(&self) -> &'static str {
        "objective"
    }

    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        let expected = [
            ("logits", self.0.batch * self.0.width),
            ("labels", self.0.labels_len()),
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
        Ok(vec![inputs[0].clone(), Shape::raw(self.0.losses_len())])
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
        let (logits, grad_logits) = (lowering.input(0), lowering.output(0));
        let scratch = lowering.scratch(self.0.scratch_len());
        let scaling = lowering.scaling();
        let software = lowering.target().software;
        let calls = lowering.check(self.0.calls(lowering.is_scaled(), software))?;
        for (block, [terms, reduce, grad]) in calls.into_iter().enumerate() {
            let part = |input, range: Range<usize>| lowering.part(input, range.start, range.len());
            let labels = part(1, self.0.labels_at(block));
            let tables = part(2, self.0.tables_at(block));
            let losses = self.0.losses_at(block);
            let losses = lowering.output_part(1, losses.start, losses.len());
            lowering.call(Ok(terms), &[logits, labels, tables, scratch])?;
            lowering.call(Ok(reduce), &[labels, scratch, losses])?;
            lowering.call(Ok(grad), &[labels, tables, scratch, grad_logits, scaling])?;
        }
        Ok(())
    }
}
