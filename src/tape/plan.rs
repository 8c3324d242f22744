//! A recording with its buffers and bind groups on a device.

use super::dispatch::{Flat, Operand};
use super::graph::Place;
use super::recording::Recording;
use super::{TapeError, Value};
use crate::gpu::Gpu;
use crate::kernels::optim::{INITIAL_SCALING, SCALING};
use crate::kernels::{Bound, KernelError};
use half::f16;
use std::collections::HashMap;

/// The flat buffers that outlive a step and are shared by the plans of one model: parameters and states always, gradients and
/// moments where it is trained.
#[derive(Clone, Debug)]
pub struct Store {
    /// The trained parameters.
    pub parameters: wgpu::Buffer,
    /// Running statistics.
    pub states: wgpu::Buffer,
    /// The parameters' gradients.
    pub gradients: Option<wgpu::Buffer>,
    /// The optimiser's first and second moments.
    pub moments: Option<[wgpu::Buffer; 2]>,
    /// The loss's scale and what decides on it, for training in f16.
    pub scaling: Option<wgpu::Buffer>,
}

impl Store {
    /// Zeroed buffers for a recording; gradients and moments only where `training`.
    ///
    /// # Errors
    /// [`TapeError::Gpu`] when a buffer exceeds the device's limits or memory.
    pub async fn new(gpu: &Gpu, recording: &Recording, training: bool) -> Result<Self, TapeError> {
        let size = 4 * recording.parameter_len as u64;
        let mut store = Self {
            parameters: gpu.storage("the parameters", size).await?,
            states: gpu
                .storage("the running statistics", 4 * recording.state_len as u64)
                .await?,
            gradients: None,
            moments: None,
            scaling: None,
        };
        if training {
            store.gradients = Some(gpu.storage("the gradients", size).await?);
            store.moments = Some([
                gpu.storage("the optimiser's first moments", size).await?,
                gpu.storage("the optimiser's second moments", size).await?,
            ]);
            let scaling = gpu.storage("the loss's scale", 4 * SCALING as u64).await?;
            let initial = bytemuck::cast_slice(&INITIAL_SCALING);
            gpu.queue.write_buffer(&scaling, 0, initial);
            store.scaling = Some(scaling);
        }
        Ok(store)
    }

    /// What decides on the loss's scale (see [`kernels::optim`](crate::kernels::optim)), as the last step left it; `None` where
    /// nothing is trained.
    ///
    /// # Errors
    /// [`TapeError::Gpu`].
    pub async fn read_scaling(&self, gpu: &Gpu) -> Result<Option<[f32; SCALING]>, TapeError> {
        let Some(buffer) = &self.scaling else {
            return Ok(None);
        };
        let bytes = gpu.read(buffer, 0, 4 * SCALING as u64).await?;
        let mut scaling = [0.0; SCALING];
        bytemuck::cast_slice_mut(&mut scaling).copy_from_slice(&bytes);
        Ok(Some(scaling))
    }

    fn buffer(&self, flat: Flat) -> Option<&wgpu::Buffer> {
        match flat {
            Flat::Parameters => Some(&self.parameters),
            Flat::States => Some(&self.states),
            Flat::Gradients => self.gradients.as_ref(),
            Flat::Scaling => self.scaling.as_ref(),
            Flat::Moment1 => self.moments.as_ref().map(|moments| &moments[0]),
            Flat::Moment2 => self.moments.as_ref().map(|moments| &moments[1]),
        }
    }
}

/// A compiled step: replayed as a walk over its dispatches.
#[derive(Debug)]
pub struct Plan {
    pub(super) gpu: Gpu,
    recording: Recording,
    pub(super) bound: Vec<Bound>,
    /// What comes once.
    preparation: Vec<Bound>,
    arena: Vec<wgpu::Buffer>,
    inputs: HashMap<Value, wgpu::Buffer>,
    constants: Vec<wgpu::Buffer>,
    store: Store,
}

/// Uniform ranges start at multiples of 256 bytes, WebGPU's default alignment.
const UNIFORM_ALIGN: usize = 256;

