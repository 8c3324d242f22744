//! Training from the host's side: what a run writes about itself.

mod event;
pub mod log;
pub mod tensorboard;
