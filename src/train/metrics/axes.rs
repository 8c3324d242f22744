//! Metrics of continuous values such as valence and arousal.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Metrics of the values of a continuous task. A map of `ccc_NAME`, `pcc_NAME` and `rmse_NAME` where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisMetrics {
    /// The values in the order of the task's outputs.
    pub axes: Vec<Axis>,
}

/// Metrics of one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The output's name.
    pub name: String,
    /// Concordance correlation coefficient, see [`ccc`]. Chance is 0.
    pub ccc: f64,
    /// Pearson's correlation coefficient, see [`pcc`].
    pub pcc: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
}

impl AxisMetrics {
    /// The metrics of the output of a name.
    pub fn get(&self, name: &str) -> Option<&Axis> {
        self.axes.iter().find(|axis| axis.name == name)
    }

    /// The mean of the concordance correlation coefficients; 0 without any.
    pub fn mean_ccc(&self) -> f64 {
        let sum: f64 = self.axes.iter().map(|axis| axis.ccc).sum();
        sum / self.axes.len().max(1) as f64
    }
}

/// What stands before an output's name.
const PREFIXES: [&str; 3] = ["ccc_", "pcc_", "rmse_"];

impl Serialize for AxisMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = |axis: &Axis, place: usize| [axis.ccc, axis.pcc, axis.rmse][place];
        let entries = PREFIXES.iter().enumerate().flat_map(|(place, prefix)| {
            let axes = self.axes.iter();
            axes.map(move |axis| (format!("{prefix}{}", axis.name), of(axis, place)))
        });
        serializer.collect_map(entries)
    }
}

impl<'de> Deserialize<'de> for AxisMetrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = serde_json::Map::deserialize(deserializer)?;
        let value = |prefix: &str, name: &str| {
            let key = format!("{prefix}{name}");
            let value = map.get(&key).and_then(serde_json::Value::as_f64);
            value.ok_or_else(|| D::Error::custom(format!("`{key}` is missing")))
        };
        let names = map.keys().filter_map(|key| key.strip_prefix(PREFIXES[0]));
        let axis = |name: &str| {
            Ok(Axis {
                name: name.to_owned(),
                ccc: value(PREFIXES[0], name)?,
                pcc: value(PREFIXES[1], name)?,
                rmse: value(PREFIXES[2], name)?,
            })
        };
        let axes: Vec<Axis> = names.map(axis).collect::<Result<_, _>>()?;
        match axes.is_empty() {
            true => Err(D::Error::custom("no `ccc_` of any output")),
            false => Ok(Self { axes }),
        }
    }
}

/// The metrics of (prediction, label) pairs by output; `None` without any.
pub(super) fn axis_metrics(names: &[String], values: &[Vec<(f64, f64)>]) -> Option<AxisMetrics> {
    let axis = |(name, pairs): (&String, &Vec<(f64, f64)>)| Axis {
        name: name.clone(),
        ccc: ccc(pairs),
        pcc: pcc(pairs),
        rmse: rmse(pairs),
    };
    let labelled = values.iter().all(|pairs| !pairs.is_empty()) && !values.is_empty();
    labelled.then(|| AxisMetrics {
        axes: names.iter().zip(values).map(axis).collect(),
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
