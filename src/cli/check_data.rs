//! `kinesic check-data`.

use super::{Common, Failure};
use crate::data::{Labelled, Row, check_header, too_many_broken};
use crate::objective::{ACTION_UNITS, EXPRESSIONS, Task, TaskKind};
use crate::train::config::{Config, DataConfig};
use crate::train::{Declared, LabelledDatabase};
use clap::Args;
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Example: kinesic check-data configs/fer2013.toml --json -")]
pub(super) struct CheckDataArgs {
    /// The configuration
    config: PathBuf,
    /// Overrides a key: a dotted path, list entries by index (data.0.path=faces.csv)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// What a database holds.
#[derive(Serialize)]
struct Report {
    name: String,
    path: PathBuf,
    validation: bool,
    images: usize,
    without_labels: usize,
    expression: BTreeMap<&'static str, usize>,
    /// For each action unit how often it is off and on.
    action_units: BTreeMap<String, [usize; 2]>,
    valence_arousal: usize,
    compound: BTreeMap<String, usize>,
    identities: usize,
    attributes: usize,
    boxes: usize,
    /// Of a validation database's table of pairs.
    pairs: usize,
    /// By declared task.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "by_name")]
    tasks: Vec<(String, OfTask)>,
    warnings: Vec<String>,
    broken: Vec<Broken>,
}

/// What a database holds for a declared task.
#[derive(Serialize)]
struct OfTask {
    kind: TaskKind,
    outputs: usize,
    /// Images with a label.
    labelled: usize,
    /// Images of a class that the task does not have, such as a person who is not trained on.
    unknown: usize,
}

fn by_name<S: Serializer>(list: &[(String, OfTask)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(list.iter().map(|(name, task)| (name, task)))
}

#[derive(Serialize)]
struct Broken {
    line: usize,
    file: PathBuf,
    reason: String,
}

/// Broken images that the text names, of each database.
const NAMED: usize = 10;

pub(super) fn run(common: &Common, args: &CheckDataArgs) -> Result<(), Failure> {
    let config = Config::read(&args.config, &args.set)?;
    // Warnings of the tables stand in their reports; here those about the tasks are new.
    let mut said = Vec::new();
    let declared = Declared::read(&config, &mut |text| said.push(text.to_owned()))?;
    let data = config.data.iter().zip(&declared.training);
    let training = data.map(|(data, labelled)| (data, labelled, false));
    let data = config.validation.iter().zip(&declared.validation);
    let validation = data.map(|(data, labelled)| (data, labelled, true));
    let mut reports = Vec::new();
    for (data, labelled, validation) in training.chain(validation) {
        let mut report = check(data, validation, labelled);
        said.retain(|text| !report.warnings.contains(text));
        if !config.task.is_empty() {
            let tasks = declared.tasks.iter().zip(&labelled.labelled);
            report.tasks = tasks
                .map(|(task, labelled)| of_task(task, *labelled))
                .collect();
        }
        reports.push(report);
    }
    said.iter().for_each(|warning| eprintln!("{warning}"));
    common.report(&reports, || reports.iter().map(text).collect())?;
    // As in training.
    let stops = |report: &&Report| too_many_broken(report.broken.len(), report.images);
    match reports.iter().find(stops) {
        Some(bad) => Err(Failure::Input(anyhow::anyhow!(
            "`{}`: {} of {} images are missing or broken, more than 1 %",
            bad.name,
            bad.broken.len(),
            bad.images
        ))),
        None => Ok(()),
    }
}

/// What a database says of a task.
fn of_task(task: &Task, labelled: Labelled) -> (String, OfTask) {
    let of_task = OfTask {
        kind: task.kind,
        outputs: task.outputs.len(),
        labelled: labelled.rows,
        unknown: labelled.unknown,
    };
    (task.name.clone(), of_task)
}

fn check(data: &DataConfig, validation: bool, labelled: &LabelledDatabase) -> Report {
    let table = &labelled.table;
    let broken: Vec<Broken> = table
        .rows
        .par_iter()
        .filter_map(|row| {
            let error = check_header(&row.image, row.face).err()?;
            Some(Broken {
                line: row.line,
                file: row.image.clone(),
                reason: error.to_string(),
            })
        })
        .collect();
    let count = |holds: &dyn Fn(&Row) -> bool| table.rows.iter().filter(|row| holds(row)).count();
    let expression = EXPRESSIONS.iter().enumerate().map(|(class, name)| {
        let of = count(&|row| row.affect.expression == u32::try_from(class).ok());
        (*name, of)
    });
    let units = ACTION_UNITS.iter().enumerate().map(|(unit, number)| {
        let of = |on| {
            count(&|row| {
                row.affect.au_mask >> unit & 1 == 1 && row.affect.au_value >> unit & 1 == on
            })
        };
        (format!("au{number}"), [of(0), of(1)])
    });
    let compound = table.compounds.iter().zip(0..).map(|(name, number)| {
        let of = count(&|row| row.compound == Some(number));
        (name.clone(), of)
    });
    Report {
        name: labelled.name.clone(),
        path: data.path.clone(),
        validation,
        images: table.rows.len(),
        without_labels: count(&unlabelled),
        expression: expression.filter(|(_, count)| *count > 0).collect(),
        action_units: units.filter(|(_, counts)| *counts != [0; 2]).collect(),
        valence_arousal: count(&|row| row.affect.valence_arousal.is_some()),
        compound: compound.filter(|(_, count)| *count > 0).collect(),
        identities: table.identities.len(),
        attributes: table.attributes.len(),
        boxes: count(&|row| row.face.is_some()),
        pairs: labelled.pairs.as_ref().map_or(0, |(_, pairs)| pairs.len()),
        tasks: Vec::new(),
        warnings: table.warnings.clone(),
        broken,
    }
}

fn unlabelled(row: &Row) -> bool {
    let labels = row.affect;
    labels.expression.is_none()
        && labels.au_mask == 0
        && labels.valence_arousal.is_none()
        && row.compound.is_none()
        && row.identity.is_none()
        && row.attributes[0] == 0
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{} ({}): {} images, {}\n",
        report.name,
        if report.validation {
            "validation"
        } else {
            "training"
        },
        report.images,
        report.path.display()
    );
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<18}{value}");
    };
    let histogram = |counts: &mut dyn Iterator<Item = (&str, usize)>| {
        let parts: Vec<String> = counts
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        parts.join(", ")
    };
    if !report.expression.is_empty() {
        let counts = report.expression.iter();
        line(
            "expression",
            histogram(&mut counts.map(|(name, n)| (*name, *n))),
        );
    }
    if !report.action_units.is_empty() {
        // In the order of the units, not of their names.
        let counts = ACTION_UNITS.iter().filter_map(|number| {
            let [off, on] = report.action_units.get(&format!("au{number}"))?;
            Some(format!("{number} {on}/{}", off + on))
        });
        line("action units on", counts.collect::<Vec<_>>().join(", "));
    }
    if !report.compound.is_empty() {
        let counts = report.compound.iter();
        line(
            "compound",
            histogram(&mut counts.map(|(name, n)| (name.as_str(), *n))),
        );
    }
    let counts = [
        ("valence, arousal", report.valence_arousal),
        ("identities", report.identities),
        ("attributes", report.attributes),
        ("boxes", report.boxes),
        ("pairs", report.pairs),
        ("without labels", report.without_labels),
        ("missing, broken", report.broken.len()),
    ];
    for (name, count) in counts {
        if count > 0 {
            line(name, count.to_string());
        }
    }
    for (name, task) in &report.tasks {
        let unknown = match task.unknown {
            0 => String::new(),
            images => format!(", {images} of classes that it does not have"),
        };
        let (labelled, outputs) = (task.labelled, task.outputs);
        line(
            "task",
            format!("{name}: {labelled} labelled images, {outputs} outputs{unknown}"),
        );
    }
    for broken in report.broken.iter().take(NAMED) {
        line("", format!("line {}: {}", broken.line, broken.reason));
    }
    if report.broken.len() > NAMED {
        line(
            "",
            format!("and {} more; --json lists all", report.broken.len() - NAMED),
        );
    }
    for warning in &report.warnings {
        line("warning", warning.clone());
    }
    text
}
