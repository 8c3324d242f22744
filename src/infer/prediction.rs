//! What the network's logits say, named.

use crate::objective::compound::{DU2014, Predicted, Scorer, UnitSet};
use crate::objective::{ObjectiveError, TaskKind, Tasks};
use serde::{Serialize, Serializer};
use std::ops::Range;

/// What the network says of one face. Tasks that the network does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Prediction {
    /// The probability of each expression, by name; a map where it is written.
    #[serde(serialize_with = "by_name")]
    pub expression: Vec<(String, f32)>,
    /// The probability that each action unit (or attribute) is on, by name; a map where it is written.
    #[serde(serialize_with = "by_name")]
    pub action_units: Vec<(String, f32)>,
    /// Valence in [-1, 1].
    pub valence: Option<f32>,
    /// Arousal in [-1, 1].
    pub arousal: Option<f32>,
    /// The most likely compound expression, zero-shot: no network was trained on it.
    pub compound: Option<&'static str>,
}

/// A map in the order of the list.
fn by_name<S: Serializer>(list: &[(String, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(list.iter().map(|(name, value)| (name, value)))
}

impl Prediction {
    /// The most probable expression; `none` where the network has no such task.
    pub fn top(&self) -> (&str, f32) {
        let top = self.expression.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        top.map_or(("none", 0.0), |(name, p)| (name.as_str(), *p))
    }
}

/// Turns logits into [`Prediction`]s for one set of tasks.
#[derive(Clone, Debug)]
pub struct Reader {
    expression: Option<(Range<usize>, Vec<String>)>,
    units: Option<(Range<usize>, Vec<String>)>,
    axes: Option<(Range<usize>, bool)>,
    scorer: Option<Scorer>,
}

impl Reader {
    /// Finds the tasks' columns. Tasks that compound expressions cannot be scored by simply have none.
    pub fn new(tasks: &Tasks) -> Self {
        let find = |kinds: &[TaskKind]| {
            let task = tasks.iter().find(|task| kinds.contains(&task.kind))?;
            Some((tasks.columns(&task.name)?, task))
        };
        let named = |kind| find(&[kind]).map(|(columns, task)| (columns, task.outputs.clone()));
        Self {
            expression: named(TaskKind::Softmax),
            units: named(TaskKind::Sigmoid),
            axes: find(&[TaskKind::Linear, TaskKind::Tanh])
                .filter(|(columns, _)| columns.len() == 2)
                .map(|(columns, task)| (columns, task.kind == TaskKind::Tanh)),
            scorer: Scorer::new(tasks, &DU2014, UnitSet::Prototypical).ok(),
        }
    }

    /// Reads one image's logits.
    ///
    /// # Errors
    /// [`ObjectiveError::Compound`], which only a defect of this crate can cause.
    pub fn read(&self, logits: &[f32]) -> Result<Prediction, ObjectiveError> {
        let mut prediction = Prediction::default();
        if let Some((columns, names)) = &self.expression {
            let values = softmax(&logits[columns.clone()]);
            prediction.expression = names.iter().cloned().zip(values).collect();
        }
        if let Some((columns, names)) = &self.units {
            let values = logits[columns.clone()]
                .iter()
                .map(|logit| 1.0 / (1.0 + (-logit).exp()));
            prediction.action_units = names.iter().cloned().zip(values).collect();
        }
        if let Some((columns, tanh)) = &self.axes {
            let value = |logit: f32| {
                if *tanh {
                    logit.tanh()
                } else {
                    logit.clamp(-1.0, 1.0)
                }
            };
            prediction.valence = Some(value(logits[columns.start]));
            prediction.arousal = Some(value(logits[columns.start + 1]));
        }
        prediction.compound = self.compound(&prediction)?.map(|class| DU2014[class].name);
        Ok(prediction)
    }

    /// The compound class of a prediction, among the fifteen of Du et al.
    fn compound(&self, prediction: &Prediction) -> Result<Option<usize>, ObjectiveError> {
        let (Some(scorer), Some(valence)) = (&self.scorer, prediction.valence) else {
            return Ok(None);
        };
        let values = |list: &[(String, f32)]| list.iter().map(|(_, p)| *p).collect::<Vec<_>>();
        let (expression, units) = (
            values(&prediction.expression),
            values(&prediction.action_units),
        );
        scorer
            .predict(&Predicted {
                expression: &expression,
                action_units: &units,
                valence,
            })
            .map(Some)
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
        assert_eq!(json["expression"]["happiness"], prediction.expression[4].1);
        let (name, p) = prediction.top();
        assert_eq!(name, "happiness");
        assert!((p - 0.25).abs() < 1e-6, "{p}");
        let (name, p) = &prediction.action_units[8];
        assert_eq!(name, "au12");
        assert!((p - 0.75).abs() < 1e-6, "{p}");
        assert_eq!(
            (prediction.valence, prediction.arousal),
            (Some(0.25), Some(-1.0))
        );
        assert!(
            prediction
                .compound
                .is_some_and(|name| name.starts_with("happily"))
        );
    }
}