impl Plan {
    /// Makes the buffers, pipelines and bind groups of a recording on the store's buffers.
    ///
    /// # Errors
    /// [`TapeError::Kernel`] with the layer whose binding exceeds a limit; [`TapeError::Gpu`].
    pub async fn new(gpu: &Gpu, recording: Recording, store: &Store) -> Result<Self, TapeError> {
        // While the buffers are made; `bind` waits for what it needs.
        let _ahead = recording.compile_ahead(gpu);
        let mut arena = Vec::new();
        for size in &recording.arena.buffers {
            arena.push(gpu.storage("the arena", *size).await?);
        }
        let mut inputs = HashMap::new();
        for (info, index) in recording.values.iter().zip(0..) {
            if info.place == Place::Input {
                let buffer = gpu.storage(&info.name, info.bytes()).await?;
                inputs.insert(Value(index), buffer);
            }
        }
        let mut constants = Vec::new();
        for words in &recording.constants {
            let size = 4 * words.len() as u64;
            let buffer = gpu.storage("a plan's constants", size).await?;
            gpu.queue
                .write_buffer(&buffer, 0, bytemuck::cast_slice(words));
            constants.push(buffer);
        }
        let mut plan = Self {
            gpu: gpu.clone(),
            recording,
            bound: Vec::new(),
            preparation: Vec::new(),
            arena,
            inputs,
            constants,
            store: store.clone(),
        };
        plan.bind().await?;
        plan.prepare();
        Ok(plan)
    }

    async fn bind(&mut self) -> Result<(), TapeError> {
        let mut bytes = Vec::new();
        let mut offsets = Vec::new();
        for step in self.recording.all_steps() {
            offsets.push(bytes.len());
            bytes.extend_from_slice(&step.call.params);
            bytes.resize(bytes.len().next_multiple_of(UNIFORM_ALIGN), 0);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let params = self
            .gpu
            .buffer("the kernels' parameters", bytes.len() as u64, usage)
            .await?;
        self.gpu.queue.write_buffer(&params, 0, &bytes);
        let mut bound = Vec::new();
        for (step, offset) in self.recording.all_steps().zip(offsets) {
            let kernel = |source| TapeError::Kernel {
                layer: step.layer.clone(),
                source,
            };
            let uniform = wgpu::BufferBinding {
                buffer: &params,
                offset: offset as u64,
                size: (step.call.params.len() as u64)
                    .next_multiple_of(16)
                    .try_into()
                    .ok(),
            };
            let mut buffers = Vec::new();
            for (operand, extent) in step.operands.iter().zip(&step.call.extents) {
                let binding = self.binding(*operand).ok_or_else(|| {
                    kernel(KernelError::Binding {
                        kernel: step.call.shader.name,
                        binding: extent.name,
                        asked: 0,
                        allowed: extent.bytes,
                    })
                })?;
                buffers.push(binding);
            }
            let step = Bound::new(&self.gpu, &step.call, uniform, &buffers).await;
            bound.push(step.map_err(kernel)?);
        }
        self.bound = bound.split_off(self.recording.preparation.len());
        self.preparation = bound;
        Ok(())
    }

    fn binding(&self, operand: Operand) -> Option<wgpu::BufferBinding<'_>> {
        let flat = |flat, offset: usize, len: usize| {
            Some(wgpu::BufferBinding {
                buffer: self.store.buffer(flat)?,
                offset: 4 * offset as u64,
                size: (4 * len as u64).try_into().ok(),
            })
        };
        let arena = |operand| {
            let range = self.recording.arena.ranges.get(&operand)?;
            Some(wgpu::BufferBinding {
                buffer: &self.arena[range.buffer],
                offset: range.offset,
                size: range.size.try_into().ok(),
            })
        };
        match operand {
            Operand::Scratch(_) => arena(operand),
            Operand::Constant(index) => Some(self.constants[index].as_entire_buffer_binding()),
            Operand::Part { value, offset, len } => {
                let whole = self.binding(Operand::Value(value))?;
                Some(wgpu::BufferBinding {
                    offset: whole.offset + 4 * offset as u64,
                    size: (4 * len as u64).try_into().ok(),
                    ..whole
                })
            }
            Operand::Flat {
                flat: which,
                offset,
                len,
            } => flat(which, offset, len),
            Operand::Value(value) => {
                let info = &self.recording.values[value.index()];
                let len = info.shape.len();
                match info.place {
                    Place::Input => Some(self.inputs.get(&value)?.as_entire_buffer_binding()),
                    Place::Parameter(offset) => flat(Flat::Parameters, offset, len),
                    Place::State(offset) => flat(Flat::States, offset, len),
                    Place::Gradient(offset) => flat(Flat::Gradients, offset, len),
                    Place::Arena => arena(operand),
                }
            }
        }
    }

