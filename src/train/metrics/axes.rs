//! Metrics of valence and arousal.

use serde::{Deserialize, Serialize};

/// Metrics of valence and arousal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisMetrics {
    /// Concordance correlation coefficient, see [`ccc`]. Chance is 0.
    pub ccc_valence: f64,
    /// The same of arousal.
    pub ccc_arousal: f64,
    /// Pearson's correlation coefficient, see [`pcc`].
    pub pcc_valence: f64,
    /// The same of arousal.
    pub pcc_arousal: f64,
    /// Root of the mean squared error.
    pub rmse_valence: f64,
    /// The same of arousal.
    pub rmse_arousal: f64,
}

/// The metrics of (prediction, label) pairs of both axes; `None` without any.
pub(super) fn axis_metrics([valence, arousal]: &[Vec<(f64, f64)>; 2]) -> Option<AxisMetrics> {
    (!valence.is_empty() && !arousal.is_empty()).then(|| AxisMetrics {
        ccc_valence: ccc(valence),
        ccc_arousal: ccc(arousal),
        pcc_valence: pcc(valence),
        pcc_arousal: pcc(arousal),
        rmse_valence: rmse(valence),
        rmse_arousal: rmse(arousal),
    })
}

/// What a variance counts as nothing below, and the guard of [`ccc`]'s denominator, as in the loss.
const GUARD: f64 = 1e-8;

/// Means, variances and covariance of pairs; population moments.
struct Moments {
    means: [f64; 2],
    variances: [f64; 2],
    covariance: f64,
}

impl Moments {
    fn of(pairs: &[(f64, f64)]) -> Self {
        let mean = |f: &dyn Fn(&(f64, f64)) -> f64| {
            pairs.iter().map(f).sum::<f64>() / pairs.len().max(1) as f64
        };
        let (a, b) = (mean(&|v| v.0), mean(&|v| v.1));
        Self {
            means: [a, b],
            variances: [mean(&|v| (v.0 - a).powi(2)), mean(&|v| (v.1 - b).powi(2))],
            covariance: mean(&|v| (v.0 - a) * (v.1 - b)),
        }
    }
}

/// Lin's concordance correlation coefficient of (prediction, label) pairs with population moments,
/// `2 cov / max(var + var + (mean - mean)², 1e-8)` (Lin 1989; the guard as in the loss); 0 without pairs, and where either
/// side is constant.
pub fn ccc(pairs: &[(f64, f64)]) -> f64 {
    let moments = Moments::of(pairs);
    let shift = moments.means[0] - moments.means[1];
    let spread = moments.variances[0] + moments.variances[1] + shift * shift;
    2.0 * moments.covariance / spread.max(GUARD)
}

/// Pearson's correlation coefficient; 0 without pairs, and where either side is constant (a variance below 1e-8).
pub fn pcc(pairs: &[(f64, f64)]) -> f64 {
    let moments = Moments::of(pairs);
    if moments.variances.iter().any(|variance| *variance < GUARD) {
        return 0.0;
    }
    moments.covariance / (moments.variances[0] * moments.variances[1]).sqrt()
}

fn rmse(pairs: &[(f64, f64)]) -> f64 {
    let sum: f64 = pairs.iter().map(|(p, y)| (p - y).powi(2)).sum();
    (sum / pairs.len() as f64).sqrt()
}
