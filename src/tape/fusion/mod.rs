//! Rewrite rules over the graph: neighbours that one kernel can do become one node.

mod backward;
mod forward;

use super::{Graph, Target, Value};

/// A rule looks at the node at `index` and rewrites the graph around it where it applies.
type Rule = fn(&mut Graph, &Uses, usize) -> bool;

const RULES: [Rule; 14] = [
    forward::residual_into_batch_norm,
    forward::residual_map_into_batch_norm,
    forward::relu_into_source,
    forward::batch_norm_into_conv,
    forward::statistics_into_conv,
    backward::sum_of_gradients_into_conv_grad,
    backward::relu_grad_into_conv_grad,
    backward::relu_grad_into_batch_norm_grad,
    backward::mask_from_map,
    forward::batch_norm_into_max_pool,
    backward::column_sums_into_conv_grad,
    backward::conv_grad_mask_from_map,
    backward::batch_norm_grad_into_conv_grads,
    // Behind all that put the output out of use, as the masks of gradients from the map.
    forward::batch_norm_into_readers,
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
    target: Target,
}

impl Uses {
    fn of(graph: &Graph, outputs: &[Value], target: &Target) -> Self {
        let count = graph.values.len();
        let mut uses = Self {
            producer: vec![None; count],
            readers: vec![Vec::new(); count],
            kept: vec![false; count],
            target: target.clone(),
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
