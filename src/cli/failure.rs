//! Which exit code a failure has.

use crate::experiment::ExperimentError;
use crate::gpu::GpuError;
use crate::kernels::KernelError;
use crate::nn::UnknownBackbone;
use crate::objective::ObjectiveError;
use crate::parity::ParityError;
use crate::tape::TapeError;
use crate::train::TrainError;
use std::fmt;
use std::process::ExitCode;

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// Wrong arguments or bad input: exit code 2.
    Input(anyhow::Error),
    /// The work itself failed: exit code 1.
    Work(anyhow::Error),
    /// Ctrl-C, after everything was put in order: exit code 130.
    Interrupted,
}

impl Failure {
    /// A failure of the work.
    pub fn work(error: impl Into<anyhow::Error>) -> Self {
        Self::Work(error.into())
    }

    /// Bad input.
    pub fn input(error: impl Into<anyhow::Error>) -> Self {
        Self::Input(error.into())
    }

    /// The process's exit code.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Input(_) => ExitCode::from(2),
            Self::Work(_) => ExitCode::FAILURE,
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) | Self::Work(error) => write!(f, "{error:#}"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<GpuError> for Failure {
    fn from(error: GpuError) -> Self {
        match error {
            GpuError::UnknownAdapter { .. } | GpuError::Limit { .. } => Self::input(error),
            _ => Self::work(error),
        }
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Gpu(error) => error.into(),
            _ => Self::input(error),
        }
    }
}

impl From<TapeError> for Failure {
    fn from(error: TapeError) -> Self {
        match error {
            TapeError::Gpu(error) => error.into(),
            _ => Self::input(error),
        }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Tape(error) => error.into(),
            TrainError::Gpu(error) => error.into(),
            TrainError::Write { .. } | TrainError::Diverged { .. } => Self::work(error),
            _ => Self::input(error),
        }
    }
}

impl From<ParityError> for Failure {
    fn from(error: ParityError) -> Self {
        match error {
            ParityError::Tape(error) => error.into(),
            ParityError::Gpu(error) => error.into(),
            ParityError::Kernel(error) => error.into(),
            ParityError::Train(error) => error.into(),
            _ => Self::input(error),
        }
    }
}

impl From<ObjectiveError> for Failure {
    fn from(error: ObjectiveError) -> Self {
        Self::input(error)
    }
}

impl From<crate::train::config::ConfigError> for Failure {
    fn from(error: crate::train::config::ConfigError) -> Self {
        Self::input(error)
    }
}

impl From<ExperimentError> for Failure {
    fn from(error: ExperimentError) -> Self {
        match error {
            ExperimentError::Train(error) => error.into(),
            ExperimentError::Tape(error) => error.into(),
            ExperimentError::Kernel(error) => error.into(),
            ExperimentError::Gpu(error) => error.into(),
            ExperimentError::Config(_)
            | ExperimentError::Variant { .. }
            | ExperimentError::Table { .. }
            | ExperimentError::Result { .. } => Self::input(error),
            ExperimentError::Stopped => Self::Interrupted,
            _ => Self::work(error),
        }
    }
}

impl From<UnknownBackbone> for Failure {
    fn from(error: UnknownBackbone) -> Self {
        Self::input(error)
    }
}
