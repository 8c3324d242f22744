//! Metrics of every task that the data has labels for.

mod axes;
mod classes;
mod units;
mod verification;

pub use axes::{AxisMetrics, ccc, pcc};
pub use classes::{ClassMetrics, class_metrics};
pub use units::{UnitMetrics, auc};
pub use verification::{Verification, cosine, verification};

use crate::objective::{Labels, TaskKind, Tasks};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The metrics of a database, in the shape of `kinesic eval --json`: fractions in 0 to 1; what the data has no labels for is
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Images evaluated.
    pub images: u64,
    /// By task.
    pub tasks: TaskMetrics,
}

/// The metrics by task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskMetrics {
    /// One class of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<ClassMetrics>,
    /// Independent detections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_units: Option<UnitMetrics>,
    /// Continuous values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valence_arousal: Option<AxisMetrics>,
}

impl Metrics {
    /// What chooses the best weights: the mean over the tasks present of accuracy, mean F1 and mean CCC; 0 without any.
    pub fn score(&self) -> f64 {
        let tasks = &self.tasks;
        let parts: Vec<f64> = [
            tasks.expression.as_ref().map(|task| task.accuracy),
            tasks.action_units.as_ref().map(|task| task.f1_mean),
            tasks
                .valence_arousal
                .as_ref()
                .map(|task| 0.5 * (task.ccc_valence + task.ccc_arousal)),
        ]
        .into_iter()
        .flatten()
        .collect();
        mean(&parts).unwrap_or(0.0)
    }
}

/// Gathers predictions and labels.
#[derive(Clone, Debug)]
pub struct Accumulator {
    expression: Option<Range<usize>>,
    units: Option<(Range<usize>, Vec<String>)>,
    axes: Option<(Range<usize>, bool)>,
    images: u64,
    confusion: Vec<Vec<u64>>,
    /// For each unit the scores with their answers.
    scores: Vec<Vec<(f32, bool)>>,
    /// For each axis the predictions with the labels.
    values: [Vec<(f64, f64)>; 2],
}

impl Accumulator {
    /// Nothing gathered yet.
    pub fn new(tasks: &Tasks) -> Self {
        let find = |kinds: &[TaskKind]| {
            let task = tasks.iter().find(|task| kinds.contains(&task.kind))?;
            Some((tasks.columns(&task.name)?, task))
        };
        let expression = find(&[TaskKind::Softmax]).map(|(columns, _)| columns);
        let units =
            find(&[TaskKind::Sigmoid]).map(|(columns, task)| (columns, task.outputs.clone()));
        let axes = find(&[TaskKind::Linear, TaskKind::Tanh])
            .map(|(columns, task)| (columns, task.kind == TaskKind::Tanh));
        let classes = expression.as_ref().map_or(0, Range::len);
        Self {
            confusion: vec![vec![0; classes]; classes],
            scores: vec![Vec::new(); units.as_ref().map_or(0, |(columns, _)| columns.len())],
            expression,
            units,
            axes,
            images: 0,
            values: Default::default(),
        }
    }

    /// Takes the logits of an image with its labels; an absent image is passed over, and so is a class that the task does not
    /// have. A logit that is no number is a wrong answer: never the largest class, the other answer of a detection, and of
    /// an axis from -1 to 1 the end farther from the label.
    pub fn add(&mut self, logits: &[f32], labels: &Labels) {
        if labels.absent {
            return;
        }
        self.images += 1;
        if let (Some(columns), Some(class)) = (&self.expression, labels.expression)
            && (class as usize) < columns.len()
        {
            let found = largest(&logits[columns.clone()]);
            // Without a largest logit the answer counts as the class after the true one.
            let classes = columns.len();
            let found = found.unwrap_or((class as usize + 1) % classes);
            self.confusion[class as usize][found] += 1;
        }
        if let Some((columns, _)) = &self.units {
            for (unit, logit) in logits[columns.clone()].iter().enumerate() {
                if labels.au_mask >> unit & 1 == 1 {
                    let on = labels.au_value >> unit & 1 == 1;
                    self.scores[unit].push((or_wrong(*logit, on), on));
                }
            }
        }
        if let (Some((columns, tanh)), Some(wanted)) = (&self.axes, labels.valence_arousal) {
            for (axis, logit) in logits[columns.clone()].iter().enumerate() {
                let value = if *tanh { logit.tanh() } else { *logit };
                let value = match value.is_finite() {
                    true => value,
                    false if wanted[axis] > 0.0 => -1.0,
                    false => 1.0,
                };
                self.values[axis].push((f64::from(value), f64::from(wanted[axis])));
            }
        }
    }

    /// The metrics of what was gathered.
    pub fn finish(&self) -> Metrics {
        Metrics {
            images: self.images,
            tasks: TaskMetrics {
                expression: class_metrics(&self.confusion),
                action_units: self
                    .units
                    .as_ref()
                    .and_then(|(_, names)| units::unit_metrics(names, &self.scores)),
                valence_arousal: axes::axis_metrics(&self.values),
            },
        }
    }
}

/// The position of the largest value that is a number.
pub fn largest(values: &[f32]) -> Option<usize> {
    let numbers = values
        .iter()
        .enumerate()
        .filter(|(_, value)| !value.is_nan());
    numbers
        .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))
        .map(|(place, _)| place)
}

/// A score, or the worst that there is where it is no number.
fn or_wrong(score: f32, on: bool) -> f32 {
    match (score.is_nan(), on) {
        (false, _) => score,
        (true, true) => f32::NEG_INFINITY,
        (true, false) => f32::INFINITY,
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests;
