//! `kinesic plan`.

use super::{Common, Failure};
use crate::gpu::{Gpu, Matrices, Precision};
use crate::infer::{Images, InferencePass};
use crate::kernels::optim::{AdamConstants, Optimizer};
use crate::nn::{Backbone, Network};
use crate::objective::{Objective, ObjectiveConfig, Tasks};
use crate::tape::{Accounts, Memory, Recording, Target};
use crate::train::step::TrainingStep;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Forward, objective, backward and optimiser
    Train,
    /// Forward
    Infer,
}

impl Mode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Infer => "infer",
        }
    }
}

/// The network and its images.
#[derive(Clone, Debug, Args)]
pub(super) struct Model {
    /// The trunk: resnet18, resnet34, resnet50, vgg16 or mobile
    #[arg(long, default_value = "resnet50")]
    pub(super) backbone: String,
    /// The side of the image in pixels
    #[arg(long, default_value_t = 112, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) size: u32,
    /// Images a step
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(super) batch: u32,
    /// How activations are stored: f32 or f16
    #[arg(long, default_value = "f32", value_parser = ["f32", "f16"])]
    pub(super) precision: String,
    /// What a training step recomputes instead of storing: nothing (fast), or what lowers its memory (low), to the same bits
    #[arg(long, default_value = "fast", value_parser = ["fast", "low"])]
    pub(super) memory: String,
    /// Scales the channels of `mobile`
    #[arg(long, default_value_t = 1.0)]
    pub(super) width: f32,
    /// Scales the blocks of `mobile`
    #[arg(long, default_value_t = 1.0)]
    pub(super) depth: f32,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic plan --backbone resnet50 --size 112 --batch 64 --mode train"
)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    model: Model,
    /// A training step or an inference pass
    #[arg(long, value_enum, default_value_t = Mode::Train)]
    mode: Mode,
    /// TFLOP/s of the GPU whose roofline time is estimated
    #[arg(long, default_value_t = 50.0)]
    tflops: f64,
    /// Memory bandwidth in TB/s of that GPU
    #[arg(long, default_value_t = 3.0)]
    bandwidth: f64,
    /// Plans for a software adapter's kernels instead of a GPU's
    #[arg(long, conflicts_with = "matrices")]
    software: bool,
    /// Plans for a GPU with cooperative matrices of this side in f16 (`kinesic adapters` names them): 16 or none
    #[arg(long, default_value = "none", value_parser = ["16", "none"])]
    matrices: String,
}

impl Model {
    pub(super) fn network(&self) -> Result<Network, Failure> {
        let backbone: Backbone = self.backbone.parse()?;
        for (name, value) in [("width", self.width), ("depth", self.depth)] {
            if !(value > 0.0 && value <= 16.0) {
                return Err(Failure::Input(anyhow::anyhow!(
                    "--{name} {value}: it must be above 0 and at most 16"
                )));
            }
        }
        Ok(Network {
            backbone,
            width: self.width,
            depth: self.depth,
            outputs: Tasks::affect().logits(),
        })
    }

    pub(super) fn precision(&self) -> Precision {
        Precision::named(&self.precision).unwrap_or_default()
    }

    pub(super) fn memory(&self) -> Memory {
        Memory::named(&self.memory).unwrap_or_default()
    }

    /// The adapter, for this precision and memory, in the ways that were measured on it.
    pub(super) fn target(&self, gpu: &Gpu) -> Target {
        let target = Target::of(gpu).stored(self.precision());
        target.within(self.memory())
    }

    pub(super) fn images(&self) -> Images {
        Images {
            batch: self.batch as usize,
            source: self.size as usize,
            size: self.size as usize,
        }
    }

    pub(super) fn training(&self, target: &Target) -> Result<(TrainingStep, Objective), Failure> {
        let objective = Objective::new(&Tasks::affect(), &ObjectiveConfig::default(), None)?;
        let step = TrainingStep::new(
            &self.network()?,
            self.images(),
            objective.kernel(self.batch as usize),
            Optimizer::Adam(AdamConstants::default()),
            target,
        )?;
        Ok((step, objective))
    }

    fn recording(&self, mode: Mode, target: &Target) -> Result<Recording, Failure> {
        Ok(match mode {
            Mode::Train => self.training(target)?.0.recording,
            Mode::Infer => InferencePass::new(&self.network()?, self.images(), target)?.recording,
        })
    }
}

