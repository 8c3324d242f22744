//! Metrics of every task that the data has labels for.

mod axes;
mod classes;
mod units;
mod verification;

pub use axes::{Axis, AxisMetrics, ccc, pcc};
pub use classes::{ClassMetrics, MOST_LISTED, class_metrics};
pub use units::{UnitMetrics, auc};
pub use verification::{Verification, cosine, roc, verification};

use crate::objective::{Label, Labels, TaskKind, Tasks};
use classes::Answers;
use serde::{Deserialize, Serialize, Serializer};
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

/// The metrics by task, in the order of the tasks. A map where it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskMetrics(Vec<(String, TaskMetric)>);

/// The metrics of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TaskMetric {
    /// One class of several.
    Classes(ClassMetrics),
    /// Independent detections.
    Units(UnitMetrics),
    /// Continuous values.
    Axes(AxisMetrics),
}

impl TaskMetric {
    /// What counts in the choice of the best weights, and its name: accuracy, mean F1 or mean CCC.
    pub fn score(&self) -> (&'static str, f64) {
        match self {
            Self::Classes(task) => ("accuracy", task.accuracy),
            Self::Units(task) => ("F1", task.f1_mean),
            Self::Axes(task) => ("CCC", task.mean_ccc()),
        }
    }
}

impl TaskMetrics {
    /// The tasks that the data has labels for.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TaskMetric)> {
        self.0.iter().map(|(name, task)| (name.as_str(), task))
    }

    /// The metrics of the task of a name.
    pub fn get(&self, name: &str) -> Option<&TaskMetric> {
        let found = self.iter().find(|(known, _)| *known == name);
        found.map(|(_, task)| task)
    }

    /// The metrics of a classification.
    pub fn classes(&self, name: &str) -> Option<&ClassMetrics> {
        match self.get(name)? {
            TaskMetric::Classes(task) => Some(task),
            _ => None,
        }
    }

    /// The metrics of detections.
    pub fn units(&self, name: &str) -> Option<&UnitMetrics> {
        match self.get(name)? {
            TaskMetric::Units(task) => Some(task),
            _ => None,
        }
    }

    /// The metrics of continuous values.
    pub fn axes(&self, name: &str) -> Option<&AxisMetrics> {
        match self.get(name)? {
            TaskMetric::Axes(task) => Some(task),
            _ => None,
        }
    }

    /// Adds the tasks of other metrics that are not there.
    pub fn join(&mut self, other: &Self) {
        for (name, task) in &other.0 {
            if self.get(name).is_none() {
                self.0.push((name.clone(), task.clone()));
            }
        }
    }
}

impl Serialize for TaskMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for TaskMetrics {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let map = serde_json::Map::deserialize(deserializer)?;
        let task = |(name, value)| Ok((name, serde_json::from_value(value)?));
        let tasks: Result<Vec<_>, serde_json::Error> = map.into_iter().map(task).collect();
        Ok(Self(tasks.map_err(D::Error::custom)?))
    }
}

impl Metrics {
    /// What chooses the best weights by its mean: accuracy, mean F1 or mean CCC of each task present, and the accuracy of
    /// verification where there is one, with their names. A task of which the data shows no class that the network knows, such as
    /// people who were not trained on, is not present.
    pub fn scores(&self, verification: Option<&Verification>) -> Vec<(String, f64)> {
        let of_tasks = self.tasks.iter().map(|(name, task)| {
            let (measure, score) = task.score();
            (format!("{} {measure}", name.replace('_', " ")), score)
        });
        let verified = verification.map(|it| ("verification accuracy".to_owned(), it.accuracy));
        of_tasks.chain(verified).collect()
    }
}

/// What is gathered of a task.
#[derive(Clone, Debug)]
enum Gathered {
    Classes(Answers),
    /// For each output the scores with their answers.
    Units(Vec<Vec<(f32, bool)>>),
    /// For each output the predictions with the labels, and whether a prediction is the tanh of its logit.
    Axes(Vec<Vec<(f64, f64)>>, bool),
}

/// Gathers predictions and labels.
#[derive(Clone, Debug)]
pub struct Accumulator {
    tasks: Tasks,
    /// For each task its columns among the logits, and what is gathered.
    gathered: Vec<(Range<usize>, Gathered)>,
    images: u64,
}

impl Accumulator {
    /// Nothing gathered yet.
    pub fn new(tasks: &Tasks) -> Self {
        let mut start = 0;
        let gathered = tasks.iter().map(|task| {
            let outputs = task.outputs.len();
            let columns = start..start + outputs;
            start = columns.end;
            let gathered = match task.kind {
                TaskKind::Softmax => Gathered::Classes(Answers::new(outputs)),
                TaskKind::Sigmoid => Gathered::Units(vec![Vec::new(); outputs]),
                TaskKind::Linear => Gathered::Axes(vec![Vec::new(); outputs], false),
                TaskKind::Tanh => Gathered::Axes(vec![Vec::new(); outputs], true),
            };
            (columns, gathered)
        });
        Self {
            gathered: gathered.collect(),
            tasks: tasks.clone(),
            images: 0,
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
        for (place, (columns, gathered)) in self.gathered.iter_mut().enumerate() {
            gathered.add(&logits[columns.clone()], labels.get(place));
        }
    }

    /// The metrics of what was gathered.
    pub fn finish(&self) -> Metrics {
        let tasks = self.tasks.iter().zip(&self.gathered);
        let tasks = tasks.filter_map(|(task, (_, gathered))| {
            let metric = match gathered {
                Gathered::Classes(answers) => answers.metrics().map(TaskMetric::Classes),
                Gathered::Units(scores) => {
                    units::unit_metrics(&task.outputs, scores).map(TaskMetric::Units)
                }
                Gathered::Axes(values, _) => {
                    axes::axis_metrics(&task.outputs, values).map(TaskMetric::Axes)
                }
            };
            Some((task.name.clone(), metric?))
        });
        Metrics {
            images: self.images,
            tasks: TaskMetrics(tasks.collect()),
        }
    }
}

impl Gathered {
    fn add(&mut self, logits: &[f32], label: Label) {
        match (self, label) {
            (Self::Classes(answers), Label::Class(class)) if (class as usize) < logits.len() => {
                // Without a largest logit the answer counts as the class after the true one.
                let class = class as usize;
                let found = largest(logits).unwrap_or((class + 1) % logits.len());
                answers.add(class, found, 1);
            }
            (Self::Units(scores), Label::Bits { mask, on }) => {
                for (unit, (logit, scores)) in logits.iter().zip(scores).enumerate().take(64) {
                    if mask >> unit & 1 == 1 {
                        let on = on >> unit & 1 == 1;
                        scores.push((or_wrong(*logit, on), on));
                    }
                }
            }
            (Self::Axes(values, tanh), Label::Values(wanted)) => {
                for ((logit, values), wanted) in logits.iter().zip(values).zip(wanted) {
                    let value = if *tanh { logit.tanh() } else { *logit };
                    let value = match value.is_finite() {
                        true => value,
                        false if wanted > 0.0 => -1.0,
                        false => 1.0,
                    };
                    values.push((f64::from(value), f64::from(wanted)));
                }
            }
            _ => {}
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

pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests;
