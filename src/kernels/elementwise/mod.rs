//! Element by element: activation, sum, bias, and their gradients.

mod relu;

use super::Kernel;

pub use relu::{Relu, ReluGrad};

pub(super) fn kernels() -> Vec<Kernel> {
    vec![relu::forward(), relu::grad()]
}
