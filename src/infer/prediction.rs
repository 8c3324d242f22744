//! What the network's logits say, named.

use crate::objective::compound::{DU2014, Predicted, Scorer, UnitSet};
use crate::objective::{ObjectiveError, Task, TaskKind, Tasks};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The most classes of which every probability is told; of more, those of the [`LIKELIEST`].
pub const MOST_CLASSES: usize = 64;
/// How many classes are told of a task with more than [`MOST_CLASSES`].
pub const LIKELIEST: usize = 5;

/// What the network says of one face.
///
/// Where it is written, a map: under the name of each task the probabilities by name, but values under their own names
/// (`valence`, `arousal`), and `compound`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// By the names of the tasks, in their order.
    pub tasks: Vec<(String, Answer)>,
    /// The most likely compound expression, zero-shot: no network was trained on it.
    pub compound: Option<&'static str>,
}

/// What the network says for one task, by the names of its outputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The probability of each class, in 0 to 1.
    Classes(Vec<(String, f32)>),
    /// The same of the likeliest of very many classes, in falling order.
    Likeliest(Vec<(String, f32)>),
    /// The probability that each output is on, in 0 to 1.
    Detections(Vec<(String, f32)>),
    /// Values in [-1, 1].
    Values(Vec<(String, f32)>),
}

impl Answer {
    /// The outputs with their numbers, whatever they mean.
    pub fn outputs(&self) -> &[(String, f32)] {
        match self {
            Self::Classes(outputs) | Self::Likeliest(outputs) => outputs,
            Self::Detections(outputs) | Self::Values(outputs) => outputs,
        }
    }

    /// The most probable of several classes.
    pub fn top(&self) -> Option<(&str, f32)> {
        let (Self::Classes(classes) | Self::Likeliest(classes)) = self else {
            return None;
        };
        let top = classes.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        top.map(|(name, p)| (name.as_str(), *p))
    }
}

impl Prediction {
    /// The most probable class of the first task that has classes, the expression in most networks; `none` without one.
    pub fn top(&self) -> (&str, f32) {
        let top = self.tasks.iter().find_map(|(_, answer)| answer.top());
        top.unwrap_or(("none", 0.0))
    }

    /// What is said for the task of a name.
    pub fn get(&self, task: &str) -> Option<&Answer> {
        let found = self.tasks.iter().find(|(name, _)| name == task);
        found.map(|(_, answer)| answer)
    }

    /// The outputs of the task of a name; none where the network does not have it.
    pub fn outputs(&self, task: &str) -> &[(String, f32)] {
        self.get(task).map_or(&[], Answer::outputs)
    }

    /// A value by its name, such as `valence`.
    pub fn value(&self, name: &str) -> Option<f32> {
        self.tasks.iter().find_map(|(_, answer)| {
            let Answer::Values(values) = answer else {
                return None;
            };
            let found = values.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| *value)
        })
    }
}

impl Serialize for Prediction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, answer) in &self.tasks {
            match answer {
                Answer::Values(values) => {
                    for (name, value) in values {
                        map.serialize_entry(name, value)?;
                    }
                }
                answer => map.serialize_entry(name, &ByName(answer.outputs()))?,
            }
        }
        map.serialize_entry("compound", &self.compound)?;
        map.end()
    }
}

/// A map in the order of the list.
struct ByName<'a>(&'a [(String, f32)]);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Turns logits into [`Prediction`]s for one set of tasks.
#[derive(Clone, Debug)]
pub struct Reader {
    tasks: Tasks,
    scorer: Option<Scored>,
}

/// What compound expressions are scored by.
#[derive(Clone, Debug)]
struct Scored {
    scorer: Scorer,
    /// The names of the softmax and the sigmoid task.
    tasks: [String; 2],
}

impl Reader {
    /// For the logits of these tasks. Tasks that compound expressions cannot be scored by simply have none.
    pub fn new(tasks: &Tasks) -> Self {
        let name = |kind| {
            let task = tasks.iter().find(|task| task.kind == kind);
            task.map(|task| task.name.clone())
        };
        let names = name(TaskKind::Softmax).zip(name(TaskKind::Sigmoid));
        let scorer = Scorer::new(tasks, &DU2014, UnitSet::Prototypical).ok();
        Self {
            tasks: tasks.clone(),
            scorer: scorer.zip(names).map(|(scorer, (classes, units))| Scored {
                scorer,
                tasks: [classes, units],
            }),
        }
    }

