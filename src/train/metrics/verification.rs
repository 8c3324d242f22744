//! Verification: do two images show one person? By the cosine of their embeddings, as on Labeled Faces in the Wild (Huang et
//! al. 2007): ten folds, each judged with the threshold that is best on the nine others.

use super::{auc, or_wrong};
use serde::{Deserialize, Serialize};

/// Metrics of verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The share of the pairs that are judged rightly.
    pub accuracy: f64,
    /// The area under the ROC curve.
    pub auc: f64,
    /// The largest share of the pairs of one person that are accepted while at most a hundredth of the others is.
    #[serde(rename = "tar_at_far_1e-2")]
    pub tar_at_far: f64,
    /// The same for a thousandth; where a thousand pairs or more are of two people.
    #[serde(rename = "tar_at_far_1e-3", skip_serializing_if = "Option::is_none")]
    pub tar_at_low_far: Option<f64>,
    /// The pairs.
    pub pairs: u64,
    /// The accuracy of always giving the more frequent answer.
    pub chance: f64,
}

const FOLDS: usize = 10;

/// The cosine of two embeddings of one length; not a number where one of them is zero or has a value that is no number.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y));
        products.sum()
    };
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    (dot(a, b) / norm) as f32
}

/// The receiver operating characteristic of pairs: for each threshold the share of the pairs of two people that are accepted and
/// that of the pairs of one person, from (0, 0) to (1, 1). Empty where one of the answers does not occur.
pub fn roc(pairs: &[(f32, bool)]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f32, bool)> = pairs
        .iter()
        .map(|(s, same)| (or_wrong(*s, *same), *same))
        .collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let same = sorted.iter().filter(|(_, same)| *same).count() as f64;
    let others = sorted.len() as f64 - same;
    if same == 0.0 || others == 0.0 {
        return Vec::new();
    }
    let (mut hits, mut alarms) = (0.0, 0.0);
    let mut points = vec![(0.0, 0.0)];
    for (index, (score, same_person)) in sorted.iter().enumerate() {
        *(if *same_person { &mut hits } else { &mut alarms }) += 1.0;
        // A threshold lies between two scores that differ.
        if sorted.get(index + 1).is_none_or(|next| next.0 < *score) {
            points.push((alarms / others, hits / same));
        }
    }
    points
}

/// The metrics of pairs: their similarity, and whether they show one person. A similarity that is no number is the wrong
/// answer at every threshold. `None` where one of the answers does not occur.
///
/// Pairs of either answer are dealt to the folds in turn, so that every fold has both, whatever the order of the table.
pub fn verification(pairs: &[(f32, bool)]) -> Option<Verification> {
    let scores: Vec<(f32, bool)> = pairs
        .iter()
        .map(|(s, same)| (or_wrong(*s, *same), *same))
        .collect();
    let area = auc(&scores)?;
    let same = scores.iter().filter(|(_, same)| *same).count();
    let right = judged(&scores);
    let total = scores.len() as f64;
    Some(Verification {
        accuracy: right as f64 / total,
        auc: area,
        tar_at_far: accepted(&scores, 0.01),
        tar_at_low_far: (scores.len() - same >= 1000).then(|| accepted(&scores, 0.001)),
        pairs: scores.len() as u64,
        chance: same.max(scores.len() - same) as f64 / total,
    })
}

/// How many pairs are judged rightly, each with the threshold of the folds that it is not in.
fn judged(scores: &[(f32, bool)]) -> usize {
    let mut dealt = [0; 2];
    let mut pairs: Vec<(f32, bool, usize)> = scores
        .iter()
        .map(|&(score, same)| {
            let count = &mut dealt[usize::from(same)];
            *count += 1;
            (score, same, (*count - 1) % FOLDS)
        })
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    (0..FOLDS)
        .map(|fold| {
            let (inside, outside): (Vec<_>, Vec<_>) = pairs.iter().partition(|pair| pair.2 == fold);
            let threshold = best_threshold(&outside);
            inside
                .iter()
                .filter(|(score, same, _)| (f64::from(*score) > threshold) == *same)
                .count()
        })
        .sum()
}

/// The threshold above which "one person" is right most often, in the middle of its gap; the lowest of several. The pairs
/// come in the order of their scores.
fn best_threshold(pairs: &[(f32, bool, usize)]) -> f64 {
    // Everything is accepted below the first score.
    let mut right = pairs.iter().filter(|pair| pair.1).count();
    let (mut best, mut threshold) = (right, f64::NEG_INFINITY);
    for (index, (score, same, _)) in pairs.iter().enumerate() {
        right = if *same { right - 1 } else { right + 1 };
        let next = pairs.get(index + 1).map_or(f32::INFINITY, |pair| pair.0);
        if next > *score && right > best {
            best = right;
            threshold = middle(*score, next);
        }
    }
    threshold
}

/// The middle of a gap, the finite end of an endless one.
fn middle(low: f32, high: f32) -> f64 {
    match (low.is_finite(), high.is_finite()) {
        (true, true) => f64::midpoint(f64::from(low), f64::from(high)),
        (true, false) => f64::from(low),
        // Just below: what equals it is above the threshold.
        (false, true) => f64::from(high.next_down()),
        (false, false) => 0.0,
    }
}

/// The largest share of same pairs above a threshold that at most the share `far` of the others is above.
fn accepted(scores: &[(f32, bool)], far: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let same = sorted.iter().filter(|(_, same)| *same).count();
    let others = (sorted.len() - same) as f64;
    let (mut hits, mut alarms, mut best) = (0, 0, 0);
    for (index, (score, same)) in sorted.iter().enumerate() {
        *(if *same { &mut hits } else { &mut alarms }) += 1;
        // A threshold lies between two scores that differ.
        let gap = sorted.get(index + 1).is_none_or(|next| next.0 < *score);
        if gap && f64::from(alarms) <= far * others {
            best = hits;
        }
    }
    f64::from(best) / same as f64
}
