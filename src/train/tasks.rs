//! What a configuration declares, with its tables at hand: tasks whose outputs the data tells, their labels, the objective.

use super::TrainError;
use super::config::{Config, CouplingConfig, DataConfig, ESTIMATE, TaskConfig};
use crate::data::relatedness::{Between, load, load_between};
use crate::data::{DataError, Database, Labelled, Pair, Table, Wanted, read_pairs};
use crate::objective::{
    Label, Labels, MatchingTable, Objective, Relatedness, Task, TaskKind, TaskOptions, Tasks,
};
use std::collections::HashMap;
use std::path::PathBuf;

/// A run's tables with the labels of its tasks, and its objective.
#[derive(Debug)]
pub struct Declared {
    /// The tasks.
    pub tasks: Tasks,
    /// The objective.
    pub objective: Objective,
    /// The databases that are trained on.
    pub training: Vec<LabelledDatabase>,
    /// The databases that choose the best weights.
    pub validation: Vec<LabelledDatabase>,
}

/// A database's table, its rows labelled.
#[derive(Debug)]
pub struct LabelledDatabase {
    /// Its name in messages.
    pub name: String,
    /// The table.
    pub table: Table,
    /// Its share of each batch; see [`DataConfig`].
    pub weight: Option<f64>,
    /// How many rows are labelled, by task.
    pub labelled: Vec<Labelled>,
    /// The table of pairs and what it holds, where a validation database has one.
    pub pairs: Option<(PathBuf, Vec<Pair>)>,
}

impl Declared {
    /// Reads the tables of a configuration and finds its tasks and their labels; `say` is told what to know.
    ///
    /// # Errors
    /// [`TrainError::Data`] for tables that cannot be read or do not tell a task's outputs, or labels from which no relatedness can
    /// be estimated; [`TrainError::Objective`] for options outside their ranges.
    pub fn read(config: &Config, say: &mut dyn FnMut(&str)) -> Result<Self, TrainError> {
        let wanted = wanted(config);
        let mut tables = Vec::new();
        for data in &config.data {
            tables.push(read(data, &wanted, say)?);
        }
        let tasks = match config.task.as_slice() {
            [] => config.objective.tasks()?,
            list => tasks(list, &tables)?,
        };
        let mut training = Vec::new();
        for (data, table) in config.data.iter().zip(tables) {
            training.push(LabelledDatabase::new(data, table, &tasks));
        }
        warn(config, &tasks, &training, say);
        let objective = objective(config, &tasks, &training, say)?;
        let wanted = Wanted::by(&tasks);
        let mut validation = Vec::new();
        for data in &config.validation {
            let table = read(data, &wanted, say)?;
            let mut labelled = LabelledDatabase::new(data, table, &tasks);
            if let Some(path) = &data.pairs {
                labelled.pairs = Some((path.clone(), read_pairs(path)?));
            }
            validation.push(labelled);
        }
        Ok(Self {
            tasks,
            objective,
            training,
            validation,
        })
    }
}

impl LabelledDatabase {
    fn new(data: &DataConfig, mut table: Table, tasks: &Tasks) -> Self {
        Self {
            name: data.label(),
            labelled: table.label(tasks),
            table,
            weight: data.weight,
            pairs: None,
        }
    }

    fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.table.rows.iter().map(|row| &row.labels)
    }

    /// The rows, as a loader takes them.
    pub fn database(self) -> Database {
        Database {
            name: self.name,
            rows: self.table.rows,
            weight: self.weight,
        }
    }
}

fn labels(databases: &[LabelledDatabase]) -> impl Iterator<Item = &Labels> {
    databases.iter().flat_map(LabelledDatabase::labels)
}

/// The columns that the declared tasks ask for, before all their outputs are known.
fn wanted(config: &Config) -> Wanted {
    let mut wanted = Wanted::default();
    for task in &config.task {
        if let Some(kind) = task.kind() {
            wanted.add(&task.name, kind, &task.outputs());
        }
    }
    wanted
}

