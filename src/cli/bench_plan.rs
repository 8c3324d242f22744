//! What `kinesic bench` measures: a plan on drawn images, labels and weights, and how long it took to come to its first step.

use super::Failure;
use super::plan::{Mode, Model};
use crate::gpu::Gpu;
use crate::infer::{Images, InferencePass};
use crate::kernels::optim::{AdamConstants, Optimizer};
use crate::nn::Weights;
use crate::objective::{AffectLabels, Labels};
use crate::random::Random;
use crate::tape::{Plan, Recording, Store, Target, Value};
use serde::Serialize;
use std::time::Instant;

/// Seconds from the start of the process to the end of the first step; the parts follow each other and add up to it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct StartUp {
    /// Command line, adapter, device, and the pipelines that an earlier run kept.
    pub(super) device_s: f64,
    /// The network's graph, its rewriting, the choice of kernels, the arena's layout.
    pub(super) planning_s: f64,
    /// Weights drawn, buffers made, weights and images handed to the queue; pipelines compile beside it.
    pub(super) uploading_s: f64,
    /// What was then left to compile and bind.
    pub(super) compiling_s: f64,
    /// The first step: what the driver put off until a pipeline's first use is in here.
    pub(super) step_s: f64,
    /// Distinct pipelines.
    pub(super) pipelines: usize,
    /// The time that the pipelines took, added up over the threads that compiled them.
    pub(super) pipelines_s: f64,
    /// Whether the device keeps pipelines for later runs.
    pub(super) pipelines_kept: bool,
}

impl StartUp {
    /// The parts in a line, and what ran beside them in another.
    pub(super) fn text(&self) -> String {
        format!(
            "device {:.2}, planning {:.2}, uploading {:.2}, compiling {:.2}, step {:.2}\n  {} pipelines compiled beside that, {:.2} s of all threads",
            self.device_s,
            self.planning_s,
            self.uploading_s,
            self.compiling_s,
            self.step_s,
            self.pipelines,
            self.pipelines_s
        )
    }
}

/// A part of the start-up that ends where the next begins.
pub(super) struct Watch(Instant);

impl Watch {
    pub(super) fn new(start: Instant) -> Self {
        Self(start)
    }

    /// Seconds since the last lap.
    pub(super) fn lap(&mut self) -> f64 {
        let now = Instant::now();
        let seconds = now.duration_since(self.0).as_secs_f64();
        self.0 = now;
        seconds
    }
}

/// What a step is given before it runs.
type Inputs = Vec<(Value, Vec<u8>)>;

/// A plan, ready for its first step.
pub(super) async fn compile(
    gpu: &Gpu,
    model: &Model,
    mode: Mode,
    target: &Target,
    watch: &mut Watch,
    start_up: &mut StartUp,
) -> Result<Plan, Failure> {
    let network = model.network()?;
    let (recording, inputs) = record(model, mode, target)?;
    start_up.planning_s = watch.lap();
    let _ahead = recording.compile_ahead(gpu);
    let weights = Weights::initialised(&network.declare(model.size as usize)?, 1);
    let store = Store::new(gpu, &recording, mode == Mode::Train).await?;
    gpu.queue.write_buffer(
        &store.parameters,
        0,
        bytemuck::cast_slice(&weights.parameters),
    );
    gpu.queue
        .write_buffer(&store.states, 0, bytemuck::cast_slice(&weights.states));
    // Begins the copies.
    gpu.queue.submit([]);
    start_up.uploading_s = watch.lap();
    let plan = Plan::new(gpu, recording, &store).await?;
    start_up.compiling_s = watch.lap();
    for (value, bytes) in inputs {
        plan.write(value, &bytes)?;
    }
    start_up.uploading_s += watch.lap();
    Ok(plan)
}

fn record(model: &Model, mode: Mode, target: &Target) -> Result<(Recording, Inputs), Failure> {
    let images = model.images();
    Ok(match mode {
        Mode::Train => {
            let (step, objective) = model.training(target)?;
            let labels: Vec<_> = (0..images.batch as u32).map(label).collect();
            let labels = objective.pack(&labels, images.batch)?;
            let schedule = Optimizer::Adam(AdamConstants::default()).schedule(1e-4, 0, 1);
            let recorded = step.recorded;
            let mut inputs = pictures(images, step.pixels, step.matrices);
            inputs.extend([
                (recorded.labels, bytemuck::cast_slice(&labels).to_vec()),
                (
                    recorded.tables,
                    bytemuck::cast_slice(objective.tables()).to_vec(),
                ),
                (recorded.schedule, bytemuck::cast_slice(&schedule).to_vec()),
            ]);
            (step.recording, inputs)
        }
        Mode::Infer => {
            let pass = InferencePass::new(&model.network()?, images, &target.clone().fixed())?;
            let inputs = pictures(images, pass.pixels, pass.matrices);
            (pass.recording, inputs)
        }
    })
}

fn pictures(images: Images, pixels: Value, matrices: Value) -> Inputs {
    let random = Random::new(1, "bench pixels");
    let bytes = (0..images.bytes() as u64 / 4)
        .flat_map(|i| (random.bits(i) as u32).to_le_bytes())
        .collect();
    let identity = [1.0_f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0].repeat(images.batch);
    vec![
        (pixels, bytes),
        (matrices, bytemuck::cast_slice(&identity).to_vec()),
    ]
}

fn label(image: u32) -> Labels {
    AffectLabels {
        expression: Some(image % 7),
        au_mask: (1 << 17) - 1,
        au_value: u64::from(image) % (1 << 17),
        valence_arousal: Some([
            (image % 5) as f32 / 4.0 - 0.5,
            (image % 3) as f32 / 2.0 - 0.5,
        ]),
    }
    .into()
}
