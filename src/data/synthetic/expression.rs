//! From an expression to action units, valence and arousal.

use super::draw::Draw;
use crate::kernels::face::ACTION_UNITS;

/// The numbers of the action units, in the order of every array of 17.
pub const AU_NUMBERS: [u8; ACTION_UNITS] =
    [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26];

/// The basic expressions, in the order of the classes.
pub const EXPRESSIONS: [&str; 7] = [
    "neutral",
    "anger",
    "disgust",
    "fear",
    "happiness",
    "sadness",
    "surprise",
];

/// The compound expressions, in the order of the classes.
pub const COMPOUNDS: [&str; 15] = [
    "happily surprised",
    "happily disgusted",
    "sadly fearful",
    "sadly angry",
    "sadly surprised",
    "sadly disgusted",
    "fearfully angry",
    "fearfully surprised",
    "fearfully disgusted",
    "angrily surprised",
    "angrily disgusted",
    "disgustedly surprised",
    "appalled",
    "hatred",
    "awed",
];

/// What a face shows: the action units that make it up with their probabilities, and its place on the circumplex.
struct Recipe {
    /// On with [`PROTOTYPICAL`].
    prototypical: &'static [u8],
    /// On with the probability beside.
    observational: &'static [(u8, f32)],
    /// Valence and arousal of its plain form.
    affect: [f32; 2],
}

/// The probability of a prototypical action unit.
pub const PROTOTYPICAL: f32 = 0.95;
/// The probability of an action unit that the expression does not name.
pub const STRAY: f32 = 0.04;
/// The probability of a compound's observational action units, of which Du et al.'s table gives no number here.
const OBSERVED: f32 = 0.4;
/// Intensities of an action unit that is on, and of one that is off.
pub const ON: [f32; 2] = [0.4, 1.0];
/// See [`ON`].
pub const OFF: [f32; 2] = [0.0, 0.12];

/// Du, Tao, Martinez, "Compound facial expressions of emotion", PNAS 2014, without AU 11, which is not among the 17.
const BASIC: [Recipe; 7] = [
    recipe(&[], &[], [0.0, -0.1]),
    recipe(
        &[4, 7, 24],
        &[(10, 0.26), (17, 0.52), (23, 0.29)],
        [-0.55, 0.55],
    ),
    recipe(&[9, 10, 17], &[(4, 0.31), (24, 0.26)], [-0.6, 0.3]),
    recipe(
        &[1, 4, 20, 25],
        &[(2, 0.57), (5, 0.63), (26, 0.33)],
        [-0.5, 0.7],
    ),
    recipe(&[12, 25], &[(6, 0.51)], [0.7, 0.35]),
    recipe(&[4, 15], &[(1, 0.60), (6, 0.50), (17, 0.67)], [-0.65, -0.3]),
    recipe(&[1, 2, 25, 26], &[(5, 0.66)], [0.15, 0.7]),
];

/// The two basic classes of a compound and its action units, prototypical and observational (the same source).
const COMPOUND: [([u8; 2], &[u8], &[u8]); 15] = [
    ([4, 6], &[1, 2, 12, 25], &[5, 26]),
    ([4, 2], &[10, 12, 25], &[4, 6, 9]),
    ([5, 3], &[1, 4, 20, 25], &[2, 5, 6, 15]),
    ([5, 1], &[4, 15], &[6, 7, 17]),
    ([5, 6], &[1, 4, 25, 26], &[2, 6]),
    ([5, 2], &[4, 10], &[1, 6, 9, 15, 17, 25]),
    ([3, 1], &[4, 20, 25], &[5, 7, 10]),
    ([3, 6], &[1, 2, 5, 20, 25], &[4, 10, 26]),
    ([3, 2], &[1, 4, 10, 20, 25], &[2, 5, 6, 9, 15]),
    ([1, 6], &[4, 25, 26], &[5, 7, 10]),
    ([1, 2], &[4, 10, 17], &[7, 9, 24]),
    ([2, 6], &[1, 2, 5, 10], &[4, 9, 17, 24]),
    ([2, 1], &[4, 10], &[6, 9, 17, 24]),
    ([1, 2], &[4, 10], &[7, 9, 17, 24]),
    ([3, 6], &[1, 2, 5, 25], &[4, 20, 26]),
];

