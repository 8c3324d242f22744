//! One training of a grid: what it is, as data, and how it runs.

use super::gallery::known;
use super::mix::Mix;
use super::{
    ExperimentError, FacesConfig, FewShotConfig, NetworkConfig, Observer, StepsConfig, World,
};
use crate::gpu::{Gpu, Precision};
use crate::infer::{Images, Model};
use crate::kernels::optim::{AdamConstants, Optimizer};
use crate::nn::{Backbone, Network, Weights};
use crate::objective::{Labels, Objective, ObjectiveConfig, ObjectiveError, Relatedness, Tasks};
use crate::optim::{Decay, Schedule};
use crate::tape::Memory;
use crate::train::config::{CouplingConfig, TaskConfig};
use crate::train::{Setup, StepLosses, Trainer, Upload, coupled, relate};
use serde::Serialize;
use std::time::Instant;

/// Steps by which the speed is judged.
const TRIAL: u64 = 24;

/// Everything that one training depends on. Two that are equal give the same network, so that one is enough.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// The seed of people, weights and order.
    pub seed: u64,
    /// The network.
    pub model: NetworkConfig,
    /// The pictures, and which labels each database carries.
    pub faces: FacesConfig,
    /// The share of the pictures with action units that keep them.
    pub au_share: f64,
    /// Steps and optimiser.
    pub train: StepsConfig,
    /// What is learned afterwards from a few faces.
    pub few_shot: FewShotConfig,
    /// The objective.
    pub objective: ObjectiveConfig,
    /// The relatedness table of affect, where there is a coupling.
    pub relatedness: Option<Relatedness>,
    /// The declared tasks; without any, those of affect by the keys of `objective`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task: Vec<TaskConfig>,
    /// What couples them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coupling: Vec<CouplingConfig>,
    /// Whether the rows of their tables are dealt to other classes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shuffled: bool,
}

/// A trained network.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The network.
    pub model: Model,
    /// The weighted sum of the losses by step.
    pub losses: Vec<(f64, f64)>,
}

impl Training {
    /// The tasks that are trained.
    ///
    /// # Errors
    /// [`ObjectiveError::NoTask`], and for declared tasks [`ObjectiveError::Twice`].
    pub fn tasks(&self) -> Result<Tasks, ObjectiveError> {
        if self.task.is_empty() {
            return self.objective.tasks();
        }
        let people = self.faces.people * self.faces.databases.len() as u32;
        let tasks = self.task.iter().filter_map(|it| known(&it.name, people));
        Tasks::new(tasks.collect())
    }

