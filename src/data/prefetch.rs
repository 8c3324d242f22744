//! What steps need, made on another thread while the device works.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

/// What consecutive steps need, a few made ahead.
#[derive(Debug)]
pub struct Prefetch<T, E> {
    made: Option<Receiver<Result<T, E>>>,
    worker: Option<JoinHandle<()>>,
}

impl<T: Send + 'static, E: Send + 'static> Prefetch<T, E> {
    /// Calls `make` for the steps from `first` on, at most `depth` ahead, until it fails or nobody listens.
    pub fn new(
        mut make: impl FnMut(u64) -> Result<T, E> + Send + 'static,
        first: u64,
        depth: usize,
    ) -> Self {
        let (sender, made) = sync_channel(depth);
        let worker = std::thread::spawn(move || {
            for step in first.. {
                let result = make(step);
                let failed = result.is_err();
                if sender.send(result).is_err() || failed {
                    return;
                }
            }
        });
        Self {
            made: Some(made),
            worker: Some(worker),
        }
    }
}

impl<T, E> Prefetch<T, E> {
    /// The next one, if it is made within this time.
    pub fn next_within(&mut self, time: Duration) -> Poll<Option<Result<T, E>>> {
        let Some(made) = &self.made else {
            return Poll::Ready(None);
        };
        match made.recv_timeout(time) {
            Ok(next) => Poll::Ready(Some(next)),
            Err(RecvTimeoutError::Timeout) => Poll::Pending,
            Err(RecvTimeoutError::Disconnected) => Poll::Ready(None),
        }
    }
}

impl<T, E> Iterator for Prefetch<T, E> {
    type Item = Result<T, E>;

    fn next(&mut self) -> Option<Self::Item> {
        self.made.as_ref()?.recv().ok()
    }
}

impl<T, E> Drop for Prefetch<T, E> {
    fn drop(&mut self) {
        // The worker ends when it finds nobody listening.
        self.made = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}
