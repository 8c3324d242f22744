//! Counter-based random numbers for the generative model.

const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finisher.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The numbers of one thing (a person, a picture), one after the other. Only sums and products, so that every machine
/// draws the same.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    state: u64,
}

impl Draw {
    /// The beginning of the numbers that belong to `key` in the stream `name` under `seed`.
    pub(super) fn new(name: &str, seed: u64, key: u64) -> Self {
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        let stream = mix(hash.wrapping_add(seed.wrapping_mul(GOLDEN_RATIO)));
        let state = mix(stream.wrapping_add(key.wrapping_add(1).wrapping_mul(GOLDEN_RATIO)));
        Self { state }
    }

    /// 24 uniform bits.
    pub(super) fn bits(&mut self) -> u32 {
        self.state = self.state.wrapping_add(GOLDEN_RATIO);
        // The shift leaves 24 bits.
        #[allow(clippy::cast_possible_truncation)]
        let bits = (mix(self.state) >> 40) as u32;
        bits
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f32 {
        // 24 bits are exact in f32.
        #[allow(clippy::cast_precision_loss)]
        let bits = self.bits() as f32;
        bits / 16_777_216.0
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

    /// A whole number below `count`, which is positive.
    pub(super) fn below(&mut self, count: u32) -> u32 {
        // The product is below count · 2²⁴, the quotient below count.
        #[allow(clippy::cast_possible_truncation)]
        let index = ((u64::from(self.bits()) * u64::from(count)) >> 24) as u32;
        index
    }
}
