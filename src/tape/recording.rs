//! From the graph to a flat list of dispatches over abstract operands: dead code out, neighbours fused, kernels chosen.

use super::arena::{self, Arena};
use super::dispatch::{self, Flat, Operand, Step};
use super::graph::{Info, Node, Place};
use super::recompute::{self, Draft, Memory};
use super::{Graph, Shape, TapeError, Target, Value, fusion, reuse};
use crate::gpu::{CompilingAhead, Gpu, Precision};
use crate::kernels::conv::{Conv2dShape, Pass, Problem, Way};
use crate::kernels::optim::SCALING;
use crate::kernels::{Access, Call, KernelError};
use std::collections::HashSet;

/// The compiled list of dispatches of one step, with the arena's layout. Made without a device.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The dispatches of a step in order.
    pub steps: Vec<Step>,
    /// The dispatches that come once before all steps: what depends on parameters and states alone, where these are
    /// [fixed](Target::fixed).
    pub preparation: Vec<Step>,
    pub(super) recomputed: usize,
    pub(super) values: Vec<Info>,
    pub(super) arena: Arena,
    /// The words of each constant.
    pub(super) constants: Vec<Vec<u32>>,
    pub(super) parameter_len: usize,
    pub(super) state_len: usize,
}

impl Recording {
    /// Compiles a graph. `outputs` are the values that the host reads after a step; the flat gradients and operations
    /// without outputs (the optimiser) are computed in any case.
    ///
    /// # Errors
    /// [`TapeError::Kernel`] when a kernel refuses a layer's problem.
    pub fn new(mut graph: Graph, outputs: &[Value], target: &Target) -> Result<Self, TapeError> {
        if target.fuse {
            fusion::fuse(&mut graph, outputs, target);
        }
        let live = live_nodes(&graph, outputs);
        let mut steps = Vec::new();
        let mut preparation = Vec::new();
        let mut scratch = Vec::new();
        let mut constants = Vec::new();
        for (node, live) in graph.nodes.iter().zip(live) {
            if live {
                let mut lowering = Lowering {
                    graph: &graph,
                    node,
                    target,
                    steps: &mut steps,
                    preparation: &mut preparation,
                    scratch: &mut scratch,
                    constants: &mut constants,
                    convolution: None,
                };
                node.op.spec().lower(&mut lowering)?;
            }
        }
        let prepared = preparation.len();
        // Temporaries that live on cost memory.
        if target.fuse && target.memory == Memory::Fast {
            steps = reuse::reuse(&graph.values, steps);
        }
        preparation.append(&mut steps);
        let steps = preparation;
        dispatch::check_storage(&steps)?;
        for step in &steps {
            for (operand, extent) in step.operands.iter().zip(&step.call.extents) {
                if let Operand::Value(value) = operand {
                    graph.values[value.index()].half |= step.call.is_half(extent);
                }
            }
        }
        let most = target.max_buffer;
        let (parameter_len, state_len) = (graph.parameter_len(), graph.state_len());
        let mut draft = Draft {
            values: graph.values,
            scratch,
            steps,
            recomputed: 0,
        };
        // What is prepared once belongs to a pass without gradients, in which nothing waits to be read again.
        if target.memory == Memory::Low && prepared == 0 {
            draft = recompute::recompute(draft, outputs, most);
        }
        let Draft { values, steps, .. } = &draft;
        let arena = arena::plan(values, &draft.scratch, steps, prepared, outputs, most);
        let repeated = draft.steps.split_off(prepared);
        Ok(Self {
            steps: repeated,
            preparation: draft.steps,
            recomputed: draft.recomputed,
            parameter_len,
            state_len,
            values: draft.values,
            arena,
            constants,
        })
    }

    /// Begins to compile the step's pipelines on all cores; see [`Gpu::compile_ahead`]. Called before the weights are made and
    /// uploaded, it runs beside that.
    pub fn compile_ahead(&self, gpu: &Gpu) -> CompilingAhead {
        let calls = self.all_steps().map(|step| &step.call);
        gpu.compile_ahead(calls.map(|call| (call.shader, &call.variant)))
    }

    /// What comes once, and behind it what comes in each step.
    pub(super) fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.preparation.iter().chain(&self.steps)
    }

    /// The accounts of the whole step; what is prepared once is not in them, but in the arena.
    pub fn accounts(&self) -> Accounts {
        let mut accounts = Accounts {
            dispatches: self.steps.len(),
            recomputed: self.recomputed,
            arena_bytes: self.arena.bytes(),
            parameter_bytes: 4 * self.parameter_len as u64,
            ..Accounts::default()
        };
        for step in &self.steps {
            let (read, written) = (step.call.bytes_read(), step.call.bytes_written());
            accounts.bytes_read += read;
            accounts.bytes_written += written;
            accounts.flops += step.call.flops;
            let name = step.call.shader.name;
            let kernel = match accounts.by_kernel.iter_mut().find(|k| k.kernel == name) {
                Some(kernel) => kernel,
                None => {
                    accounts.by_kernel.push(KernelAccount {
                        kernel: name,
                        ..KernelAccount::default()
                    });
                    let last = accounts.by_kernel.len() - 1;
                    &mut accounts.by_kernel[last]
                }
            };
            kernel.dispatches += 1;
            kernel.bytes_read += read;
            kernel.bytes_written += written;
            kernel.flops += step.call.flops;
        }
        accounts
            .by_kernel
            .sort_by_key(|k| std::cmp::Reverse(k.bytes_read + k.bytes_written));
        accounts
    }
}

/// What a step costs, from the bindings' true extents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Dispatches a step.
    pub dispatches: usize,
    /// Those of them that make a value again, which [`Memory::Low`] did not keep.
    pub recomputed: usize,
    /// Bytes that the dispatches read.
    pub bytes_read: u64,
    /// Bytes that they write.
    pub bytes_written: u64,
    /// Floating-point operations, a multiply-add counted as two.
    pub flops: u64,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// Bytes of the flat parameter buffer.
    pub parameter_bytes: u64,
    /// The same by kernel, the most bytes first.
    pub by_kernel: Vec<KernelAccount>,
}

/// What one kernel costs in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelAccount {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Its dispatches.
    pub dispatches: usize,
    /// Bytes that they read.
    pub bytes_read: u64,
    /// Bytes that they write.
    pub bytes_written: u64,
    /// Their floating-point operations.
    pub flops: u64,
}

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

/// What an operation sees while it emits its kernel calls.
#[derive(Debug)]
pub struct Lowering<'a> {
    graph: &'a Graph,
    node: &'a Node,
    target: &'a Target,
    steps: &'a mut Vec<Step>,
    preparation: &'a mut Vec<Step>,
    scratch: &'a mut Vec<usize>,
    constants: &'a mut Vec<Vec<u32>>,
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
            Operand::Scratch(index) => self.scratch[index],
            Operand::Constant(index) => self.constants[index].len(),
            Operand::Flat { len, .. } | Operand::Part { len, .. } => len,
        }
    }

    /// A temporary of `len` elements that lives within this node.
    pub fn scratch(&mut self, len: usize) -> Operand {
        self.scratch.push(len);
        Operand::Scratch(self.scratch.len() - 1)
    }

    /// Words that the host writes once, when the plan is made.
    pub fn constant(&mut self, words: Vec<u32>) -> Operand {
        self.constants.push(words);
        Operand::Constant(self.constants.len() - 1)
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
        self.steps.push(step);
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
            self.preparation.push(step);
        } else {
            self.steps.push(step);
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
