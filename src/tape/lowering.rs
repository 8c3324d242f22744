//! From the nodes of a graph to kernel calls on abstract operands.

use super::dispatch::{Flat, Operand, Step};
use super::graph::{Node, Place};
use super::recompute::Memory;
use super::{Graph, Shape, TapeError, Target, Value};
use crate::gpu::Precision;
use crate::kernels::conv::{Conv2dShape, HalfFilters, Pass, Problem, Way};
use crate::kernels::optim::SCALING;
use crate::kernels::{Access, Call, Extent, KernelError};
use std::collections::HashSet;

/// Which nodes the outputs, the states and the flat buffers depend on.
fn live_nodes(graph: &Graph, outputs: &[Value]) -> Vec<bool> {
    let mut needed: HashSet<Value> = outputs.iter().copied().collect();
    let mut live = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let kept = |value: &Value| {
            needed.contains(value) || matches!(graph.info(*value).place, Place::Gradient(_))
        };
        if node.outputs.is_empty() || node.outputs.iter().any(kept) {
            live[index] = true;
            needed.extend(node.inputs.iter().copied());
        }
    }
    live
}

/// The kernel calls of all nodes that the outputs depend on.
pub(super) fn lower(
    graph: &mut Graph,
    outputs: &[Value],
    target: &Target,
) -> Result<Emitted, TapeError> {
    let live = live_nodes(graph, outputs);
    let mut emitted = Emitted::default();
    // Kept through the step; where memory counts, each layer makes its own again.
    let len = graph.parameter_len();
    let kept = target.fuse && target.memory == Memory::Fast;
    if kept && target.rounds_filters() && 4 * len as u64 <= target.max_binding {
        let name = "the parameters in f16".to_owned();
        emitted.halves = Some(graph.value(name, Shape::raw(len / 2), Place::Arena));
    }
    for (node, live) in graph.nodes.iter().zip(live) {
        if live {
            let mut lowering = Lowering {
                graph,
                node,
                target,
                emitted: &mut emitted,
                convolution: None,
            };
            node.op.spec().lower(&mut lowering)?;
        }
    }
    Ok(emitted)
}

/// What the nodes have emitted so far.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    pub(super) steps: Vec<Step>,
    pub(super) preparation: Vec<Step>,
    pub(super) scratch: Vec<usize>,
    pub(super) constants: Vec<Vec<u32>>,
    /// Where all parameters lie in f16, at half their offsets, if they are rounded at once.
    halves: Option<Value>,
    /// Whether they lie there already.
    rounded: bool,
}

/// What an operation sees while it emits its kernel calls.
#[derive(Debug)]
pub struct Lowering<'a> {
    graph: &'a Graph,
    node: &'a Node,
    target: &'a Target,
    emitted: &'a mut Emitted,
    convolution: Option<Problem>,
}

