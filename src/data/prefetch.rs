//! Batches made on another thread while the device works.

use super::{Batch, DataError, Loader};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// The batches of consecutive steps, a few made ahead.
#[derive(Debug)]
pub struct Prefetch {
    batches: Option<Receiver<Result<Batch, DataError>>>,
    worker: Option<JoinHandle<()>>,
}

impl Prefetch {
    /// Makes batches from step `first` on, at most `depth` ahead.
    pub fn new(loader: Arc<Loader>, first: u64, depth: usize) -> Self {
        let (sender, batches) = sync_channel(depth);
        let worker = std::thread::spawn(move || {
            for step in first.. {
                let batch = loader.batch(step);
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        Self {
            batches: Some(batches),
            worker: Some(worker),
        }
    }
}

impl Iterator for Prefetch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.as_ref()?.recv().ok()
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // The worker ends when it finds nobody listening.
        self.batches = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
