//! From an expression to action units, valence and arousal.

use super::draw::Draw;
use crate::objective::compound::DU2014;
use crate::objective::{ACTION_UNITS, EXPRESSIONS, Relatedness};

/// The number of action units.
const UNITS: usize = ACTION_UNITS.len();

/// What a face shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A basic expression: an index into [`EXPRESSIONS`].
    Basic(usize),
    /// A compound one: an index into [`DU2014`].
    Compound(usize),
}

impl Shown {
    /// The name of the expression.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic(class) => EXPRESSIONS.get(class).copied().unwrap_or_default(),
            Self::Compound(class) => DU2014.get(class).map_or("", |class| class.name),
        }
    }
}

/// The probability of a prototypical action unit.
pub const PROTOTYPICAL: f32 = 0.95;
/// The probability of a compound's observational action units, of which its table gives no number.
pub const OBSERVATIONAL: f32 = 0.4;
/// The probability of an action unit that the expression does not name.
pub const STRAY: f32 = 0.04;
/// The bounds of an action unit's intensity where it is on.
pub const ON: [f32; 2] = [0.4, 1.0];
/// The bounds of an action unit's intensity where it is off.
pub const OFF: [f32; 2] = [0.0, 0.12];

/// Valence and arousal of each basic expression in its plain form: its place on Russell's circumplex (1980).
const CENTRES: [[f32; 2]; EXPRESSIONS.len()] = [
    [0.0, -0.1],
    [-0.55, 0.55],
    [-0.6, 0.3],
    [-0.5, 0.7],
    [0.7, 0.35],
    [-0.65, -0.3],
    [0.15, 0.7],
];

/// What each action unit adds to valence and arousal at intensity 1, in the order of [`ACTION_UNITS`].
const AFFECT: [[f32; 2]; UNITS] = [
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

/// Which action units are on, how strongly each acts, and valence and arousal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expressed {
    pub(super) on: [bool; UNITS],
    pub(super) intensity: [f32; UNITS],
    pub(super) valence_arousal: [f32; 2],
}

/// The probability that each action unit, in the order of [`ACTION_UNITS`], is on in a face that shows `shown`.
pub fn probabilities(shown: Shown, relatedness: &Relatedness) -> [f32; UNITS] {
    let weight = |unit: usize| match shown {
        Shown::Basic(class) => {
            let row = relatedness.weights().chunks(UNITS).nth(class);
            row.and_then(|row| row.get(unit)).copied().unwrap_or(0.0)
        }
        Shown::Compound(class) => DU2014.get(class).map_or(0.0, |class| {
            let number = ACTION_UNITS[unit];
            if class.prototypical.contains(&number) {
                1.0
            } else if class.observational.contains(&number) {
                OBSERVATIONAL
            } else {
                0.0
            }
        }),
    };
    std::array::from_fn(|unit| weight(unit).clamp(STRAY, PROTOTYPICAL))
}

/// Valence and arousal of the plain form of what is shown: the mean of its parts.
fn centre(shown: Shown) -> [f32; 2] {
    let parts = match shown {
        Shown::Basic(class) => [Some(class); 2],
        Shown::Compound(class) => DU2014.get(class).map_or([None; 2], |class| {
            class
                .parts
                .map(|part| EXPRESSIONS.iter().position(|name| *name == part))
        }),
    };
    let [a, b] = parts.map(|part| {
        part.and_then(|p| CENTRES.get(p))
            .copied()
            .unwrap_or_default()
    });
    [0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1])]
}

/// Draws action units, valence and arousal for what is shown.
pub(super) fn express(shown: Shown, relatedness: &Relatedness, draw: &mut Draw) -> Expressed {
    let on = probabilities(shown, relatedness).map(|probability| draw.chance(probability));
    let strength = draw.within(ON[0], ON[1]);
    let intensity = on.map(|on| {
        if on {
            (strength + draw.within(-0.25, 0.25)).clamp(ON[0], ON[1])
        } else {
            draw.within(OFF[0], OFF[1])
        }
    });
    let centre = centre(shown);
    let valence_arousal = std::array::from_fn(|axis| {
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
        valence_arousal,
    }
}
