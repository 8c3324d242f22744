//! Training from the host's side: the loop, checkpoints, and what a run writes about itself.

mod checkpoint;
pub mod config;
pub mod curves;
mod error;
mod event;
mod feed;
mod few_shot;
mod folder;
mod input;
pub mod log;
pub mod metrics;
mod pairs;
pub mod report;
mod run;
pub mod step;
mod tasks;
pub mod tensorboard;
mod trainer;
mod validate;

pub use checkpoint::{Checkpoint, write_atomically};
pub use error::TrainError;
pub use feed::{Fed, Feed};
pub use few_shot::{FewShot, Shots};
pub use pairs::PairImages;
pub use run::{Observer, Summary, run};
pub use tasks::{Declared, LabelledDatabase};
pub(crate) use tasks::{coupled, relate};
pub use trainer::{Setup, StepLosses, Trainer, Upload};
pub use validate::{Validated, Validator, evaluate};