fn read(data: &DataConfig, wanted: &Wanted, say: &mut dyn FnMut(&str)) -> Result<Table, DataError> {
    let table = Table::read_split(&data.path, data.split.as_deref(), wanted)?;
    table.warnings.iter().for_each(|warning| say(warning));
    Ok(table)
}

/// The declared tasks with their outputs.
fn tasks(list: &[TaskConfig], tables: &[Table]) -> Result<Tasks, TrainError> {
    let mut tasks = Vec::with_capacity(list.len());
    for task in list {
        // The configuration was checked to have a kind.
        let kind = task.kind().unwrap_or(TaskKind::Softmax);
        let outputs = match (task.outputs(), kind) {
            (given, _) if !given.is_empty() => given,
            (_, TaskKind::Softmax) => classes(task, tables)?,
            _ => attributes(task, list, tables)?,
        };
        tasks.push(Task {
            name: task.name.clone(),
            kind,
            outputs,
        });
    }
    Ok(Tasks::new(tasks)?)
}

/// The classes that the training images show, in the order of their first appearance.
fn classes(task: &TaskConfig, tables: &[Table]) -> Result<Vec<String>, DataError> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut counts: Vec<(String, u64)> = Vec::new();
    for table in tables {
        let names = table.class_names(&task.name);
        for class in table.classes_shown(&task.name) {
            let Some(name) = names.get(class as usize) else {
                continue;
            };
            let place = *places.entry(name.clone()).or_insert_with(|| {
                counts.push((name.clone(), 0));
                counts.len() - 1
            });
            counts[place].1 += 1;
        }
    }
    let shown = counts.len();
    counts.retain(|(_, images)| *images >= task.min_images);
    if counts.len() < 2 {
        return Err(DataError::Outputs {
            task: task.name.clone(),
            found: format!(
                "the training tables show {shown} classes in a column `{}`, {} of them in {} or more images",
                task.name,
                counts.len(),
                task.min_images
            ),
            advice: "give tables with two or more, or lower min_images",
        });
    }
    Ok(counts.into_iter().map(|(name, _)| name).collect())
}

/// The attributes of the training tables that no other task reads.
fn attributes(
    task: &TaskConfig,
    list: &[TaskConfig],
    tables: &[Table],
) -> Result<Vec<String>, DataError> {
    let taken = |name: &String| list.iter().any(|other| other.outputs.contains(name));
    let mut names: Vec<String> = Vec::new();
    for name in tables.iter().flat_map(|table| &table.attributes) {
        if !names.contains(name) && !taken(name) {
            names.push(name.clone());
        }
    }
    match names.is_empty() {
        true => Err(DataError::Outputs {
            task: task.name.clone(),
            found: "no training table has an attribute, a column of 0 and 1".to_owned(),
            advice: "give a table with attributes, or leave the task out",
        }),
        false => Ok(names),
    }
}

/// Says which declared tasks no image is labelled for, and which classes are none of the outputs that were given.
fn warn(config: &Config, tasks: &Tasks, training: &[LabelledDatabase], say: &mut dyn FnMut(&str)) {
    for (place, (task, declared)) in tasks.iter().zip(&config.task).enumerate() {
        let sum = |of: fn(&Labelled) -> usize| -> usize {
            training.iter().map(|data| of(&data.labelled[place])).sum()
        };
        let name = &task.name;
        if sum(|it| it.rows) == 0 {
            say(&format!(
                "task `{name}`: no training image has a label of it"
            ));
        }
        let labels = || training.iter().flat_map(LabelledDatabase::labels);
        let annotated = labels().fold(0, |all, labels| match labels.get(place) {
            Label::Bits { mask, .. } => all | mask,
            _ => all,
        });
        let outputs = task.outputs.iter().enumerate().take(64);
        let silent = outputs.filter(|(bit, _)| annotated >> bit & 1 == 0);
        let silent: Vec<&str> = silent.map(|(_, name)| name.as_str()).collect();
        if annotated != 0 && !silent.is_empty() {
            let silent = silent.join(", ");
            say(&format!(
                "task `{name}`: no training image annotates {silent}"
            ));
        }
        let unknown = sum(|it| it.unknown);
        if unknown > 0 && !declared.outputs.is_empty() {
            say(&format!(
                "task `{name}`: {unknown} training images show a class that is none of its outputs, which is no label"
            ));
        }
    }
}

