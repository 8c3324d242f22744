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
