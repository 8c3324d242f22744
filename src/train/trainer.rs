//! A network in training on a device: uploads a batch, replays the step, reads losses a few steps late.

use super::step::TrainingStep;
use super::{Checkpoint, Fed, TrainError};
use crate::gpu::{Gpu, Precision, ReadRing};
use crate::infer::Images;
use crate::kernels::loss::{self, Objective};
use crate::kernels::optim::SCALING;
use crate::nn::{Network, Weights};
use crate::optim::{Optimizer, Schedule};
use crate::tape::{Memory, Plan, Store, TapeError, Target, Value};
use std::collections::VecDeque;

/// What a trainer trains, and how.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The network.
    pub network: Network,
    /// The shapes of a batch.
    pub images: Images,
    /// The objective, for batches of that size.
    pub objective: Objective,
    /// The objective's packed tables.
    pub tables: Vec<f32>,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub schedule: Schedule,
    /// Seeds dropout.
    pub seed: u32,
    /// How activations and their gradients are stored. Weights, moments and sums are f32 in any case.
    pub precision: Precision,
    /// What is recomputed instead of stored.
    pub memory: Memory,
}

/// One batch as it is uploaded.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// u8 RGB images, padded to whole words.
    pub pixels: &'a [u8],
    /// Eight floats an image.
    pub matrices: &'a [f32],
    /// What [`Objective::pack`](crate::objective::Objective::pack) gives.
    pub labels: &'a [u32],
}

/// The losses of one step, as the objective's kernels give them.
#[derive(Clone, Debug, PartialEq)]
pub struct StepLosses {
    /// The step, counted from 0.
    pub step: u64,
    /// The contents of the `losses` buffer, which [`Objective::terms`](crate::objective::Objective::terms) names.
    pub values: Vec<f32>,
}

impl StepLosses {
    /// The weighted sum that is minimised.
    pub fn total(&self) -> f32 {
        loss::total(&self.values)
    }
}

fn upload(gpu: &Gpu, store: &Store, weights: &Weights, moments: Option<&[Vec<f32>; 2]>) {
    let write = |buffer: &wgpu::Buffer, data: &[f32]| {
        gpu.queue
            .write_buffer(buffer, 0, bytemuck::cast_slice(data));
    };
    write(&store.parameters, &weights.parameters);
    write(&store.states, &weights.states);
    if let (Some(buffers), Some(moments)) = (&store.moments, moments) {
        write(&buffers[0], &moments[0]);
        write(&buffers[1], &moments[1]);
    }
}

/// How many steps a loss may lag behind.
const LAG: usize = 3;

/// A network in training.
#[derive(Debug)]
pub struct Trainer {
    gpu: Gpu,
    setup: Setup,
    step: TrainingStep,
    plan: Plan,
    store: Store,
    template: Weights,
    done: u64,
    ring: ReadRing,
    pending: VecDeque<u64>,
}

impl Trainer {
    /// Compiles the step and uploads the weights.
    ///
    /// # Errors
    /// [`TrainError::Tape`] where the network does not fit the images or the device.
    pub async fn new(gpu: &Gpu, setup: Setup, weights: &Weights) -> Result<Self, TrainError> {
        let target = Target::of(gpu).stored(setup.precision);
        let target = target.within(setup.memory);
        let step = TrainingStep::new(
            &setup.network,
            setup.images,
            setup.objective.clone(),
            setup.optimizer,
            &target,
        )?;
        // The weights go up while the pipelines compile.
        let _ahead = step.recording.compile_ahead(gpu);
        let store = Store::new(gpu, &step.recording, true).await?;
        upload(gpu, &store, weights, None);
        gpu.queue.submit([]);
        let plan = Plan::new(gpu, step.recording.clone(), &store).await?;
        plan.write(step.recorded.tables, bytemuck::cast_slice(&setup.tables))?;
        Ok(Self {
            gpu: gpu.clone(),
            ring: ReadRing::new(gpu, 4 * setup.objective.losses_len() as u64, LAG).await?,
            template: weights.clone(),
            setup,
            step,
            plan,
            store,
            done: 0,
            pending: VecDeque::new(),
        })
    }

    /// Goes on from a checkpoint.
    pub fn restore(&mut self, checkpoint: &Checkpoint) {
        let moments = Some(&checkpoint.moments);
        upload(&self.gpu, &self.store, &checkpoint.weights, moments);
        if let (Some(buffer), Some(scaling)) = (&self.store.scaling, &checkpoint.scaling) {
            self.gpu
                .queue
                .write_buffer(buffer, 0, bytemuck::cast_slice(scaling));
        }
        self.done = checkpoint.step;
    }

    /// Steps done so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// The buffers that hold the weights, to be shared by an inference plan.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The compiled plan, for profiles and accounts.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How activations and their gradients are stored.
    pub fn precision(&self) -> Precision {
        self.setup.precision
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.setup.schedule.at(self.done)
    }

    /// The learning rate of a step.
    pub fn rate_at(&self, step: u64) -> f64 {
        self.setup.schedule.at(step)
    }

    /// Submits a step on a batch. Returns the losses of an earlier step once more than a few are in flight, which is what
    /// keeps the host from running ahead of the device.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] where a loss is not finite; [`TrainError::Gpu`], [`TrainError::Tape`].
    pub async fn step(&mut self, batch: Upload<'_>) -> Result<Option<StepLosses>, TrainError> {
        let late = self.room().await?;
        self.plan.write(self.step.pixels, batch.pixels)?;
        self.plan
            .write(self.step.matrices, bytemuck::cast_slice(batch.matrices))?;
        self.plan.write(
            self.step.recorded.labels,
            bytemuck::cast_slice(batch.labels),
        )?;
        let encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.submit(encoder)?;
        Ok(late)
    }

