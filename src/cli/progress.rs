//! Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// The progress of a job of known length.
#[derive(Debug)]
pub(super) struct Progress {
    label: String,
    total: u64,
    bar: Option<ProgressBar>,
    start: Instant,
    first: u64,
    last_line: Instant,
}

const PAUSE: Duration = Duration::from_secs(10);

impl Progress {
    /// A job of `total` steps of which `done` lie behind.
    pub(super) fn new(label: &str, total: u64, done: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_position(done);
            let style =
                ProgressStyle::with_template("{prefix} [{bar:32}] {pos}/{len} {msg}, {eta} left");
            bar.set_style(
                style
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> "),
            );
            bar.set_prefix(label.to_owned());
            bar
        });
        Self {
            label: label.to_owned(),
            total,
            bar,
            start: Instant::now(),
            first: done,
            last_line: Instant::now(),
        }
    }

    /// Says how far the job is.
    pub(super) fn update(&mut self, done: u64, images_per_second: f64, loss: f64) {
        let message = format!("{images_per_second:.0} images/s, loss {loss:.3}");
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message);
        } else if self.last_line.elapsed() >= PAUSE {
            self.last_line = Instant::now();
            let per_step = self.start.elapsed().as_secs_f64() / (done - self.first).max(1) as f64;
            let left = per_step * self.total.saturating_sub(done) as f64;
            eprintln!(
                "{} {done}/{}: {message}, {left:.0} s left",
                self.label, self.total
            );
        }
    }

    /// Prints a line above the bar.
    pub(super) fn println(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// Ends the bar.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
