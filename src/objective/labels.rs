//! The labels of an image, and how they travel to the GPU.

use super::{LABEL_WORDS, ObjectiveError, Tasks};
use crate::kernels::loss;

/// The labels of one image; any subset may be there, and the default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Labels {
    /// The class of expression.
    pub expression: Option<u32>,
    /// Bit i: action unit i of the task (its position, not its FACS number) is annotated.
    pub au_mask: u64,
    /// Bit i: action unit i is on; only where it is annotated.
    pub au_value: u64,
    /// Valence and arousal, each in [-1, 1].
    pub valence_arousal: Option<[f32; 2]>,
    /// Whether the image only fills the batch (it could not be read): it contributes to nothing, distribution matching
    /// included, and the labels are ignored.
    pub absent: bool,
}

impl Labels {
    /// The labels of declared tasks alone.
    pub fn of(self, tasks: &Tasks) -> Self {
        let units = tasks.get("action_units").map_or(0, |_| u64::MAX);
        Self {
            expression: self
                .expression
                .filter(|_| tasks.get("expression").is_some()),
            au_mask: self.au_mask & units,
            au_value: self.au_value & units,
            valence_arousal: self
                .valence_arousal
                .filter(|_| tasks.get("valence_arousal").is_some()),
            absent: self.absent,
        }
    }

    /// The words of an image that is not there.
    pub(super) const ABSENT_WORDS: [u32; LABEL_WORDS] = [0, loss::NO_CLASS, 0, 0, 0, 0, 0, 0];

    pub(super) fn check(
        &self,
        image: usize,
        kernel: &loss::Objective,
    ) -> Result<(), ObjectiveError> {
        if self.absent {
            return Ok(());
        }
        let refuse = |what, asked, allowed| {
            Err(ObjectiveError::Label {
                image,
                what,
                asked,
                allowed,
            })
        };
        let units = kernel.action_units.len;
        let declared = u64::MAX.checked_shr(64 - units as u32).unwrap_or(0);
        if let Some(class) = self.expression
            && class as usize >= kernel.expression.len
        {
            let allowed = "the number of a declared class";
            return refuse("expression", class.to_string(), allowed);
        }
        if self.au_mask & !declared != 0 {
            let allowed = "within the declared action units";
            return refuse("au_mask", format!("{:#x}", self.au_mask), allowed);
        }
        if self.au_value & !self.au_mask != 0 {
            let allowed = "within au_mask";
            return refuse("au_value", format!("{:#x}", self.au_value), allowed);
        }
        if let Some(values) = self.valence_arousal
            && (kernel.valence_arousal.is_none() || !values.iter().all(|v| v.is_finite()))
        {
            let allowed = "two finite numbers, for a declared task";
            return refuse("valence_arousal", format!("{values:?}"), allowed);
        }
        Ok(())
    }

    pub(super) fn words(&self) -> [u32; LABEL_WORDS] {
        if self.absent {
            return Self::ABSENT_WORDS;
        }
        let [valence, arousal] = self.valence_arousal.unwrap_or_default();
        let flag = match self.valence_arousal {
            Some(_) => loss::VALENCE_AROUSAL,
            None => 0,
        };
        let [mask, mask_high] = halves(self.au_mask);
        let [value, value_high] = halves(self.au_value);
        [
            loss::PRESENT | flag,
            self.expression.unwrap_or(loss::NO_CLASS),
            mask,
            mask_high,
            value,
            value_high,
            valence.to_bits(),
            arousal.to_bits(),
        ]
    }
}

/// The low and the high word.
#[allow(clippy::cast_possible_truncation)] // It is what a word is.
fn halves(bits: u64) -> [u32; 2] {
    [bits as u32, (bits >> 32) as u32]
}
