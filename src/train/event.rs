//! The events of a run: what `log.jsonl` holds.

use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The terms of the objective at one step, unweighted, by name: those of the tasks, of what couples them, and the weighted sum,
/// `total`, which is minimised. A term that found no label in the batch is 0. A map where it is written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Losses {
    /// In the order of the tasks, `total` last.
    pub named: Vec<(String, f32)>,
}

impl Losses {
    /// The loss of a name.
    pub fn get(&self, name: &str) -> Option<f32> {
        let found = self.named.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| *value)
    }
}

impl Serialize for Losses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Losses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The map's order is kept (serde_json's `preserve_order`), and null is NaN.
        let map = serde_json::Map::deserialize(deserializer)?;
        let mut named = Vec::with_capacity(map.len());
        for (name, value) in map {
            let value = match value.as_f64() {
                Some(value) => value as f32,
                None if value.is_null() => f32::NAN,
                None => return Err(D::Error::custom(format!("{name} is no number"))),
            };
            named.push((name, value));
        }
        Ok(Self { named })
    }
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// Stopped by the user after a checkpoint; `--resume` continues.
    Interrupted,
    /// Stopped by an error.
    Failed,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The run starts, or starts again after a checkpoint.
    Start {
        /// Steps done before: 0 in a fresh run, the checkpoint's step in a resumed one.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// kinesic's version.
        version: String,
        /// The command line.
        command: String,
        /// The adapter's name, backend and driver.
        adapter: String,
        /// `f32` or `f16`, as it runs.
        precision: String,
        /// Images a batch.
        batch: usize,
        /// The seed.
        seed: u64,
        /// Trained numbers.
        parameters: u64,
        /// Databases and their numbers of images.
        databases: Vec<(String, u64)>,
    },
    /// A training step, or the last of the steps since the previous such line.
    Step {
        /// Steps done, from 1.
        step: u64,
        /// The epoch, fractional: 1.5 is half-way through the second.
        epoch: f64,
        /// Images seen since step 0.
        images: u64,
        /// Seconds of training since step 0, over all resumed pieces.
        seconds: f64,
        /// Images a second since the previous such line.
        #[serde(deserialize_with = "null_is_nan64")]
        images_per_second: f64,
        /// The schedule's value at this step.
        #[serde(deserialize_with = "null_is_nan64")]
        learning_rate: f64,
        /// The objective's terms.
        losses: Losses,
    },
    /// A validation.
    Validation {
        /// Steps done before it.
        step: u64,
        /// The validation database's name.
        database: String,
        /// What chooses `best.safetensors`; larger is better.
        #[serde(deserialize_with = "null_is_nan64")]
        score: f64,
        /// The metrics in the shape of `kinesic eval --json`.
        metrics: serde_json::Value,
    },
    /// A picture that could not be read and was skipped.
    BrokenImage {
        /// The database's name.
        database: String,
        /// The file.
        file: PathBuf,
        /// The decoder's reason.
        reason: String,
    },
    /// Something that the user should know and that did not stop the run.
    Warning {
        /// One sentence.
        message: String,
    },
    /// The run ends.
    End {
        /// Steps done.
        step: u64,
        /// Seconds of training since step 0, over all resumed pieces.
        seconds: f64,
        /// Why it ends.
        outcome: Outcome,
        /// Pictures skipped since step 0.
        broken_images: u64,
        /// The best validation score, where there was one.
        best_score: Option<f64>,
        /// Its step.
        best_step: Option<u64>,
    },
}

impl Event {
    /// The step that the event belongs to, where it has one.
    pub fn step(&self) -> Option<u64> {
        match *self {
            Self::Start { step, .. }
            | Self::Step { step, .. }
            | Self::Validation { step, .. }
            | Self::End { step, .. } => Some(step),
            Self::BrokenImage { .. } | Self::Warning { .. } => None,
        }
    }
}

fn null_is_nan64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
