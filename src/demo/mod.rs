//! The demonstration: three synthetic databases that each carry other labels, one network trained on them with and without
//! the coupling losses, and a comparison on people that neither has seen.

mod faces;
mod page;

use crate::data::synthetic::Faces;
use crate::gpu::{Gpu, Precision};
use crate::infer::{Images, Model, Output, Prediction, Predictor, Reader};
use crate::kernels::KernelError;
use crate::kernels::optim::{AdamConstants, Optimizer};
use crate::nn::{Backbone, Network, Weights};
use crate::objective::{ACTION_UNITS, Objective, ObjectiveConfig, ObjectiveError, Tasks};
use crate::optim::{Decay, Schedule};
use crate::random::Random;
use crate::tape::{Memory, TapeError};
use crate::train::metrics::{Accumulator, Metrics};
use crate::train::{Setup, TrainError, Trainer, Upload};
use serde::Serialize;
use std::time::Instant;
use thiserror::Error;

pub use faces::Gallery;
pub use page::{page, text, tile};

/// What stops a demonstration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The tape.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The objective.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// Tables.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// The device.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
    /// A picture of the report.
    #[error("a picture of the report: {0}")]
    Picture(#[from] crate::picture::PictureError),
    /// The user asked to stop.
    #[error("stopped")]
    Stopped,
}

/// How large the demonstration is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Seconds of training for both networks together.
    pub seconds: f64,
    /// Pictures of each of the three training databases.
    pub pictures: usize,
    /// Pictures of unseen people, and again as many with compound expressions.
    pub test: usize,
    /// Steps of each network, instead of as many as the time allows.
    pub steps: Option<u64>,
    /// The seed of everything but the number of steps, which the time decides.
    pub seed: u64,
    /// How activations and their gradients are stored in training.
    pub precision: Precision,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            seconds: 120.0,
            pictures: 2560,
            test: 640,
            steps: None,
            seed: 1,
            precision: Precision::F32,
        }
    }
}

/// The side of the pictures: the fewest pixels that still show every action unit, as the steps that fit into the time count most.
pub const SIDE: usize = 32;
/// Pictures a step, of each database a third.
pub const BATCH: usize = 24;
/// People of the training databases; people from here on are for testing.
const PEOPLE: u32 = 3000;
/// Steps by which the speed is judged.
const TRIAL: u64 = 24;

/// One trained network.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it is called in the report.
    pub name: &'static str,
    /// On unseen people.
    pub metrics: Metrics,
    /// Accuracy over the 15 compound expressions, on which nothing was trained.
    pub compound: f64,
    /// The weighted losses by step.
    pub losses: Vec<(f64, f64)>,
    /// The network.
    pub model: Model,
    /// Predictions for the first test pictures.
    pub predictions: Vec<Prediction>,
}

/// What the demonstration did.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The networks: uncoupled, coupled.
    pub outcomes: [Outcome; 2],
    /// The first pictures of unseen people.
    pub gallery: Gallery,
    /// Steps of each network.
    pub steps: u64,
    /// Images a second in training.
    pub images_per_second: f64,
    /// Seconds of rendering, training both and evaluating both.
    pub seconds: [f64; 3],
    /// Pictures rendered.
    pub pictures: usize,
}

/// What the numbers of a demonstration are, for scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Numbers<'a> {
    steps: u64,
    images_per_second: f64,
    uncoupled: &'a Metrics,
    coupled: &'a Metrics,
    compound_uncoupled: f64,
    compound_coupled: f64,
    compound_chance: f64,
}

impl Demo {
    /// The numbers for scripts.
    pub fn numbers(&self) -> Numbers<'_> {
        Numbers {
            steps: self.steps,
            images_per_second: self.images_per_second,
            uncoupled: &self.outcomes[0].metrics,
            coupled: &self.outcomes[1].metrics,
            compound_uncoupled: self.outcomes[0].compound,
            compound_coupled: self.outcomes[1].compound,
            compound_chance: 1.0 / 15.0,
        }
    }
}

/// Who watches: told of stages and steps, asked whether to stop.
pub trait Observer {
    /// A stage begins; with steps where it trains.
    fn stage(&mut self, name: &str, steps: Option<u64>);
    /// A training step has ended.
    fn step(&mut self, done: u64, images_per_second: f64, loss: f32);
    /// Whether to stop.
    fn stop(&self) -> bool;
}

