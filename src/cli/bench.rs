//! `kinesic bench`.

use super::bench_plan::{self, StartUp, Watch};
use super::plan::{Mode, Model};
use super::profile::{self, Table};
use super::{Common, Failure, STARTED, bench_input};
use crate::gpu::Gpu;
use crate::kernels::conv::Ways;
use crate::train::write_atomically;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic bench --backbone resnet18 --size 112 --batch 16 --mode infer --seconds 10",
    after_long_help = format!(
        "Example: kinesic bench --backbone resnet18 --size 112 --batch 16 --mode infer --seconds 10\n\n{}",
        bench_input::HELP
    )
)]
pub(super) struct BenchArgs {
    #[command(flatten)]
    model: Model,
    /// What is measured
    #[arg(long, value_enum, default_value_t = Measured::Train)]
    mode: Measured,
    /// For --mode input, a folder of pictures or a table; faces are drawn where none is given
    #[arg(long, value_name = "FOLDER_OR_TABLE")]
    images: Option<PathBuf>,
    /// How long to measure after the first step; with --mode input, each of its parts
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Prints the time of a step by kernel and by layer, from timestamps
    #[arg(long)]
    profile: bool,
    /// Writes that step as a trace that https://ui.perfetto.dev opens; implies --profile
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Measured {
    /// Forward, objective, backward and optimiser
    Train,
    /// Forward
    Infer,
    /// What feeds training, without a network: decoding, the cache of decoded images, augmentation, upload
    Input,
}

#[derive(Serialize)]
struct Report {
    backbone: String,
    size: u32,
    batch: u32,
    precision: String,
    memory: String,
    mode: &'static str,
    /// Whether convolutions may be computed in ways that `kinesic tune` measured.
    tuned: bool,
    images_per_second: f64,
    step_ms_median: f64,
    step_ms_p95: f64,
    first_step_s: f64,
    start_up: StartUp,
    steps: usize,
    adapter: String,
    driver: String,
    backend: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Table>,
}

impl Report {
    fn title(&self) -> String {
        format!(
            "{} at {}, batch {}, {}, {}, {} memory{}",
            self.backbone,
            self.size,
            self.batch,
            self.precision,
            self.mode,
            self.memory,
            if self.tuned { ", tuned" } else { "" }
        )
    }

    fn text(&self) -> String {
        let profile = self.profile.as_ref().map(Table::text);
        format!(
            "{}\n  {:.2} images/s; step {:.1} ms median, {:.1} ms at 95 %, {} steps\n  first step after {:.2} s: {}\n  {} ({}, {})\n{}",
            self.title(),
            self.images_per_second,
            self.step_ms_median,
            self.step_ms_p95,
            self.steps,
            self.first_step_s,
            self.start_up.text(),
            self.adapter,
            self.backend,
            self.driver,
            profile.unwrap_or_default(),
        )
    }
}

pub(super) fn run(common: &Common, args: &BenchArgs) -> Result<(), Failure> {
    let wants_profile = args.profile || args.trace.is_some();
    let mode = match args.mode {
        Measured::Train => Mode::Train,
        Measured::Infer => Mode::Infer,
        Measured::Input if wants_profile => {
            return Err(Failure::Input(anyhow::anyhow!(
                "--profile and --trace are about steps: --mode input has none"
            )));
        }
        Measured::Input => {
            let (size, batch) = (args.model.size as usize, args.model.batch as usize);
            return bench_input::run(common, size, batch, args.images.as_deref(), args.seconds);
        }
    };
    let start = *STARTED.get_or_init(Instant::now);
    let mut watch = Watch::new(start);
    let mut start_up = StartUp::default();
    let gpu = common.gpu()?;
    start_up.device_s = watch.lap();
    if wants_profile {
        profile::check(&gpu, "--profile")?;
    }
    if !gpu.can_store(args.model.precision()) {
        return Err(Failure::Input(anyhow::anyhow!(
            "--precision f16: the adapter has no f16 (shader-f16); choose another adapter or f32"
        )));
    }
    let target = args.model.target(&gpu);
    let compile = bench_plan::compile(&gpu, &args.model, mode, &target, &mut watch, &mut start_up);
    let plan = gpu.block_on(compile)?;
    plan.submit();
    gpu.wait()?;
    gpu.check()?;
    start_up.step_s = watch.lap();
    let first_step_s = start.elapsed().as_secs_f64();
    let compiled = gpu.compiled();
    start_up.pipelines = compiled.pipelines;
    start_up.pipelines_s = compiled.time.as_secs_f64();
    start_up.pipelines_kept = gpu.keeps_pipelines();
    let mut seconds = Vec::new();
    let measured = Instant::now();
    while seconds.len() < 3 || measured.elapsed().as_secs_f64() < args.seconds {
        let step = Instant::now();
        plan.submit();
        gpu.wait()?;
        seconds.push(step.elapsed().as_secs_f64());
    }
    gpu.check()?;
    let mut report = report(&gpu, &args.model, mode, (first_step_s, start_up), seconds);
    if wants_profile {
        let profiled = profile::profile(&gpu, &plan, args.seconds)?;
        let steps = &plan.recording().steps;
        report.profile = Some(Table::new(steps, &profiled));
        if let Some(path) = &args.trace {
            let title = format!("kinesic bench: one step of {}", report.title());
            let trace = profile::trace(&gpu, &title, steps, &profiled);
            write_atomically(path, trace.to_string().as_bytes())?;
        }
    }
    common.report(&report, || report.text())
}

#[allow(clippy::cast_precision_loss)]
fn report(
    gpu: &Gpu,
    model: &Model,
    mode: Mode,
    (first_step_s, start_up): (f64, StartUp),
    mut seconds: Vec<f64>,
) -> Report {
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let p95 = seconds[(seconds.len() * 95 / 100).min(seconds.len() - 1)];
    let info = gpu.info();
    Report {
        backbone: model.backbone.clone(),
        size: model.size,
        batch: model.batch,
        precision: model.precision.clone(),
        memory: model.memory.clone(),
        mode: mode.name(),
        tuned: *model.target(gpu).ways != Ways::default(),
        images_per_second: f64::from(model.batch) / median,
        step_ms_median: 1e3 * median,
        step_ms_p95: 1e3 * p95,
        first_step_s,
        start_up,
        steps: seconds.len(),
        adapter: info.name.clone(),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        backend: info.backend.to_string(),
        profile: None,
    }
}
