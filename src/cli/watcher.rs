//! Who watches an experiment: progress on standard error, and Ctrl-C.

use super::Failure;
use super::progress::Progress;
use crate::experiment::Observer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shows how far an experiment is and passes Ctrl-C on.
pub(super) struct Watcher {
    progress: Option<Progress>,
    stop: Arc<AtomicBool>,
}

impl Watcher {
    /// Listens for Ctrl-C from now on.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            progress: None,
            stop: super::interrupt()?,
        })
    }

    /// Ends the bar, if there is one.
    pub(super) fn end(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }
}

impl Observer for Watcher {
    fn stage(&mut self, name: &str, steps: Option<u64>) {
        self.end();
        match steps {
            Some(steps) => self.progress = Some(Progress::new(name, steps, 0)),
            None => eprintln!("{name}"),
        }
    }

    fn step(&mut self, done: u64, images_per_second: f64, loss: f32) {
        if let Some(progress) = &mut self.progress {
            progress.update(done, images_per_second, f64::from(loss));
        }
    }

    fn message(&mut self, text: &str) {
        self.end();
        eprintln!("{text}");
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