fn objective(
    config: &Config,
    tasks: &Tasks,
    training: &[LabelledDatabase],
    say: &mut dyn FnMut(&str),
) -> Result<Objective, TrainError> {
    if config.task.is_empty() {
        let table = affect_table(config, tasks, training, say)?;
        return Ok(Objective::new(tasks, &config.objective, table.as_ref())?);
    }
    let mut couplings = Vec::with_capacity(config.coupling.len());
    for coupling in &config.coupling {
        couplings.push(coupling.by(relate(coupling, tasks, labels(training), say)?));
    }
    let options: Vec<TaskOptions> = config.task.iter().map(TaskConfig::options).collect();
    let weighting = config.objective.task_weighting;
    Ok(Objective::declare(tasks, &options, &couplings, weighting)?)
}

/// The table that relates expression and action units; none where one of them is not trained.
fn affect_table(
    config: &Config,
    tasks: &Tasks,
    training: &[LabelledDatabase],
    say: &mut dyn FnMut(&str),
) -> Result<Option<Relatedness>, DataError> {
    let options = &config.objective;
    if options.relatedness != ESTIMATE {
        let loaded = load(&options.relatedness)?;
        loaded.warnings.iter().for_each(|warning| say(warning));
        return Ok(Some(loaded.table));
    }
    let Some(between) = between(["expression", "action_units"], tasks) else {
        return Ok(None);
    };
    if options.matching_table == MatchingTable::Binary && options.distribution_matching > 0.0 {
        say(
            "objective.matching_table = \"binary\" takes every weight above 0 of an estimate for 1; \"weighted\" suits it",
        );
    }
    estimate(&between, labels(training), say).map(Some)
}

/// The table of a coupling; the labels are for one that is estimated.
///
/// # Errors
/// What reading or estimating it meets.
pub(crate) fn relate<'l>(
    coupling: &CouplingConfig,
    tasks: &Tasks,
    labels: impl Iterator<Item = &'l Labels>,
    say: &mut dyn FnMut(&str),
) -> Result<Relatedness, DataError> {
    let Some(between) = coupled(coupling, tasks) else {
        // Tasks of other kinds, which the objective refuses with their names.
        return Ok(Relatedness::default());
    };
    if coupling.table() == ESTIMATE {
        return estimate(&between, labels, say);
    }
    let loaded = load_between(coupling.table(), &between)?;
    loaded.warnings.iter().for_each(|warning| say(warning));
    Ok(loaded.table)
}

/// The softmax and the sigmoid task of a coupling, which names them in either order; none where they are no such tasks.
pub(crate) fn coupled<'a>(coupling: &CouplingConfig, tasks: &'a Tasks) -> Option<Between<'a>> {
    let [a, b] = coupling.of.each_ref().map(String::as_str);
    between([a, b], tasks).or_else(|| between([b, a], tasks))
}

/// A softmax and a sigmoid task by their names.
fn between<'a>(names: [&str; 2], tasks: &'a Tasks) -> Option<Between<'a>> {
    let [classes, detections] = names.map(|name| Some((tasks.position(name)?, tasks.get(name)?)));
    let (classes, detections) = (classes?, detections?);
    let kinds = (classes.1.kind, detections.1.kind);
    (kinds == (TaskKind::Softmax, TaskKind::Sigmoid)).then_some(Between {
        classes,
        detections,
    })
}

fn estimate<'l>(
    between: &Between<'_>,
    labels: impl Iterator<Item = &'l Labels>,
    say: &mut dyn FnMut(&str),
) -> Result<Relatedness, DataError> {
    let loaded = between.estimate(labels)?;
    loaded.warnings.iter().for_each(|warning| say(warning));
    Ok(loaded.table)
}

#[cfg(test)]
mod tests;
