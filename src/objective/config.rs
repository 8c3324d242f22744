//! The options of the objective: the `[objective]` section of a configuration.

use super::options::{CouplingOptions, TaskOptions, holds, list};
use super::{Form, ObjectiveError, ScaOn, StopGradient, Task, TaskKind, TaskWeighting, Tasks};
use serde::{Deserialize, Serialize};

/// What stands before a key in messages.
const SECTION: &str = "objective.";

/// What distribution matching takes for R.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchingTable {
    /// 1 where the relatedness table has a weight above 0, else 0.
    #[default]
    Binary,
    /// The weights; right for a table that was estimated from data.
    Weighted,
}

/// The options of the objective. Every key has a default: the three tasks at weight 1, no coupling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// The weight of the expressions' cross entropy; 1. A task at 0 that no coupling needs is left out of the network.
    pub expression: f32,
    /// The weight of the action units' cross entropies; 1.
    pub action_units: f32,
    /// The weight of `1 - (CCC_valence + CCC_arousal) / 2`; 1.
    pub valence_arousal: f32,
    /// Whether the three losses count by these weights alone (fixed), or divided by how large they are in the batch
    /// (uncertainty), so that none outweighs the others; `fixed`.
    pub task_weighting: TaskWeighting,
    /// The weight of distribution matching; 0.
    pub distribution_matching: f32,
    /// The weight of soft co-annotation; 0.
    pub soft_co_annotation: f32,
    /// The relatedness table, by name or path; `du2014`.
    pub relatedness: String,
    /// What distribution matching takes of it; `binary`.
    pub matching_table: MatchingTable,
    /// What distribution matching compares; `bernoulli`.
    pub form: Form,
    /// Where distribution matching passes no gradient; `none`.
    pub stop_gradient: StopGradient,
    /// The images that soft co-annotation takes; `without_expression`.
    pub sca_on: ScaOn,
    /// Whether images with an expression and no action units are trained towards that expression's units, with the weight
    /// of soft co-annotation; false.
    pub co_annotate_aus: bool,
    /// A weight for each class of expression; empty for 1 each.
    pub class_weights: Vec<f32>,
    /// How much more an action unit counts where it is on, one for each; empty for 1 each.
    pub positive_weights: Vec<f32>,
    /// The share of an expression's label that is spread evenly over all classes, in [0, 1); 0.
    pub label_smoothing: f32,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self {
            expression: 1.0,
            action_units: 1.0,
            valence_arousal: 1.0,
            task_weighting: TaskWeighting::default(),
            distribution_matching: 0.0,
            soft_co_annotation: 0.0,
            relatedness: "du2014".to_owned(),
            matching_table: MatchingTable::default(),
            form: Form::default(),
            stop_gradient: StopGradient::default(),
            sca_on: ScaOn::default(),
            co_annotate_aus: false,
            class_weights: Vec::new(),
            positive_weights: Vec::new(),
            label_smoothing: 0.0,
        }
    }
}

impl ObjectiveConfig {
    /// The tasks of case study (i) that are trained: those with a weight above 0, and both expressions and action units
    /// where a coupling has one. What is not trained would only add noise to predictions.
    ///
    /// # Errors
    /// [`ObjectiveError::NoTask`] when no term has a weight.
    pub fn tasks(&self) -> Result<Tasks, ObjectiveError> {
        let coupled = self.distribution_matching > 0.0 || self.soft_co_annotation > 0.0;
        let trained = |task: &&Task| match task.name.as_str() {
            "expression" => coupled || self.expression > 0.0,
            "action_units" => coupled || self.action_units > 0.0,
            _ => self.valence_arousal > 0.0,
        };
        Tasks::new(Tasks::affect().iter().filter(trained).cloned().collect())
    }

    /// The options of a task of a kind.
    pub(super) fn of(&self, kind: TaskKind) -> TaskOptions {
        match kind {
            TaskKind::Softmax => TaskOptions {
                weight: self.expression,
                class_weights: self.class_weights.clone(),
                label_smoothing: self.label_smoothing,
                ..TaskOptions::default()
            },
            TaskKind::Sigmoid => TaskOptions {
                weight: self.action_units,
                positive_weights: self.positive_weights.clone(),
                ..TaskOptions::default()
            },
            TaskKind::Linear | TaskKind::Tanh => TaskOptions {
                weight: self.valence_arousal,
                ..TaskOptions::default()
            },
        }
    }

    /// How expressions and action units are coupled.
    pub(super) fn coupling(&self) -> CouplingOptions {
        CouplingOptions {
            distribution_matching: self.distribution_matching,
            soft_co_annotation: self.soft_co_annotation,
            matching_table: self.matching_table,
            form: self.form,
            stop_gradient: self.stop_gradient,
            sca_on: self.sca_on,
            co_annotate_aus: self.co_annotate_aus,
        }
    }

    /// Checks every value, for tasks of `classes` expressions and `action_units`.
    pub(super) fn check(&self, classes: usize, action_units: usize) -> Result<(), ObjectiveError> {
        let weights = [
            ("expression", self.expression),
            ("action_units", self.action_units),
            ("valence_arousal", self.valence_arousal),
            ("distribution_matching", self.distribution_matching),
            ("soft_co_annotation", self.soft_co_annotation),
        ];
        for (key, asked) in weights {
            let allowed = "a finite number, 0 or more";
            holds(SECTION, key, asked, asked >= 0.0, allowed)?;
        }
        let smoothing = self.label_smoothing;
        let within = (0.0..1.0).contains(&smoothing);
        holds(SECTION, "label_smoothing", smoothing, within, "in [0, 1)")?;
        list(SECTION, "class_weights", &self.class_weights, classes)?;
        let (key, weights) = ("positive_weights", &self.positive_weights);
        list(SECTION, key, weights, action_units)
    }

    /// Checks that no coupling is asked for.
    pub(super) fn check_uncoupled(&self) -> Result<(), ObjectiveError> {
        let couplings = [
            ("distribution_matching", self.distribution_matching),
            ("soft_co_annotation", self.soft_co_annotation),
        ];
        match couplings.into_iter().find(|&(_, weight)| weight > 0.0) {
            Some((key, asked)) => Err(ObjectiveError::Uncoupled { key, asked }),
            None => Ok(()),
        }
    }
}
