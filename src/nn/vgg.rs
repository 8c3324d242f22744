//! VGG-16 (Simonyan and Zisserman 2015) with torchvision's names.

use super::layers::{Conv2d, linear, relu};
use crate::tape::ops::{Conv2d as ConvOp, Dropout, MaxPool2d};
use crate::tape::{Graph, Shape, TapeError, Value};

const CHANNELS: [(usize, usize); 5] = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];
const WIDTH: usize = 4096;

/// Records the trunk from the normalised image to the 4096-wide embedding before the last layer. Unlike torchvision's, the
/// first fully connected layer takes the feature map at its own size: its weight's width follows the image's.
pub(super) fn record(
    graph: &mut Graph,
    image: Value,
    schedule: Option<Value>,
) -> Result<Value, TapeError> {
    let mut x = image;
    let mut index = 0;
    for (channels, count) in CHANNELS {
        for _ in 0..count {
            let conv = Conv2d {
                bias: true,
                ..Conv2d::same(channels, 3, 1)
            };
            x = conv.record(graph, &format!("features.{index}"), x)?;
            x = relu(graph, x)?;
            index += 2;
        }
        let pool = MaxPool2d {
            kernel: 2,
            stride: 2,
            padding: 0,
        };
        x = graph.layer(format!("features.{index}"), |graph| {
            Ok::<_, TapeError>(graph.record(pool, &[x])?[0])
        })?;
        index += 1;
    }
    // The first fully connected layer is a convolution over the whole map: torchvision's column order is its C, H, W.
    x = graph.layer("classifier.0", |graph| whole_map(graph, x))?;
    x = head(graph, x, schedule, 1)?;
    x = linear(graph, "classifier.3", x, WIDTH)?;
    head(graph, x, schedule, 2)
}

fn whole_map(graph: &mut Graph, x: Value) -> Result<Value, TapeError> {
    let [_, h, w, c] = graph.shape(x).nhwc().unwrap_or_default();
    let shape = Shape::conv_weight(h, w, c, WIDTH);
    let weight = graph.parameter_as("weight", shape, vec![WIDTH, c * h * w])?;
    let bias = graph.parameter("bias", Shape::rows(&[WIDTH]))?;
    graph.record1(ConvOp::new([1; 2], [0; 2]), &[x, weight, bias])
}

fn head(
    graph: &mut Graph,
    x: Value,
    schedule: Option<Value>,
    stream: u32,
) -> Result<Value, TapeError> {
    let x = relu(graph, x)?;
    match schedule {
        Some(schedule) => graph.record1(Dropout { stream }, &[x, schedule]),
        None => Ok(x),
    }
}
