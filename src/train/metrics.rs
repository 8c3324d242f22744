//! Metrics of every task that the data has labels for.

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

/// Metrics of a classification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// The share of images whose class was predicted.
    pub accuracy: f64,
    /// The mean over the classes that occur of the share of their images that were found.
    pub mean_recall: f64,
    /// The mean over the classes that occur of the harmonic mean of precision and recall.
    pub macro_f1: f64,
    /// Images by true class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
    /// The accuracy of always naming the most frequent class.
    pub chance: f64,
}

/// Metrics of detections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitMetrics {
    /// The mean of `f1`.
    pub f1_mean: f64,
    /// By name, for the units that are on somewhere; a unit that is never on and never detected has no F1.
    pub f1: serde_json::Map<String, serde_json::Value>,
    /// The share of annotations that were predicted, over all units.
    pub accuracy: f64,
    /// The mean over the units of the area under the ROC curve, where both answers occur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
    /// The mean F1 of detecting every unit always.
    pub chance: f64,
}

/// Metrics of valence and arousal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisMetrics {
    /// Concordance correlation coefficient, population moments; 0 where a side is constant. Chance is 0.
    pub ccc_valence: f64,
    /// The same of arousal.
    pub ccc_arousal: f64,
    /// Root of the mean squared error.
    pub rmse_valence: f64,
    /// The same of arousal.
    pub rmse_arousal: f64,
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

    /// Takes the logits of an image with its labels; an absent image is passed over. A logit that is no number is a wrong
    /// answer: never the largest class, never a detection.
    pub fn add(&mut self, logits: &[f32], labels: &Labels) {
        if labels.absent {
            return;
        }
        self.images += 1;
        if let (Some(columns), Some(class)) = (&self.expression, labels.expression) {
            let found = largest(&logits[columns.clone()]);
            // Without a largest logit the answer counts as the class after the true one.
            let classes = columns.len();
            let found = found.unwrap_or((class as usize + 1) % classes);
            self.confusion[class as usize][found] += 1;
        }
        if let Some((columns, _)) = &self.units {
            for (unit, logit) in logits[columns.clone()].iter().enumerate() {
                if labels.au_mask >> unit & 1 == 1 {
                    let score = if logit.is_nan() {
                        f32::NEG_INFINITY
                    } else {
                        *logit
                    };
                    self.scores[unit].push((score, labels.au_value >> unit & 1 == 1));
                }
            }
        }
        if let (Some((columns, tanh)), Some(wanted)) = (&self.axes, labels.valence_arousal) {
            for (axis, logit) in logits[columns.clone()].iter().enumerate() {
                let value = if *tanh { logit.tanh() } else { *logit };
                self.values[axis].push((f64::from(value), f64::from(wanted[axis])));
            }
        }
    }

    /// The metrics of what was gathered.
    pub fn finish(&self) -> Metrics {
        let axes = !self.values[0].is_empty();
        Metrics {
            images: self.images,
            tasks: TaskMetrics {
                expression: class_metrics(&self.confusion),
                action_units: self
                    .units
                    .as_ref()
                    .and_then(|(_, names)| unit_metrics(names, &self.scores)),
                valence_arousal: axes.then(|| AxisMetrics {
                    ccc_valence: ccc(&self.values[0]),
                    ccc_arousal: ccc(&self.values[1]),
                    rmse_valence: rmse(&self.values[0]),
                    rmse_arousal: rmse(&self.values[1]),
                }),
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

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Metrics from counts by true class (row) and predicted class; `None` without images.
pub fn class_metrics(confusion: &[Vec<u64>]) -> Option<ClassMetrics> {
    let row = |class: usize| confusion[class].iter().sum::<u64>() as f64;
    let column = |class: usize| confusion.iter().map(|row| row[class]).sum::<u64>() as f64;
    let total: f64 = (0..confusion.len()).map(row).sum();
    if total == 0.0 {
        return None;
    }
    let right = |class: usize| confusion[class][class] as f64;
    let occurring: Vec<usize> = (0..confusion.len())
        .filter(|class| row(*class) > 0.0)
        .collect();
    let recalls: Vec<f64> = occurring
        .iter()
        .map(|&class| right(class) / row(class))
        .collect();
    let f1s: Vec<f64> = occurring
        .iter()
        .map(|&class| 2.0 * right(class) / (row(class) + column(class)))
        .collect();
    Some(ClassMetrics {
        accuracy: (0..confusion.len()).map(right).sum::<f64>() / total,
        mean_recall: mean(&recalls)?,
        macro_f1: mean(&f1s)?,
        confusion: confusion.to_vec(),
        chance: (0..confusion.len()).map(row).fold(0.0, f64::max) / total,
    })
}

fn unit_metrics(names: &[String], scores: &[Vec<(f32, bool)>]) -> Option<UnitMetrics> {
    let mut f1 = serde_json::Map::new();
    let (mut f1s, mut chances, mut aucs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut right, mut total) = (0_u64, 0_u64);
    for (name, scores) in names.iter().zip(scores) {
        // A logit above 0 is a probability above one half.
        let count = |found: bool, on: bool| {
            scores
                .iter()
                .filter(|(s, o)| (*s > 0.0) == found && *o == on)
                .count() as f64
        };
        let (hits, alarms, misses) = (count(true, true), count(true, false), count(false, true));
        right += scores
            .iter()
            .filter(|(score, on)| (*score > 0.0) == *on)
            .count() as u64;
        total += scores.len() as u64;
        aucs.extend(auc(scores));
        if hits + alarms + misses == 0.0 {
            continue;
        }
        let value = 2.0 * hits / (2.0 * hits + alarms + misses);
        f1.insert(name.clone(), value.into());
        f1s.push(value);
        let share = (hits + misses) / scores.len() as f64;
        chances.push(2.0 * share / (1.0 + share));
    }
    if total == 0 {
        return None;
    }
    Some(UnitMetrics {
        f1_mean: mean(&f1s).unwrap_or(0.0),
        f1,
        accuracy: right as f64 / total as f64,
        auc: mean(&aucs),
        chance: mean(&chances).unwrap_or(0.0),
    })
}

/// The area under the ROC curve: the probability that one that is on scores above one that is off, ties a half. `None` where
/// one of the answers does not occur.
pub fn auc(scores: &[(f32, bool)]) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let on = sorted.iter().filter(|(_, on)| *on).count();
    let off = sorted.len() - on;
    if on == 0 || off == 0 {
        return None;
    }
    let mut ranks = 0.0;
    let mut first = 0;
    while first < sorted.len() {
        let last = first
            + sorted[first..]
                .iter()
                .take_while(|(score, _)| *score == sorted[first].0)
                .count()
                .max(1);
        let rank = (first + 1 + last) as f64 / 2.0;
        ranks += rank * sorted[first..last].iter().filter(|(_, on)| *on).count() as f64;
        first = last;
    }
    let (on, off) = (on as f64, off as f64);
    Some((ranks - on * (on + 1.0) / 2.0) / (on * off))
}

/// Metrics of face verification.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The mean over ten folds of the accuracy at the threshold that is best on the other nine.
    pub accuracy: f64,
    /// The area under the ROC curve.
    pub auc: f64,
    /// The share of same pairs accepted at the lowest threshold that accepts at most a hundredth of the different ones.
    #[serde(rename = "tar_at_far_1e-2")]
    pub tar_at_far: f64,
}

/// Verification by similarity: pairs of (similarity, same person) in their order, cut into ten folds. `None` for fewer than
/// ten pairs, or where one of the answers does not occur.
pub fn verification(pairs: &[(f32, bool)]) -> Option<Verification> {
    if pairs.len() < 10 {
        return None;
    }
    let auc = auc(pairs)?;
    let accuracies = (0..10).map(|fold| {
        let inside = |index: usize| index * 10 / pairs.len() == fold;
        let split = |wanted: bool| {
            let part = pairs
                .iter()
                .enumerate()
                .filter(move |(index, _)| inside(*index) == wanted);
            part.map(|(_, pair)| *pair).collect::<Vec<_>>()
        };
        let threshold = best_threshold(&split(false));
        let test = split(true);
        test.iter()
            .filter(|(score, same)| (*score > threshold) == *same)
            .count() as f64
            / test.len() as f64
    });
    let accuracies: Vec<f64> = accuracies.collect();
    let mut different: Vec<f32> = pairs
        .iter()
        .filter(|(_, same)| !same)
        .map(|(score, _)| *score)
        .collect();
    different.sort_by(|a, b| b.total_cmp(a));
    let threshold = different[different.len() / 100];
    let same = pairs.iter().filter(|(_, same)| *same).count() as f64;
    let accepted = pairs
        .iter()
        .filter(|(score, same)| *same && *score > threshold)
        .count() as f64;
    Some(Verification {
        accuracy: mean(&accuracies)?,
        auc,
        tar_at_far: accepted / same,
    })
}

/// The threshold above which most pairs are right to be called the same.
fn best_threshold(pairs: &[(f32, bool)]) -> f32 {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Below every score all are called the same.
    let mut right = sorted.iter().filter(|(_, same)| *same).count() as i64;
    let mut best = (right, f32::NEG_INFINITY);
    for (index, (score, same)) in sorted.iter().enumerate() {
        right += if *same { -1 } else { 1 };
        let last_of_ties = sorted.get(index + 1).is_none_or(|next| next.0 > *score);
        if last_of_ties && right > best.0 {
            let next = sorted
                .get(index + 1)
                .map_or(*score, |next| 0.5 * (next.0 + score));
            best = (right, next);
        }
    }
    best.1
}

/// Lin's concordance correlation coefficient of (prediction, label) pairs with population moments; 0 where both are constant.
pub fn ccc(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let (p, y) = (
        pairs.iter().map(|v| v.0).sum::<f64>() / n,
        pairs.iter().map(|v| v.1).sum::<f64>() / n,
    );
    let moment = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
    let covariance = moment(&|v| (v.0 - p) * (v.1 - y));
    let spread = moment(&|v| (v.0 - p).powi(2)) + moment(&|v| (v.1 - y).powi(2)) + (p - y).powi(2);
    if spread > 0.0 {
        2.0 * covariance / spread
    } else {
        0.0
    }
}

fn rmse(pairs: &[(f64, f64)]) -> f64 {
    (pairs.iter().map(|(p, y)| (p - y).powi(2)).sum::<f64>() / pairs.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn class_metrics_of_a_worked_table() {
        // Class 0: 3 of 4 right; class 1: 1 of 2 right; class 2 does not occur.
        let metrics = class_metrics(&[vec![3, 1, 0], vec![1, 1, 0], vec![0, 0, 0]]).unwrap();
        close(metrics.accuracy, 4.0 / 6.0);
        close(metrics.mean_recall, (0.75 + 0.5) / 2.0);
        close(metrics.macro_f1, (6.0 / 8.0 + 2.0 / 4.0) / 2.0);
        close(metrics.chance, 4.0 / 6.0);
        assert_eq!(class_metrics(&[vec![0, 0], vec![0, 0]]), None);
    }

    #[test]
    fn auc_counts_ties_half_and_needs_both_answers() {
        close(auc(&[(0.1, false), (0.9, true)]).unwrap(), 1.0);
        close(auc(&[(0.5, false), (0.5, true)]).unwrap(), 0.5);
        close(
            auc(&[(0.1, true), (0.2, false), (0.3, true), (0.3, false)]).unwrap(),
            1.5 / 4.0,
        );
        assert_eq!(auc(&[(0.3, true)]), None);
    }

    #[test]
    fn verification_of_separable_and_constant_scores() {
        let pairs = |apart: f32| {
            (0..40)
                .map(|i| {
                    (
                        if i % 2 == 0 { 0.5 + apart } else { 0.5 - apart },
                        i % 2 == 0,
                    )
                })
                .collect::<Vec<_>>()
        };
        let clear = verification(&pairs(0.3)).unwrap();
        assert_eq!(
            (clear.accuracy, clear.auc, clear.tar_at_far),
            (1.0, 1.0, 1.0)
        );
        let blind = verification(&pairs(0.0)).unwrap();
        assert_eq!((blind.auc, blind.tar_at_far), (0.5, 0.0));
        assert_eq!(verification(&pairs(0.3)[..8]), None);
    }

    #[test]
    fn ccc_of_worked_pairs() {
        close(ccc(&[(1.0, 1.0), (2.0, 2.0)]), 1.0);
        close(ccc(&[(1.0, 2.0), (2.0, 1.0)]), -1.0);
        // Shifted by 1: covariance 1/4, variances 1/4 each, squared shift 1.
        close(ccc(&[(1.0, 2.0), (2.0, 3.0)]), 0.5 / 1.5);
        close(ccc(&[(1.0, 1.0), (1.0, 1.0)]), 0.0);
    }

    #[test]
    fn tasks_are_gathered_from_logits_and_absent_images_passed_over() {
        let tasks = Tasks::affect();
        let mut accumulator = Accumulator::new(&tasks);
        let mut logits = vec![0.0; tasks.width()];
        logits[4] = 3.0; // happiness
        logits[7] = 2.0; // AU 1
        (logits[24], logits[25]) = (0.5, -0.5);
        let labels = Labels {
            expression: Some(4),
            au_mask: 0b11,
            au_value: 0b01,
            valence_arousal: Some([0.5, 0.5]),
            absent: false,
        };
        accumulator.add(&logits, &labels);
        accumulator.add(
            &logits,
            &Labels {
                absent: true,
                ..labels
            },
        );
        let metrics = accumulator.finish();
        assert_eq!(metrics.images, 1);
        close(metrics.tasks.expression.as_ref().unwrap().accuracy, 1.0);
        let units = metrics.tasks.action_units.as_ref().unwrap();
        assert_eq!(units.f1.len(), 1);
        close(units.f1_mean, 1.0);
        close(units.accuracy, 1.0);
        close(
            metrics.tasks.valence_arousal.as_ref().unwrap().rmse_arousal,
            1.0,
        );
    }

    #[test]
    fn a_logit_that_is_no_number_is_a_wrong_answer() {
        let tasks = Tasks::affect();
        let mut accumulator = Accumulator::new(&tasks);
        let labels = Labels {
            expression: Some(0),
            au_mask: 1,
            au_value: 1,
            ..Labels::default()
        };
        accumulator.add(&vec![f32::NAN; tasks.width()], &labels);
        let metrics = accumulator.finish();
        close(metrics.tasks.expression.unwrap().accuracy, 0.0);
        close(metrics.tasks.action_units.unwrap().f1_mean, 0.0);
    }
}
