//! `kinesic eval`.

use super::compound::{Faces, Few, few_shot, zero_shot};
use super::{Common, Failure, load_model};
use crate::data::{Cache, Pair, Table, Wanted, read_pairs};
use crate::gpu::Gpu;
use crate::infer::{Model, Output, Predictor};
use crate::train::curves::{Curve, Series, curves_png};
use crate::train::metrics::{
    ClassMetrics, TaskMetric, TaskMetrics, Verification, roc, verification,
};
use crate::train::{PairImages, evaluate, write_atomically};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compound {
    /// Scores from expressions, action units and valence; nothing is trained
    Zero,
    /// From a new head on the network's features, learned from the few faces of --shots
    Few,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic eval runs/fer/best.safetensors --data fer2013/public_test.csv --json -\n\nFew-shot: kinesic eval runs/fer/best.safetensors --data compounds.csv --compound few --shots few.csv"
)]
pub(super) struct EvalArgs {
    /// The weights, written by `train` or `demo`
    weights: PathBuf,
    /// The table to evaluate on
    #[arg(long)]
    data: PathBuf,
    /// The split to take, from the table's `split` column; all rows without it
    #[arg(long)]
    split: Option<String>,
    /// Also compound expressions, from the table's `compound` column
    #[arg(long, value_enum)]
    compound: Option<Compound>,
    /// The table of the few labelled faces that `--compound few` learns from
    #[arg(long, value_name = "TABLE", required_if_eq("compound", "few"))]
    shots: Option<PathBuf>,
    /// With `--compound few`: steps in which the trunk is trained on too; 0 keeps it
    #[arg(long, value_name = "STEPS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    tune: u64,
    /// Also verification, on a table of image_a,image_b,same: by the cosine of the trunk's features
    #[arg(long, value_name = "TABLE")]
    pairs: Option<PathBuf>,
    /// With --pairs: draws the shares of true and false accepts over all thresholds
    #[arg(long, value_name = "PNG", requires = "pairs")]
    roc: Option<PathBuf>,
    /// Images a batch
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
}

#[derive(Serialize)]
struct Report {
    images: u64,
    tasks: TaskMetrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    compound: Option<ClassMetrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken: Vec<String>,
}

pub(super) fn run(common: &Common, args: &EvalArgs) -> Result<(), Failure> {
    let model = load_model(&args.weights)?;
    let wanted = Wanted::by(&model.tasks);
    let table = Table::read_split(&args.data, args.split.as_deref(), &wanted);
    let mut table = table.map_err(Failure::input)?;
    table.label(&model.tasks);
    table
        .warnings
        .iter()
        .for_each(|warning| eprintln!("{warning}"));
    let pairs = args
        .pairs
        .as_deref()
        .map(read_pairs)
        .transpose()
        .map_err(Failure::input)?;
    let gpu = common.gpu()?;
    let predictor = gpu.block_on(Predictor::new(&gpu, &model, args.batch as usize))?;
    let faces = Faces::new(&model, &args.data, table.rows, table.compounds, args.batch)?;
    let mut outputs: Vec<(usize, Output)> = Vec::new();
    let wanted = matches!(args.compound, Some(Compound::Zero));
    let metrics = gpu.block_on(evaluate(
        &predictor,
        &model.tasks,
        &faces.sequence,
        |row, output| {
            if wanted {
                outputs.push((row, output.clone()));
            }
        },
    ))?;
    let compound = match args.compound {
        Some(Compound::Zero) => Some(zero_shot(&model, &faces, &outputs)?),
        Some(Compound::Few) => {
            let shots = args.shots.as_deref().unwrap_or(Path::new(""));
            let few = Few {
                shots,
                steps: args.tune,
            };
            Some(few_shot(&gpu, &model, &faces, &few)?)
        }
        None => None,
    };
    let verification = match &pairs {
        Some(pairs) => Some(verify(&gpu, &model, &predictor, pairs, args)?),
        None => None,
    };
    let report = Report {
        images: metrics.images,
        tasks: metrics.tasks,
        compound,
        verification,
        broken: faces
            .sequence
            .broken()
            .into_iter()
            .map(|broken| broken.reason)
            .collect(),
    };
    common.report(&report, || text(&report))
}

fn verify(
    gpu: &Gpu,
    model: &Model,
    predictor: &Predictor,
    pairs: &[Pair],
    args: &EvalArgs,
) -> Result<Verification, Failure> {
    let path = args.pairs.as_deref().unwrap_or(Path::new(""));
    let batch = args.batch as usize;
    let images = PairImages::new(path, pairs, model.size, batch, &Cache::none());
    let images = images.map_err(Failure::input)?;
    let scored = gpu.block_on(images.similarities(predictor, &model.tasks))?;
    let verified = verification(&scored).ok_or_else(|| {
        Failure::Input(anyhow::anyhow!(
            "{}: no pair of one person, or none of two, has both of its pictures",
            path.display()
        ))
    })?;
    if let Some(path) = &args.roc {
        write_atomically(path, &roc_png(&scored, verified.auc)?)?;
    }
    Ok(verified)
}

/// The curve of true against false accepts.
fn roc_png(scored: &[(f32, bool)], auc: f64) -> Result<Vec<u8>, Failure> {
    let line = |name: String, points| Series { name, points };
    let curve = Curve {
        title: "Verification".to_owned(),
        x_label: "pairs of two people that are accepted".to_owned(),
        y_label: "pairs of one person that are accepted".to_owned(),
        series: vec![
            line(format!("area {auc:.3}"), roc(scored)),
            line("chance".to_owned(), vec![(0.0, 0.0), (1.0, 1.0)]),
        ],
    };
    curves_png(&[curve]).map_err(Failure::work)
}

fn text(report: &Report) -> String {
    let mut text = format!("{} images\n", report.images);
    let mut line = |name: &str, value: f64, chance: Option<f64>| {
        let chance = chance.map_or_else(String::new, |chance| format!("   (chance {chance:.3})"));
        let _ = writeln!(text, "  {name:<28}{value:>8.4}{chance}");
    };
    for (name, task) in report.tasks.iter() {
        let name = name.replace('_', " ");
        match task {
            TaskMetric::Classes(task) => {
                line(
                    &format!("{name} accuracy"),
                    task.accuracy,
                    Some(task.chance),
                );
                line(&format!("{name} mean recall"), task.mean_recall, None);
                line(&format!("{name} macro F1"), task.macro_f1, None);
            }
            TaskMetric::Units(task) => {
                line(&format!("{name} F1"), task.f1_mean, Some(task.chance));
                line(&format!("{name} accuracy"), task.accuracy, None);
                for (name, value) in &task.f1 {
                    let value = value.as_f64().unwrap_or(f64::NAN);
                    line(&format!("  {name}"), value, None);
                }
            }
            TaskMetric::Axes(task) => {
                for axis in &task.axes {
                    line(&format!("CCC {}", axis.name), axis.ccc, Some(0.0));
                }
            }
        }
    }
    if let Some(task) = &report.compound {
        line("compound accuracy", task.accuracy, Some(task.chance));
        line("compound mean recall", task.mean_recall, None);
    }
    if let Some(task) = &report.verification {
        line("verification accuracy", task.accuracy, Some(task.chance));
        line("verification AUC", task.auc, Some(0.5));
        line("TAR at FAR 1e-2", task.tar_at_far, Some(0.01));
        if let Some(tar) = task.tar_at_low_far {
            line("TAR at FAR 1e-3", tar, Some(0.001));
        }
    }
    for broken in &report.broken {
        let _ = writeln!(text, "  skipped: {broken}");
    }
    text
}
