//! Checks and their report.

use crate::random::Random;
use serde::{Deserialize, Serialize};

/// One value against its reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The case and the value.
    pub name: String,
    /// How far the value is off.
    pub distance: f64,
    /// How far it may be.
    pub tolerance: f64,
    /// Whether it is within the tolerance; a distance that is no number is not.
    pub passed: bool,
}

impl Check {
    /// Compares a distance with a tolerance.
    pub fn new(name: String, distance: f64, tolerance: f64) -> Self {
        Self {
            name,
            distance,
            tolerance,
            passed: distance <= tolerance,
        }
    }
}

/// All checks of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The checks in the file's order.
    pub checks: Vec<Check>,
    /// What a reader of the checks should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Report {
    pub(super) fn extend(&mut self, checks: Vec<Check>) {
        self.checks.extend(checks);
    }

    /// How many passed.
    pub fn passed(&self) -> usize {
        self.checks.iter().filter(|check| check.passed).count()
    }

    /// How many failed.
    pub fn failed(&self) -> usize {
        self.checks.len() - self.passed()
    }
}

/// A tensor's record: shape, Euclidean norm, and dot products with eight drawn vectors.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Recorded {
    shape: Vec<usize>,
    norm: f64,
    proj: Vec<f64>,
}

impl Recorded {
    /// Norm within 1e-5 relative, each projection within 2e-5 of the norm times the projections' deviation √(1/3).
    pub(super) fn check(&self, name: &str, seed: u64, got: &[f32]) -> Vec<Check> {
        let len = self.shape.iter().product::<usize>();
        if len != got.len() {
            return vec![Check::new(
                format!("{name}: {} of {len} values", got.len()),
                f64::NAN,
                0.0,
            )];
        }
        let norm = norm(got);
        let mut checks = vec![Check::new(
            format!("{name} norm"),
            (norm - self.norm).abs(),
            1e-5 * self.norm,
        )];
        for (k, want) in self.proj.iter().enumerate() {
            let draws = Random::new(seed, &format!("proj.{k}"));
            let dot: f64 = got
                .iter()
                .zip(0..)
                .map(|(value, i)| f64::from(*value) * f64::from(draws.uniform(i)))
                .sum();
            checks.push(Check::new(
                format!("{name} projection {k}"),
                (dot - want).abs(),
                2e-5 * self.norm * (1.0_f64 / 3.0).sqrt(),
            ));
        }
        checks
    }
}

/// The largest distance of `rows` rows of wanted values from those of rows of `width`, from column `start` on; no number where one of
/// them is none, or where there are other than so many rows.
pub(super) fn farthest(
    got: &[f32],
    [width, start]: [usize; 2],
    want: &[f64],
    [rows, columns]: [usize; 2],
) -> f64 {
    if want.len() != rows * columns {
        return f64::NAN;
    }
    let pairs = got.chunks_exact(width).zip(want.chunks_exact(columns));
    let pairs = pairs.flat_map(|(got, want)| got.iter().skip(start).zip(want));
    let off = pairs.map(|(got, want)| (f64::from(*got) - want).abs());
    // Unlike f64::max, this keeps what is no number.
    off.fold(0.0, |most: f64, off| {
        if most.is_nan() || off <= most {
            most
        } else {
            off
        }
    })
}

pub(super) fn norm(values: &[f32]) -> f64 {
    values
        .iter()
        .map(|v| f64::from(*v).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// `scale · uniform(name, i)` for `len` values, rounded once.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn draw(seed: u64, name: &str, len: usize, scale: f64) -> Vec<f32> {
    let draws = Random::new(seed, name);
    (0..len as u64)
        .map(|i| (scale * f64::from(draws.uniform(i))) as f32)
        .collect()
}

/// `[N,C,H,W]` to padded `[N,H,W,C]`.
pub(super) fn to_nhwc(values: &[f32], [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    let width = crate::kernels::padded(c);
    let mut out = vec![0.0; n * h * w * width];
    for (index, value) in values.iter().enumerate() {
        let (hw, channel, image) = (index % (h * w), index / (h * w) % c, index / (h * w * c));
        out[(image * h * w + hw) * width + channel] = *value;
    }
    out
}

/// The inverse of [`to_nhwc`].
pub(super) fn to_nchw(values: &[f32], [n, c, h, w]: [usize; 4]) -> Vec<f32> {
    let width = crate::kernels::padded(c);
    (0..n * c * h * w)
        .map(|index| {
            let (hw, channel, image) = (index % (h * w), index / (h * w) % c, index / (h * w * c));
            values[(image * h * w + hw) * width + channel]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_stays_the_farthest() {
        let got = [0.0, 1.0, 2.5, 0.0, f32::NAN, 4.0];
        let off = |want: &[f64]| farthest(&got, [3, 1], want, [2, 2]);
        assert!(off(&[1.0, 2.0, 3.0, 4.0]).is_nan());
        assert!(off(&[1.0, 2.0, 3.0]).is_nan(), "a value too few");
        assert_eq!(farthest(&got, [3, 1], &[1.25, 2.0], [1, 2]), 0.5);
    }
}
