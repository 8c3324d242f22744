//! The labels of tasks, from the columns of a table.

use super::column::Column;
use super::{Row, Table};
use crate::objective::{Label, Labels, Task, TaskKind, Tasks};
use std::collections::HashMap;

/// The columns that a table is read for beyond those that every table may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Columns of classes, any text: those of softmax tasks that are not `expression`, `compound` or `identity`.
    pub classes: Vec<String>,
    /// Columns of values, any finite number: those of continuous tasks that are not `valence` and `arousal`.
    pub values: Vec<String>,
}

/// How many rows of a table carry a label, by task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// The rows.
    pub rows: usize,
    /// Rows that show a class which the task does not have.
    pub unknown: usize,
}

impl Wanted {
    /// What tasks ask for.
    pub fn by(tasks: &Tasks) -> Self {
        let mut wanted = Self::default();
        for task in tasks {
            wanted.add(&task.name, task.kind, &task.outputs);
        }
        wanted
    }

    /// Adds what a task asks for.
    pub fn add(&mut self, name: &str, kind: TaskKind, outputs: &[String]) {
        match kind {
            TaskKind::Softmax if Column::known(name).is_none() => {
                self.classes.push(name.to_owned());
            }
            TaskKind::Linear | TaskKind::Tanh => {
                let known = |name: &&String| Column::known(name).is_none();
                self.values.extend(outputs.iter().filter(known).cloned());
            }
            _ => {}
        }
    }

    /// What a name stands for, if it was asked for.
    pub(super) fn column(&self, name: &str) -> Option<Column> {
        let place = |names: &[String]| names.iter().position(|it| it.eq_ignore_ascii_case(name));
        let class = place(&self.classes).map(Column::Class);
        class.or_else(|| place(&self.values).map(Column::Value))
    }
}

/// Where a task's labels come from.
enum Source {
    /// A class by its number in the table, and the output that it is.
    Class(Column, Vec<Option<u32>>),
    /// For each output, a detection by its column.
    Bits(Vec<Option<Column>>),
    /// Two values by their columns.
    Values([Option<Column>; 2]),
}

impl Table {
    /// Finds the labels of tasks in the rows: a softmax task reads the column of its name, a sigmoid one the columns of its outputs
    /// (action units, attributes), a continuous one the columns of its two outputs. Classes go by name: one that the task does not
    /// have, such as a person who was not trained on, is a missing label. The table must have been read for these tasks.
    ///
    /// Gives the labelled rows by task.
    pub fn label(&mut self, tasks: &Tasks) -> Vec<Labelled> {
        let sources: Vec<Source> = tasks.iter().map(|task| self.source(task)).collect();
        let mut labelled = vec![Labelled::default(); sources.len()];
        for row in &mut self.rows {
            let mut labels = Labels::default();
            for (source, labelled) in sources.iter().zip(&mut labelled) {
                let label = source.label(row);
                labelled.rows += usize::from(!label.is_missing());
                labelled.unknown += usize::from(label.is_missing() && source.shows(row));
                labels.tasks.push(label);
            }
            row.labels = labels;
        }
        labelled
    }

    /// The names of the classes in the column of a softmax task, by number.
    pub fn class_names(&self, task: &str) -> Vec<String> {
        match Column::known(task) {
            Some(Column::Expression) => crate::objective::EXPRESSIONS.map(str::to_owned).into(),
            Some(Column::Identity) => self.identities.clone(),
            Some(Column::Compound) => self.compounds.clone(),
            _ => {
                let found = self.classes.iter().find(|(name, _)| name == task);
                found.map_or(Vec::new(), |(_, names)| names.clone())
            }
        }
    }

    /// The classes in the column of a softmax task, by number, of the rows that show one.
    pub fn classes_shown(&self, task: &str) -> impl Iterator<Item = u32> {
        let column = self.class_column(task);
        self.rows.iter().filter_map(move |row| shown(column, row))
    }

    fn class_column(&self, task: &str) -> Column {
        let place = self.classes.iter().position(|(name, _)| name == task);
        let column = Column::known(task).or(place.map(Column::Class));
        column.unwrap_or(Column::Ignored)
    }

    fn source(&self, task: &Task) -> Source {
        let detection = |name: &String| match Column::known(name) {
            Some(column @ Column::ActionUnit(_)) => Some(column),
            _ => {
                let place = self.attributes.iter().position(|known| known == name)?;
                Some(Column::Attribute(place))
            }
        };
        let value = |name: &String| match Column::known(name) {
            Some(column @ Column::Affect(_)) => Some(column),
            _ => {
                let place = self.values.iter().position(|known| known == name)?;
                Some(Column::Value(place))
            }
        };
        match task.kind {
            TaskKind::Softmax => {
                let outputs: HashMap<&str, u32> =
                    (task.outputs.iter().map(String::as_str)).zip(0..).collect();
                let names = self.class_names(&task.name);
                let number = names.iter().map(|name| outputs.get(name.as_str()).copied());
                Source::Class(self.class_column(&task.name), number.collect())
            }
            TaskKind::Sigmoid => Source::Bits(task.outputs.iter().map(detection).collect()),
            TaskKind::Linear | TaskKind::Tanh => {
                let mut columns = task.outputs.iter().map(value);
                Source::Values([0, 1].map(|_| columns.next().flatten()))
            }
        }
    }
}

impl Source {
    fn label(&self, row: &Row) -> Label {
        match self {
            Self::Class(column, outputs) => {
                let number = shown(*column, row).and_then(|number| outputs.get(number as usize));
                number
                    .copied()
                    .flatten()
                    .map_or(Label::Missing, Label::Class)
            }
            Self::Bits(columns) => {
                let (mut mask, mut on) = (0, 0);
                for (output, column) in columns.iter().enumerate().take(64) {
                    let [annotated, set] = column.map_or([0; 2], |column| detected(column, row));
                    mask |= annotated << output;
                    on |= set << output;
                }
                match mask {
                    0 => Label::Missing,
                    mask => Label::Bits { mask, on },
                }
            }
            Self::Values([Some(first), Some(second)]) => {
                let values = value(*first, row).zip(value(*second, row));
                values.map_or(Label::Missing, |(a, b)| Label::Values([a, b]))
            }
            Self::Values(_) => Label::Missing,
        }
    }

    /// Whether a row shows a class, known to the task or not.
    fn shows(&self, row: &Row) -> bool {
        matches!(self, Self::Class(column, _) if shown(*column, row).is_some())
    }
}

/// The number of the class in a column.
fn shown(column: Column, row: &Row) -> Option<u32> {
    match column {
        Column::Expression => row.affect.expression,
        Column::Identity => row.identity,
        Column::Compound => row.compound,
        Column::Class(number) => row.classes.get(number).copied().flatten(),
        _ => None,
    }
}

/// Whether a detection is annotated, and whether it is on.
fn detected(column: Column, row: &Row) -> [u64; 2] {
    let bits = |masks: [u64; 2], place: usize| masks.map(|mask| mask >> place & 1);
    match column {
        Column::ActionUnit(unit) => bits([row.affect.au_mask, row.affect.au_value], unit),
        Column::Attribute(place) => bits(row.attributes, place),
        _ => [0; 2],
    }
}

fn value(column: Column, row: &Row) -> Option<f32> {
    match column {
        Column::Affect(axis) => row.affect.valence_arousal.map(|values| values[axis]),
        Column::Value(number) => row.values.get(number).copied().flatten(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
