//! The operations: for each its shapes, its gradient as more operations, and its kernels.

mod conv;
mod depthwise;
mod dropout;
mod elementwise;
mod image;
mod linear;
mod norm;
mod objective;
mod optimizer;
mod pool;
mod ways;

use super::{Graph, Lowering, Node, Shape, TapeError, Value};

pub use conv::{Conv2d, Conv2dGradInput, Conv2dGradWeight, Epilogue};
pub use depthwise::{DepthwiseConv2d, DepthwiseGradInput, DepthwiseGradWeight};
pub use dropout::Dropout;
pub use elementwise::{Add, Relu, ReluGrad};
pub use image::ImageInput;
pub use linear::{BiasGrad, Linear, LinearGradInput, LinearGradWeight};
pub use norm::{BatchNorm, BatchNormFold, BatchNormGrad};
pub use objective::Objective;
pub use optimizer::OptimizerStep;
pub use pool::{
    AvgPool2d, AvgPool2dGrad, GlobalAvgPool2d, GlobalAvgPool2dGrad, MaxPool2d, MaxPool2dGrad,
};

/// What the tape must know of an operation. There are no defaults, so a missing rule does not compile.
pub trait OpSpec {
    /// The operation's name in errors and accounts.
    fn name(&self) -> &'static str;

    /// The shapes of the outputs for inputs of these shapes, in a layer of this name.
    ///
    /// # Errors
    /// [`TapeError::Shape`] or [`TapeError::Window`].
    fn outputs(&self, layer: &str, inputs: &[&Shape]) -> Result<Vec<Shape>, TapeError>;

    /// Records the gradients with respect to the inputs, given those with respect to the outputs (`None`: zero). One
    /// entry an input; `None` where no gradient flows. Inputs that are not `wanted` may be left `None`.
    ///
    /// # Errors
    /// [`TapeError::NoGradient`].
    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        upstream: &[Option<Value>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, TapeError>;

    /// Emits the kernel calls.
    ///
    /// # Errors
    /// [`TapeError::Kernel`].
    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), TapeError>;
}

/// Declares [`Op`] with one variant an operation, and the one match over it.
macro_rules! ops {
    ($($op:ident),* $(,)?) => {
        /// An operation of the tape.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($op), "`].")] $op($op)),*
        }

        impl Op {
            /// The operation's rules.
            pub fn spec(&self) -> &dyn OpSpec {
                match self { $(Self::$op(op) => op),* }
            }
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Self { Self::$op(op) }
        })*
    };
}

ops!(
    Add,
    AvgPool2d,
    AvgPool2dGrad,
    GlobalAvgPool2d,
    GlobalAvgPool2dGrad,
    ImageInput,
    MaxPool2d,
    MaxPool2dGrad,
    BatchNorm,
    BatchNormFold,
    BatchNormGrad,
    BiasGrad,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    DepthwiseConv2d,
    DepthwiseGradInput,
    DepthwiseGradWeight,
    Dropout,
    Linear,
    LinearGradInput,
    LinearGradWeight,
    Objective,
    OptimizerStep,
    Relu,
    ReluGrad,
);

/// The error of an operation whose gradient would be a second derivative.
fn no_gradient(node: &Node) -> TapeError {
    TapeError::NoGradient {
        layer: node.layer.clone(),
        op: node.op.spec().name(),
    }
}

/// Checks that two inputs have one shape.
fn same_shape(
    op: &'static str,
    layer: &str,
    input: &'static str,
    asked: &Shape,
    like: &Shape,
) -> Result<(), TapeError> {
    if asked == like {
        return Ok(());
    }
    Err(TapeError::Shape {
        layer: layer.to_owned(),
        op,
        input,
        asked: asked.dims().to_vec(),
        allowed: format!("it must be {:?} like the other input", like.dims()),
    })
}
