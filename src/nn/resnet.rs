//! ResNet-18, 34 and 50 (He et al. 2016, with torchvision's stride in the 3 x 3 of the bottleneck and its names).

use super::layers::{Conv2d, batch_norm, relu};
use crate::tape::ops::{Add, GlobalAvgPool2d, MaxPool2d};
use crate::tape::{Graph, TapeError, Value};

/// Which residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Two 3 x 3 convolutions.
    Basic,
    /// 1 x 1, 3 x 3, 1 x 1 with four times the channels at the end.
    Bottleneck,
}

/// Records the trunk from the normalised image to the `[N, C]` embedding.
pub(super) fn record(
    graph: &mut Graph,
    image: Value,
    block: Block,
    blocks: [usize; 4],
    training: bool,
) -> Result<Value, TapeError> {
    let x = Conv2d::same(64, 7, 2).record(graph, "conv1", image)?;
    let x = batch_norm(graph, "bn1", x, training)?;
    let x = relu(graph, x)?;
    let mut x = graph.layer("maxpool", |graph| {
        let pool = MaxPool2d {
            kernel: 3,
            stride: 2,
            padding: 1,
        };
        Ok::<_, TapeError>(graph.record(pool, &[x])?[0])
    })?;
    for (stage, count) in blocks.into_iter().enumerate() {
        let channels = 64 << stage;
        for index in 0..count {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            x = graph.layer(format!("layer{}.{index}", stage + 1), |graph| match block {
                Block::Basic => basic(graph, x, channels, stride, training),
                Block::Bottleneck => bottleneck(graph, x, channels, stride, training),
            })?;
        }
    }
    graph.layer("avgpool", |graph| graph.record1(GlobalAvgPool2d, &[x]))
}

fn basic(
    graph: &mut Graph,
    x: Value,
    channels: usize,
    stride: usize,
    training: bool,
) -> Result<Value, TapeError> {
    let y = Conv2d::same(channels, 3, stride).record(graph, "conv1", x)?;
    let y = batch_norm(graph, "bn1", y, training)?;
    let y = relu(graph, y)?;
    let y = Conv2d::same(channels, 3, 1).record(graph, "conv2", y)?;
    let y = batch_norm(graph, "bn2", y, training)?;
    join(graph, x, y, stride, training)
}

fn bottleneck(
    graph: &mut Graph,
    x: Value,
    channels: usize,
    stride: usize,
    training: bool,
) -> Result<Value, TapeError> {
    let y = Conv2d::same(channels, 1, 1).record(graph, "conv1", x)?;
    let y = batch_norm(graph, "bn1", y, training)?;
    let y = relu(graph, y)?;
    let y = Conv2d::same(channels, 3, stride).record(graph, "conv2", y)?;
    let y = batch_norm(graph, "bn2", y, training)?;
    let y = relu(graph, y)?;
    let y = Conv2d::same(4 * channels, 1, 1).record(graph, "conv3", y)?;
    let y = batch_norm(graph, "bn3", y, training)?;
    join(graph, x, y, stride, training)
}

/// `relu(y + x)`, with a projection of `x` where the shapes differ.
fn join(
    graph: &mut Graph,
    x: Value,
    y: Value,
    stride: usize,
    training: bool,
) -> Result<Value, TapeError> {
    let identity = if graph.shape(x) == graph.shape(y) {
        x
    } else {
        let channels = graph.shape(y).channels();
        graph.layer("downsample", |graph| {
            let x = Conv2d::same(channels, 1, stride).record(graph, "0", x)?;
            batch_norm(graph, "1", x, training)
        })?
    };
    let sum = graph.record1(Add { relu: false }, &[y, identity])?;
    relu(graph, sum)
}