/// Runs the demonstration.
///
/// # Errors
/// [`DemoError`].
pub fn run(gpu: &Gpu, size: Size, observer: &mut dyn Observer) -> Result<Demo, DemoError> {
    let start = Instant::now();
    observer.stage("rendering faces", None);
    let data = Databases::render(gpu, size)?;
    let rendered = start.elapsed().as_secs_f64();
    let mut steps = size.steps;
    let train = Instant::now();
    let mut trained = Vec::new();
    for (name, coupling) in [("uncoupled", 0.0), ("coupled", 1.0)] {
        trained.push((
            name,
            train_one(gpu, size, &data, name, coupling, &mut steps, observer)?,
        ));
    }
    let training = train.elapsed().as_secs_f64();
    let steps = steps.unwrap_or(0);
    observer.stage("evaluating on unseen people", None);
    let evaluate = Instant::now();
    let mut outcomes = Vec::new();
    for (name, (model, losses)) in trained {
        outcomes.push(assess(gpu, name, model, losses, &data)?);
    }
    let outcomes: [Outcome; 2] = outcomes.try_into().map_err(|_| DemoError::Stopped)?;
    Ok(Demo {
        outcomes,
        steps,
        images_per_second: (2 * steps * BATCH as u64) as f64 / training,
        seconds: [rendered, training, evaluate.elapsed().as_secs_f64()],
        pictures: data
            .train
            .iter()
            .chain([&data.test, &data.compound])
            .map(Gallery::len)
            .sum(),
        gallery: data.test.first(24),
    })
}

/// The three training databases and the two of unseen people.
struct Databases {
    train: [Gallery; 3],
    test: Gallery,
    compound: Gallery,
}

impl Databases {
    fn render(gpu: &Gpu, size: Size) -> Result<Self, DemoError> {
        let people = |first, count| Faces::new(size.seed, first..first + count);
        let third = PEOPLE / 3;
        let database = |index: u32, keep| {
            let stream = people(index * third, third)?;
            Gallery::render(
                gpu,
                &stream,
                u64::from(index) << 32,
                size.pictures,
                SIDE,
                keep,
            )
        };
        let test = people(PEOPLE, 1000)?;
        let compound = Faces {
            compound: 1.0,
            ..test.clone()
        };
        Ok(Self {
            train: [
                database(0, faces::EXPRESSION)?,
                database(1, faces::UNITS)?,
                database(2, faces::AXES)?,
            ],
            test: Gallery::render(gpu, &test, 3 << 32, size.test, SIDE, faces::ALL)?,
            compound: Gallery::render(gpu, &compound, 4 << 32, size.test, SIDE, faces::ALL)?,
        })
    }

    /// The pictures of a step: equal shares of the databases, each in an order of its own for each epoch.
    fn batch(&self, seed: u64, step: u64, pixels: &mut Vec<u8>) -> Vec<crate::objective::Labels> {
        pixels.clear();
        let mut labels = Vec::with_capacity(BATCH);
        for place in 0..BATCH as u64 {
            let database = &self.train[(place % 3) as usize];
            let position = step * (BATCH as u64 / 3) + place / 3;
            let random = Random::new(seed, &format!("demo order {}", place % 3));
            let index = random.below(position, database.len() as u64) as usize;
            pixels.extend_from_slice(database.picture(index));
            labels.push(database.labels[index]);
        }
        labels
    }
}

fn setup(size: Size, objective: &Objective, total: u64) -> Setup {
    let network = Network {
        backbone: Backbone::Mobile,
        width: 1.0,
        depth: 1.0,
        outputs: objective.logits(),
    };
    Setup {
        network,
        images: Images {
            batch: BATCH,
            source: SIDE,
            size: SIDE,
        },
        objective: objective.kernel(BATCH),
        tables: objective.tables().to_vec(),
        optimizer: Optimizer::AdamW(AdamConstants {
            weight_decay: 1e-3,
            ..AdamConstants::default()
        }),
        schedule: Schedule {
            base: 1e-2,
            warmup: 20,
            total,
            decay: Decay::Cosine,
        },
        seed: size.seed as u32,
        precision: size.precision,
        memory: Memory::Fast,
    }
}

/// The labelled terms count 1; distribution matching, which sums over 17 action units, a twentieth.
fn objective(coupling: f32) -> Result<Objective, DemoError> {
    let table = crate::data::relatedness::load("du2014")?;
    let config = ObjectiveConfig {
        distribution_matching: 0.05 * coupling,
        soft_co_annotation: 0.5 * coupling,
        matching_table: crate::objective::MatchingTable::Weighted,
        // A unit is on in about a quarter of the faces.
        positive_weights: vec![3.0; ACTION_UNITS.len()],
        ..ObjectiveConfig::default()
    };
    Ok(Objective::new(
        &Tasks::affect(),
        &config,
        Some(&table.table),
    )?)
}

