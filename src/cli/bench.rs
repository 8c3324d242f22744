//! `kinesic bench`.

use super::plan::{Mode, Model};
use super::{Common, Failure, bench_input};
use crate::gpu::Gpu;
use crate::infer::{Images, InferencePass};
use crate::kernels::optim::{AdamConstants, Optimizer};
use crate::nn::Weights;
use crate::objective::Labels;
use crate::random::Random;
use crate::tape::{Plan, Store, TapeError, Target};
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
    /// Prints the seconds by kernel, from timestamps
    #[arg(long)]
    profile: bool,
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
    mode: &'static str,
    images_per_second: f64,
    step_ms_median: f64,
    step_ms_p95: f64,
    first_step_s: f64,
    steps: usize,
    adapter: String,
    driver: String,
    backend: String,
}

pub(super) fn run(common: &Common, args: &BenchArgs) -> Result<(), Failure> {
    let mode = match args.mode {
        Measured::Train => Mode::Train,
        Measured::Infer => Mode::Infer,
        Measured::Input => {
            let (size, batch) = (args.model.size as usize, args.model.batch as usize);
            return bench_input::run(common, size, batch, args.images.as_deref(), args.seconds);
        }
    };
    let start = Instant::now();
    let gpu = common.gpu()?;
    if !gpu.can_store(args.model.precision()) {
        return Err(Failure::Input(anyhow::anyhow!(
            "--precision f16: the adapter has no f16 (shader-f16); choose another adapter or f32"
        )));
    }
    let plan = gpu.block_on(compile(&gpu, &args.model, mode))?;
    plan.submit();
    gpu.wait()?;
    gpu.check()?;
    let first_step_s = start.elapsed().as_secs_f64();
    let mut seconds = Vec::new();
    let measured = Instant::now();
    while seconds.len() < 3 || measured.elapsed().as_secs_f64() < args.seconds {
        let step = Instant::now();
        plan.submit();
        gpu.wait()?;
        seconds.push(step.elapsed().as_secs_f64());
    }
    gpu.check()?;
    if args.profile {
        profile(&gpu, &plan)?;
    }
    let report = report(&gpu, &args.model, mode, first_step_s, seconds);
    common.report(&report, || {
        format!(
            "{} at {}, batch {}, {}, {}\n  {:.2} images/s; step {:.1} ms median, {:.1} ms at 95 %, {} steps; first step after {:.2} s\n  {} ({}, {})\n",
            report.backbone, report.size, report.batch, report.precision, report.mode, report.images_per_second,
            report.step_ms_median, report.step_ms_p95, report.steps, report.first_step_s, report.adapter,
            report.backend, report.driver,
        )
    })
}

#[allow(clippy::cast_precision_loss)]
fn report(
    gpu: &Gpu,
    model: &Model,
    mode: Mode,
    first_step_s: f64,
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
        mode: mode.name(),
        images_per_second: f64::from(model.batch) / median,
        step_ms_median: 1e3 * median,
        step_ms_p95: 1e3 * p95,
        first_step_s,
        steps: seconds.len(),
        adapter: info.name.clone(),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        backend: info.backend.to_string(),
    }
}

/// A plan on drawn images, labels and weights.
async fn compile(gpu: &Gpu, model: &Model, mode: Mode) -> Result<Plan, Failure> {
    let network = model.network()?;
    let weights = Weights::initialised(&network.declare(model.size as usize)?, 1);
    let images = model.images();
    let target = Target::of(gpu).stored(model.precision());
    let (recording, inputs, training) = match mode {
        Mode::Train => {
            let (step, objective) = model.training(&target)?;
            let labels: Vec<_> = (0..images.batch as u32).map(label).collect();
            let labels = objective.pack(&labels, images.batch)?;
            let adam = Optimizer::Adam(AdamConstants::default());
            let recorded = step.recorded;
            let bytes = vec![
                (recorded.labels, bytemuck::cast_slice(&labels).to_vec()),
                (
                    recorded.tables,
                    bytemuck::cast_slice(objective.tables()).to_vec(),
                ),
                (
                    recorded.schedule,
                    bytemuck::cast_slice(&adam.schedule(1e-4, 0, 1)).to_vec(),
                ),
            ];
            (step.recording, (step.pixels, step.matrices, bytes), true)
        }
        Mode::Infer => {
            let pass = InferencePass::new(&network, images, &target)?;
            (
                pass.recording,
                (pass.pixels, pass.matrices, Vec::new()),
                false,
            )
        }
    };
    let store = Store::new(gpu, &recording, training).await?;
    gpu.queue.write_buffer(
        &store.parameters,
        0,
        bytemuck::cast_slice(&weights.parameters),
    );
    if !weights.states.is_empty() {
        gpu.queue
            .write_buffer(&store.states, 0, bytemuck::cast_slice(&weights.states));
    }
    let plan = Plan::new(gpu, recording, &store).await?;
    let (pixels, matrices, rest) = inputs;
    write(&plan, images, pixels, matrices)?;
    for (value, bytes) in rest {
        plan.write(value, &bytes)?;
    }
    Ok(plan)
}

fn write(
    plan: &Plan,
    images: Images,
    pixels: crate::tape::Value,
    matrices: crate::tape::Value,
) -> Result<(), TapeError> {
    let random = Random::new(1, "bench pixels");
    let bytes: Vec<u8> = (0..images.bytes() as u64 / 4)
        .flat_map(|i| (random.bits(i) as u32).to_le_bytes())
        .collect();
    plan.write(pixels, &bytes)?;
    let identity = [1.0_f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0].repeat(images.batch);
    plan.write(matrices, bytemuck::cast_slice(&identity))
}

fn label(image: u32) -> Labels {
    Labels {
        absent: false,
        expression: Some(image % 7),
        au_mask: (1 << 17) - 1,
        au_value: u64::from(image) % (1 << 17),
        valence_arousal: Some([
            (image % 5) as f32 / 4.0 - 0.5,
            (image % 3) as f32 / 2.0 - 0.5,
        ]),
    }
}

/// Seconds by kernel, to standard error.
fn profile(gpu: &Gpu, plan: &Plan) -> Result<(), Failure> {
    let Some(seconds) = gpu.block_on(plan.profile())? else {
        eprintln!("this adapter has no timestamps: no profile");
        return Ok(());
    };
    let mut kernels: Vec<(&str, usize, f64, u64)> = Vec::new();
    for (step, seconds) in plan.recording().steps.iter().zip(seconds) {
        let name = step.call.shader.name;
        match kernels.iter_mut().find(|kernel| kernel.0 == name) {
            Some(kernel) => {
                kernel.1 += 1;
                kernel.2 += seconds;
                kernel.3 += step.call.flops;
            }
            None => kernels.push((name, 1, seconds, step.call.flops)),
        }
    }
    kernels.sort_by(|a, b| b.2.total_cmp(&a.2));
    eprintln!(
        "{:<28}{:>10}{:>12}{:>12}",
        "kernel", "dispatches", "ms", "GFLOP/s"
    );
    for (name, count, seconds, flops) in kernels {
        #[allow(clippy::cast_precision_loss)]
        let rate = flops as f64 / seconds.max(1e-12) / 1e9;
        eprintln!("{name:<28}{count:>10}{:>12.3}{rate:>12.2}", 1e3 * seconds);
    }
    Ok(())
}
