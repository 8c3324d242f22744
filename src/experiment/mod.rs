//! Experiments on synthetic faces: a grid of variants, label budgets and seeds is trained, each network is asked about people
//! whom it has not seen, and one report holds means, deviations and paired differences.

mod check;
mod config;
mod error;
mod evaluate;
mod gallery;
mod grid;
mod mix;
mod page;
mod read;
mod run;
pub mod statistics;
mod store;
mod summary;
mod training;
mod world;

pub use config::{
    Comparison, CompoundBy, ExperimentConfig, FacesConfig, FewShotConfig, LabelKind, NetworkConfig,
    StepsConfig, Unlabelled, Variant,
};
pub use error::ExperimentError;
pub use evaluate::{Assessed, Assessor, Evaluation, MEASURES, Values};
pub use gallery::Gallery;
pub use grid::{Cell, Grid, share_name};
pub use page::{page, text};
pub use run::{Estimate, Experiment, Finished, Measured, People, duration, fall_back};
pub use store::{Answer, Found, Stored};
pub use summary::{Difference, Mean, Run, Summary};
pub use training::{Trained, Training};
pub use world::{MOST_DATABASES, Unseen, World};

/// Who watches: told of stages and steps, asked whether to stop.
pub trait Observer {
    /// A stage begins; with steps where it trains.
    fn stage(&mut self, name: &str, steps: Option<u64>);
    /// A training step has ended.
    fn step(&mut self, done: u64, images_per_second: f64, loss: f32);
    /// Something worth a line.
    fn message(&mut self, text: &str);
    /// Whether to stop.
    fn stop(&self) -> bool;
}
