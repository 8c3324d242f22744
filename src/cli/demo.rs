//! `kinesic demo`.

use super::watcher::Watcher;
use super::{Common, Failure};
use crate::demo::{self, Size};
use crate::gpu::Precision;
use crate::train::write_atomically;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Example: kinesic demo --out runs/demo")]
pub(super) struct DemoArgs {
    /// The folder of report.html, report.json and weights.safetensors
    #[arg(long, default_value = "runs/demo")]
    out: PathBuf,
    /// Seconds of training for both networks together
    #[arg(long, default_value_t = 110.0)]
    seconds: f64,
    /// Steps of each network, instead of as many as the seconds allow
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: Option<u64>,
    /// The seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How activations are stored in training: f32, or f16 where the adapter has it
    #[arg(long, default_value = "f32", value_parser = ["f32", "f16"])]
    precision: String,
}

pub(super) fn run(common: &Common, args: &DemoArgs) -> Result<(), Failure> {
    if !(args.seconds > 0.0 && args.seconds <= 1e6) {
        return Err(Failure::Input(anyhow::anyhow!(
            "--seconds {}: it must be above 0",
            args.seconds
        )));
    }
    let gpu = common.gpu()?;
    eprintln!("adapter: {}", crate::gpu::describe(gpu.info()));
    let mut precision = Precision::named(&args.precision).unwrap_or_default();
    if !gpu.can_store(precision) {
        eprintln!("the adapter has no f16 (shader-f16): training in f32");
        precision = Precision::F32;
    }
    let mut watcher = Watcher::new()?;
    let size = Size {
        seconds: args.seconds,
        steps: args.steps,
        seed: args.seed,
        precision,
        ..Size::default()
    };
    let demo = demo::run(&gpu, size, &mut watcher)?;
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let report = demo::page(&gpu, &demo, &command)?;
    let weights = demo.outcomes[1]
        .model
        .to_safetensors()
        .map_err(Failure::work)?;
    write_atomically(&args.out.join("report.html"), report.html().as_bytes())?;
    write_atomically(
        &args.out.join("report.json"),
        super::to_json(&report)?.as_bytes(),
    )?;
    write_atomically(&args.out.join("weights.safetensors"), &weights)?;
    common.report(&demo.numbers(), || {
        format!(
            "\n{}\n{} steps of {} faces each, {:.0} images/s; the report: {}\n",
            demo::text(&demo),
            demo.steps,
            demo::BATCH,
            demo.images_per_second,
            args.out.join("report.html").display()
        )
    })
}