    /// The recording that the plan replays.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The stored elements of a value.
    #[allow(clippy::len_without_is_empty)] // of a value, not of the plan
    pub fn len(&self, value: Value) -> usize {
        self.recording.values[value.index()].shape.len()
    }

    /// Writes an input before the next step: 4 bytes an element, activations as f32 in a plan of any precision.
    ///
    /// # Errors
    /// [`TapeError::Length`] unless `bytes` fills the input.
    pub fn write(&self, input: Value, bytes: &[u8]) -> Result<(), TapeError> {
        let info = &self.recording.values[input.index()];
        let allowed = 4 * info.shape.len();
        match self.inputs.get(&input) {
            Some(buffer) if bytes.len() == allowed && info.half => {
                let floats = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned);
                let halves: Vec<u8> = floats
                    .flat_map(|value| f16::from_f32(value).to_ne_bytes())
                    .collect();
                self.gpu.queue.write_buffer(buffer, 0, &halves);
                Ok(())
            }
            Some(buffer) if bytes.len() == allowed => {
                self.gpu.queue.write_buffer(buffer, 0, bytes);
                Ok(())
            }
            _ => Err(TapeError::Length {
                name: info.name.clone(),
                asked: bytes.len(),
                allowed,
            }),
        }
    }

    /// The buffer range of a value: to copy an input that is on the GPU already, or to use an output there. In a plan of f16,
    /// activations are f16 there.
    pub fn range(&self, value: Value) -> Option<wgpu::BufferBinding<'_>> {
        self.binding(Operand::Value(value))
    }

    /// Runs what comes once, where the recording's parameters and states are [fixed](super::Target::fixed). Done when the plan is
    /// made; to be done again whenever they were written after that.
    pub fn prepare(&self) {
        if self.preparation.is_empty() {
            return;
        }
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        record(&self.preparation, &mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// Records one step into an encoder of the caller's.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        record(&self.bound, encoder);
    }

    /// Submits one step.
    pub fn submit(&self) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.encode(&mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// Reads a value back after the submitted steps: its stored elements, padding included, f16 widened.
    ///
    /// # Errors
    /// [`TapeError::Length`] when the plan does not keep the value; [`TapeError::Gpu`].
    pub async fn read(&self, value: Value) -> Result<Vec<f32>, TapeError> {
        let info = &self.recording.values[value.index()];
        let range = self.range(value).ok_or_else(|| TapeError::Length {
            name: info.name.clone(),
            asked: 0,
            allowed: 4 * info.shape.len(),
        })?;
        let size = info.bytes();
        let bytes = self.gpu.read(range.buffer, range.offset, size).await?;
        if !info.half {
            return Ok(bytemuck::pod_collect_to_vec(&bytes));
        }
        let halves = bytes.chunks_exact(2);
        Ok(halves
            .map(|pair| f16::from_ne_bytes([pair[0], pair[1]]).to_f32())
            .collect())
    }
}

/// Records dispatches in order, in a pass of their own.
fn record(bound: &[Bound], encoder: &mut wgpu::CommandEncoder) {
    let mut pass = encoder.begin_compute_pass(&Default::default());
    for bound in bound {
        bound.record(&mut pass);
    }
}
