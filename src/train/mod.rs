//! Training from the host's side: the loop, checkpoints, and what a run writes about itself.

mod checkpoint;
pub mod curves;
mod error;
mod event;
pub mod log;
pub mod step;
pub mod tensorboard;
mod trainer;

pub use checkpoint::{Checkpoint, write_atomically};
pub use error::TrainError;
pub use trainer::{Setup, StepLosses, Trainer, Upload};
