//! `kinesic experiment`.

use super::watcher::Watcher;
use super::{Common, Failure, print};
use crate::experiment::{
    Estimate, Experiment, ExperimentConfig, Observer as _, People, Summary, duration, fall_back,
    page, text,
};
use crate::train::write_atomically;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic experiment configs/experiments/tasks.toml --out runs/tasks\n\nEach training's result is kept as soon as it is there. A grid that was stopped or killed goes on with the same \
                  command, and one that was changed trains what is new; results of this version of the program are taken as they are. Try it with --set 'seeds=[1, 2]' --set train.steps=50."
)]
pub(super) struct ExperimentArgs {
    /// The grid: variants, seeds, label budgets
    config: PathBuf,
    /// Overrides a key: a dotted path, list entries by index (variant.1.objective.form=positive)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder of report.html, report.json, report.csv and runs.csv; named after the configuration by default
    #[arg(long)]
    out: Option<PathBuf>,
    /// The folder of the trainings' results, which grids that have trainings in common may share; `results` in --out by default
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Only says how long what is left of the grid takes
    #[arg(long)]
    estimate: bool,
    /// Reports the validation people instead of the test people: to choose options by
    #[arg(long)]
    validation: bool,
}

pub(super) fn run(common: &Common, args: &ExperimentArgs) -> Result<(), Failure> {
    let mut config = ExperimentConfig::read(&args.config, &args.set)?;
    let name = args.config.file_stem().unwrap_or_default();
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from("runs").join(name));
    let results = args.results.clone();
    let results = results.unwrap_or_else(|| out.join("results"));
    // What cannot be is refused before a device is looked for.
    Experiment::open(config.clone(), &args.config, &results)?;
    let gpu = common.gpu()?;
    eprintln!("adapter: {}", crate::gpu::describe(gpu.info()));
    if fall_back(&mut config, &gpu) {
        eprintln!("the adapter has no f16 (shader-f16): training in f32");
    }
    let mut experiment = Experiment::open(config, &args.config, &results)?;
    let mut watcher = Watcher::new()?;
    let estimate = experiment.estimate(&gpu)?;
    if args.estimate {
        return common.report(&estimate, || said(&estimate) + "\n");
    }
    watcher.message(&said(&estimate));
    experiment.write_config(&out)?;
    let ended = experiment.run(&gpu, &mut watcher);
    watcher.end();
    if let Err(error) = ended {
        let failure = Failure::from(error);
        if matches!(failure, Failure::Interrupted) {
            print("interrupted: the same command goes on\n")?;
        }
        return Err(failure);
    }
    report(common, args, &experiment, &out)
}

fn said(estimate: &Estimate) -> String {
    let Estimate {
        trainings,
        done,
        steps,
        ..
    } = estimate;
    let left = match trainings - done {
        0 => "all have their results".to_owned(),
        left => format!(
            "{left} are left, about {}, at {:.1} ms a step",
            duration(estimate.seconds),
            1e3 * estimate.seconds_per_step
        ),
    };
    format!("{trainings} trainings of {steps} steps; {left}")
}

/// Writes the files; all are made before the first is written.
fn report(
    common: &Common,
    args: &ExperimentArgs,
    experiment: &Experiment,
    out: &std::path::Path,
) -> Result<(), Failure> {
    let people = match args.validation {
        true => People::Validation,
        false => People::Test,
    };
    let config = experiment.config();
    let summary = Summary::new(config, &experiment.finish(people)?, people);
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let report = page(config, &summary, &command);
    let files = [
        ("report.html", report.html()),
        ("report.json", super::to_json(&report)?),
        ("report.csv", summary.csv()),
        ("runs.csv", summary.runs_csv()),
    ];
    for (name, text) in &files {
        write_atomically(&out.join(name), text.as_bytes())?;
    }
    common.report(&summary, || {
        format!(
            "{}\nthe report: {}\n",
            text(config, &summary),
            out.join("report.html").display()
        )
    })
}
