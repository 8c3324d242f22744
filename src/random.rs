//! Counter-based randomness: every draw is a pure function of a seed, a stream's name and an index, so that it can be repeated,
//! skipped and computed in any order.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One named stream of draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    start: u64,
}

impl Random {
    /// The stream `name` of `seed`: FNV-1a of the name, moved by the seed.
    pub fn new(seed: u64, name: &str) -> Self {
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
        });
        Self {
            start: hash.wrapping_add(seed.wrapping_mul(GOLDEN)),
        }
    }

    /// 64 random bits: splitmix64 (Steele, Lea and Flood 2014) of the counter.
    pub fn bits(&self, index: u64) -> u64 {
        let mut z = self
            .start
            .wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [-1, 1), a multiple of 2⁻²³: exact in f32.
    #[allow(clippy::cast_precision_loss)] // 24 bits
    pub fn uniform(&self, index: u64) -> f32 {
        (self.bits(index) >> 40) as f32 / 8_388_608.0 - 1.0
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    #[allow(clippy::cast_precision_loss)] // 24 bits
    pub fn unit(&self, index: u64) -> f32 {
        (self.bits(index) >> 40) as f32 / 16_777_216.0
    }

    /// Standard normal, by Box and Muller from two draws of its own.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // 32 bits of each half; rounded once
    pub fn normal(&self, index: u64) -> f32 {
        let bits = self.bits(index);
        let radius = (((bits >> 32) as f64 + 1.0) / 4_294_967_296.0).ln() * -2.0;
        let angle = (bits & 0xFFFF_FFFF) as f64 / 4_294_967_296.0 * std::f64::consts::TAU;
        (radius.sqrt() * angle.cos()) as f32
    }

    /// Uniform in 0..`count`; 0 where `count` is 0.
    pub fn below(&self, index: u64, count: u64) -> u64 {
        ((u128::from(self.bits(index)) * u128::from(count)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_and_normal_in_their_moments() {
        let random = Random::new(1, "moments");
        let count = 100_000;
        let moments = |draw: &dyn Fn(u64) -> f32| {
            let values: Vec<f64> = (0..count).map(|i| f64::from(draw(i))).collect();
            let mean = values.iter().sum::<f64>() / count as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64;
            (mean, variance)
        };
        let (mean, variance) = moments(&|i| random.uniform(i));
        assert!(
            mean.abs() < 0.01 && (variance - 1.0 / 3.0).abs() < 0.01,
            "{mean} {variance}"
        );
        let (mean, variance) = moments(&|i| random.normal(i));
        assert!(
            mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02,
            "{mean} {variance}"
        );
    }

    /// Values of the formula, worked out in another language.
    #[test]
    fn draws_are_those_of_the_formula() {
        for (seed, name, index, bits, uniform) in [
            (0, "", 0, 0xC381_7C01_6BA4_FF30_u64, 0.5273890495300293),
            (1, "image", 0, 0xF2C8_E909_1799_E73E_u64, 0.8967562913894653),
            (
                1,
                "image",
                12345,
                0xBF31_CC63_E8FB_FE66_u64,
                0.49370718002319336,
            ),
            (
                2,
                "label.va",
                7,
                0xF27F_3F16_E3D3_59FB_u64,
                0.8945082426071167,
            ),
            (
                u64::MAX,
                "größe",
                1 << 40,
                0xF73B_22FF_DD17_F01C_u64,
                0.9314920902252197,
            ),
        ] {
            let random = Random::new(seed, name);
            assert_eq!(random.bits(index), bits, "{name}");
            assert_eq!(f64::from(random.uniform(index)), uniform, "{name}");
        }
    }

    #[test]
    fn streams_and_seeds_differ_and_repeat() {
        let draw = |seed, name| Random::new(seed, name).bits(7);
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn below_stays_below() {
        let random = Random::new(3, "below");
        assert!((0..1000).all(|i| random.below(i, 7) < 7));
        assert_eq!(random.below(0, 0), 0);
    }
}