    /// Reads one image's logits.
    ///
    /// # Errors
    /// [`ObjectiveError::Compound`], which only a defect of this crate can cause.
    pub fn read(&self, logits: &[f32]) -> Result<Prediction, ObjectiveError> {
        let mut prediction = Prediction::default();
        let mut rest = logits;
        for task in &self.tasks {
            let (own, behind) = rest.split_at(task.outputs.len().min(rest.len()));
            rest = behind;
            let answer = answer(task, own);
            prediction.tasks.push((task.name.clone(), answer));
        }
        prediction.compound = self.compound(&prediction)?.map(|class| DU2014[class].name);
        Ok(prediction)
    }

    /// The compound class of a prediction, among the fifteen of Du et al.
    fn compound(&self, prediction: &Prediction) -> Result<Option<usize>, ObjectiveError> {
        let (Some(scored), Some(valence)) = (&self.scorer, prediction.value("valence")) else {
            return Ok(None);
        };
        let [expression, units] = scored.tasks.each_ref().map(|task| {
            let outputs = prediction.outputs(task).iter();
            outputs.map(|(_, p)| *p).collect::<Vec<_>>()
        });
        let face = Predicted {
            expression: &expression,
            action_units: &units,
            valence,
        };
        scored.scorer.predict(&face).map(Some)
    }
}

fn answer(task: &Task, logits: &[f32]) -> Answer {
    let named = |values: Vec<f32>| -> Vec<(String, f32)> {
        task.outputs.iter().cloned().zip(values).collect()
    };
    let each = |value: &dyn Fn(f32) -> f32| named(logits.iter().map(|&it| value(it)).collect());
    match task.kind {
        TaskKind::Softmax if logits.len() <= MOST_CLASSES => {
            Answer::Classes(named(softmax(logits)))
        }
        TaskKind::Softmax => {
            let values = softmax(logits);
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
            let likeliest = order.into_iter().take(LIKELIEST);
            Answer::Likeliest(
                likeliest
                    .map(|class| (task.outputs[class].clone(), values[class]))
                    .collect(),
            )
        }
        TaskKind::Sigmoid => Answer::Detections(each(&|logit| 1.0 / (1.0 + (-logit).exp()))),
        TaskKind::Linear => Answer::Values(each(&|logit| logit.clamp(-1.0, 1.0))),
        TaskKind::Tanh => Answer::Values(each(&f32::tanh)),
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_become_named_probabilities() {
        let tasks = Tasks::affect();
        let mut logits = vec![0.0; tasks.width()];
        logits[4] = 2.0_f32.ln(); // happiness, twice as likely as each of the six others
        logits[7 + 8] = 3.0_f32.ln(); // AU 12, three to one
        (logits[24], logits[25]) = (0.25, -3.0);
        let prediction = Reader::new(&tasks).read(&logits).unwrap();
        let json = serde_json::to_value(&prediction).unwrap();
        assert_eq!(json["valence"], 0.25);
        assert_eq!(json["action_units"].as_object().unwrap().len(), 17);
        let happiness = prediction.outputs("expression")[4].1;
        assert_eq!(json["expression"]["happiness"], happiness);
        let (name, p) = prediction.top();
        assert_eq!(name, "happiness");
        assert!((p - 0.25).abs() < 1e-6, "{p}");
        let (name, p) = &prediction.outputs("action_units")[8];
        assert_eq!(name, "au12");
        assert!((p - 0.75).abs() < 1e-6, "{p}");
        let values = ["valence", "arousal"].map(|name| prediction.value(name));
        assert_eq!(values, [Some(0.25), Some(-1.0)]);
        assert!(
            prediction
                .compound
                .is_some_and(|name| name.starts_with("happily"))
        );
    }

    #[test]
    fn of_thousands_of_people_the_likeliest_are_told() {
        let tasks = Tasks::new(vec![
            Task {
                name: "identity".to_owned(),
                kind: TaskKind::Softmax,
                outputs: (0..3000).map(|person| format!("person-{person}")).collect(),
            },
            Task {
                name: "attributes".to_owned(),
                kind: TaskKind::Sigmoid,
                outputs: vec!["smiling".to_owned()],
            },
        ])
        .unwrap();
        let mut logits = vec![0.0; tasks.width()];
        (logits[2999], logits[7], logits[3000]) = (9.0, 8.0, 1.0);
        let prediction = Reader::new(&tasks).read(&logits).unwrap();
        let names: Vec<_> = prediction.outputs("identity").iter().collect();
        assert_eq!(names.len(), LIKELIEST);
        assert_eq!(
            (names[0].0.as_str(), names[1].0.as_str()),
            ("person-2999", "person-7")
        );
        // e⁹ / (e⁹ + e⁸ + 2998)
        assert!((names[0].1 - 0.5754).abs() < 1e-3, "{}", names[0].1);
        let json = serde_json::to_value(&prediction).unwrap();
        assert!(json["attributes"]["smiling"].as_f64().unwrap() > 0.7);
        assert!(json["compound"].is_null());
    }
}
