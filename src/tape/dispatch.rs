//! A dispatch before it has buffers.

use super::Value;
use crate::kernels::Call;

/// One operand of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A value of the graph.
    Value(Value),
    /// Elements of a value of the arena.
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
}
