//! The results of trainings on disk: a file each, written whole as soon as the training has ended, found again by what the
//! training depends on.

use super::evaluate::compound_accuracy;
use super::{Assessed, Evaluation, ExperimentError, Training, Unseen};
use crate::infer::Model;
use crate::objective::Tasks;
use crate::random::Random;
use crate::train::metrics::Metrics;
use crate::train::{TrainError, write_atomically};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a network said of a face with a compound expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What the face shows.
    pub shown: String,
    /// The network's logits.
    pub logits: Vec<f32>,
}

/// What came out on one group of unseen people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The numbers.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Accuracy over the compound expressions by a head that was fitted to a few faces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few_shot: Option<f64>,
    /// The same with the trunk trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub few_shot_tuned: Option<f64>,
    /// For a network that lacks a task, from which compound expressions are scored together with others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
}

/// The result of one training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// What is known by it, for people.
    pub name: String,
    /// What it depends on, for people: the file's name says it to the program.
    pub training: serde_json::Value,
    /// The adapter.
    pub adapter: String,
    /// Seconds that training and evaluation took.
    pub seconds: f64,
    /// The tasks of the network.
    pub tasks: Tasks,
    /// People by whom options may be chosen.
    pub validation: Found,
    /// People by whom nothing may be chosen.
    pub test: Found,
}

impl Found {
    /// What is kept of an assessment.
    pub(super) fn new(model: &Model, unseen: &Unseen, assessed: Assessed) -> Self {
        let logits = model.tasks.logits();
        let answer = |(output, shown): (crate::infer::Output, &Option<&'static str>)| Answer {
            shown: shown.unwrap_or_default().to_owned(),
            logits: output.logits[..logits].to_vec(),
        };
        let answers = match assessed.evaluation.compound {
            Some(_) => Vec::new(),
            None => {
                let shown = &unseen.compound.compound;
                assessed
                    .compound
                    .into_iter()
                    .zip(shown)
                    .map(answer)
                    .collect()
            }
        };
        Self {
            evaluation: assessed.evaluation,
            answers,
            ..Self::default()
        }
    }

    /// What several networks know together: each task from the one that has it.
    ///
    /// # Errors
    /// [`ExperimentError::Objective`], which only a defect of this crate can cause.
    pub(super) fn joined(parts: &[(&Tasks, &Self)]) -> Result<Evaluation, ExperimentError> {
        let [first, rest @ ..] = parts else {
            return Ok(Evaluation::default());
        };
        if rest.is_empty() {
            return Ok(first.1.evaluation.clone());
        }
        let mut metrics = Metrics::default();
        for (_, part) in parts {
            let (from, to) = (&part.evaluation.metrics, &mut metrics);
            to.images = to.images.max(from.images);
            to.tasks.join(&from.tasks);
        }
        Ok(Evaluation {
            compound: joined_compound(parts)?,
            verification: parts
                .iter()
                .find_map(|(_, part)| part.evaluation.verification.clone()),
            metrics,
        })
    }
}

/// Zero-shot compound expressions from the answers of several networks.
fn joined_compound(parts: &[(&Tasks, &Found)]) -> Result<Option<f64>, ExperimentError> {
    let affect = Tasks::affect();
    let mut sources = Vec::new();
    for task in &affect {
        let part = parts
            .iter()
            .find(|(tasks, _)| tasks.get(&task.name).is_some());
        let columns = part.and_then(|(tasks, _)| tasks.columns(&task.name));
        let (Some((_, part)), Some(columns)) = (part, columns) else {
            return Ok(None);
        };
        sources.push((&part.answers, columns));
    }
    let count = sources.iter().map(|(answers, _)| answers.len()).min();
    let joined = |face: usize| {
        let logits = sources
            .iter()
            .flat_map(|(answers, columns)| &answers[face].logits[columns.clone()]);
        logits.copied().collect::<Vec<f32>>()
    };
    let rows: Vec<Vec<f32>> = (0..count.unwrap_or(0)).map(joined).collect();
    let shown = sources[0].0.iter().map(|answer| answer.shown.as_str());
    let faces: Vec<(&[f32], &str)> = rows.iter().map(Vec::as_slice).zip(shown).collect();
    compound_accuracy(&affect, &faces)
}

/// The folder of results.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// In a folder, which several experiments may share.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Where the result of a training is: its name stands for all that the training depends on, this program's version
    /// included.
    pub(super) fn path(&self, training: &Training) -> Result<PathBuf, ExperimentError> {
        let text = serde_json::to_string(training).map_err(|source| ExperimentError::Json {
            path: self.folder.clone(),
            source,
        })?;
        let text = format!("{} {text}", env!("CARGO_PKG_VERSION"));
        let key = Random::new(0, &text).bits(0);
        Ok(self.folder.join(format!("{key:016x}.json")))
    }

    /// The result of a training, if it has ended. A file that is no result, which nothing here writes, is an error.
    pub(super) fn load(&self, training: &Training) -> Result<Option<Stored>, ExperimentError> {
        let path = self.path(training)?;
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(TrainError::Read { path, source }.into()),
            Ok(text) => text,
        };
        match serde_json::from_str(&text) {
            Ok(stored) => Ok(Some(stored)),
            Err(source) => Err(ExperimentError::Result { path, source }),
        }
    }

    /// Keeps a result: a reader sees all of it or nothing.
    pub(super) fn save(&self, training: &Training, stored: &Stored) -> Result<(), ExperimentError> {
        let path = self.path(training)?;
        match serde_json::to_string(stored) {
            Ok(text) => Ok(write_atomically(&path, text.as_bytes())?),
            Err(source) => Err(ExperimentError::Json { path, source }),
        }
    }
}

#[cfg(test)]
mod tests;
