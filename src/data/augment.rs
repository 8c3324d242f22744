//! Random changes of training images: a map from output pixels to source pixels, applied where images enter the network.

use crate::random::Random;

/// Random changes of the training images, each uniform within its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// Mirrors every second image.
    pub flip: bool,
    /// The largest rotation either way, in degrees.
    pub rotation: f32,
    /// The largest change of scale either way, as a share.
    pub scale: f32,
    /// The largest shift either way, as a share of the image's side.
    pub shift: f32,
}

impl Augment {
    /// No change.
    pub const NONE: Self = Self {
        flip: false,
        rotation: 0.0,
        scale: 0.0,
        shift: 0.0,
    };

    /// The map from output pixels to source pixels, `[2, 3]` row-major and two zeros, for image number `index` of a stream.
    pub(crate) fn matrix(&self, random: &Random, index: u64, size: usize) -> [f32; 8] {
        let draw = |k| random.uniform(8 * index + k);
        let mirror = if self.flip && draw(0) < 0.0 {
            -1.0
        } else {
            1.0
        };
        let (sin, cos) = (draw(1) * self.rotation).to_radians().sin_cos();
        let scale = 1.0 + draw(2) * self.scale;
        let side = size as f32;
        let center = side / 2.0;
        let (a, b, d, e) = (
            cos / scale * mirror,
            -sin / scale,
            sin / scale * mirror,
            cos / scale,
        );
        let x = center + draw(3) * self.shift * side - (a + b) * center;
        let y = center + draw(4) * self.shift * side - (d + e) * center;
        [a, b, x, d, e, y, 0.0, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The source of the output pixel (x, y), in pixels, as the image input's kernel reads the matrix.
    fn source(m: &[f32; 8], x: f32, y: f32) -> [f32; 2] {
        let (u, v) = (x + 0.5, y + 0.5);
        [
            m[0] * u + m[1] * v + m[2] - 0.5,
            m[3] * u + m[4] * v + m[5] - 0.5,
        ]
    }

    const ALL: Augment = Augment {
        flip: true,
        rotation: 30.0,
        scale: 0.2,
        shift: 0.1,
    };

    #[test]
    fn no_change_is_the_identity() {
        let random = Random::new(1, "augment");
        for index in 0..20 {
            let matrix = Augment::NONE.matrix(&random, index, 48);
            assert_eq!(matrix.to_vec(), crate::data::identity_matrix(1));
        }
    }

    #[test]
    fn a_flip_swaps_the_first_and_the_last_column_of_every_second_image() {
        let random = Random::new(1, "augment");
        let augment = Augment {
            flip: true,
            ..Augment::NONE
        };
        let mut flipped = 0;
        for index in 0..1000 {
            let matrix = augment.matrix(&random, index, 8);
            let [x, y] = source(&matrix, 0.0, 3.0);
            assert!(y == 3.0 && (x == 0.0 || x == 7.0), "{x} {y}");
            flipped += u32::from(x == 7.0);
        }
        // Five standard deviations of a fair coin.
        assert!(flipped.abs_diff(500) < 80, "{flipped}");
    }

    #[test]
    fn changes_stay_within_their_bounds_and_reach_most_of_them() {
        let random = Random::new(2, "augment");
        let size = 100;
        let (mut turn, mut stretch, mut shift) = (0.0_f32, 0.0_f32, 0.0_f32);
        for index in 0..500 {
            let m = ALL.matrix(&random, index, size);
            // The centre moves by the shift alone.
            let [x, y] = source(&m, 49.5, 49.5);
            shift = shift.max((x - 49.5).abs()).max((y - 49.5).abs());
            let scale = 1.0 / (m[0] * m[4] - m[1] * m[3]).abs().sqrt();
            stretch = stretch.max((scale - 1.0).abs());
            turn = turn.max(m[1].atan2(m[4]).to_degrees().abs());
            // Columns are perpendicular and of one length: nothing is sheared.
            let dot = m[0] * m[1] + m[3] * m[4];
            let lengths = m[0].hypot(m[3]) - m[1].hypot(m[4]);
            assert!(dot.abs() < 1e-5 && lengths.abs() < 1e-5, "{m:?}");
        }
        for (reached, bound) in [(turn, 30.0), (stretch, 0.2), (shift, 10.0)] {
            assert!(
                reached <= bound * 1.0001 && reached > 0.9 * bound,
                "{reached} of {bound}"
            );
        }
    }

    #[test]
    fn a_turn_goes_about_the_centre_by_the_drawn_angle() {
        // source = R(angle) · output, about the centre.
        let quarter = Augment {
            flip: false,
            rotation: 90.0,
            scale: 0.0,
            shift: 0.0,
        };
        let random = Random::new(5, "augment");
        let matrix = quarter.matrix(&random, 3, 10);
        let angle = (random.uniform(8 * 3 + 1) * 90.0).to_radians();
        let [x, y] = source(&matrix, 9.0, 4.5);
        assert!((x - (4.5 + 4.5 * angle.cos())).abs() < 1e-4, "{x}");
        assert!((y - (4.5 + 4.5 * angle.sin())).abs() < 1e-4, "{y}");
    }
}
