//! `kinesic train`.

use super::progress::Progress;
use super::{Common, Failure, print};
use crate::train::config::Config;
use crate::train::{Observer, Summary, run};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic train configs/fer2013.toml --set train.epochs=5 --out runs/fer"
)]
pub(super) struct TrainArgs {
    /// The configuration
    config: PathBuf,
    /// Overrides a key: a dotted path, list entries by index (data.0.path=faces.csv)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder of the run
    #[arg(long, default_value = "runs/train")]
    out: PathBuf,
    /// Goes on from the last checkpoint in the folder
    #[arg(long)]
    resume: bool,
}

#[derive(Serialize)]
struct Report {
    steps: u64,
    images_per_second: f64,
    best_score: Option<f64>,
    interrupted: bool,
    out: PathBuf,
}

/// Progress on standard error, and Ctrl-C.
struct Watcher {
    progress: Option<Progress>,
    stop: Arc<AtomicBool>,
}

impl Observer for Watcher {
    fn begin(&mut self, total: u64, done: u64) {
        self.progress = Some(Progress::new("training", total, done));
    }

    fn step(&mut self, done: u64, images_per_second: f64, loss: f32) {
        if let Some(progress) = &mut self.progress {
            progress.update(done, images_per_second, f64::from(loss));
        }
    }

    fn message(&mut self, text: &str) {
        match &mut self.progress {
            Some(progress) => progress.println(text),
            None => eprintln!("{text}"),
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

pub(super) fn run_command(common: &Common, args: &TrainArgs) -> Result<(), Failure> {
    let config = Config::read(&args.config, &args.set)?;
    let gpu = common.gpu()?;
    eprintln!("adapter: {}", crate::gpu::describe(gpu.info()));
    let mut watcher = Watcher {
        progress: None,
        stop: super::interrupt()?,
    };
    let summary = run(&gpu, &config, &args.out, args.resume, &mut watcher)?;
    if let Some(progress) = &mut watcher.progress {
        progress.finish();
    }
    let report = report(summary, args);
    common.report(&report, || {
        let best = report.best_score.map_or_else(String::new, |best| {
            format!(", best validation score {best:.4}")
        });
        format!(
            "{} steps, {:.1} images/s{best}; weights in {}\n",
            report.steps,
            report.images_per_second,
            args.out.display()
        )
    })?;
    if summary.interrupted {
        print("interrupted: go on with --resume\n")?;
        return Err(Failure::Interrupted);
    }
    Ok(())
}

fn report(summary: Summary, args: &TrainArgs) -> Report {
    Report {
        steps: summary.steps,
        images_per_second: summary.images_per_second,
        best_score: summary.best,
        interrupted: summary.interrupted,
        out: args.out.clone(),
    }
}
