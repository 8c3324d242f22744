//! The generative model of synthetic faces: expression -> action units -> picture, with every label known.
//!
//! A picture is a pure function of the seed and its index. The person keeps identity from picture to picture (shape,
//! colours, hair, beard, glasses, age); the index draws
//!
//! 1. the person, uniformly from [`Faces::people`];
//! 2. what is shown: a compound expression with probability [`Faces::compound`], else neutral with probability
//!    [`Faces::neutral`], else one of the six others, uniformly;
//! 3. each action unit on or off, independently: with probability 0.95 where it is prototypical of the expression, with
//!    Du et al.'s weight where it is observational (0.4 for a compound's), else 0.04 (0.04 for all 17 in a neutral face);
//! 4. a strength uniform in [0.4, 1], and each intensity: that strength ± 0.25 uniformly, kept in [0.4, 1], where the unit
//!    is on; uniform in [0, 0.12] where it is off;
//! 5. valence and arousal: the expression's place on the circumplex (the mean of both parts' for a compound) times
//!    0.45 + 0.65 · strength, plus what each unit adds at its intensity, plus normal noise of deviation 0.05, in [-1, 1];
//! 6. pose, gaze, light, background, clothes and camera: see `scene.rs`.

mod draw;
mod expression;
mod identity;
mod scene;

use crate::kernels::face::{ACTION_UNITS, Face};
use draw::Draw;
use std::ops::Range;

pub use expression::{
    AU_NUMBERS, COMPOUNDS, EXPRESSIONS, OFF, ON, PROTOTYPICAL, STRAY, Shown, parts, probabilities,
};
pub use identity::ATTRIBUTES;

/// A stream of pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Faces {
    /// The seed of everything.
    pub seed: u64,
    /// The people: their identity numbers. Disjoint ranges under one seed are different people.
    pub people: Range<u32>,
    /// The probability that a face without a compound expression is neutral.
    pub neutral: f32,
    /// The probability of a compound expression.
    pub compound: f32,
}

/// Everything that is known about a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labels {
    /// What the face shows, basic or compound.
    pub shown: Shown,
    /// Which of the 17 action units are on.
    pub action_units: [bool; ACTION_UNITS],
    /// Valence in [-1, 1].
    pub valence: f32,
    /// Arousal in [-1, 1].
    pub arousal: f32,
    /// The person's number.
    pub identity: u32,
    /// The person's attributes, in the order of [`ATTRIBUTES`].
    pub attributes: [bool; ATTRIBUTES.len()],
}

impl Labels {
    /// The class of the basic expression, where the face shows one.
    pub fn expression(&self) -> Option<u8> {
        match self.shown {
            Shown::Basic(class) => Some(class),
            Shown::Compound(_) => None,
        }
    }

    /// The class of the compound expression, where the face shows one.
    pub fn compound(&self) -> Option<u8> {
        match self.shown {
            Shown::Basic(_) => None,
            Shown::Compound(class) => Some(class),
        }
    }
}

/// A picture before it is painted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// What the painter needs; its action units hold the intensities.
    pub face: Face,
    /// What is known.
    pub labels: Labels,
}

impl Faces {
    /// A stream of basic expressions, one seventh of them neutral.
    pub fn new(seed: u64, people: Range<u32>) -> Self {
        Self {
            seed,
            people,
            neutral: 1.0 / 7.0,
            compound: 0.0,
        }
    }

    /// Picture number `index`.
    pub fn picture(&self, index: u64) -> Picture {
        let draw = &mut Draw::new("face.picture", self.seed, index);
        let people = self.people.end.saturating_sub(self.people.start).max(1);
        let person = self.people.start + draw.below(people);
        // Class numbers are below 15.
        #[allow(clippy::cast_possible_truncation)]
        let shown = if draw.chance(self.compound) {
            Shown::Compound(draw.below(COMPOUNDS.len() as u32) as u8)
        } else if draw.chance(self.neutral) {
            Shown::Basic(0)
        } else {
            Shown::Basic(1 + draw.below(EXPRESSIONS.len() as u32 - 1) as u8)
        };
        self.compose(person, shown, draw)
    }

    /// A picture of `person` showing `shown`; `index` draws the rest.
    pub fn portrait(&self, person: u32, shown: Shown, index: u64) -> Picture {
        let draw = &mut Draw::new("face.portrait", self.seed, index);
        self.compose(person, shown, draw)
    }

    /// The person's face at rest, before a grey wall, facing lamp and camera.
    pub fn passport(&self, person: u32) -> Face {
        identity::Person::draw(self.seed, person).face
    }

    fn compose(&self, identity: u32, shown: Shown, draw: &mut Draw) -> Picture {
        let person = identity::Person::draw(self.seed, identity);
        let mut face = person.face;
        let expressed = expression::express(shown, draw);
        face.set_action_units(&expressed.intensity);
        scene::arrange(&mut face, draw);
        let [valence, arousal] = expressed.affect;
        Picture {
            face,
            labels: Labels {
                shown,
                action_units: expressed.on,
                valence,
                arousal,
                identity,
                attributes: person.attributes,
            },
        }
    }
}
