//! Rewrite rules over the graph: neighbours that one kernel can do become one node.

use super::graph::{ALIGN, Place};
use super::ops::{Add, BatchNorm, BatchNormFold, Epilogue, Op};
use super::{Graph, Node, Shape, Target, Value};
use crate::kernels::norm::{FoldedLayer, Mask};
use crate::kernels::padded;

/// A rule looks at the node at `index` and rewrites the graph around it where it applies.
type Rule = fn(&mut Graph, &Uses, usize) -> bool;

const RULES: [Rule; 13] = [
    residual_into_batch_norm,
    residual_map_into_batch_norm,
    relu_into_source,
    batch_norm_into_conv,
    statistics_into_conv,
    sum_of_gradients_into_conv_grad,
    relu_grad_into_conv_grad,
    relu_grad_into_batch_norm_grad,
    mask_from_map,
    batch_norm_into_max_pool,
    column_sums_into_conv_grad,
    conv_grad_mask_from_map,
    batch_norm_grad_into_conv_grads,
];

/// Applies the rules until none does.
pub(super) fn fuse(graph: &mut Graph, outputs: &[Value], target: &Target) {
    for rule in RULES {
        let mut index = 0;
        let mut uses = Uses::of(graph, outputs, target);
        while index < graph.nodes.len() {
            if rule(graph, &uses, index) {
                uses = Uses::of(graph, outputs, target);
            } else {
                index += 1;
            }
        }
    }
}

/// Who makes and who reads each value.
struct Uses {
    producer: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
    kept: Vec<bool>,
    software: bool,
    max_binding: u64,
}

impl Uses {
    fn of(graph: &Graph, outputs: &[Value], target: &Target) -> Self {
        let count = graph.values.len();
        let mut uses = Self {
            producer: vec![None; count],
            readers: vec![Vec::new(); count],
            kept: vec![false; count],
            software: target.software,
            max_binding: target.max_binding,
        };
        for (index, node) in graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                uses.readers[input.index()].push(index);
            }
            for output in &node.outputs {
                uses.producer[output.index()] = Some(index);
            }
        }
        for output in outputs {
            uses.kept[output.index()] = true;
        }
        uses
    }

    /// The node that makes `value`, when nothing but one node reads it.
    fn sole_source(&self, value: Value) -> Option<usize> {
        let sole = self.readers[value.index()].len() == 1 && !self.kept[value.index()];
        self.producer[value.index()].filter(|_| sole)
    }

    /// Whether a node or the host reads `value`.
    fn is_read(&self, value: Value) -> bool {
        !self.readers[value.index()].is_empty() || self.kept[value.index()]
    }

    /// Whether `value` exists when the node at `index` runs.
    fn ready(&self, value: Value, index: usize) -> bool {
        self.producer[value.index()].is_none_or(|producer| producer < index)
    }
}

