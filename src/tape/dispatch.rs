//! A dispatch before it has buffers.

use super::{TapeError, Value};
use crate::kernels::Call;
use crate::kernels::conv::Problem;
use std::collections::HashMap;

/// One operand of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A value of the graph.
    Value(Value),
    /// Elements of a value.
    Part {
        /// Which one.
        value: Value,
        /// The first element, a multiple of 64.
        offset: usize,
        /// The number of elements.
        len: usize,
    },
    /// A temporary of one node, by number.
    Scratch(usize),
    /// Words that are known when the step is compiled, by number.
    Constant(usize),
    /// Elements of a flat buffer.
    Flat {
        /// Which one.
        flat: Flat,
        /// The first element.
        offset: usize,
        /// The number of elements.
        len: usize,
    },
}

/// The flat buffers that outlive a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flat {
    /// The trained parameters.
    Parameters,
    /// Running statistics.
    States,
    /// The parameters' gradients.
    Gradients,
    /// The optimiser's first moment.
    Moment1,
    /// The optimiser's second moment.
    Moment2,
    /// The loss's scale and what decides on it, [`SCALING`](crate::kernels::optim::SCALING) elements.
    Scaling,
}

/// One dispatch with its operands.
#[derive(Clone, Debug)]
pub struct Step {
    /// The kernel call.
    pub call: Call,
    /// Its operands, one for each extent.
    pub operands: Vec<Operand>,
    /// The layer it belongs to.
    pub layer: String,
    /// The convolution that it computes, or helps to.
    pub convolution: Option<Problem>,
}

/// Holds that all dispatches of a step mean the same storage by an operand.
///
/// # Errors
/// [`TapeError::Storage`]: a shader knows no f16 where its neighbours do.
pub(super) fn check_storage(steps: &[Step]) -> Result<(), TapeError> {
    let mut known: HashMap<Operand, bool> = HashMap::new();
    for step in steps {
        let bindings = step.operands.iter().zip(&step.call.extents);
        for (operand, extent) in bindings.filter(|(_, extent)| extent.bytes > 0) {
            let half = step.call.is_half(extent);
            let is_value = matches!(operand, Operand::Value(_));
            if *known.entry(*operand).or_insert(half) != half || (half && !is_value) {
                return Err(TapeError::Storage {
                    layer: step.layer.clone(),
                    kernel: step.call.shader.name,
                    binding: extent.name,
                });
            }
        }
    }
    Ok(())
}
