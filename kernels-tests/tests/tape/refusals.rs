//! What the tape refuses.

use super::{Block, recorded};
use kernels_tests::harness::gpu;
use kinesic::nn::Conv2d;
use kinesic::tape::{Graph, Plan, Recording, Shape, Store, TapeError, Target};

#[test]
fn rejects_a_filter_of_other_channels() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::rows(&[1, 4, 4, 3]));
    let weight = graph
        .parameter("weight", Shape::conv_weight(3, 3, 5, 4))
        .unwrap();
    let op = kinesic::tape::ops::Conv2d::new([1; 2], [1; 2]);
    let error = graph.record(op, &[x, weight]).unwrap_err();
    assert!(matches!(error, TapeError::Shape { .. }), "{error}");
}

#[test]
fn rejects_an_image_smaller_than_the_window_with_the_layers_name() {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::rows(&[1, 2, 2, 3]));
    let conv = Conv2d {
        channels: 4,
        kernel: 7,
        stride: 1,
        padding: 0,
        bias: false,
    };
    let error = graph
        .layer("stem", |graph| conv.record(graph, "conv", x))
        .unwrap_err();
    assert!(error.to_string().contains("stem.conv"), "{error}");
}

#[test]
fn rejects_a_parameter_declared_twice() {
    let mut graph = Graph::new();
    graph.parameter("weight", Shape::rows(&[4])).unwrap();
    let error = graph.parameter("weight", Shape::rows(&[4])).unwrap_err();
    assert!(
        matches!(error, TapeError::DuplicateParameter { .. }),
        "{error}"
    );
}

#[test]
fn rejects_inputs_of_another_length() {
    let Block { graph, x, y, .. } = recorded();
    let gpu = gpu();
    let error = gpu
        .block_on(async {
            let recording = Recording::new(graph, &[y], &Target::of(gpu))?;
            let store = Store::new(gpu, &recording, true).await?;
            Plan::new(gpu, recording, &store).await?.write(x, &[0; 12])
        })
        .unwrap_err();
    assert!(
        matches!(error, TapeError::Length { asked: 12, .. }),
        "{error}"
    );
}
