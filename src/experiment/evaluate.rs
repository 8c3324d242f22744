//! What a network knows about people whom it has not seen.

use super::gallery::labels_of;
use super::{ExperimentError, Gallery, Unseen};
use crate::gpu::Gpu;
use crate::infer::{Model, Output, Predictor, Reader};
use crate::objective::compound::{DU2014, class_of};
use crate::objective::{Task, Tasks};
use crate::train::metrics::{
    Accumulator, AxisMetrics, Metrics, Verification, cosine, largest, verification,
};
use crate::train::{FewShot, Shots};
use serde::{Deserialize, Serialize};

/// The measures of a report in its order, a key for scripts and a name for people; larger is better in each.
pub const MEASURES: [(&str, &str); 12] = [
    ("mean_over_tasks", "mean over tasks"),
    ("expression_accuracy", "expression accuracy"),
    ("expression_mean_recall", "expression mean recall"),
    ("action_units_f1", "action unit F1"),
    ("action_units_auc", "action unit AUC"),
    ("ccc_valence", "CCC valence"),
    ("ccc_arousal", "CCC arousal"),
    ("compound_accuracy", "compound accuracy"),
    ("attributes_f1", "attribute F1"),
    ("attributes_auc", "attribute AUC"),
    ("verification_accuracy", "verification accuracy"),
    ("verification_auc", "verification AUC"),
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
    /// Whether two pictures show one person, from the cosine of their embeddings; where the network has the task `identity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

impl Evaluation {
    /// The value of each measure. The mean over tasks is of expression accuracy, action unit F1 and the mean CCC where all three
    /// are there, and of attribute F1 and verification accuracy where both are.
    pub fn values(&self) -> Values {
        let tasks = &self.metrics.tasks;
        let expression = tasks.classes("expression");
        let [units, attributes] = ["action_units", "attributes"].map(|name| tasks.units(name));
        let axes = tasks.axes("valence_arousal");
        let axis = |name| Some(axes?.get(name)?.ccc);
        let verification = self.verification.as_ref();
        let affect = [
            expression.map(|task| task.accuracy),
            units.map(|task| task.f1_mean),
            axes.map(AxisMetrics::mean_ccc),
        ];
        let person = [
            attributes.map(|task| task.f1_mean),
            verification.map(|it| it.accuracy),
        ];
        [
            mean_of_whole(&[&affect, &person]),
            affect[0],
            expression.map(|task| task.mean_recall),
            affect[1],
            units.and_then(|task| task.auc),
            axis("valence"),
            axis("arousal"),
            self.compound,
            person[0],
            attributes.and_then(|task| task.auc),
            person[1],
            verification.map(|it| it.auc),
        ]
    }

    /// What an answer that ignores the picture reaches: the most frequent expression, every detection always on, a constant
    /// valence and arousal, any compound expression, the more frequent answer of verification.
    pub fn chances(&self) -> Values {
        let tasks = &self.metrics.tasks;
        let expression = tasks.classes("expression");
        let [units, attributes] = ["action_units", "attributes"].map(|name| tasks.units(name));
        let axes = tasks.axes("valence_arousal").map(|_| 0.0);
        let recalled = expression.map(|it| it.recall.iter().flatten().count());
        let verification = self.verification.as_ref();
        let affect = [
            expression.map(|it| it.chance),
            units.map(|it| it.chance),
            axes,
        ];
        let person = [
            attributes.map(|it| it.chance),
            verification.map(|it| it.chance),
        ];
        [
            mean_of_whole(&[&affect, &person]),
            affect[0],
            recalled.map(|classes| 1.0 / classes.max(1) as f64),
            affect[1],
            units.and_then(|it| it.auc).map(|_| 0.5),
            axes,
            axes,
            self.compound.map(|_| 1.0 / DU2014.len() as f64),
            person[0],
            attributes.and_then(|it| it.auc).map(|_| 0.5),
            person[1],
            verification.map(|_| 0.5),
        ]
    }
}

/// The mean of all values of those groups that lack none.
fn mean_of_whole(groups: &[&[Option<f64>]]) -> Option<f64> {
    let whole = groups
        .iter()
        .filter_map(|group| group.iter().copied().collect::<Option<Vec<f64>>>());
    let values: Vec<f64> = whole.flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
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
        for (output, labels) in basic.iter().zip(&unseen.basic.labels) {
            accumulator.add(&output.logits, &labels_of(labels, self.tasks, |_| true));
        }
        let logits = compound.iter().map(|output| output.logits.as_slice());
        let shown = unseen.compound.compound.iter();
        let answers: Vec<_> = logits.zip(shown.map(|it| it.unwrap_or_default())).collect();
        Ok(Assessed {
            evaluation: Evaluation {
                metrics: accumulator.finish(),
                compound: compound_accuracy(self.tasks, &answers)?,
                verification: self
                    .tasks
                    .get("identity")
                    .and_then(|_| verify(&basic, &unseen.basic.people())),
            },
            basic,
            compound,
        })
    }
}

/// Verification on pairs of pictures: each with the next of the same person, and with the next of someone else.
fn verify(outputs: &[Output], people: &[u32]) -> Option<Verification> {
    let mut pairs = Vec::new();
    for (first, person) in people.iter().enumerate() {
        let later = || people.iter().enumerate().skip(first + 1);
        let Some((same, _)) = later().find(|(_, other)| *other == person) else {
            continue;
        };
        let other = later().find(|(_, other)| *other != person);
        let similar = |second: usize| cosine(&outputs[first].embedding, &outputs[second].embedding);
        pairs.push((similar(same), true));
        pairs.extend(other.map(|(other, _)| (similar(other), false)));
    }
    verification(&pairs)
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
