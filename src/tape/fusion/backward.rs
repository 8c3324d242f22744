//! Rules of the backward pass.

use super::Uses;
use crate::kernels::norm::Mask;
use crate::tape::graph::Place;
use crate::tape::ops::{Add, BatchNormGrad, Op};
use crate::tape::{Graph, Shape};

/// The mask of a rectifier behind a plain batch normalisation from the input and its map, which are read anyway, instead of from the
/// output.
pub(super) fn mask_from_map(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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
    node.op = Op::BatchNormGrad(BatchNormGrad {
        mask: Mask::Map,
        ..grad
    });
    true
}

/// The sum of two gradients of one value into the later one's pass, where that is a convolution's.
pub(super) fn sum_of_gradients_into_conv_grad(
    graph: &mut Graph,
    uses: &Uses,
    index: usize,
) -> bool {
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
pub(super) fn relu_grad_into_conv_grad(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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
pub(super) fn column_sums_into_conv_grad(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
    let node = graph.nodes[index].clone();
    let Op::BatchNormGrad(norm) = node.op else {
        return false;
    };
    let (x, statistics) = (node.inputs[1], node.inputs[3]);
    let Some(source) = uses.producer[node.inputs[0].index()] else {
        return false;
    };
    let ready = uses.ready(x, source) && uses.ready(statistics, source);
    if uses.target.software || norm.mask != Mask::None || norm.reduced || !ready {
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
    let Ok(groups) = grad.kernel(weight, &uses.target).groups() else {
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
    node.op = Op::BatchNormGrad(BatchNormGrad {
        reduced: true,
        ..norm
    });
    node.inputs.push(partials);
    true
}

/// The mask of a rectifier behind a plain batch normalisation, in the pass of a convolution, from what the column sums of that
/// normalisation's gradient read anyway.
pub(super) fn conv_grad_mask_from_map(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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
pub(super) fn batch_norm_grad_into_conv_grads(
    graph: &mut Graph,
    uses: &Uses,
    index: usize,
) -> bool {
    let node = graph.nodes[index].clone();
    let Op::BatchNormGrad(norm) = node.op else {
        return false;
    };
    let (grad_y, z, grad_x) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let made = norm.mask == Mask::None && !norm.coefficients_only && !uses.kept[grad_x.index()];
    if uses.target.software || !made {
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
    graph.nodes[index].op = Op::BatchNormGrad(BatchNormGrad {
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
pub(super) fn relu_grad_into_batch_norm_grad(graph: &mut Graph, uses: &Uses, index: usize) -> bool {
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