impl Lowering<'_> {
    /// The operand of input number `index`.
    pub fn input(&self, index: usize) -> Operand {
        Operand::Value(self.node.inputs[index])
    }

    /// `len` elements of input number `index` from `offset` on.
    pub fn part(&self, index: usize, offset: usize, len: usize) -> Operand {
        Operand::Part {
            value: self.node.inputs[index],
            offset,
            len,
        }
    }

    /// `len` elements of output number `index`, a value of the arena, from `offset` on.
    pub fn output_part(&self, index: usize, offset: usize, len: usize) -> Operand {
        Operand::Part {
            value: self.node.outputs[index],
            offset,
            len,
        }
    }

    /// The operand of output number `index`.
    pub fn output(&self, index: usize) -> Operand {
        Operand::Value(self.node.outputs[index])
    }

    /// How many inputs the node has.
    pub fn input_count(&self) -> usize {
        self.node.inputs.len()
    }

    /// The shape of input number `index`.
    pub fn input_shape(&self, index: usize) -> &Shape {
        self.graph.shape(self.node.inputs[index])
    }

    /// The shape of output number `index`.
    pub fn output_shape(&self, index: usize) -> &Shape {
        self.graph.shape(self.node.outputs[index])
    }

    /// The loss's scale and what decides on it, in a plan of f16; else nothing that is read.
    pub fn scaling(&mut self) -> Operand {
        match self.target.precision {
            Precision::F32 => self.scratch(4),
            Precision::F16 => Operand::Flat {
                flat: Flat::Scaling,
                offset: 0,
                len: SCALING,
            },
        }
    }

    /// Whether the loss is scaled: in a plan of f16.
    pub fn is_scaled(&self) -> bool {
        self.target.precision == Precision::F16
    }

    /// The way to compute the convolution that the node is; `None` for the twin's own choice. What it emits from here on is known
    /// as that problem's.
    pub fn way(&mut self, pass: Pass, shape: Conv2dShape) -> Option<Way> {
        let problem = self.target.problem(pass, shape);
        self.convolution = Some(problem);
        self.target.way(&problem)
    }

    /// What is compiled for.
    pub fn target(&self) -> &Target {
        self.target
    }

    /// The length of the flat parameter buffer.
    pub fn parameter_len(&self) -> usize {
        self.graph.parameter_len()
    }

    /// The length of the flat state buffer.
    pub fn state_len(&self) -> usize {
        self.graph.state_len()
    }

    /// The stored elements of an operand.
    pub fn len(&self, operand: Operand) -> usize {
        match operand {
            Operand::Value(value) => self.graph.shape(value).len(),
            Operand::Scratch(index) => self.emitted.scratch[index],
            Operand::Constant(index) => self.emitted.constants[index].len(),
            Operand::Flat { len, .. } | Operand::Part { len, .. } => len,
        }
    }

    /// A temporary of `len` elements that lives within this node.
    pub fn scratch(&mut self, len: usize) -> Operand {
        self.emitted.scratch.push(len);
        Operand::Scratch(self.emitted.scratch.len() - 1)
    }

    /// A parameter rounded to f16, two in an element: a part of all of them, which are rounded at once and once a step, where they fit
    /// into bindings; else rounded for this node.
    ///
    /// # Errors
    /// As [`Lowering::call`].
    pub fn half(&mut self, parameter: Operand) -> Result<Operand, TapeError> {
        let place = match parameter {
            Operand::Value(value) => Some(self.graph.info(value).place),
            _ => None,
        };
        let len = self.len(parameter);
        let (Some(value), Some(Place::Parameter(offset))) = (self.emitted.halves, place) else {
            let half = self.scratch(len / 2);
            self.call_on_parameters(HalfFilters { len }.call(), &[parameter, half])?;
            return Ok(half);
        };
        if !self.emitted.rounded {
            let len = self.parameter_len();
            let all = Operand::Flat {
                flat: Flat::Parameters,
                offset: 0,
                len,
            };
            self.call_on_parameters(HalfFilters { len }.call(), &[all, Operand::Value(value)])?;
            self.emitted.rounded = true;
        }
        Ok(Operand::Part {
            value,
            offset: offset / 2,
            len: len / 2,
        })
    }

    /// Words that the host writes once, when the plan is made.
    pub fn constant(&mut self, words: Vec<u32>) -> Operand {
        self.emitted.constants.push(words);
        Operand::Constant(self.emitted.constants.len() - 1)
    }

    /// Carries a twin's error up with the layer's name.
    ///
    /// # Errors
    /// [`TapeError::Kernel`].
    pub fn check<T>(&self, result: Result<T, KernelError>) -> Result<T, TapeError> {
        result.map_err(|source| TapeError::Kernel {
            layer: self.node.layer.clone(),
            source,
        })
    }

    /// Emits a call on operands, one for each of its extents.
    ///
    /// # Errors
    /// [`TapeError::Kernel`] when the twin refused the problem.
    pub fn call(
        &mut self,
        call: Result<Call, KernelError>,
        operands: &[Operand],
    ) -> Result<(), TapeError> {
        let step = self.step(call, operands)?;
        // What was rounded before is no longer what it was.
        let writes = |(&operand, extent): (&Operand, &Extent)| {
            extent.access != Access::Read && self.is_parameter(operand)
        };
        let changed = step.operands.iter().zip(&step.call.extents).any(writes);
        self.emitted.rounded &= !changed;
        self.emitted.steps.push(step);
        Ok(())
    }

    /// Emits a call that runs once, and keeps what it writes, where it reads nothing but constants and parameters and states that
    /// are [fixed](Target::fixed); else as [`Lowering::call`].
    ///
    /// # Errors
    /// As [`Lowering::call`].
    pub fn call_on_parameters(
        &mut self,
        call: Result<Call, KernelError>,
        operands: &[Operand],
    ) -> Result<(), TapeError> {
        let step = self.step(call, operands)?;
        let mut reads = step.operands.iter().zip(&step.call.extents);
        if self.target.fixed
            && reads
                .all(|(&operand, extent)| extent.access == Access::Write || self.is_fixed(operand))
        {
            self.emitted.preparation.push(step);
        } else {
            self.emitted.steps.push(step);
        }
        Ok(())
    }

    fn is_fixed(&self, operand: Operand) -> bool {
        match operand {
            Operand::Constant(_) => true,
            Operand::Flat { flat, .. } => matches!(flat, Flat::Parameters | Flat::States),
            Operand::Value(value) => {
                let place = self.graph.info(value).place;
                matches!(place, Place::Parameter(_) | Place::State(_))
            }
            Operand::Part { .. } | Operand::Scratch(_) => false,
        }
    }

    fn is_parameter(&self, operand: Operand) -> bool {
        match operand {
            Operand::Flat { flat, .. } => flat == Flat::Parameters,
            Operand::Value(value) | Operand::Part { value, .. } => {
                matches!(self.graph.info(value).place, Place::Parameter(_))
            }
            _ => false,
        }
    }

    fn step(
        &self,
        call: Result<Call, KernelError>,
        operands: &[Operand],
    ) -> Result<Step, TapeError> {
        let kernel = |source| TapeError::Kernel {
            layer: self.node.layer.clone(),
            source,
        };
        let mut call = call.map_err(kernel)?.stored(self.target.precision);
        if self.target.software {
            call = call.in_words();
        }
        if self.target.subgroups {
            call = call.in_subgroups();
        }
        if operands.len() != call.extents.len() {
            return Err(kernel(KernelError::Bindings {
                kernel: call.shader.name,
                asked: operands.len(),
                allowed: call.extents.len(),
            }));
        }
        for (extent, operand) in call.extents.iter().zip(operands) {
            let asked = call.element_bytes(extent) * self.len(*operand) as u64;
            if asked < extent.bytes {
                return Err(kernel(KernelError::Binding {
                    kernel: call.shader.name,
                    binding: extent.name,
                    asked,
                    allowed: extent.bytes,
                }));
            }
        }
        Ok(Step {
            call,
            operands: operands.to_vec(),
            layer: self.node.layer.clone(),
            convolution: self.convolution,
        })
    }
}
