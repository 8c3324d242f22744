//! One thing's random numbers, one after the other.

use crate::random::Random;

/// The numbers of one thing (a person, a picture). Only sums and products of them, so that every machine draws the same.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    stream: Random,
    next: u64,
}

impl Draw {
    /// The beginning of the numbers that belong to `key` in the stream `name` under `seed`.
    pub(super) fn new(name: &str, seed: u64, key: u64) -> Self {
        let own = Random::new(seed, name).bits(key);
        Self {
            stream: Random::new(own, name),
            next: 0,
        }
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f32 {
        self.next += 1;
        self.stream.unit(self.next - 1)
    }

    /// Uniform in [low, high).
    pub(super) fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// About normal with mean 0 and the deviation given: four uniforms added up, hence within 3.5 deviations.
    pub(super) fn normal(&mut self, deviation: f32) -> f32 {
        let sum: f32 = (0..4).map(|_| self.unit()).sum();
        // The sum's variance is 4/12.
        (sum - 2.0) * 1.732_050_8 * deviation
    }

    /// True with the probability given.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A whole number below `count`; 0 where that is 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.next += 1;
        // Below `count`, which is a usize.
        #[allow(clippy::cast_possible_truncation)]
        let number = self.stream.below(self.next - 1, count as u64) as usize;
        number
    }
}
