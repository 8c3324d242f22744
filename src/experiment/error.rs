//! What stops an experiment.

use crate::data::DataError;
use crate::gpu::GpuError;
use crate::kernels::KernelError;
use crate::objective::ObjectiveError;
use crate::picture::PictureError;
use crate::tape::TapeError;
use crate::train::TrainError;
use crate::train::config::ConfigError;
use std::path::PathBuf;
use thiserror::Error;

/// What stops an experiment, or the demonstration, which is a short one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The grid's configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A variant whose objective cannot be.
    #[error("{}: variant `{variant}`: {source}", path.display())]
    Variant {
        /// The configuration.
        path: PathBuf,
        /// The variant.
        variant: String,
        /// What its objective lacks.
        source: Box<ObjectiveError>,
    },
    /// A variant whose relatedness table cannot be read.
    #[error("{}: variant `{variant}`: {source}", path.display())]
    Table {
        /// The configuration.
        path: PathBuf,
        /// The variant.
        variant: String,
        /// What is wrong with the table.
        source: Box<DataError>,
    },
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The tape.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The objective.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// Tables.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The device.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A picture of the report.
    #[error("a picture of the report: {0}")]
    Picture(#[from] PictureError),
    /// A training whose loss left the numbers.
    #[error("{name}: {source}")]
    Training {
        /// The training.
        name: String,
        /// What it met.
        source: Box<TrainError>,
    },
    /// A file in the folder of results that is none.
    #[error("{} is no result of this program ({source}): remove it, and it is made anew", path.display())]
    Result {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Results that cannot be written as text.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The user asked to stop.
    #[error("stopped")]
    Stopped,
}
