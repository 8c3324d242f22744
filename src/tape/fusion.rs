//! Rewrite rules over the graph: neighbours that one kernel can do become one node.

use super::graph::Place;
use super::ops::{Add, Op};
use super::{Graph, Shape, Target, Value};

/// A rule looks at the node at `index` and rewrites the graph around it where it applies.
type Rule = fn(&mut Graph, &Uses, usize) -> bool;

const RULES: [Rule; 6] = [
    residual_into_batch_norm,
    relu_into_source,
    sum_of_gradients_into_conv_grad,
    relu_grad_into_conv_grad,
    relu_grad_into_batch_norm_grad,
    column_sums_into_conv_grad,
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
}

impl Uses {
    fn of(graph: &Graph, outputs: &[Value], target: &Target) -> Self {
        let count = graph.values.len();
        let mut uses = Self {
            producer: vec![None; count],
            readers: vec![Vec::new(); count],
            kept: vec![false; count],
            software: target.software,
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

    /// Whether `value` exists when the node at `index` runs.
    fn ready(&self, value: Value, index: usize) -> bool {
        self.producer[value.index()].is_none_or(|producer| producer < index)
    }
}

/// `relu(y)` into the pass that makes `y`: the sum `a + b`, or batch normalisation.
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
        _ => return false,
    }
    graph.nodes[source].outputs[0] = output;
    graph.nodes.remove(index);
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
    if uses.software || norm.relu || norm.reduced || !ready {
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
        Op::BatchNormGrad(grad) if !grad.relu => {
            grad.relu = true;
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
