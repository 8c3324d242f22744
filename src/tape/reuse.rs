//! What was made before is not made again: of two dispatches that make the same temporaries of the same operands the second goes, and
//! what reads its temporaries reads the first one's, which live that long. So both gradients of a convolution by Winograd's method
//! share the transform of the output's gradient, and take those of the input and of the filters from the forward pass.

use super::dispatch::{Flat, Operand, Step};
use super::graph::{Info, Place};
use crate::kernels::Access;
use std::collections::HashMap;

/// The steps without those that repeat an earlier one.
pub(super) fn reuse(values: &[Info], steps: Vec<Step>) -> Vec<Step> {
    let mut kept: Vec<Step> = Vec::with_capacity(steps.len());
    // Those whose temporaries still hold what the same dispatch would make now.
    let mut known: Vec<usize> = Vec::new();
    let mut made: HashMap<Operand, Operand> = HashMap::new();
    for mut step in steps {
        for operand in &mut step.operands {
            *operand = made.get(operand).copied().unwrap_or(*operand);
        }
        let earlier = known.iter().find(|&&index| repeats(&kept[index], &step));
        if let Some(&index) = earlier.filter(|_| makes_temporaries(&step)) {
            let pairs = written(&step).zip(written(&kept[index]));
            made.extend(pairs);
            continue;
        }
        known.retain(|&index| {
            let mut touched = touched(&kept[index]);
            !touched.any(|(known, _)| written(&step).any(|it| share(values, known, it)))
        });
        if makes_temporaries(&step) {
            known.push(kept.len());
        }
        kept.push(step);
    }
    kept
}

/// The operands of a dispatch that it touches, with what it does to them.
fn touched(step: &Step) -> impl Iterator<Item = (Operand, Access)> + '_ {
    let bindings = step.operands.iter().zip(&step.call.extents);
    bindings
        .filter(|(_, extent)| extent.bytes > 0)
        .map(|(operand, extent)| (*operand, extent.access))
}

fn written(step: &Step) -> impl Iterator<Item = Operand> + '_ {
    touched(step)
        .filter(|(_, access)| *access != Access::Read)
        .map(|(operand, _)| operand)
}

/// Whether nothing but temporaries is written, all of each.
fn makes_temporaries(step: &Step) -> bool {
    let makes = |(operand, access)| {
        access == Access::Read
            || (access == Access::Write && matches!(operand, Operand::Scratch(_)))
    };
    touched(step).all(makes)
}

/// Whether a step is another's call on the same operands.
fn repeats(step: &Step, other: &Step) -> bool {
    let read = |(_, access): &(Operand, Access)| *access == Access::Read;
    step.call == other.call && touched(step).filter(read).eq(touched(other).filter(read))
}

/// Whether two operands may have bytes in common.
fn share(values: &[Info], a: Operand, b: Operand) -> bool {
    let flat = |operand| match operand {
        Operand::Flat { flat, .. } => Some(flat),
        Operand::Value(value) | Operand::Part { value, .. } => match values[value.index()].place {
            Place::Parameter(_) => Some(Flat::Parameters),
            Place::State(_) => Some(Flat::States),
            Place::Gradient(_) => Some(Flat::Gradients),
            _ => None,
        },
        _ => None,
    };
    let whole = |operand| match operand {
        Operand::Part { value, .. } => Operand::Value(value),
        other => other,
    };
    let is_flat = |operand| matches!(operand, Operand::Flat { .. });
    // Two values of a flat buffer have ranges of their own.
    let both_flat = is_flat(a) || is_flat(b);
    whole(a) == whole(b) || (both_flat && flat(a).is_some() && flat(a) == flat(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::elementwise::Relu;
    use crate::tape::{Graph, Shape};

    /// A rectifier of `len` elements.
    fn step(from: Operand, to: Operand) -> Step {
        Step {
            call: Relu { len: 8 }.call().unwrap(),
            operands: vec![from, to],
            layer: String::new(),
            convolution: None,
        }
    }

    fn left(steps: &[(Operand, Operand)]) -> Vec<(Operand, Operand)> {
        let mut graph = Graph::new();
        graph.input("x", Shape::rows(&[8]));
        graph.parameter("p", Shape::rows(&[8])).unwrap();
        let steps = steps.iter().map(|&(from, to)| step(from, to)).collect();
        let kept = reuse(&graph.values, steps);
        kept.iter()
            .map(|it| (it.operands[0], it.operands[1]))
            .collect()
    }

    const X: Operand = Operand::Value(crate::tape::Value(0));
    const P: Operand = Operand::Value(crate::tape::Value(1));
    const PARAMETERS: Operand = Operand::Flat {
        flat: Flat::Parameters,
        offset: 0,
        len: 8,
    };

    fn temporary(number: usize) -> Operand {
        Operand::Scratch(number)
    }

    #[test]
    fn a_repeated_temporary_is_made_once_and_its_readers_follow() {
        let [a, b, c, d] = [0, 1, 2, 3].map(temporary);
        let steps = [(X, a), (X, b), (a, c), (b, d), (d, P)];
        assert_eq!(left(&steps), [(X, a), (a, c), (c, P)]);
    }

    #[test]
    fn what_has_changed_since_is_made_again() {
        let [a, b, c] = [0, 1, 2].map(temporary);
        // The input, the temporary itself, and a parameter by way of the flat buffer.
        for steps in [
            [(X, a), (P, X), (X, b)],
            [(X, a), (P, a), (X, b)],
            [(P, a), (X, PARAMETERS), (P, b)],
        ] {
            assert_eq!(left(&steps), steps);
        }
        let steps = [(X, a), (P, c), (X, b)];
        assert_eq!(left(&steps), steps[..2]);
    }

    #[test]
    fn values_are_made_as_often_as_the_graph_says() {
        let steps = [(X, P), (X, P)];
        assert_eq!(left(&steps), steps);
    }
}