/// `relu(y)` into the pass that makes `y`: the sum `a + b`, batch normalisation, or a convolution.
fn relu_into_source(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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
fn batch_norm_into_conv(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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
    (4 * most as u64 <= uses.max_binding).then_some(FoldedLayer {
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
fn statistics_into_conv(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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
    if uses.software || !norm.training || norm.reduced.is_some() || conv.epilogue.stats {
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
fn residual_into_batch_norm(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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
fn residual_map_into_batch_norm(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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

/// The mask of a rectifier behind a plain batch normalisation from the input and its map, which are read anyway, instead of from the
/// output.
fn mask_from_map(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::BatchNormGrad(grad) = node.op else {
        return false;
    };
    if grad.mask != Mask::Output {
        return false;
    }
    let Some(source) = uses.producer[node.inputs[4].index()] else {
        return false;
    };
    let producer = &graph.nodes[source];
    let same = producer.inputs[0] == node.inputs[1];
    match producer.op {
        Op::BatchNorm(norm) if same && !norm.residual => {}
        _ => return false,
    }
    let node = &mut graph.nodes[index];
    node.inputs.remove(4);
    node.op = Op::BatchNormGrad(super::ops::BatchNormGrad {
        mask: Mask::Map,
        ..grad
    });
    true
}

/// A rectified batch normalisation in training into the pooling that alone reads it.
fn batch_norm_into_max_pool(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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

/// The sum of two gradients of one value into the later one's pass, where that is a convolution's.
fn sum_of_gradients_into_conv_grad(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = graph.nodes[index].clone();
    let Op::Add(Add { relu: false }) = node.op else {
        return false;
    };
    for side in [0, 1] {
        let other = node.inputs[1 - side];
        let Some(source) = uses.sole_source(node.inputs[side]) else {
            continue;
        };
        let fits = uses.ready(other, source);
        let producer = &mut graph.nodes[source];
        match &mut producer.op {
            // The epilogue adds before it does anything else.
            Op::Conv2dGradInput(grad)
                if fits && !grad.add && !grad.mask && grad.partials.is_none() =>
            {
                grad.add = true;
            }
            _ => continue,
        }
        producer.inputs.push(other);
        producer.outputs[0] = node.outputs[0];
        graph.nodes.remove(index);
        return true;
    }
    false
}

/// The mask of a rectifier's gradient into the pass of the convolution that makes the gradient: whatever reads it, reads it
/// masked.
fn relu_grad_into_conv_grad(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = graph.nodes[index].clone();
    let Op::ReluGrad(_) = node.op else {
        return false;
    };
    let Some(source) = uses.sole_source(node.inputs[0]) else {
        return false;
    };
    let fits = uses.ready(node.inputs[1], source);
    let producer = &mut graph.nodes[source];
    match &mut producer.op {
        Op::Conv2dGradInput(grad) if fits && !grad.mask && grad.partials.is_none() => {
            grad.mask = true;
        }
        _ => return false,
    }
    producer.inputs.push(node.inputs[1]);
    producer.outputs[0] = node.outputs[0];
    graph.nodes.remove(index);
    true
}

/// The column sums that begin the gradient of a batch normalisation into the pass of the convolution that makes its `grad_y`.
/// Where two batch normalisations share a gradient, the first gets its sums.
///
/// Not on software adapters: there the lanes of a subgroup hold different pixels, and summing across them costs more than the
/// pass that it saves (16.5 against 12 ms of processor time for 64 images of 24 x 24 x 32).
fn column_sums_into_conv_grad(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = graph.nodes[index].clone();
    let Op::BatchNormGrad(norm) = node.op else {
        return false;
    };
    let (x, statistics) = (node.inputs[1], node.inputs[3]);
    let Some(source) = uses.producer[node.inputs[0].index()] else {
        return false;
    };
    let ready = uses.ready(x, source) && uses.ready(statistics, source);
    if uses.software || norm.mask != Mask::None || norm.reduced || !ready {
        return false;
    }
    let producer = &graph.nodes[source];
    let Op::Conv2dGradInput(grad) = &producer.op else {
        return false;
    };
    if grad.partials.is_some() || grad.x != *graph.shape(x) {
        return false;
    }
    // A shape that the kernel refuses is refused with its layer's name when it is lowered.
    let weight = graph.shape(producer.inputs[1]);
    let Ok(groups) = grad.kernel(weight, false).groups() else {
        return false;
    };
    let shape = Shape::rows(&[groups, 2, grad.x.channels()]);
    let layer = producer.layer.clone();
    let partials = graph.value(layer, shape.clone(), Place::Arena);
    let producer = &mut graph.nodes[source];
    if let Op::Conv2dGradInput(grad) = &mut producer.op {
        grad.partials = Some(shape);
    }
    producer.inputs.extend([x, statistics]);
    producer.outputs.push(partials);
    let node = &mut graph.nodes[index];
    node.op = Op::BatchNormGrad(super::ops::BatchNormGrad {
        reduced: true,
        ..norm
    });
    node.inputs.push(partials);
    true
}

/// The mask of a rectifier behind a plain batch normalisation, in the pass of a convolution, from what the column sums of that
/// normalisation's gradient read anyway.
fn conv_grad_mask_from_map(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = &graph.nodes[index];
    let Op::Conv2dGradInput(grad) = &node.op else {
        return false;
    };
    if !grad.mask || grad.partials.is_none() {
        return false;
    }
    let mask = 2 + usize::from(grad.add);
    let (z, statistics) = (node.inputs[mask + 1], node.inputs[mask + 2]);
    let Some(source) = uses.producer[node.inputs[mask].index()] else {
        return false;
    };
    let producer = &graph.nodes[source];
    let same = producer.inputs[0] == z && producer.outputs.get(1) == Some(&statistics);
    match producer.op {
        Op::BatchNorm(norm) if same && norm.relu && !norm.residual => {}
        _ => return false,
    }
    let node = &mut graph.nodes[index];
    node.inputs.remove(mask);
    if let Op::Conv2dGradInput(grad) = &mut node.op {
        grad.mask = false;
        grad.mask_map = true;
    }
    true
}

/// The gradient of a batch normalisation with respect to its input into the passes of the convolution that made that input: they
/// compute it on load. Not on software adapters, where loads are what costs.
fn batch_norm_grad_into_conv_grads(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = graph.nodes[index].clone();
    let Op::BatchNormGrad(norm) = node.op else {
        return false;
    };
    let (grad_y, z, grad_x) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let made = norm.mask == Mask::None && !norm.coefficients_only && !uses.kept[grad_x.index()];
    if uses.software || !made {
        return false;
    }
    let readers = &uses.readers[grad_x.index()];
    let fits = |reader: &usize| {
        let reader = &graph.nodes[*reader];
        match &reader.op {
            // Both read it once, and the input's gradient has no bindings left with these.
            Op::Conv2dGradInput(grad) => reader.inputs[0] == grad_x && !grad.add && !grad.mask,
            Op::Conv2dGradWeight(_) => reader.inputs[1] == grad_x,
            _ => false,
        }
    };
    if readers.is_empty() || !readers.iter().all(fits) {
        return false;
    }
    let channels = graph.shape(z).channels();
    graph.values[grad_x.index()].shape = Shape::rows(&[3, channels]);
    graph.nodes[index].op = Op::BatchNormGrad(super::ops::BatchNormGrad {
        coefficients_only: true,
        ..norm
    });
    for &reader in readers {
        let reader = &mut graph.nodes[reader];
        match &mut reader.op {
            Op::Conv2dGradInput(grad) => {
                grad.mapped = true;
                reader.inputs[0] = grad_y;
                reader.inputs.splice(2..2, [z, grad_x]);
            }
            Op::Conv2dGradWeight(grad) => {
                grad.mapped = true;
                reader.inputs[1] = grad_y;
                reader.inputs.extend([z, grad_x]);
            }
            _ => {}
        }
    }
    true
}

/// The mask of a rectifier's gradient into the gradient of the batch normalisation before it. Where the masked gradient goes
/// elsewhere, too (a residual), the same pass writes it out.
fn relu_grad_into_batch_norm_grad(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = graph.nodes[index].clone();
    let Op::ReluGrad(_) = node.op else {
        return false;
    };
    let masked = node.outputs[0];
    if uses.kept[masked.index()] {
        return false;
    }
    let readers = &uses.readers[masked.index()];
    let Some(&first) = readers.first() else {
        return false;
    };
    let residual = readers.len() > 1;
    let reader = &mut graph.nodes[first];
    if reader.inputs[0] != masked {
        return false;
    }
    match &mut reader.op {
        Op::BatchNormGrad(grad) if grad.mask == Mask::None => {
            grad.mask = Mask::Output;
            grad.residual = residual;
        }
        _ => return false,
    }
    reader.inputs[0] = node.inputs[0];
    reader.inputs.push(node.inputs[1]);
    if residual {
        reader.outputs.push(masked);
    }
    graph.nodes.remove(index);
    true
}
