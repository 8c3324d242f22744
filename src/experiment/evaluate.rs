//! What a network knows about people whom it has not seen.

use super::{ExperimentError, Gallery, Unseen};
use crate::gpu::Gpu;
use crate::infer::{Model, Output, Predictor, Reader};
use crate::objective::compound::{DU2014, class_of};
use crate::objective::{Task, Tasks};
use crate::train::metrics::{Accumulator, Metrics, largest};
use crate::train::{FewShot, Shots};
use serde::{Deserialize, Serialize};

/// The measures of a report in its order, a key for scripts and a name for people; larger is better in each.
pub const MEASURES: [(&str, &str); 8] = [
    ("mean_over_tasks", "mean over tasks"),
    ("expression_accuracy", "expression accuracy"),
    ("expression_mean_recall", "expression mean recall"),
    ("action_units_f1", "action unit F1"),
    ("action_units_auc", "action unit AUC"),
    ("ccc_valence", "CCC valence"),
    ("ccc_arousal", "CCC arousal"),
    ("compound_accuracy", "compound accuracy"),
];

/// A value for each of [`MEASURES`], where there is one.
pub type Values = [Option<f64>; MEASURES.len()];

/// What came out on one group of unseen people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// By task, on basic expressions.
    pub metrics: Metrics,
    /// Accuracy over the 15 compound expressions, on which nothing was trained; where the network has all tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compound: Option<f64>,
}

impl Evaluation {
    /// The value of each measure.
    pub fn values(&self) -> Values {
        let tasks = &self.metrics.tasks;
        let expression = tasks.classes("expression");
        let units = tasks.units("action_units");
        let axes = tasks.axes("valence_arousal");
        let axis = |name| Some(axes?.get(name)?.ccc);
        let all = expression.is_some() && units.is_some() && axes.is_some();
        [
            all.then(|| self.metrics.score()),
            expression.map(|task| task.accuracy),
            expression.map(|task| task.mean_recall),
            units.map(|task| task.f1_mean),
            units.and_then(|task| task.auc),
            axis("valence"),
            axis("arousal"),
            self.compound,
        ]
    }

    /// What an answer that ignores the picture reaches: the most frequent expression, every action unit always on, a
    /// constant valence and arousal, any compound expression.
    pub fn chances(&self) -> Values {
        let tasks = &self.metrics.tasks;
        let expression = tasks.classes("expression");
        let units = tasks.units("action_units");
        let (accuracy, f1) = (expression.map(|it| it.chance), units.map(|it| it.chance));
        let axes = tasks.axes("valence_arousal").map(|_| 0.0);
        let recalled = expression.map(|it| it.recall.iter().flatten().count());
        [
            accuracy
                .zip(f1)
                .zip(axes)
                .map(|((a, b), c)| (a + b + c) / 3.0),
            accuracy,
            recalled.map(|classes| 1.0 / classes.max(1) as f64),
            f1,
            units.and_then(|it| it.auc).map(|_| 0.5),
            axes,
            axes,
            self.compound.map(|_| 1.0 / DU2014.len() as f64),
        ]
    }
}

/// An evaluation, and the network's outputs that it was made from.
#[derive(Clone, Debug)]
pub struct Assessed {
    /// The numbers.
    pub evaluation: Evaluation,
    /// For each picture of basic expressions.
    pub basic: Vec<Output>,
    /// For each picture of compound expressions.
    pub compound: Vec<Output>,
}

/// Evaluates a network.
#[derive(Debug)]
pub struct Assessor<'a> {
    gpu: &'a Gpu,
    tasks: &'a Tasks,
    predictor: Predictor,
}

impl<'a> Assessor<'a> {
    /// Compiles the network for batches of `batch`.
    ///
    /// # Errors
    /// [`ExperimentError::Tape`].
    pub fn new(gpu: &'a Gpu, model: &'a Model, batch: usize) -> Result<Self, ExperimentError> {
        Ok(Self {
            gpu,
            tasks: &model.tasks,
            predictor: gpu.block_on(Predictor::new(gpu, model, batch))?,
        })
    }

    /// Asks the network about people whom it has not seen.
    ///
    /// # Errors
    /// [`ExperimentError::Tape`].
    pub fn assess(&self, unseen: &Unseen) -> Result<Assessed, ExperimentError> {
        let outputs = |pixels: &[u8]| self.gpu.block_on(self.predictor.run_all(pixels));
        let basic = outputs(&unseen.basic.pixels)?;
        let compound = outputs(&unseen.compound.pixels)?;
        let mut accumulator = Accumulator::new(self.tasks);
        let affect = Tasks::affect();
        for (output, labels) in basic.iter().zip(&unseen.basic.labels) {
            accumulator.add(&output.logits, &labels.of(&affect, self.tasks));
        }
        let logits = compound.iter().map(|output| output.logits.as_slice());
        let shown = unseen.compound.compound.iter();
        let answers: Vec<_> = logits.zip(shown.map(|it| it.unwrap_or_default())).collect();
        Ok(Assessed {
            evaluation: Evaluation {
                metrics: accumulator.finish(),
                compound: compound_accuracy(self.tasks, &answers)?,
            },
            basic,
            compound,
        })
    }
}

/// The share of faces whose compound expression a head finds that is learned from a few faces, for each group of unseen people;
/// `steps` train the trunk too.
///
/// # Errors
/// [`ExperimentError::Train`].
pub fn few_shot(
    gpu: &Gpu,
    model: &Model,
    shots: &Gallery,
    steps: u64,
    unseen: [&Unseen; 2],
) -> Result<[f64; 2], ExperimentError> {
    let class = |shown: &Option<&str>| shown.and_then(class_of);
    let labels: Vec<u32> = shots
        .compound
        .iter()
        .filter_map(class)
        .map(|it| it as u32)
        .collect();
    let learner = FewShot::compounds(steps);
    let shots = Shots {
        pixels: &shots.pixels,
        labels: &labels,
    };
    let learned = learner.learn(gpu, model, shots)?;
    let predictor = gpu.block_on(Predictor::new(gpu, &learned, learner.batch))?;
    let mut accuracies = [0.0; 2];
    for (accuracy, unseen) in accuracies.iter_mut().zip(unseen) {
        let outputs = gpu.block_on(predictor.run_all(&unseen.compound.pixels))?;
        let found = outputs
            .iter()
            .map(|output| largest(&output.logits[..DU2014.len()]));
        let shown = unseen.compound.compound.iter().map(class);
        let right = found
            .zip(shown)
            .filter(|(found, shown)| found == shown)
            .count();
        *accuracy = right as f64 / unseen.compound.len().max(1) as f64;
    }
    Ok(accuracies)
}

/// The share of faces whose compound expression is found, zero-shot, from logits and what is shown; `None` where the tasks do
/// not allow it.
pub(super) fn compound_accuracy(
    tasks: &Tasks,
    faces: &[(&[f32], &str)],
) -> Result<Option<f64>, ExperimentError> {
    let affect = Tasks::affect();
    let has = |task: &Task| tasks.get(&task.name).is_some();
    if !affect.iter().all(has) || faces.is_empty() {
        return Ok(None);
    }
    let reader = Reader::new(tasks);
    let mut right = 0;
    for (logits, shown) in faces {
        right += usize::from(reader.read(logits)?.compound == Some(shown));
    }
    Ok(Some(right as f64 / faces.len() as f64))
}
