//! The generative model of synthetic faces: expression → action units → picture, with every label known.
//!
//! A picture is a pure function of the seed and its index. A person keeps from picture to picture what `identity.rs` draws
//! for the seed and the person's number: shape, colours, hair, beard, glasses, age. The index draws
//!
//! 1. the person, uniformly from [`Faces::people`];
//! 2. what is shown: a compound expression with probability [`Faces::compound`], uniformly from its 15; else neutral with
//!    probability [`Faces::neutral`]; else one of the six other basic expressions, uniformly;
//! 3. each action unit on or off, independently, with the probability `w` of [`Faces::relatedness`] (1 where the unit is
//!    prototypical of the expression, less where it is observational, [`OBSERVATIONAL`] for a compound's), kept in
//!    [[`STRAY`], [`PROTOTYPICAL`]];
//! 4. a strength uniform in [`ON`]; each unit's intensity is that strength ± 0.25 uniformly, kept in [`ON`], where the unit is
//!    on, and uniform in [`OFF`] where it is off;
//! 5. valence and arousal: the expression's place on the circumplex (for a compound the mean of its two parts') times
//!    0.45 + 0.65 · strength, plus what each unit adds at its intensity, plus normal noise of deviation 0.05, kept in [-1, 1];
//! 6. pose, gaze, light, background, clothes, blur and noise, as `scene.rs` says.

mod draw;
mod expression;
mod identity;
mod scene;
mod sheet;
#[cfg(test)]
mod tests;

use super::{DataError, relatedness};
use crate::kernels::face::Face;
use crate::objective::compound::DU2014;
use crate::objective::{ACTION_UNITS, AffectLabels, EXPRESSIONS, Relatedness};
use draw::Draw;
use identity::Person;
use std::ops::Range;

pub use expression::{OBSERVATIONAL, OFF, ON, PROTOTYPICAL, STRAY, Shown, probabilities};
pub use identity::ATTRIBUTES;
pub use sheet::{Sheet, UNIT_NAMES};

/// A stream of pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Faces {
    /// The seed of everything.
    pub seed: u64,
    /// The numbers of the people. Disjoint ranges under one seed are different people.
    pub people: Range<u32>,
    /// The probability that a face without a compound expression is neutral.
    pub neutral: f32,
    /// The probability of a compound expression.
    pub compound: f32,
    /// The weights of each basic expression's action units.
    pub relatedness: Relatedness,
}

/// Everything that is known about a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// What the face shows.
    pub shown: Shown,
    /// Which action units are on, in the order of [`ACTION_UNITS`].
    pub action_units: [bool; ACTION_UNITS.len()],
    /// Valence and arousal, each in [-1, 1].
    pub valence_arousal: [f32; 2],
    /// The person's number.
    pub identity: u32,
    /// The person's attributes, in the order of [`ATTRIBUTES`].
    pub attributes: [bool; ATTRIBUTES.len()],
}

/// A picture before it is painted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// What the painter needs.
    pub face: Face,
    /// What is known.
    pub truth: Truth,
}

impl Truth {
    /// All labels of case study (i): the expression where it is a basic one, all action units, valence and arousal.
    pub fn labels(&self) -> AffectLabels {
        AffectLabels {
            expression: match self.shown {
                // Seven classes.
                #[allow(clippy::cast_possible_truncation)]
                Shown::Basic(class) => Some(class as u32),
                Shown::Compound(_) => None,
            },
            au_mask: (1 << ACTION_UNITS.len()) - 1,
            au_value: bits(&self.action_units),
            valence_arousal: Some(self.valence_arousal),
        }
    }

    /// The attributes that are on as bits, the first lowest.
    pub fn attribute_bits(&self) -> u64 {
        bits(&self.attributes)
    }
}

fn bits(flags: &[bool]) -> u64 {
    let set = |(place, &on): (usize, &bool)| u64::from(on) << place;
    flags.iter().enumerate().map(set).sum()
}

impl Faces {
    /// Basic expressions, one seventh of them neutral, after the table of Du, Tao and Martinez 2014.
    ///
    /// # Errors
    /// [`DataError::Relatedness`] were the built-in table broken.
    pub fn new(seed: u64, people: Range<u32>) -> Result<Self, DataError> {
        Ok(Self {
            seed,
            people,
            neutral: 1.0 / 7.0,
            compound: 0.0,
            relatedness: relatedness::load("du2014")?.table,
        })
    }

    /// Picture number `index`.
    pub fn picture(&self, index: u64) -> Picture {
        let draw = &mut Draw::new("face.picture", self.seed, index);
        let people = self.people.end.saturating_sub(self.people.start);
        // Below the number of people, a u32.
        #[allow(clippy::cast_possible_truncation)]
        let person = self.people.start + draw.below(people as usize) as u32;
        let shown = if draw.chance(self.compound) {
            Shown::Compound(draw.below(DU2014.len()))
        } else if draw.chance(self.neutral) {
            Shown::Basic(0)
        } else {
            Shown::Basic(1 + draw.below(EXPRESSIONS.len() - 1))
        };
        self.compose(person, shown, draw)
    }

    /// Picture number `index` of those of one person that show one expression.
    pub fn portrait(&self, person: u32, shown: Shown, index: u64) -> Picture {
        let draw = &mut Draw::new("face.portrait", self.seed, index);
        self.compose(person, shown, draw)
    }

    /// The person at rest, facing lamp and camera before a grey wall.
    pub fn passport(&self, person: u32) -> Face {
        Person::draw(self.seed, person).face
    }

    fn compose(&self, identity: u32, shown: Shown, draw: &mut Draw) -> Picture {
        let person = Person::draw(self.seed, identity);
        let mut face = person.face;
        let expressed = expression::express(shown, &self.relatedness, draw);
        face.set_action_units(&expressed.intensity);
        scene::arrange(&mut face, draw);
        Picture {
            face,
            truth: Truth {
                shown,
                action_units: expressed.on,
                valence_arousal: expressed.valence_arousal,
                identity,
                attributes: person.attributes,
            },
        }
    }
}
