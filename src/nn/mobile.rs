//! A small depthwise separable network in the manner of MobileNet (Howard et al. 2017), for weak adapters and browsers.

use super::layers::{Conv2d, batch_norm, depthwise, relu};
use crate::tape::ops::{Add, GlobalAvgPool2d};
use crate::tape::{Graph, TapeError, Value};

/// Channels and stride of the stages behind the stem; at width and depth 1 about 2.5 million multiply-adds at 48 x 48.
const STAGES: [(usize, usize, usize); 3] = [(32, 1, 1), (64, 2, 2), (128, 2, 2)];
const STEM: usize = 16;

/// Records the trunk from the normalised image to the `[N, C]` embedding. `width` scales the channels (rounded to multiples
/// of 8), `depth` the blocks of each stage.
pub(super) fn record(
    graph: &mut Graph,
    image: Value,
    width: f32,
    depth: f32,
    training: bool,
) -> Result<Value, TapeError> {
    let scaled = |channels: usize| {
        let eighths = (channels as f32 * width / 8.0).round().max(1.0);
        8 * eighths as usize
    };
    let mut x = graph.layer("stem", |graph| {
        let x = Conv2d::same(scaled(STEM), 3, 2).record(graph, "conv", image)?;
        let x = batch_norm(graph, "bn", x, training)?;
        relu(graph, x)
    })?;
    for (stage, (channels, stride, blocks)) in STAGES.into_iter().enumerate() {
        let blocks = (blocks as f32 * depth).round().max(1.0) as usize;
        for index in 0..blocks {
            let stride = if index == 0 { stride } else { 1 };
            let name = format!("stages.{stage}.{index}");
            x = graph.layer(name, |graph| {
                block(graph, x, scaled(channels), stride, training)
            })?;
        }
    }
    graph.layer("avgpool", |graph| graph.record1(GlobalAvgPool2d, &[x]))
}

fn block(
    graph: &mut Graph,
    x: Value,
    channels: usize,
    stride: usize,
    training: bool,
) -> Result<Value, TapeError> {
    let y = depthwise(graph, "depthwise", x, stride)?;
    let y = batch_norm(graph, "bn1", y, training)?;
    let y = relu(graph, y)?;
    let y = Conv2d::same(channels, 1, 1).record(graph, "pointwise", y)?;
    let mut y = batch_norm(graph, "bn2", y, training)?;
    if graph.shape(x) == graph.shape(y) {
        y = graph.record1(Add { relu: false }, &[y, x])?;
    }
    relu(graph, y)
}
