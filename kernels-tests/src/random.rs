//! Counter-based random numbers, shapes and tensors drawn from a seed, and gradients by finite differences.
//!
//! The generator is the one of the golden files (SplitMix64 over an FNV-1a hash of a name), so any program can repeat a test.

use std::ops::RangeInclusive;

const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

fn fnv1a64(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// Number `index` of the stream `name` under `seed`, uniform in [-1, 1) in steps of 2⁻²³, hence exact in f32.
pub fn uniform(name: &str, index: u64, seed: u64) -> f64 {
    uniform_of(fnv1a64(name), index, seed)
}

fn uniform_of(hash: u64, index: u64, seed: u64) -> f64 {
    let mut z = hash
        .wrapping_add(seed.wrapping_mul(GOLDEN_RATIO))
        .wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN_RATIO));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / f64::from(1 << 23) - 1.0
}

/// The first `len` numbers of the stream `name` under `seed`.
pub fn uniforms(name: &str, len: usize, seed: u64) -> Vec<f64> {
    let hash = fnv1a64(name);
    (0..len as u64)
        .map(|index| uniform_of(hash, index, seed))
        .collect()
}

/// Draws one number after the other from the stream of a name and a seed.
#[derive(Clone, Debug)]
pub struct Draw {
    hash: u64,
    seed: u64,
    next: u64,
}

impl Draw {
    /// The beginning of the stream `name` under `seed`.
    pub fn new(name: &str, seed: u64) -> Self {
        Self {
            hash: fnv1a64(name),
            seed,
            next: 0,
        }
    }

    /// The next number, uniform in [-1, 1).
    pub fn uniform(&mut self) -> f64 {
        let value = uniform_of(self.hash, self.next, self.seed);
        self.next += 1;
        value
    }

    /// A whole number of `range`, each as likely as the others.
    pub fn int(&mut self, range: RangeInclusive<usize>) -> usize {
        let count = range.end() - range.start() + 1;
        range.start() + ((self.uniform() + 1.0) / 2.0 * count as f64) as usize
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.int(0..=choices.len() - 1)]
    }

    /// True with the given probability in [0, 1].
    pub fn chance(&mut self, probability: f64) -> bool {
        (self.uniform() + 1.0) / 2.0 < probability
    }

    /// `len` numbers uniform in [-scale, scale), rounded to f32 so that kernel and reference start from the same values.
    pub fn tensor(&mut self, len: usize, scale: f64) -> Vec<f64> {
        (0..len)
            .map(|_| f64::from((self.uniform() * scale) as f32))
            .collect()
    }

    /// `len` numbers in drawn order, any two at least `gap` apart and none nearer to zero than `gap / 2`: inputs that keep
    /// finite differences away from the kinks of ReLU and of maxima. Exact in f32 where `gap` is a power of two.
    pub fn apart(&mut self, len: usize, gap: f64) -> Vec<f64> {
        let half = (len / 2) as f64;
        let mut values: Vec<f64> = (0..len).map(|i| (i as f64 - half + 0.5) * gap).collect();
        for i in (1..len).rev() {
            let j = self.int(0..=i);
            values.swap(i, j);
        }
        values
    }
}

/// The step h of [`check_gradient`]'s finite differences.
pub const STEP: f64 = 1.0 / 1024.0;

/// Holds `gradient`, claimed to be that of Σ upstream · f(x) with respect to `x`, against central differences of `f`.
///
/// The differences at steps h and 2h are extrapolated (Richardson), which leaves an error of order h⁴; the tolerance is
/// 1e-8 of the largest derivative, plus the rounding of the sum, 16 · 2⁻⁵² · Σ|upstream · f| / h. `f` must be smooth
/// within 2h of `x`.
///
/// # Panics
/// At the first element that is out of tolerance or NaN.
pub fn check_gradient(
    what: &str,
    x: &[f64],
    gradient: &[f64],
    upstream: &[f64],
    f: impl Fn(&[f64]) -> Vec<f64>,
) {
    assert_eq!(x.len(), gradient.len(), "{what}: elements of the gradient");
    let objective = |x: &[f64]| -> f64 {
        let y = f(x);
        assert_eq!(y.len(), upstream.len(), "{what}: elements upstream");
        y.iter().zip(upstream).map(|(y, u)| y * u).sum()
    };
    let terms: f64 = f(x).iter().zip(upstream).map(|(y, u)| (y * u).abs()).sum();
    let largest = gradient.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
    let tolerance = 1e-8 * largest + 16.0 * f64::EPSILON * terms / STEP;
    let mut moved = x.to_vec();
    for (index, &want) in gradient.iter().enumerate() {
        let mut slope = |step: f64| {
            moved[index] = x[index] + step;
            let above = objective(&moved);
            moved[index] = x[index] - step;
            let below = objective(&moved);
            moved[index] = x[index];
            (above - below) / (2.0 * step)
        };
        let found = (4.0 * slope(STEP) - slope(2.0 * STEP)) / 3.0;
        let close = (found - want).abs() <= tolerance;
        assert!(
            close,
            "{what}: element {index} of {}: the formula gives {want}, differences {found}, tolerance {tolerance:e}",
            x.len()
        );
    }
}
