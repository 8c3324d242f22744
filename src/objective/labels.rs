//! The labels of an image, and how they travel to the GPU.

use super::{LABEL_WORDS, ObjectiveError, Task, TaskKind, Tasks};
use crate::kernels::loss;

/// What is known of an image for one task.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Label {
    /// Nothing: the image contributes nothing to the task.
    #[default]
    Missing,
    /// Softmax: the number of the class.
    Class(u32),
    /// Sigmoid: which outputs are annotated, and which of these are on, output i as bit i.
    Bits {
        /// Bit i: output i is annotated.
        mask: u64,
        /// Bit i: output i is on; only where it is annotated.
        on: u64,
    },
    /// Linear and tanh: the two values.
    Values([f32; 2]),
}

impl Label {
    /// Whether nothing is known.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing | Self::Bits { mask: 0, .. })
    }
}

/// The labels of one image; any subset may be there, and the default is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    /// One for each task, in the order of the tasks; those beyond the end are missing.
    pub tasks: Vec<Label>,
    /// Whether the image only fills the batch (it could not be read): it contributes to nothing, distribution matching
    /// included, and the labels are ignored.
    pub absent: bool,
}

/// The labels of the tasks of affect; any subset may be there, and the default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AffectLabels {
    /// The class of expression.
    pub expression: Option<u32>,
    /// Bit i: action unit i of the task (its position, not its FACS number) is annotated.
    pub au_mask: u64,
    /// Bit i: action unit i is on; only where it is annotated.
    pub au_value: u64,
    /// Valence and arousal, each in [-1, 1].
    pub valence_arousal: Option<[f32; 2]>,
}

impl AffectLabels {
    /// The label of expression.
    pub fn expression(&self) -> Label {
        self.expression.map_or(Label::Missing, Label::Class)
    }

    /// The label of action units.
    pub fn action_units(&self) -> Label {
        match (self.au_mask, self.au_value) {
            (0, 0) => Label::Missing,
            (mask, on) => Label::Bits { mask, on },
        }
    }

    /// The label of valence and arousal.
    pub fn valence_arousal(&self) -> Label {
        self.valence_arousal.map_or(Label::Missing, Label::Values)
    }
}

impl From<AffectLabels> for Labels {
    /// In the order of [`Tasks::affect`].
    fn from(affect: AffectLabels) -> Self {
        Self {
            tasks: vec![
                affect.expression(),
                affect.action_units(),
                affect.valence_arousal(),
            ],
            absent: false,
        }
    }
}

impl Labels {
    /// An image that only fills a batch.
    pub const ABSENT: Self = Self {
        tasks: Vec::new(),
        absent: true,
    };

    /// The label of the task at a position.
    pub fn get(&self, task: usize) -> Label {
        self.tasks.get(task).copied().unwrap_or_default()
    }

    /// Labels of the tasks `from`, as labels of the tasks `to`: those of the same name.
    #[must_use]
    pub fn of(&self, from: &Tasks, to: &Tasks) -> Self {
        self.placed(to, |name| from.position(name))
    }

    /// Labels as labels of the tasks `to`, each from the position that `place` has for its name.
    pub(crate) fn placed(&self, to: &Tasks, place: impl Fn(&str) -> Option<usize>) -> Self {
        let label = |task: &Task| place(&task.name).map_or(Label::Missing, |place| self.get(place));
        Self {
            tasks: to.iter().map(label).collect(),
            absent: self.absent,
        }
    }

    /// The words of an image that is not there.
    pub(super) const ABSENT_WORDS: [u32; LABEL_WORDS] = [0, loss::NO_CLASS, 0, 0, 0, 0, 0, 0];

    pub(super) fn check(&self, image: usize, tasks: &Tasks) -> Result<(), ObjectiveError> {
        if self.absent {
            return Ok(());
        }
        for (place, label) in self.tasks.iter().enumerate() {
            let task = tasks.iter().nth(place);
            let name = task.map_or("a task that is not declared", |task| task.name.as_str());
            match task.map_or(Err("nothing"), |task| allowed(task, *label)) {
                Err(allowed) if task.is_some() || !label.is_missing() => {
                    return Err(ObjectiveError::Label {
                        image,
                        what: name.to_owned(),
                        asked: format!("{label:x?}"),
                        allowed,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The words of the block of the tasks at these positions: softmax, sigmoid, continuous.
    pub(super) fn words(&self, tasks: [Option<usize>; 3]) -> [u32; LABEL_WORDS] {
        if self.absent {
            return Self::ABSENT_WORDS;
        }
        let mut words = Self::ABSENT_WORDS;
        words[0] = loss::PRESENT;
        for label in tasks.into_iter().flatten().map(|place| self.get(place)) {
            match label {
                Label::Missing => {}
                Label::Class(class) => words[1] = class,
                Label::Bits { mask, on } => {
                    words[2..4].copy_from_slice(&halves(mask));
                    words[4..6].copy_from_slice(&halves(on));
                }
                Label::Values(values) => {
                    words[0] |= loss::VALENCE_AROUSAL;
                    words[6..8].copy_from_slice(&values.map(f32::to_bits));
                }
            }
        }
        words
    }
}

/// Whether a task can have a label, or what it can have.
fn allowed(task: &Task, label: Label) -> Result<(), &'static str> {
    let outputs = task.outputs.len();
    match (task.kind, label) {
        (_, Label::Missing) => Ok(()),
        (TaskKind::Softmax, Label::Class(class)) if (class as usize) < outputs => Ok(()),
        (TaskKind::Softmax, _) => Err("the number of a declared class"),
        (TaskKind::Sigmoid, Label::Bits { mask, on }) => {
            // More than 64 outputs are refused where the task is declared.
            let free = 64_usize.saturating_sub(outputs) as u32;
            let declared = u64::MAX.checked_shr(free).unwrap_or(0);
            match (mask & !declared, on & !mask) {
                (0, 0) => Ok(()),
                (0, _) => Err("on only where it is annotated"),
                _ => Err("within the declared outputs"),
            }
        }
        (TaskKind::Sigmoid, _) => Err("bits of the declared outputs"),
        (TaskKind::Linear | TaskKind::Tanh, Label::Values(values))
            if values.iter().all(|value| value.is_finite()) =>
        {
            Ok(())
        }
        (TaskKind::Linear | TaskKind::Tanh, _) => Err("two finite numbers"),
    }
}

/// The low and the high word.
#[allow(clippy::cast_possible_truncation)] // It is what a word is.
fn halves(bits: u64) -> [u32; 2] {
    [bits as u32, (bits >> 32) as u32]
}
