//! Element by element: activation, sum, bias, dropout, and their gradients.

mod add;
mod bias;
mod dropout;
mod relu;

use super::Kernel;

pub use add::Add;
pub use bias::{BiasAdd, BiasGrad};
pub use dropout::Dropout;
pub use relu::{Relu, ReluGrad};

/// `vec4`s an invocation of the kernels that only pass over their tensors. Four take half to four fifths of one's time on a
/// software adapter, and leave enough invocations for a large GPU.
const EACH: usize = 4;

pub(super) fn kernels() -> Vec<Kernel> {
    let mut kernels = vec![
        relu::forward(),
        relu::grad(),
        add::kernel(),
        dropout::kernel(),
    ];
    kernels.extend(bias::kernels());
    kernels
}
