//! Means over seeds, their deviations, and intervals by Student's t distribution.

use serde::Serialize;
use std::f64::consts::PI;

/// The probability that an interval holds the true mean.
pub const CONFIDENCE: f64 = 0.95;

/// Some values of one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with count - 1 in the denominator; none for one value.
    pub deviation: Option<f64>,
    /// The 95 % interval of the mean: mean ± t · deviation / √count, t of count - 1 degrees of freedom; none for one value.
    pub interval: Option<[f64; 2]>,
}

impl Spread {
    /// Of some values; `None` without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let freedom = count - 1;
        let deviation = (freedom > 0).then(|| (squares / freedom as f64).sqrt());
        let interval = deviation.map(|deviation| {
            let half = t_quantile(CONFIDENCE, freedom) * deviation / (count as f64).sqrt();
            [mean - half, mean + half]
        });
        Some(Self {
            count,
            mean,
            deviation,
            interval,
        })
    }

    /// Of the differences of pairs: a value of the one minus that of the other under the same seed. `None` without pairs.
    pub fn of_differences(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let differences: Vec<f64> = pairs.into_iter().map(|(of, to)| of - to).collect();
        Self::of(&differences)
    }

    /// What the interval says about a difference.
    pub fn verdict(&self) -> Verdict {
        match self.interval {
            Some([low, _]) if low > 0.0 => Verdict::Better,
            Some([_, high]) if high < 0.0 => Verdict::Worse,
            _ => Verdict::Open,
        }
    }
}

/// What the interval of a difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It lies above zero.
    Better,
    /// It lies below zero.
    Worse,
    /// It holds zero, or there is none.
    Open,
}

impl Verdict {
    /// The word for it; none where it is open.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Self::Better => Some("better"),
            Self::Worse => Some("worse"),
            Self::Open => None,
        }
    }
}

/// P(|T| ≤ t) of Student's t distribution with `freedom` ≥ 1 degrees of freedom: the finite sums of Abramowitz and Stegun,
/// Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    // 1 + 1/2 cos² + 1·3/(2·4) cos⁴ + ... for even, cos + 2/3 cos³ + 2·4/(3·5) cos⁵ + ... for odd, up to cos^(freedom - 2).
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    let mut power = usize::from(odd);
    while power + 2 <= freedom {
        sum += term;
        let (above, below) = ((power + 1) as f64, (power + 2) as f64);
        term *= above / below * cosine * cosine;
        power += 2;
    }
    match odd {
        true => 2.0 / PI * (angle + sine * sum),
        false => sine * sum,
    }
}

/// The t for which P(|T| ≤ t) is `probability`, within 0 and 1 exclusive; infinite without a degree of freedom.
pub fn t_quantile(probability: f64, freedom: usize) -> f64 {
    if freedom == 0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while within(high, freedom) < probability && high < 1e12 {
        high *= 2.0;
    }
    // Halving: beyond 80 times nothing is left of the interval.
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        match within(middle, freedom) < probability {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in any textbook, two-sided.
    #[test]
    fn quantiles_are_those_of_the_table() {
        for (freedom, probability, wanted) in [
            (1, 0.95, 12.706_205),
            (2, 0.95, 4.302_653),
            (3, 0.95, 3.182_446),
            (4, 0.95, 2.776_445),
            (5, 0.95, 2.570_582),
            (9, 0.95, 2.262_157),
            (10, 0.95, 2.228_139),
            (30, 0.95, 2.042_272),
            (1000, 0.95, 1.962_339),
            (1, 0.5, 1.0),
            (4, 0.99, 4.604_095),
        ] {
            let found = t_quantile(probability, freedom);
            assert!((found - wanted).abs() < 1e-5, "{freedom}: {found}");
        }
        assert!(t_quantile(0.95, 0).is_infinite());
        // P(|T| ≤ 1) is 1/2 for one degree, 1/√3 for two.
        assert!((within(1.0, 1) - 0.5).abs() < 1e-12);
        assert!((within(1.0, 2) - 1.0 / 3.0_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn intervals_worked_by_hand() {
        // Mean 3, squares 4 + 1 + 0 + 1 + 4 = 10, deviation √2.5, standard error √0.5.
        let spread = Spread::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!((spread.count, spread.mean), (5, 3.0));
        assert!((spread.deviation.unwrap() - 2.5_f64.sqrt()).abs() < 1e-12);
        let half = 2.776_445 * 0.5_f64.sqrt();
        let [low, high] = spread.interval.unwrap();
        assert!((low - (3.0 - half)).abs() < 1e-5 && (high - (3.0 + half)).abs() < 1e-5);
        let one = Spread::of(&[0.25]).unwrap();
        assert_eq!((one.deviation, one.interval), (None, None));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn pairs_are_held_against_each_other_and_not_their_means() {
        // Far apart in themselves, always 0.1 apart from each other.
        let pairs = [(0.9, 0.8), (0.5, 0.4), (0.2, 0.1)];
        let spread = Spread::of_differences(pairs).unwrap();
        assert!((spread.mean - 0.1).abs() < 1e-12);
        assert!(spread.deviation.unwrap() < 1e-12);
        assert_eq!(spread.verdict(), Verdict::Better);
        let reversed = Spread::of_differences(pairs.map(|(a, b)| (b, a))).unwrap();
        assert_eq!(reversed.verdict(), Verdict::Worse);
        // Mean 0.1, deviation 0.1: 0.1 ± 4.30 · 0.1 / √3 = 0.1 ± 0.248.
        let open = Spread::of(&[0.0, 0.1, 0.2]).unwrap();
        assert!((open.interval.unwrap()[1] - 0.348_414).abs() < 1e-5);
        assert_eq!(open.verdict(), Verdict::Open);
        assert_eq!(Spread::of(&[1.0]).unwrap().verdict(), Verdict::Open);
    }
}