#[derive(Serialize)]
struct Report {
    backbone: String,
    size: u32,
    batch: u32,
    precision: String,
    memory: String,
    mode: &'static str,
    matrices: String,
    dispatches: usize,
    recomputed: usize,
    bytes_read: u64,
    bytes_written: u64,
    bytes_per_image: u64,
    flops: u64,
    arena_bytes: u64,
    parameter_bytes: u64,
    roofline_ms: f64,
    by_kernel: Vec<Kernel>,
}

#[derive(Serialize)]
struct Kernel {
    kernel: &'static str,
    dispatches: usize,
    bytes_read: u64,
    bytes_written: u64,
    flops: u64,
}

pub(super) fn run(common: &Common, args: &PlanArgs) -> Result<(), Failure> {
    let target = Target {
        software: args.software,
        matrices: Matrices {
            half16: args.matrices == "16",
            ..Matrices::NONE
        },
        precision: args.model.precision(),
        memory: args.model.memory(),
        ..Target::unlimited()
    };
    let recording = args.model.recording(args.mode, &target)?;
    let accounts = recording.accounts();
    // A dispatch takes as long as its arithmetic or its traffic, whichever is longer.
    #[allow(clippy::cast_precision_loss)]
    let roofline_ms = recording
        .steps
        .iter()
        .map(|step| {
            let bytes = (step.call.bytes_read() + step.call.bytes_written()) as f64;
            let arithmetic = step.call.flops as f64 / (args.tflops * 1e12);
            1e3 * arithmetic.max(bytes / (args.bandwidth * 1e12))
        })
        .sum();
    let report = report(args, accounts, roofline_ms);
    common.report(&report, || text(&report))
}

fn report(args: &PlanArgs, accounts: Accounts, roofline_ms: f64) -> Report {
    let model = &args.model;
    Report {
        backbone: model.backbone.clone(),
        size: model.size,
        batch: model.batch,
        precision: model.precision.clone(),
        memory: model.memory.clone(),
        mode: args.mode.name(),
        matrices: args.matrices.clone(),
        dispatches: accounts.dispatches,
        recomputed: accounts.recomputed,
        bytes_read: accounts.bytes_read,
        bytes_written: accounts.bytes_written,
        bytes_per_image: (accounts.bytes_read + accounts.bytes_written) / u64::from(model.batch),
        flops: accounts.flops,
        arena_bytes: accounts.arena_bytes,
        parameter_bytes: accounts.parameter_bytes,
        roofline_ms,
        by_kernel: accounts
            .by_kernel
            .into_iter()
            .map(|kernel| Kernel {
                kernel: kernel.kernel,
                dispatches: kernel.dispatches,
                bytes_read: kernel.bytes_read,
                bytes_written: kernel.bytes_written,
                flops: kernel.flops,
            })
            .collect(),
    }
}

#[allow(clippy::cast_precision_loss)] // for display
fn text(report: &Report) -> String {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let mut text = format!(
        "{} at {}, batch {}, {}, {}, {} memory, matrices: {}\n",
        report.backbone,
        report.size,
        report.batch,
        report.precision,
        report.mode,
        report.memory,
        report.matrices
    );
    let rows = [
        ("dispatches", report.dispatches.to_string()),
        ("recomputed", report.recomputed.to_string()),
        ("bytes read", format!("{:.1} MB", mb(report.bytes_read))),
        (
            "bytes written",
            format!("{:.1} MB", mb(report.bytes_written)),
        ),
        (
            "bytes an image",
            format!("{:.1} MB", mb(report.bytes_per_image)),
        ),
        (
            "arithmetic",
            format!("{:.2} GFLOP", report.flops as f64 / 1e9),
        ),
        ("arena", format!("{:.1} MB", mb(report.arena_bytes))),
        (
            "parameters",
            format!("{:.1} MB", mb(report.parameter_bytes)),
        ),
        ("roofline", format!("{:.2} ms", report.roofline_ms)),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<16}{value:>14}");
    }
    let _ = writeln!(
        text,
        "\n  {:<26}{:>10}{:>12}{:>12}{:>12}",
        "kernel", "dispatches", "read MB", "written MB", "GFLOP"
    );
    for kernel in &report.by_kernel {
        let _ = writeln!(
            text,
            "  {:<26}{:>10}{:>12.1}{:>12.1}{:>12.3}",
            kernel.kernel,
            kernel.dispatches,
            mb(kernel.bytes_read),
            mb(kernel.bytes_written),
            kernel.flops as f64 / 1e9
        );
    }
    text
}
