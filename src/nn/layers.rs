//! Layers: each declares its parameters under the current layer name and records its operations.

use crate::tape::ops::{BatchNorm, Conv2d as Conv2dOp, DepthwiseConv2d, Linear, Relu};
use crate::tape::{Graph, Shape, TapeError, Value};

/// A convolution without dilation, `[N,H,W,C]` to `[N,Ho,Wo,K]`; parameters `weight` and, with a bias, `bias`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Output channels K.
    pub channels: usize,
    /// Filter height and width R = S.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the input in both directions.
    pub padding: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Conv2d {
    /// A convolution without bias that keeps the size at stride 1, for an odd `kernel`.
    pub fn same(channels: usize, kernel: usize, stride: usize) -> Self {
        Self {
            channels,
            kernel,
            stride,
            padding: kernel / 2,
            bias: false,
        }
    }

    /// Records the layer `name`.
    ///
    /// # Errors
    /// [`TapeError::Window`] when the filter does not fit; [`TapeError::DuplicateParameter`].
    pub fn record(&self, graph: &mut Graph, name: &str, x: Value) -> Result<Value, TapeError> {
        graph.layer(name, |graph| {
            let c = graph.shape(x).channels();
            let shape = Shape::conv_weight(self.kernel, self.kernel, c, self.channels);
            let weight = graph.parameter("weight", shape)?;
            let op = Conv2dOp::new([self.stride; 2], [self.padding; 2]);
            if !self.bias {
                return graph.record1(op, &[x, weight]);
            }
            let bias = graph.parameter("bias", Shape::rows(&[self.channels]))?;
            graph.record1(op, &[x, weight, bias])
        })
    }
}

/// A depthwise 3 x 3 convolution without bias, padding 1; parameter `weight`.
///
/// # Errors
/// As [`Conv2d::record`].
pub fn depthwise(
    graph: &mut Graph,
    name: &str,
    x: Value,
    stride: usize,
) -> Result<Value, TapeError> {
    graph.layer(name, |graph| {
        let c = graph.shape(x).channels();
        let weight = graph.parameter("weight", Shape::rows(&[3, 3, c]))?;
        let op = DepthwiseConv2d::new([stride; 2], [1; 2]);
        graph.record1(op, &[x, weight])
    })
}

/// Batch normalisation over N, H and W with momentum 0.1 and eps 1e-5; parameters `weight`, `bias`, states `running_mean`,
/// `running_var`.
///
/// # Errors
/// [`TapeError::DuplicateParameter`].
pub fn batch_norm(
    graph: &mut Graph,
    name: &str,
    x: Value,
    training: bool,
) -> Result<Value, TapeError> {
    graph.layer(name, |graph| {
        let shape = Shape::rows(&[graph.shape(x).channels()]);
        let gamma = graph.parameter("weight", shape.clone())?;
        let beta = graph.parameter("bias", shape.clone())?;
        let mean = graph.state("running_mean", shape.clone())?;
        let var = graph.state("running_var", shape)?;
        let inputs = [x, gamma, beta, mean, var];
        Ok(graph.record(BatchNorm::new(training), &inputs)?[0])
    })
}

/// A fully connected layer `[N,C]` to `[N,K]`; parameters `weight`, `bias`.
///
/// # Errors
/// [`TapeError::DuplicateParameter`].
pub fn linear(graph: &mut Graph, name: &str, x: Value, outputs: usize) -> Result<Value, TapeError> {
    graph.layer(name, |graph| {
        let c = graph.shape(x).channels();
        let weight = graph.parameter("weight", Shape::matrix(c, outputs))?;
        let bias = graph.parameter("bias", Shape::rows(&[outputs]))?;
        graph.record1(Linear, &[x, weight, bias])
    })
}

/// The rectifier.
///
/// # Errors
/// None of its own.
pub fn relu(graph: &mut Graph, x: Value) -> Result<Value, TapeError> {
    graph.record1(Relu, &[x])
}