type Trained = (Model, Vec<(f64, f64)>);

fn train_one(
    gpu: &Gpu,
    size: Size,
    data: &Databases,
    name: &'static str,
    coupling: f32,
    steps: &mut Option<u64>,
    observer: &mut dyn Observer,
) -> Result<Trained, DemoError> {
    let objective = objective(coupling)?;
    let total = match steps {
        Some(steps) => *steps,
        None => *steps.insert(judge(gpu, size, data, &objective)?),
    };
    let setup = setup(size, &objective, total);
    let network = setup.network;
    let weights = Weights::initialised(&network.declare(SIDE)?, size.seed);
    let mut trainer = gpu.block_on(Trainer::new(gpu, setup, &weights))?;
    observer.stage(&format!("training, {name}"), Some(total));
    let start = Instant::now();
    let mut losses = Vec::new();
    let mut pixels = Vec::new();
    let mut arrived = |step: crate::train::StepLosses, observer: &mut dyn Observer| {
        let done = step.step + 1;
        losses.push((done as f64, f64::from(step.total())));
        observer.step(
            done,
            (done * BATCH as u64) as f64 / start.elapsed().as_secs_f64(),
            step.total(),
        );
    };
    while trainer.done() < total {
        if observer.stop() {
            return Err(DemoError::Stopped);
        }
        let late = step(gpu, &mut trainer, data, &objective, size.seed, &mut pixels)?;
        late.into_iter().for_each(|late| arrived(late, observer));
    }
    while let Some(late) = gpu.block_on(trainer.oldest())? {
        arrived(late, observer);
    }
    let model = Model {
        network,
        size: SIDE,
        tasks: Tasks::affect(),
        weights: gpu.block_on(trainer.weights())?,
    };
    Ok((model, losses))
}

fn step(
    gpu: &Gpu,
    trainer: &mut Trainer,
    data: &Databases,
    objective: &Objective,
    seed: u64,
    pixels: &mut Vec<u8>,
) -> Result<Option<crate::train::StepLosses>, DemoError> {
    let labels = data.batch(seed, trainer.done(), pixels);
    let labels = objective.pack(&labels, BATCH)?;
    let matrices = crate::data::identity_matrix(BATCH);
    let upload = Upload {
        pixels,
        matrices: &matrices,
        labels: &labels,
    };
    Ok(gpu.block_on(trainer.step(upload))?)
}

/// How many steps each of the two networks gets: by the speed of a few.
fn judge(gpu: &Gpu, size: Size, data: &Databases, objective: &Objective) -> Result<u64, DemoError> {
    let setup = setup(size, objective, TRIAL);
    let weights = Weights::initialised(&setup.network.declare(SIDE)?, size.seed);
    let mut trainer = gpu.block_on(Trainer::new(gpu, setup, &weights))?;
    let mut pixels = Vec::new();
    // The first step compiles the driver's shaders.
    step(gpu, &mut trainer, data, objective, size.seed, &mut pixels)?;
    gpu.wait()?;
    let start = Instant::now();
    while trainer.done() <= TRIAL {
        step(gpu, &mut trainer, data, objective, size.seed, &mut pixels)?;
    }
    gpu.wait()?;
    let each = start.elapsed().as_secs_f64() / TRIAL as f64;
    Ok(((size.seconds / 2.0 / each) as u64).clamp(30, 3000))
}

/// Evaluates a network on the people that it has not seen.
fn assess(
    gpu: &Gpu,
    name: &'static str,
    model: Model,
    losses: Vec<(f64, f64)>,
    data: &Databases,
) -> Result<Outcome, DemoError> {
    let predictor = gpu.block_on(Predictor::new(gpu, &model, BATCH))?;
    let mut accumulator = Accumulator::new(&model.tasks);
    let reader = Reader::new(&model.tasks);
    let outputs = |gallery: &Gallery| gpu.block_on(predictor.run_all(&gallery.pixels));
    let test = outputs(&data.test)?;
    for (output, labels) in test.iter().zip(&data.test.labels) {
        accumulator.add(&output.logits, labels);
    }
    let read = |output: &Output| reader.read(&output.logits);
    let predictions = test.iter().take(24).map(read).collect::<Result<_, _>>()?;
    let mut right = 0;
    for (output, wanted) in outputs(&data.compound)?.iter().zip(&data.compound.compound) {
        right += usize::from(read(output)?.compound == *wanted);
    }
    Ok(Outcome {
        name,
        metrics: accumulator.finish(),
        compound: right as f64 / data.compound.len() as f64,
        losses,
        model,
        predictions,
    })
}
