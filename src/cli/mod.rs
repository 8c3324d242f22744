//! The command line: reads arguments and files, calls the library, prints. Results go to standard output, everything else to
//! standard error.

mod adapters;
mod bench;
mod bench_input;
mod bench_plan;
mod cache;
mod check_data;
mod compound;
mod demo;
mod eval;
mod experiment;
mod faces;
mod failure;
mod parity;
mod plan;
mod predict;
mod profile;
mod progress;
mod relate;
mod train;
mod tune;
mod watcher;

use crate::gpu::{AdapterChoice, Gpu};
use crate::infer::Model;
use crate::kernels::conv::Tuning;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use std::cell::OnceCell;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

pub use failure::Failure;

/// Trains and runs one network that reads everything a face does, on any Vulkan, Metal or DX12 GPU.
#[derive(Debug, Parser)]
#[command(name = "kinesic", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// The adapter: its index in `kinesic adapters`, or a part of its name
    #[arg(
        long,
        global = true,
        env = "KINESIC_ADAPTER",
        value_name = "NAME|INDEX"
    )]
    adapter: Option<String>,
    /// Writes the reported numbers as JSON; `-` for standard output, in place of the text
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The folder that keeps compiled pipelines between runs, in place of the user's cache folder; `none` keeps none
    #[arg(long, global = true, env = "KINESIC_CACHE", value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The device, once a command asked for it
    #[arg(skip)]
    device: OnceCell<Gpu>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The main job with nothing to download: draws faces, trains on them, evaluates, writes a report
    Demo(demo::DemoArgs),
    /// Trains a grid of variants, label budgets and seeds on synthetic faces and compares them
    Experiment(experiment::ExperimentArgs),
    /// Draws synthetic faces with every label
    Faces(faces::FacesArgs),
    /// Lists the adapters and what each can do
    #[command(after_help = "Example: kinesic adapters --json -")]
    Adapters,
    /// Trains a network
    Train(train::TrainArgs),
    /// Reads a configuration's annotations and image headers without training
    CheckData(check_data::CheckDataArgs),
    /// Measures every task that a table has labels for
    Eval(eval::EvalArgs),
    /// Says what is in photos of faces
    Predict(predict::PredictArgs),
    /// Estimates how often each action unit goes with each expression, from tables that carry both
    Relate(relate::RelateArgs),
    /// Shows a network's compiled plan: dispatches, bytes, FLOPs, memory
    Plan(plan::PlanArgs),
    /// Measures whole steps
    Bench(bench::BenchArgs),
    Tune(tune::TuneArgs),
    /// Compares with reference values that another implementation computed
    Parity(parity::ParityArgs),
}

/// When [`main`] began.
static STARTED: OnceLock<Instant> = OnceLock::new();

/// Runs the command of the process and returns its exit code: 0 on success, 1 on a failure of the work, 2 on a wrong command
/// line or bad input, 130 when interrupted.
pub fn main() -> ExitCode {
    let _ = STARTED.set(Instant::now());
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Demo(args) => demo::run(&cli.common, &args),
        Command::Experiment(args) => experiment::run(&cli.common, &args),
        Command::Faces(args) => faces::run(&cli.common, &args),
        Command::Adapters => adapters::run(&cli.common),
        Command::Train(args) => train::run_command(&cli.common, &args),
        Command::CheckData(args) => check_data::run(&cli.common, &args),
        Command::Eval(args) => eval::run(&cli.common, &args),
        Command::Predict(args) => predict::run(&cli.common, &args),
        Command::Relate(args) => relate::run(&cli.common, &args),
        Command::Plan(args) => plan::run(&cli.common, &args),
        Command::Bench(args) => bench::run(&cli.common, &args),
        Command::Tune(args) => tune::run(&cli.common, &args),
        Command::Parity(args) => parity::run(&cli.common, &args),
    };
    cli.common.store_pipelines();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.code()
        }
    }
}

impl Common {
    /// The chosen adapter's device, with the pipelines that earlier runs kept.
    fn gpu(&self) -> Result<Gpu, Failure> {
        if let Some(gpu) = self.device.get() {
            return Ok(gpu.clone());
        }
        let choice = AdapterChoice::parse(self.adapter.as_deref());
        let gpu = pollster::block_on(Gpu::new(&choice))?;
        if let Some(folder) = cache::folder(self.cache.as_deref()) {
            gpu.block_on(gpu.keep_pipelines_in(&folder))?;
            tune_from(&gpu, &folder);
        }
        Ok(self.device.get_or_init(|| gpu).clone())
    }

    /// Keeps what was compiled for later runs. A folder that cannot be written costs them time and is no failure.
    fn store_pipelines(&self) {
        let folder = cache::folder(self.cache.as_deref());
        if let (Some(gpu), Some(folder)) = (self.device.get(), folder)
            && let Err(error) = gpu.store_pipelines_in(&folder)
        {
            eprintln!(
                "note: compiled pipelines are not kept: {}: {error}; --cache DIR names another folder, --cache none keeps none",
                folder.display()
            );
        }
    }

    /// Writes the report as JSON where asked, else prints `text`.
    fn report(
        &self,
        report: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match &self.json {
            Some(path) if path.as_os_str() == "-" => print(&(to_json(report)? + "\n")),
            Some(path) => {
                crate::train::write_atomically(path, (to_json(report)? + "\n").as_bytes())?;
                print(&text())
            }
            None => print(&text()),
        }
    }
}

/// Takes what `kinesic tune` kept. A file that cannot be read costs time and is no failure.
fn tune_from(gpu: &Gpu, folder: &Path) {
    let note = |why: &dyn std::fmt::Display| {
        let file = gpu.tuning_file(folder);
        eprintln!(
            "note: {}: {why}; `kinesic tune` makes it anew",
            file.display()
        );
    };
    match gpu.tune_from(folder) {
        Ok(_) => {
            let text = gpu.tuning();
            if let Some(Err(error)) = text.map(|text| Tuning::read(&text)) {
                note(&error);
            }
        }
        Err(error) => note(&error),
    }
}

/// Reads a weight file.
fn load_model(path: &Path) -> Result<Model, Failure> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::Input(anyhow::Error::new(error).context(name())))?;
    Model::from_safetensors(&bytes)
        .map_err(|error| Failure::Input(anyhow::Error::new(error).context(name())))
}

/// A flag that the first Ctrl-C sets, so that the work can end in order; the second one ends the process.
fn interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(Failure::work)?;
    Ok(stop)
}

fn to_json(report: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(report).map_err(Failure::work)
}

/// Prints to standard output; a reader that went away is no error.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::work(error)),
        _ => Ok(()),
    }
}
