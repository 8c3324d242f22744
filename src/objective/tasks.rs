//! The tasks of a network as data: names, kinds and outputs, and where each has its columns among the logits.

use super::ObjectiveError;
use crate::kernels::padded;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ops::Range;

/// The basic expressions in the order of the logits.
pub const EXPRESSIONS: [&str; 7] = [
    "neutral",
    "anger",
    "disgust",
    "fear",
    "happiness",
    "sadness",
    "surprise",
];

/// The numbers of the facial action units in the order of the logits; their outputs are named `au1`, `au2`, ...
pub const ACTION_UNITS: [u32; 17] = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26];

/// What a task's logits mean, and with it the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// One of several classes: softmax, cross entropy.
    Softmax,
    /// Independent detections: sigmoid, binary cross entropy.
    Sigmoid,
    /// Continuous values, the logits themselves: concordance correlation.
    Linear,
    /// Continuous values, tanh of the logits: concordance correlation.
    Tanh,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Task {
    /// Its name: `expression`, `action_units`, `valence_arousal`, ...
    pub name: String,
    /// What its logits mean.
    pub kind: TaskKind,
    /// The names of its outputs, one for each logit.
    pub outputs: Vec<String>,
}

/// The tasks of a network, in the order of their logits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Task>", into = "Vec<Task>")]
pub struct Tasks(Vec<Task>);

impl Tasks {
    /// Declares tasks.
    ///
    /// # Errors
    /// [`ObjectiveError::NoTask`], [`ObjectiveError::Twice`] for a repeated name, [`ObjectiveError::TooFewOutputs`] for a
    /// task without outputs or a softmax over one class.
    pub fn new(tasks: Vec<Task>) -> Result<Self, ObjectiveError> {
        if tasks.is_empty() {
            return Err(ObjectiveError::NoTask);
        }
        distinct(tasks.iter().map(|task| &task.name))?;
        for task in &tasks {
            let allowed = 1 + usize::from(task.kind == TaskKind::Softmax);
            if task.outputs.len() < allowed {
                return Err(ObjectiveError::TooFewOutputs {
                    task: task.name.clone(),
                    asked: task.outputs.len(),
                    allowed,
                });
            }
            distinct(task.outputs.iter())?;
        }
        Ok(Self(tasks))
    }

    /// The tasks of case study (i): 7 expressions, 17 action units, valence and arousal; 26 logits.
    pub fn affect() -> Self {
        let task = |name: &str, kind, outputs| Task {
            name: name.to_owned(),
            kind,
            outputs,
        };
        let named = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let units = ACTION_UNITS.iter().map(|unit| format!("au{unit}"));
        Self(vec![
            task("expression", TaskKind::Softmax, named(&EXPRESSIONS)),
            task("action_units", TaskKind::Sigmoid, units.collect()),
            task(
                "valence_arousal",
                TaskKind::Linear,
                named(&["valence", "arousal"]),
            ),
        ])
    }

    /// The tasks in the order of their logits.
    pub fn iter(&self) -> std::slice::Iter<'_, Task> {
        self.0.iter()
    }

    /// The task of a name.
    pub fn get(&self, name: &str) -> Option<&Task> {
        self.iter().find(|task| task.name == name)
    }

    /// The position of the task of a name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.iter().position(|task| task.name == name)
    }

    /// The columns of a task among the logits.
    pub fn columns(&self, name: &str) -> Option<Range<usize>> {
        let mut start = 0;
        for task in self.iter() {
            if task.name == name {
                return Some(start..start + task.outputs.len());
            }
            start += task.outputs.len();
        }
        None
    }

    /// The number of logits.
    pub fn logits(&self) -> usize {
        self.iter().map(|task| task.outputs.len()).sum()
    }

    /// The columns of the matrix of logits: [`logits`](Self::logits) padded to a multiple of 4.
    pub fn width(&self) -> usize {
        padded(self.logits())
    }
}

impl TryFrom<Vec<Task>> for Tasks {
    type Error = ObjectiveError;

    fn try_from(tasks: Vec<Task>) -> Result<Self, ObjectiveError> {
        Self::new(tasks)
    }
}

impl From<Tasks> for Vec<Task> {
    fn from(tasks: Tasks) -> Self {
        tasks.0
    }
}

impl<'a> IntoIterator for &'a Tasks {
    type Item = &'a Task;
    type IntoIter = std::slice::Iter<'a, Task>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), ObjectiveError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ObjectiveError::Twice { name: name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affect_has_the_columns_of_the_reference() {
        let tasks = Tasks::affect();
        assert_eq!(tasks.columns("expression"), Some(0..7));
        assert_eq!(tasks.columns("action_units"), Some(7..24));
        assert_eq!(tasks.columns("valence_arousal"), Some(24..26));
        assert_eq!(tasks.columns("identity"), None);
        assert_eq!((tasks.logits(), tasks.width()), (26, 28));
        assert_eq!(tasks.get("action_units").unwrap().outputs[16], "au26");
    }

    #[test]
    fn travels_as_text_and_is_checked_on_the_way_in() {
        let text = serde_json::to_string(&Tasks::affect()).unwrap();
        assert_eq!(
            serde_json::from_str::<Tasks>(&text).unwrap(),
            Tasks::affect()
        );
        let twice = text.replace("\"au2\"", "\"au1\"");
        let error = serde_json::from_str::<Tasks>(&twice).unwrap_err();
        assert!(
            error.to_string().contains("`au1` is declared twice"),
            "{error}"
        );
    }

    #[test]
    fn rejects_tasks_without_meaning() {
        assert_eq!(Tasks::new(Vec::new()), Err(ObjectiveError::NoTask));
        let one = Task {
            name: "expression".to_owned(),
            kind: TaskKind::Softmax,
            outputs: vec!["neutral".to_owned()],
        };
        let error = Tasks::new(vec![one]).unwrap_err();
        assert!(
            matches!(error, ObjectiveError::TooFewOutputs { asked: 1, .. }),
            "{error}"
        );
    }
}
