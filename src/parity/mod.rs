//! Comparison with reference values that another implementation computed in float64 (`golden/reference.py`'s format).
//!
//! Every input is drawn from the counter-based generator of [`random`](crate::random), so that the file holds results only.

mod compare;
mod loss;
mod network;
mod ops;

use crate::gpu::{Gpu, Precision};
use crate::kernels::KernelError;
use crate::objective::ObjectiveError;
use crate::tape::{TapeError, Target};
use crate::train::TrainError;
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use thiserror::Error;

pub use compare::{Check, Report};

/// What stops a comparison; a value that differs is not an error but a failed [`Check`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParityError {
    /// Not a file of reference values.
    #[error("not a file of reference values: {source}")]
    Format {
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// A case that this program does not know or that lacks a field.
    #[error("case `{case}`: {what} is missing or not understood")]
    Case {
        /// The case's name.
        case: String,
        /// The field or operation.
        what: &'static str,
    },
    /// The tape or the device.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The objective.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// The training step.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The device.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
}

/// The file. Cases stay JSON until their own reader takes them.
#[derive(Debug, Deserialize)]
pub struct Golden {
    /// The seed of all draws.
    pub seed: u64,
    table_weighted: Vec<Vec<f32>>,
    configs: BTreeMap<String, loss::Config>,
    ops: Vec<Json>,
    loss: Vec<loss::Case>,
    network: Vec<network::Record>,
}

/// Where the cases run.
struct Device<'a> {
    gpu: &'a Gpu,
    target: Target,
}

impl Golden {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`ParityError::Format`].
    pub fn parse(text: &str) -> Result<Self, ParityError> {
        serde_json::from_str(text).map_err(|source| ParityError::Format { source })
    }

    /// Runs every case on the device with activations in this precision; the bounds are those of f32. `progress` hears of each case's checks as they come.
    ///
    /// # Errors
    /// [`ParityError`] when a case cannot be run at all.
    pub async fn run(
        &self,
        gpu: &Gpu,
        precision: Precision,
        mut progress: impl FnMut(&[Check]),
    ) -> Result<Report, ParityError> {
        let mut report = Report::default();
        let device = Device {
            gpu,
            target: Target::of(gpu).stored(precision),
        };
        for case in &self.ops {
            let checks = ops::run(&device, self.seed, case).await?;
            progress(&checks);
            report.extend(checks);
        }
        for case in &self.loss {
            let config = self
                .configs
                .get(&case.config)
                .ok_or_else(|| ParityError::Case {
                    case: case.config.clone(),
                    what: "configs",
                })?;
            let checks = loss::run(&device, self.seed, case, config, &self.table_weighted).await?;
            progress(&checks);
            report.extend(checks);
        }
        for (double, single) in network::pairs(&self.network) {
            let config = self
                .configs
                .get("bernoulli")
                .ok_or_else(|| ParityError::Case {
                    case: double.arch.clone(),
                    what: "configs.bernoulli",
                })?;
            let objective = loss::objective(config, &self.table_weighted)?;
            let (checks, note) =
                network::run(&device, self.seed, double, single, &objective).await?;
            progress(&checks);
            report.extend(checks);
            report.notes.extend(note);
        }
        Ok(report)
    }
}
