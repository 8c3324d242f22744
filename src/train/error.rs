//! What stops a run.

use super::config::ConfigError;
use super::log::LogError;
use super::tensorboard::TensorBoardError;
use crate::data::DataError;
use crate::nn::WeightsError;
use crate::objective::ObjectiveError;
use crate::tape::TapeError;
use std::path::PathBuf;
use thiserror::Error;

/// An error of training or evaluation.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The tape or the device.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// The device.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
    /// Tables and images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The TensorBoard events.
    #[error(transparent)]
    TensorBoard(#[from] TensorBoardError),
    /// The picture of the curves.
    #[error("curves.png: {0}")]
    Picture(#[from] crate::picture::PictureError),
    /// A folder that holds a run already.
    #[error("{} holds a run already: go on with --resume, or give another --out", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// The objective's options.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// Faces that new classes cannot be learned from.
    #[error(
        "{faces} faces show {classes} classes of {known}; few-shot learning needs faces of two or more, all of known classes"
    )]
    Shots {
        /// The labelled faces.
        faces: usize,
        /// The classes among them.
        classes: usize,
        /// The classes that there are.
        known: usize,
    },
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A weight file that does not fit.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: WeightsError,
    },
    /// A weight file that is no checkpoint.
    #[error("{} is no checkpoint: it does not say at which step it was written", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
    },
    /// The loss left the numbers.
    #[error(
        "the loss is {loss} at step {step}: lower the learning rate; the last checkpoint is from before it"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// The loss.
        loss: f32,
    },
}
