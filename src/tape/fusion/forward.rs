//! Rules of the forward pass.

use super::Uses;
use crate::kernels::conv::Input;
use crate::kernels::norm::FoldedLayer;
use crate::kernels::padded;
use crate::tape::graph::{ALIGN, Place};
use crate::tape::ops::{Add, BatchNorm, BatchNormFold, Conv2dGradWeight, Epilogue, Op};
use crate::tape::{Graph, Node, Shape, Value};

/// `relu(y)` into the pass that makes `y`: the sum `a + b`, batch normalisation, or a convolution.
pub(super) fn relu_into_source(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::Relu(_) = node.op else { return false };
    let Some(source) = uses.sole_source(node.inputs[0]) else {
        return false;
    };
    let output = node.outputs[0];
    match &mut graph.nodes[source].op {
        Op::Add(add) if !add.relu => add.relu = true,
        Op::BatchNorm(norm) if !norm.relu => norm.relu = true,
        Op::Conv2d(conv) if !conv.epilogue.relu => conv.epilogue.relu = true,
        Op::DepthwiseConv2d(conv) if !conv.relu => conv.relu = true,
        _ => return false,
    }
    graph.nodes[source].outputs[0] = output;
    graph.nodes.remove(index);
    true
}

/// Batch normalisation in evaluation, with what is fused into it, into the convolution before it. Its map comes from one pass
/// for all layers at the graph's beginning.
pub(super) fn batch_norm_into_conv(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = graph.nodes[index].clone();
    let Op::BatchNorm(norm) = node.op else {
        return false;
    };
    let Some(source) = uses.sole_source(node.inputs[0]) else {
        return false;
    };
    let residual = node.inputs.get(5).copied().filter(|_| norm.residual);
    // One value in two bindings of a dispatch would alias.
    let read = &graph.nodes[source].inputs;
    let fits = residual.is_none_or(|value| uses.ready(value, source) && !read.contains(&value));
    if norm.training || uses.is_read(node.outputs[1]) || !fits {
        return false;
    }
    let plain = match graph.nodes[source].op {
        Op::Conv2d(conv) => conv.epilogue == Epilogue::default(),
        Op::DepthwiseConv2d(conv) => conv.affine.is_none() && !conv.relu && !norm.residual,
        _ => false,
    };
    if !plain {
        return false;
    }
    let Some(layer) = folded_layer(graph, uses, &node, norm.eps) else {
        return false;
    };
    let (maps, affine, shift) = add_to_fold(graph, layer);
    let (source, index) = (source + shift, index + shift);
    let producer = &mut graph.nodes[source];
    match &mut producer.op {
        Op::Conv2d(conv) => {
            conv.epilogue = Epilogue {
                affine: Some(affine),
                residual: norm.residual,
                relu: norm.relu,
                stats: false,
            };
        }
        Op::DepthwiseConv2d(conv) => {
            conv.affine = Some(affine);
            conv.relu = norm.relu;
        }
        _ => {}
    }
    producer.inputs.push(maps);
    producer.inputs.extend(residual);
    producer.outputs[0] = node.outputs[0];
    graph.nodes.remove(index);
    true
}

/// Where the operands of a batch normalisation lie, if in the flat buffers, and these within a binding.
fn folded_layer(graph: &Graph, uses: &Uses, node: &Node, eps: f32) -> Option<FoldedLayer> {
    let place = |index: usize| graph.info(node.inputs[index]).place;
    let places = [place(1), place(2), place(3), place(4)];
    let [
        Place::Parameter(gamma),
        Place::Parameter(beta),
        Place::State(mean),
        Place::State(variance),
    ] = places
    else {
        return None;
    };
    let most = graph.parameter_len().max(graph.state_len());
    (4 * most as u64 <= uses.target.max_binding).then_some(FoldedLayer {
        gamma,
        beta,
        mean,
        variance,
        affine: 0,
        channels: graph.shape(node.inputs[0]).channels(),
        eps,
    })
}

/// Adds a layer to the pass that makes all maps, the graph's first node: the maps, where in them this layer's begins, and by how
/// much all other nodes move.
fn add_to_fold(graph: &mut Graph, mut layer: FoldedLayer) -> (Value, usize, usize) {
    let found = graph
        .nodes
        .first()
        .is_some_and(|node| matches!(node.op, Op::BatchNormFold(_)));
    if !found {
        let name = "batch_norm_fold".to_owned();
        let maps = graph.value(name.clone(), Shape::raw(0), Place::Arena);
        let node = Node {
            op: Op::BatchNormFold(BatchNormFold { layers: Vec::new() }),
            inputs: Vec::new(),
            outputs: vec![maps],
            layer: name,
        };
        graph.nodes.insert(0, node);
    }
    let node = &mut graph.nodes[0];
    let maps = node.outputs[0];
    let values = &mut graph.values[maps.index()];
    layer.affine = values.shape.len().next_multiple_of(ALIGN);
    values.shape = Shape::raw(layer.affine + 2 * padded(layer.channels));
    if let Op::BatchNormFold(fold) = &mut node.op {
        fold.layers.push(layer);
    }
    (maps, layer.affine, usize::from(!found))
}

