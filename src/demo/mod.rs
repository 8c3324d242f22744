//! The demonstration: three synthetic databases that each carry other labels, one network trained on them with and without
//! the coupling losses, and a comparison on people that neither has seen.

mod page;

use crate::experiment::{
    Assessor, Evaluation, ExperimentError, FacesConfig, FewShotConfig, Gallery, NetworkConfig,
    Observer, StepsConfig, Trained, Training, World,
};
use crate::gpu::{Gpu, Precision};
use crate::infer::{Model, Prediction, Reader};
use crate::objective::{ACTION_UNITS, MatchingTable, ObjectiveConfig};
use crate::train::metrics::Metrics;
use serde::Serialize;
use std::time::Instant;

pub use page::{page, text, tile};

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

/// One trained network.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it is called in the report.
    pub name: &'static str,
    /// On unseen people.
    pub evaluation: Evaluation,
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
    compound_uncoupled: Option<f64>,
    compound_coupled: Option<f64>,
    compound_chance: f64,
}

impl Demo {
    /// The numbers for scripts.
    pub fn numbers(&self) -> Numbers<'_> {
        Numbers {
            steps: self.steps,
            images_per_second: self.images_per_second,
            uncoupled: &self.outcomes[0].evaluation.metrics,
            coupled: &self.outcomes[1].evaluation.metrics,
            compound_uncoupled: self.outcomes[0].evaluation.compound,
            compound_coupled: self.outcomes[1].evaluation.compound,
            compound_chance: 1.0 / 15.0,
        }
    }
}

/// Runs the demonstration.
///
/// # Errors
/// [`ExperimentError`].
pub fn run(gpu: &Gpu, size: Size, observer: &mut dyn Observer) -> Result<Demo, ExperimentError> {
    let start = Instant::now();
    observer.stage("rendering faces", None);
    let mut trainings = [
        ("uncoupled", training(size, 0.0)?),
        ("coupled", training(size, 1.0)?),
    ];
    let faces = &trainings[0].1.faces;
    let world = World::render(gpu, size.seed, faces, [faces.databases.len(), 0], SIDE)?;
    let rendered = start.elapsed().as_secs_f64();
    let train = Instant::now();
    let steps = match size.steps {
        Some(steps) => steps,
        None => {
            let each = trainings[0].1.seconds_per_step(gpu, &world)?;
            ((size.seconds / 2.0 / each) as u64).clamp(30, 3000)
        }
    };
    let mut trained = Vec::new();
    for (name, training) in &mut trainings {
        training.train.steps = steps;
        let stage = format!("training, {name}");
        trained.push((*name, training.run(gpu, &world, &stage, observer)?));
    }
    let training = train.elapsed().as_secs_f64();
    observer.stage("evaluating on unseen people", None);
    let evaluate = Instant::now();
    let mut outcomes = Vec::new();
    for (name, trained) in trained {
        outcomes.push(outcome(gpu, name, trained, &world)?);
    }
    let outcomes: [Outcome; 2] = outcomes.try_into().map_err(|_| ExperimentError::Stopped)?;
    Ok(Demo {
        outcomes,
        steps,
        images_per_second: (2 * steps * BATCH as u64) as f64 / training,
        seconds: [rendered, training, evaluate.elapsed().as_secs_f64()],
        pictures: world.pictures(),
        gallery: world.test.basic.first(SHOWN),
    })
}

/// Test pictures that the report may show.
const SHOWN: usize = 24;

/// The labelled terms count 1; distribution matching, which sums over 17 action units, a twentieth.
fn training(size: Size, coupling: f32) -> Result<Training, ExperimentError> {
    let table = crate::data::relatedness::load("du2014")?;
    Ok(Training {
        seed: size.seed,
        model: NetworkConfig {
            size: SIDE,
            ..NetworkConfig::default()
        },
        faces: FacesConfig {
            pictures: size.pictures,
            test: size.test,
            // The demonstration chooses nothing.
            validation: 0,
            ..FacesConfig::default()
        },
        au_share: 1.0,
        train: StepsConfig {
            batch: BATCH,
            precision: size.precision.name().to_owned(),
            ..StepsConfig::default()
        },
        few_shot: FewShotConfig::default(),
        objective: ObjectiveConfig {
            distribution_matching: 0.05 * coupling,
            soft_co_annotation: 0.5 * coupling,
            co_annotate_aus: true,
            matching_table: MatchingTable::Weighted,
            // A unit is on in about a quarter of the faces.
            positive_weights: vec![3.0; ACTION_UNITS.len()],
            ..ObjectiveConfig::default()
        },
        relatedness: Some(table.table),
        task: Vec::new(),
        coupling: Vec::new(),
        shuffled: false,
    })
}

/// Evaluates a network on the people that it has not seen.
fn outcome(
    gpu: &Gpu,
    name: &'static str,
    trained: Trained,
    world: &World,
) -> Result<Outcome, ExperimentError> {
    let assessed = Assessor::new(gpu, &trained.model, BATCH)?.assess(&world.test)?;
    let reader = Reader::new(&trained.model.tasks);
    let shown = assessed.basic.iter().take(SHOWN);
    let read = shown.map(|output| reader.read(&output.logits));
    let predictions = read.collect::<Result<_, _>>()?;
    Ok(Outcome {
        name,
        evaluation: assessed.evaluation,
        losses: trained.losses,
        model: trained.model,
        predictions,
    })
}
