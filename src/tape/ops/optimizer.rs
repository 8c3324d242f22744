//! The optimiser's step over the flat buffers.

use super::{OpSpec, no_gradient};
use crate::kernels::optim::{GradientCheck, INTERVAL, LossScale, Optimizer};
use crate::tape::{Flat, Graph, Lowering, Node, Operand, Shape, TapeError, Value};

/// Updates all parameters and moments from the flat gradients. Inputs: the step's schedule, then all gradients that must be
/// complete before. No outputs: it is run for its effect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerStep(pub Optimizer);

impl OptimizerStep {
    /// Decides on the device whether the gradients are finite, and on the next step's scale.
    fn scale(&self, lowering: &mut Lowering<'_>, pieces: &[[usize; 2]]) -> Result<(), TapeError> {
        let mut checks = Vec::new();
        let mut groups = 0;
        for &[offset, len] in pieces {
            let check = GradientCheck { len, first: groups };
            groups += check.groups();
            let flat = Flat::Gradients;
            checks.push((check, Operand::Flat { flat, offset, len }));
        }
        let broken = lowering.scratch(groups);
        for (check, gradient) in checks {
            lowering.call(check.call(), &[gradient, broken])?;
        }
        let decision = LossScale {
            groups,
            interval: INTERVAL,
            optimizer: self.0,
        };
        let scaling = lowering.scaling();
        lowering.call(decision.call(), &[broken, scaling])
    }
}

impl OpSpec for OptimizerStep {
    fn name(&self) -> &'static str {
        "optimizer"
    }

    fn outputs(&self, _: &str, _: &[&Shape]) -> Result<Vec<Shape>, TapeError> {
        Ok(Vec::new())
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
        let total = lowering.parameter_len();
        // One dispatch, unless the parameters exceed what a binding holds; pieces begin at multiples of 64 elements.
        let most = usize::try_from(lowering.target().max_binding / 4).unwrap_or(usize::MAX);
        let piece = (most / 64 * 64).max(64);
        let pieces: Vec<[usize; 2]> = (0..total)
            .step_by(piece)
            .map(|offset| [offset, piece.min(total - offset)])
            .collect();
        let scaled = lowering.is_scaled();
        if scaled {
            self.scale(lowering, &pieces)?;
        }
        let scaling = lowering.scaling();
        for [offset, len] in pieces {
            let flat = |flat| Operand::Flat { flat, offset, len };
            let mut operands = vec![
                lowering.input(0),
                flat(Flat::Gradients),
                flat(Flat::Parameters),
                flat(Flat::Moment1),
            ];
            if self.0.moments() > 1 {
                operands.push(flat(Flat::Moment2));
            }
            operands.push(scaling);
            lowering.call(self.0.call(len, scaled), &operands)?;
        }
        Ok(())
    }
}
