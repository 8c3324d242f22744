//! `kinesic eval`.

use super::{Common, Failure, load_model};
use crate::data::{Cache, Database, Row, Sequence, Table, read_pairs};
use crate::gpu::Gpu;
use crate::infer::{Model, Output, Predictor, Reader};
use crate::objective::compound::DU2014;
use crate::train::evaluate;
use crate::train::metrics::{
    ClassMetrics, TaskMetrics, Verification, class_metrics, cosine, verification,
};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compound {
    /// Scores from expressions, action units and valence; nothing is trained
    Zero,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic eval runs/fer/best.safetensors --data fer2013/public_test.csv --json -"
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
    /// Also verification, on a table of image_a,image_b,same
    #[arg(long, value_name = "TABLE")]
    pairs: Option<PathBuf>,
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
    let table = Table::read_split(&args.data, args.split.as_deref()).map_err(Failure::input)?;
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
    let compounds = table.compounds.clone();
    let sequence = sequence(&model, &args.data, table.rows, args.batch)?;
    let mut outputs: Vec<(usize, Output)> = Vec::new();
    let wanted = args.compound.is_some();
    let metrics = gpu.block_on(evaluate(
        &predictor,
        &model.tasks,
        &sequence,
        |row, output| {
            if wanted {
                outputs.push((row, output.clone()));
            }
        },
    ))?;
    let compound = match args.compound {
        Some(Compound::Zero) => Some(zero_shot(&model, &sequence, &compounds, &outputs)?),
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
        broken: sequence
            .broken()
            .into_iter()
            .map(|broken| broken.reason)
            .collect(),
    };
    common.report(&report, || text(&report))
}

fn sequence(model: &Model, path: &Path, rows: Vec<Row>, batch: u32) -> Result<Sequence, Failure> {
    let database = Database {
        name: path.display().to_string(),
        rows,
        weight: None,
    };
    Sequence::new(database, model.size, batch as usize, &Cache::none()).map_err(Failure::input)
}

/// Zero-shot accuracy over the rows whose compound class is one of Du et al.'s.
fn zero_shot(
    model: &Model,
    sequence: &Sequence,
    names: &[String],
    outputs: &[(usize, Output)],
) -> Result<ClassMetrics, Failure> {
    let reader = Reader::new(&model.tasks);
    let class = |name: &str| {
        DU2014
            .iter()
            .position(|class| class.name == name.replace('_', " "))
    };
    let mut confusion = vec![vec![0; DU2014.len()]; DU2014.len()];
    for (row, output) in outputs {
        let Some(shown) = sequence.rows()[*row].compound else {
            continue;
        };
        let name = &names[shown as usize];
        let shown = class(name).ok_or_else(|| {
            Failure::Input(anyhow::anyhow!(
                "{}:{}: compound is `{name}`, but it must be one of {}",
                sequence.name(),
                sequence.rows()[*row].line,
                DU2014.map(|class| class.name).join(", ")
            ))
        })?;
        let found = reader.read(&output.logits)?.compound.and_then(class);
        let found = found.ok_or_else(|| {
            Failure::Input(anyhow::anyhow!(
                "these weights have no tasks to score compounds by"
            ))
        })?;
        confusion[shown][found] += 1;
    }
    class_metrics(&confusion).ok_or_else(|| {
        Failure::Input(anyhow::anyhow!(
            "{}: no row has a compound expression",
            sequence.name()
        ))
    })
}

fn verify(
    gpu: &Gpu,
    model: &Model,
    predictor: &Predictor,
    pairs: &[crate::data::Pair],
    args: &EvalArgs,
) -> Result<Verification, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for image in pairs.iter().flat_map(|pair| &pair.images) {
        index.entry(image.clone()).or_insert_with(|| {
            rows.push(Row::unlabelled(image.clone()));
            rows.len() - 1
        });
    }
    let mut embeddings = vec![None; rows.len()];
    let sequence = sequence(
        model,
        args.pairs.as_deref().unwrap_or(Path::new("")),
        rows,
        args.batch,
    )?;
    gpu.block_on(evaluate(
        predictor,
        &model.tasks,
        &sequence,
        |row, output| {
            embeddings[row] = Some(output.embedding.clone());
        },
    ))?;
    let scored: Vec<(f32, bool)> = pairs
        .iter()
        .filter_map(|pair| {
            let [a, b] = &pair.images;
            let (a, b) = (
                embeddings[index[a]].as_ref()?,
                embeddings[index[b]].as_ref()?,
            );
            Some((cosine(a, b), pair.same))
        })
        .collect();
    verification(&scored).ok_or_else(|| {
        Failure::Input(anyhow::anyhow!(
            "the pairs must hold some of one person and some of two"
        ))
    })
}

fn text(report: &Report) -> String {
    let mut text = format!("{} images\n", report.images);
    let mut line = |name: &str, value: f64, chance: Option<f64>| {
        let chance = chance.map_or_else(String::new, |chance| format!("   (chance {chance:.3})"));
        let _ = writeln!(text, "  {name:<28}{value:>8.4}{chance}");
    };
    if let Some(task) = &report.tasks.expression {
        line("expression accuracy", task.accuracy, Some(task.chance));
        line("expression mean recall", task.mean_recall, None);
        line("expression macro F1", task.macro_f1, None);
    }
    if let Some(task) = &report.tasks.action_units {
        line("action unit F1", task.f1_mean, Some(task.chance));
        line("action unit accuracy", task.accuracy, None);
        for (name, value) in &task.f1 {
            line(
                &format!("  {name}"),
                value.as_f64().unwrap_or(f64::NAN),
                None,
            );
        }
    }
    if let Some(task) = &report.tasks.valence_arousal {
        line("CCC valence", task.ccc_valence, Some(0.0));
        line("CCC arousal", task.ccc_arousal, Some(0.0));
    }
    if let Some(task) = &report.compound {
        line("compound accuracy", task.accuracy, Some(task.chance));
        line("compound mean recall", task.mean_recall, None);
    }
    if let Some(task) = &report.verification {
        line("verification accuracy", task.accuracy, Some(task.chance));
        line("verification AUC", task.auc, Some(0.5));
        line("TAR at FAR 1e-2", task.tar_at_far, Some(0.01));
    }
    for broken in &report.broken {
        let _ = writeln!(text, "  skipped: {broken}");
    }
    text
}
