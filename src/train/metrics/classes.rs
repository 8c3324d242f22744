//! Metrics of a classification.

use super::mean;
use serde::{Deserialize, Serialize};

/// Metrics of a classification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// The share of images whose class was predicted.
    pub accuracy: f64,
    /// For each class the share of its images that were found; nothing for a class that does not occur.
    pub recall: Vec<Option<f64>>,
    /// The mean over the classes that occur of the share of their images that were found.
    pub mean_recall: f64,
    /// The mean over the classes that occur of the harmonic mean of precision and recall.
    pub macro_f1: f64,
    /// Images by true class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
    /// The accuracy of always naming the most frequent class.
    pub chance: f64,
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
    let recall: Vec<Option<f64>> = (0..confusion.len())
        .map(|class| (row(class) > 0.0).then(|| right(class) / row(class)))
        .collect();
    let recalls: Vec<f64> = recall.iter().flatten().copied().collect();
    let f1s: Vec<f64> = occurring
        .iter()
        .map(|&class| 2.0 * right(class) / (row(class) + column(class)))
        .collect();
    Some(ClassMetrics {
        accuracy: (0..confusion.len()).map(right).sum::<f64>() / total,
        recall,
        mean_recall: mean(&recalls)?,
        macro_f1: mean(&f1s)?,
        confusion: confusion.to_vec(),
        chance: (0..confusion.len()).map(row).fold(0.0, f64::max) / total,
    })
}