const fn recipe(
    prototypical: &'static [u8],
    observational: &'static [(u8, f32)],
    affect: [f32; 2],
) -> Recipe {
    Recipe {
        prototypical,
        observational,
        affect,
    }
}

/// What a face shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// An index into [`EXPRESSIONS`].
    Basic(u8),
    /// An index into [`COMPOUNDS`].
    Compound(u8),
}

/// Which action units are on, how strongly each acts, and the affect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expressed {
    pub(super) on: [bool; ACTION_UNITS],
    pub(super) intensity: [f32; ACTION_UNITS],
    pub(super) affect: [f32; 2],
}

/// The probability of each action unit under what is shown.
pub fn probabilities(shown: Shown) -> [f32; ACTION_UNITS] {
    let mut all = [STRAY; ACTION_UNITS];
    let mut set = |unit: u8, probability: f32| {
        for (slot, number) in all.iter_mut().zip(AU_NUMBERS) {
            if number == unit {
                *slot = probability;
            }
        }
    };
    match shown {
        Shown::Basic(class) => {
            let recipe = &BASIC[usize::from(class) % BASIC.len()];
            recipe
                .prototypical
                .iter()
                .for_each(|&unit| set(unit, PROTOTYPICAL));
            recipe
                .observational
                .iter()
                .for_each(|&(unit, p)| set(unit, p));
        }
        Shown::Compound(class) => {
            let (_, prototypical, observational) = COMPOUND[usize::from(class) % COMPOUND.len()];
            prototypical
                .iter()
                .for_each(|&unit| set(unit, PROTOTYPICAL));
            observational.iter().for_each(|&unit| set(unit, OBSERVED));
        }
    }
    all
}

/// The basic classes that a compound is made of.
pub fn parts(compound: u8) -> [u8; 2] {
    COMPOUND[usize::from(compound) % COMPOUND.len()].0
}

fn centre(shown: Shown) -> [f32; 2] {
    match shown {
        Shown::Basic(class) => BASIC[usize::from(class) % BASIC.len()].affect,
        Shown::Compound(class) => {
            let [a, b] = parts(class).map(|part| BASIC[usize::from(part)].affect);
            [0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1])]
        }
    }
}

/// What each action unit adds to valence and arousal at intensity 1, in the order of the 17.
const AFFECT: [[f32; 2]; ACTION_UNITS] = [
    [-0.02, 0.05],
    [0.03, 0.07],
    [-0.10, 0.04],
    [0.00, 0.15],
    [0.06, 0.03],
    [-0.03, 0.06],
    [-0.10, 0.05],
    [-0.08, 0.04],
    [0.18, 0.05],
    [0.02, -0.03],
    [-0.12, -0.08],
    [-0.06, -0.02],
    [-0.07, 0.08],
    [-0.05, 0.05],
    [-0.06, 0.03],
    [0.03, 0.06],
    [0.02, 0.12],
];

/// Draws action units and affect for what is shown.
pub(super) fn express(shown: Shown, draw: &mut Draw) -> Expressed {
    let on = probabilities(shown).map(|probability| draw.chance(probability));
    let strength = draw.within(ON[0], ON[1]);
    let intensity = on.map(|on| {
        if on {
            (strength + draw.within(-0.25, 0.25)).clamp(ON[0], ON[1])
        } else {
            draw.within(OFF[0], OFF[1])
        }
    });
    let centre = centre(shown);
    let affect = std::array::from_fn(|axis| {
        let units: f32 = intensity
            .iter()
            .zip(&AFFECT)
            .map(|(i, a)| i * a[axis])
            .sum();
        let value = centre[axis] * (0.45 + 0.65 * strength) + units + draw.normal(0.05);
        value.clamp(-1.0, 1.0)
    });
    Expressed {
        on,
        intensity,
        affect,
    }
}