/// The statistics that begin a batch normalisation in training into the pass of the convolution that makes its input. Not on
/// software adapters: their kernel gathers none.
pub(super) fn statistics_into_conv(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::BatchNorm(norm) = node.op else {
        return false;
    };
    let Some(source) = uses.producer[node.inputs[0].index()] else {
        return false;
    };
    let producer = &graph.nodes[source];
    let Op::Conv2d(conv) = producer.op else {
        return false;
    };
    if uses.target.software || !norm.training || norm.reduced.is_some() || conv.epilogue.stats {
        return false;
    }
    let [x, weight] = [0, 1].map(|input| graph.shape(producer.inputs[input]));
    // A shape that the kernel refuses is refused with its layer's name when it is lowered.
    let Some([groups, rows]) = conv.groups(x, weight) else {
        return false;
    };
    let shape = Shape::rows(&[groups, 2, graph.shape(node.inputs[0]).channels()]);
    let partials = graph.value(producer.layer.clone(), shape, Place::Arena);
    let producer = &mut graph.nodes[source];
    if let Op::Conv2d(conv) = &mut producer.op {
        conv.epilogue.stats = true;
    }
    producer.outputs.push(partials);
    let node = &mut graph.nodes[index];
    node.op = Op::BatchNorm(BatchNorm {
        reduced: Some(rows),
        ..norm
    });
    node.inputs.push(partials);
    true
}

/// `bn(x) + residual` (rectified or not) into the normalising pass. Of two normalised operands the later one takes the other
/// as its residual.
pub(super) fn residual_into_batch_norm(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = graph.nodes[index].clone();
    let Op::Add(Add { relu }) = node.op else {
        return false;
    };
    let plain = |value: &Value| {
        let source = uses.sole_source(*value)?;
        match graph.nodes[source].op {
            Op::BatchNorm(norm) if !norm.residual && !norm.relu => Some(source),
            _ => None,
        }
    };
    let sources = [plain(&node.inputs[0]), plain(&node.inputs[1])];
    let side = usize::from(sources[1] > sources[0]);
    let Some(source) = sources[side] else {
        return false;
    };
    let residual = node.inputs[1 - side];
    // The residual must exist when the batch normalisation runs.
    if uses.producer[residual.index()].is_some_and(|producer| producer > source) {
        return false;
    }
    if let Op::BatchNorm(norm) = &mut graph.nodes[source].op {
        norm.residual = true;
        norm.relu = relu;
    }
    graph.nodes[source].inputs.push(residual);
    graph.nodes[source].outputs[0] = node.outputs[0];
    graph.nodes.remove(index);
    true
}

/// A batch normalisation whose result is nothing but the residual of another one: the other applies its map.
pub(super) fn residual_map_into_batch_norm(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::BatchNorm(norm) = node.op else {
        return false;
    };
    // In evaluation both go into their convolutions.
    if !norm.training || !norm.residual || norm.mapped {
        return false;
    }
    let Some(source) = uses.sole_source(node.inputs[5]) else {
        return false;
    };
    let producer = &graph.nodes[source];
    match producer.op {
        Op::BatchNorm(other) if !other.residual && !other.relu => {}
        _ => return false,
    }
    let x = producer.inputs[0];
    let map = map_only(graph, source);
    let node = &mut graph.nodes[index];
    node.op = Op::BatchNorm(BatchNorm {
        mapped: true,
        ..norm
    });
    node.inputs[5] = x;
    node.inputs.insert(6, map);
    true
}

/// Leaves a batch normalisation nothing to make but its statistics and map: they are returned.
fn map_only(graph: &mut Graph, index: usize) -> Value {
    let node = &mut graph.nodes[index];
    if let Op::BatchNorm(norm) = &mut node.op {
        norm.map_only = true;
    }
    node.outputs[1]
}

/// A rectified batch normalisation in training into the pooling that alone reads it.
pub(super) fn batch_norm_into_max_pool(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::MaxPool2d(_) = node.op else {
        return false;
    };
    let Some(source) = uses.sole_source(node.inputs[0]) else {
        return false;
    };
    let producer = &graph.nodes[source];
    match producer.op {
        Op::BatchNorm(norm) if norm.training && norm.relu && !norm.residual => {}
        _ => return false,
    }
    let x = producer.inputs[0];
    let map = map_only(graph, source);
    graph.nodes[index].inputs = vec![x, map];
    true
}

/// A batch normalisation in training into the convolutions that read it, and into the gradients of their filters: they apply its map
/// on load, and its output is never made. Only where the target [wants it](crate::tape::Target::normalise_on_load).
pub(super) fn batch_norm_into_readers(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::BatchNorm(norm) = node.op else {
        return false;
    };
    let made = norm.training && !norm.residual && !norm.map_only;
    let (x, y) = (node.inputs[0], node.outputs[0]);
    if !uses.target.normalises_on_load() || !made || uses.kept[y.index()] {
        return false;
    }
    let readers = &uses.readers[y.index()];
    let fits = |reader: &usize| {
        let reader = &graph.nodes[*reader];
        match &reader.op {
            // With a map of its input it does nothing else but gather statistics.
            Op::Conv2d(conv) => {
                let stats = conv.epilogue.stats;
                let plain = Epilogue {
                    stats,
                    ..Epilogue::default()
                };
                reader.inputs.len() == 2 && conv.epilogue == plain
            }
            Op::Conv2dGradWeight(_) => true,
            _ => false,
        }
    };
    if readers.is_empty() || !readers.iter().all(fits) {
        return false;
    }
    let map = map_only(graph, index);
    for &reader in readers {
        let reader = &mut graph.nodes[reader];
        match &mut reader.op {
            Op::Conv2d(conv) | Op::Conv2dGradWeight(Conv2dGradWeight { conv, .. }) => {
                conv.input = match norm.relu {
                    true => Input::Rectified,
                    false => Input::Normalised,
                };
            }
            _ => {}
        }
        reader.inputs[0] = x;
        reader.inputs.push(map);
    }
    true
}
