//! Metrics of a classification.

use super::mean;
use serde::{Deserialize, Serialize};

/// Metrics of a classification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// The share of images whose class was predicted.
    pub accuracy: f64,
    /// For each class the share of its images that were found; nothing for a class that does not occur. Left out above
    /// [`MOST_LISTED`] classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recall: Vec<Option<f64>>,
    /// The mean over the classes that occur of the share of their images that were found.
    pub mean_recall: f64,
    /// The mean over the classes that occur of the harmonic mean of precision and recall.
    pub macro_f1: f64,
    /// Images by true class (row) and predicted class (column). Left out above [`MOST_LISTED`] classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u64>>,
    /// The accuracy of always naming the most frequent class.
    pub chance: f64,
}

/// The most classes whose metrics are listed class by class.
pub const MOST_LISTED: usize = 64;

/// Metrics from counts by true class (row) and predicted class; `None` without images.
pub fn class_metrics(confusion: &[Vec<u64>]) -> Option<ClassMetrics> {
    let mut answers = Answers::new(confusion.len());
    for (class, row) in confusion.iter().enumerate() {
        for (found, images) in row.iter().enumerate() {
            answers.add(class, found, *images);
        }
    }
    answers.metrics()
}

/// Answers of a classification, counted: for thousands of classes no table of all pairs.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    /// Of each class the images that show it, those in which it was found, and those of them that show it.
    counts: Vec<[u64; 3]>,
    confusion: Vec<Vec<u64>>,
}

impl Answers {
    pub(super) fn new(classes: usize) -> Self {
        let listed = if classes > MOST_LISTED { 0 } else { classes };
        Self {
            counts: vec![[0; 3]; classes],
            confusion: vec![vec![0; listed]; listed],
        }
    }

    /// Counts images of a class in which a class was found.
    pub(super) fn add(&mut self, class: usize, found: usize, images: u64) {
        self.counts[class][0] += images;
        self.counts[found][1] += images;
        if class == found {
            self.counts[class][2] += images;
        }
        if let Some(row) = self.confusion.get_mut(class) {
            row[found] += images;
        }
    }

    pub(super) fn metrics(&self) -> Option<ClassMetrics> {
        let sum = |place: usize| self.counts.iter().map(|it| it[place]).sum::<u64>() as f64;
        let total = sum(0);
        if total == 0.0 {
            return None;
        }
        let recall =
            |[shown, _, right]: &[u64; 3]| (*shown > 0).then(|| *right as f64 / *shown as f64);
        let recall: Vec<Option<f64>> = self.counts.iter().map(recall).collect();
        let recalls: Vec<f64> = recall.iter().flatten().copied().collect();
        let occurring = self.counts.iter().filter(|it| it[0] > 0);
        let f1s: Vec<f64> = occurring
            .map(|[shown, found, right]| 2.0 * *right as f64 / (*shown + *found) as f64)
            .collect();
        let most = self.counts.iter().map(|it| it[0]).max().unwrap_or(0);
        Some(ClassMetrics {
            accuracy: sum(2) / total,
            recall: match self.confusion.is_empty() {
                true => Vec::new(),
                false => recall,
            },
            mean_recall: mean(&recalls)?,
            macro_f1: mean(&f1s)?,
            confusion: self.confusion.clone(),
            chance: most as f64 / total,
        })
    }
}
