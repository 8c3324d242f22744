//! From the graph to a flat list of dispatches over abstract operands: dead code out, neighbours fused, kernels chosen.

use super::arena::{self, Arena};
use super::dispatch::{self, Operand, Step};
use super::graph::Info;
use super::lowering::{Emitted, lower};
use super::recompute::{self, Draft, Memory};
use super::{Graph, TapeError, Target, Value, fusion, reuse};
use crate::gpu::{CompilingAhead, Gpu};

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
        let Emitted {
            mut steps,
            mut preparation,
            scratch,
            constants,
            ..
        } = lower(&mut graph, outputs, target)?;
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