    /// The objective; the labels are for tables that are estimated.
    fn objective<'l>(
        &self,
        labels: impl Iterator<Item = &'l Labels> + Clone,
    ) -> Result<Objective, ExperimentError> {
        let tasks = self.tasks()?;
        if self.task.is_empty() {
            let table = self.relatedness.as_ref();
            return Ok(Objective::new(&tasks, &self.objective, table)?);
        }
        let mut tables = Vec::new();
        for coupling in &self.coupling {
            let table = relate(coupling, &tasks, labels.clone(), &mut |_| {})?;
            tables.push(match self.shuffled {
                true => table.shuffled(self.seed),
                false => table,
            });
        }
        Ok(self.declare(&tasks, tables)?)
    }

    /// The objective of declared tasks, with the table of each coupling.
    fn declare(
        &self,
        tasks: &Tasks,
        tables: Vec<Relatedness>,
    ) -> Result<Objective, ObjectiveError> {
        let couplings = self.coupling.iter().zip(tables);
        let couplings: Vec<_> = couplings.map(|(it, table)| it.by(table)).collect();
        let options: Vec<_> = self.task.iter().map(TaskConfig::options).collect();
        let weighting = self.objective.task_weighting;
        Objective::declare(tasks, &options, &couplings, weighting)
    }

    /// Refuses declared tasks and couplings that no pictures could make right.
    pub(super) fn check(&self) -> Result<(), ObjectiveError> {
        let tasks = self.tasks()?;
        let mut tables = Vec::new();
        for coupling in &self.coupling {
            let [rows, columns] = coupled(coupling, &tasks).map_or([0; 2], |between| {
                [between.classes, between.detections].map(|(_, task)| task.outputs.len())
            });
            tables.push(Relatedness::new(&vec![vec![0.0; columns]; rows])?);
        }
        self.declare(&tasks, tables).map(drop)
    }

    fn setup(&self, objective: &Objective) -> Setup {
        let (model, train) = (&self.model, &self.train);
        Setup {
            network: Network {
                // Checked where the configuration is read.
                backbone: model.backbone.parse().unwrap_or(Backbone::Mobile),
                width: model.width,
                depth: model.depth,
                outputs: objective.logits(),
            },
            images: Images {
                batch: train.batch,
                source: model.size,
                size: model.size,
            },
            objective: objective.kernel(train.batch),
            tables: objective.tables().to_vec(),
            optimizer: Optimizer::AdamW(AdamConstants {
                weight_decay: train.weight_decay,
                ..AdamConstants::default()
            }),
            schedule: Schedule {
                base: train.learning_rate,
                warmup: train.warmup,
                total: train.steps,
                decay: Decay::Cosine,
            },
            seed: self.seed as u32,
            precision: Precision::named(&train.precision).unwrap_or_default(),
            memory: Memory::Fast,
        }
    }

    /// Trains; `name` is for the observer.
    ///
    /// # Errors
    /// [`ExperimentError::Stopped`] where the observer asks to stop, and what training meets.
    pub fn run(
        &self,
        gpu: &Gpu,
        world: &World,
        name: &str,
        observer: &mut dyn Observer,
    ) -> Result<Trained, ExperimentError> {
        let total = self.train.steps;
        let mut running = Loop::new(gpu, self, world)?;
        observer.stage(name, Some(total));
        let start = Instant::now();
        let mut losses = Vec::new();
        let mut arrived = |step: StepLosses, observer: &mut dyn Observer| {
            let done = step.step + 1;
            losses.push((done as f64, f64::from(step.total())));
            let images = (done * self.train.batch as u64) as f64;
            let speed = images / start.elapsed().as_secs_f64();
            observer.step(done, speed, step.total());
        };
        while running.trainer.done() < total {
            if observer.stop() {
                return Err(ExperimentError::Stopped);
            }
            let late = running.step()?;
            late.into_iter().for_each(|late| arrived(late, observer));
        }
        while let Some(late) = gpu.block_on(running.trainer.oldest())? {
            arrived(late, observer);
        }
        let model = Model {
            network: running.network,
            size: self.model.size,
            tasks: self.tasks()?,
            weights: gpu.block_on(running.trainer.weights())?,
        };
        Ok(Trained { model, losses })
    }

    /// Seconds a step, by the speed of a few.
    ///
    /// # Errors
    /// What training meets.
    pub fn seconds_per_step(&self, gpu: &Gpu, world: &World) -> Result<f64, ExperimentError> {
        let mut short = self.clone();
        short.train.steps = TRIAL;
        let mut running = Loop::new(gpu, &short, world)?;
        // The first step compiles the driver's shaders.
        running.step()?;
        gpu.wait()?;
        let start = Instant::now();
        while running.trainer.done() <= TRIAL {
            running.step()?;
        }
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() / TRIAL as f64)
    }
}

/// A training under way.
struct Loop<'a> {
    gpu: &'a Gpu,
    network: Network,
    trainer: Trainer,
    objective: Objective,
    mix: Mix<'a>,
    batch: usize,
    matrices: Vec<f32>,
    pixels: Vec<u8>,
}

impl<'a> Loop<'a> {
    fn new(gpu: &'a Gpu, training: &Training, world: &'a World) -> Result<Self, ExperimentError> {
        let mix = Mix::new(world, training, &training.tasks()?);
        let objective = training.objective(mix.labels())?;
        let setup = training.setup(&objective);
        let network = setup.network;
        let declared = network.declare(training.model.size)?;
        let weights = Weights::initialised(&declared, training.seed);
        let batch = training.train.batch;
        Ok(Self {
            gpu,
            network,
            trainer: gpu.block_on(Trainer::new(gpu, setup, &weights))?,
            objective,
            mix,
            batch,
            matrices: crate::data::identity_matrix(batch),
            pixels: Vec::new(),
        })
    }

    fn step(&mut self) -> Result<Option<StepLosses>, ExperimentError> {
        let labels = self.mix.batch(self.trainer.done(), &mut self.pixels);
        let labels = self.objective.pack(&labels, self.batch)?;
        let padded = self.pixels.len().next_multiple_of(4);
        self.pixels.resize(padded, 0);
        let upload = Upload {
            pixels: &self.pixels,
            matrices: &self.matrices,
            labels: &labels,
        };
        Ok(self.gpu.block_on(self.trainer.step(upload))?)
    }
}
