//! Metrics of independent detections.

use super::mean;
use serde::{Deserialize, Serialize};

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

pub(super) fn unit_metrics(names: &[String], scores: &[Vec<(f32, bool)>]) -> Option<UnitMetrics> {
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