    /// As [`Trainer::step`], on a batch that lies in upload memory.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn step_fed(&mut self, batch: Fed) -> Result<Option<StepLosses>, TrainError> {
        let late = self.room().await?;
        let inputs = [
            ("pixels", self.step.pixels),
            ("matrices", self.step.matrices),
            ("labels", self.step.recorded.labels),
        ];
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut targets = Vec::new();
        for ((name, input), asked) in inputs.into_iter().zip(batch.bytes()) {
            targets.push(self.input(name, input, asked)?);
        }
        let uploading = batch.upload(&mut encoder, &targets);
        self.submit(encoder)?;
        if let Some(uploading) = uploading {
            uploading.submitted();
        }
        Ok(late)
    }

    /// The range of an input that `asked` bytes are to fill.
    fn input(
        &self,
        name: &str,
        input: Value,
        asked: u64,
    ) -> Result<wgpu::BufferBinding<'_>, TapeError> {
        let allowed = 4 * self.plan.len(input);
        let range = self.plan.range(input);
        range
            .filter(|_| asked == allowed as u64)
            .ok_or_else(|| TapeError::Length {
                name: name.to_owned(),
                asked: asked as usize,
                allowed,
            })
    }

    /// Waits until one more step may be in flight; the losses that were waited for.
    async fn room(&mut self) -> Result<Option<StepLosses>, TrainError> {
        if self.ring.is_full() {
            return self.oldest().await;
        }
        Ok(None)
    }

    /// Submits a step behind what the encoder has.
    fn submit(&mut self, mut encoder: wgpu::CommandEncoder) -> Result<(), TrainError> {
        let rate = self.learning_rate();
        let values = self
            .setup
            .optimizer
            .schedule(rate, self.done, self.setup.seed);
        self.plan
            .write(self.step.recorded.schedule, bytemuck::cast_slice(&values))?;
        self.plan.encode(&mut encoder);
        if let Some(losses) = self.plan.range(self.step.recorded.losses) {
            self.ring.submit(&self.gpu, encoder, &losses);
            self.pending.push_back(self.done);
        }
        self.done += 1;
        Ok(())
    }

    /// The losses of the oldest step in flight; `None` when all have been returned.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn oldest(&mut self) -> Result<Option<StepLosses>, TrainError> {
        let Some(bytes) = self.ring.oldest(&self.gpu).await? else {
            return Ok(None);
        };
        let step = self.pending.pop_front().unwrap_or_default();
        let values = bytemuck::pod_collect_to_vec(&bytes);
        let losses = StepLosses { step, values };
        if losses.total().is_finite() {
            Ok(Some(losses))
        } else {
            Err(TrainError::Diverged {
                step,
                loss: losses.total(),
            })
        }
    }

    /// The logits of the last step: padded rows.
    ///
    /// # Errors
    /// [`TrainError::Tape`].
    pub async fn logits(&self) -> Result<Vec<f32>, TrainError> {
        Ok(self.plan.read(self.step.recorded.logits).await?)
    }

    /// The gradients of the last step, flat like the parameters.
    ///
    /// # Errors
    /// [`TrainError::Gpu`].
    pub async fn gradients(&self) -> Result<Vec<f32>, TrainError> {
        let Some(buffer) = &self.store.gradients else {
            return Ok(Vec::new());
        };
        let mut gradients = self.floats(buffer, self.template.parameters.len()).await?;
        if let Some(scaling) = self.scaling().await? {
            gradients.iter_mut().for_each(|value| *value *= scaling[1]);
        }
        Ok(gradients)
    }

    /// The loss's scale and what decides on it (see [`kernels::optim`](crate::kernels::optim)); `None` in f32.
    ///
    /// # Errors
    /// [`TrainError::Tape`].
    pub async fn scaling(&self) -> Result<Option<[f32; SCALING]>, TrainError> {
        match self.setup.precision {
            Precision::F32 => Ok(None),
            Precision::F16 => Ok(self.store.read_scaling(&self.gpu).await?),
        }
    }

    /// The weights after all submitted steps.
    ///
    /// # Errors
    /// [`TrainError::Gpu`].
    pub async fn weights(&self) -> Result<Weights, TrainError> {
        let mut weights = self.template.clone();
        weights.parameters = self
            .floats(&self.store.parameters, weights.parameters.len())
            .await?;
        if !weights.states.is_empty() {
            weights.states = self
                .floats(&self.store.states, weights.states.len())
                .await?;
        }
        Ok(weights)
    }

    /// Everything that the next step depends on.
    ///
    /// # Errors
    /// [`TrainError::Gpu`].
    pub async fn checkpoint(&self, best: Option<f64>) -> Result<Checkpoint, TrainError> {
        let len = self.template.parameters.len();
        let moments = match &self.store.moments {
            Some([m, v]) => [self.floats(m, len).await?, self.floats(v, len).await?],
            None => [vec![0.0; len], vec![0.0; len]],
        };
        Ok(Checkpoint {
            weights: self.weights().await?,
            moments,
            scaling: self.scaling().await?,
            step: self.done,
            best,
        })
    }

    async fn floats(&self, buffer: &wgpu::Buffer, len: usize) -> Result<Vec<f32>, TrainError> {
        let bytes = self.gpu.read(buffer, 0, 4 * len as u64).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}
