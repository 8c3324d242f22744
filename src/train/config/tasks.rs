//! `[[task]]` and `[[coupling]]`: what is learned, as data.

use crate::objective::{
    Coupling, CouplingOptions, EXPRESSIONS, Form, MatchingTable, Relatedness, ScaOn, StopGradient,
    Task, TaskKind, TaskOptions, Tasks,
};
use serde::{Deserialize, Serialize};

/// A task. Of the known names ([`TaskConfig::NAMES`]) the name is enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskConfig {
    /// Its name in the log, the metrics and the predictions. A softmax task reads the column of this name.
    pub name: String,
    /// softmax, sigmoid, linear or tanh; known of the known names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<TaskKind>,
    /// The names of its outputs. Softmax: classes, from the training tables where absent. Sigmoid: columns, for `attributes` all
    /// attributes of the training tables where absent. Linear and tanh: two columns.
    pub outputs: Vec<String>,
    /// What its loss counts in the total; 1.
    pub weight: f32,
    /// Softmax: a weight for each class; empty for 1 each.
    pub class_weights: Vec<f32>,
    /// Sigmoid: how much more an output counts where it is on, one for each; empty for 1 each.
    pub positive_weights: Vec<f32>,
    /// Softmax: the share of a label that is spread evenly over all classes, in [0, 1); 0.
    pub label_smoothing: f32,
    /// Softmax with classes from the training tables: how many images must show a class; 1.
    pub min_images: u64,
}

/// What couples two tasks: the keys are those of `[objective]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CouplingConfig {
    /// The names of a softmax task and a sigmoid task.
    pub of: [String; 2],
    /// The weight of distribution matching; 0.
    pub distribution_matching: f32,
    /// The weight of soft co-annotation; 0.
    pub soft_co_annotation: f32,
    /// The relatedness table: a name, a path, or `estimate` from the training images that carry both labels; `du2014` for
    /// expression and action_units, else `estimate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relatedness: Option<String>,
    /// What distribution matching takes of it; `weighted` for an estimate, else `binary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching_table: Option<MatchingTable>,
    /// What distribution matching compares; `bernoulli`.
    pub form: Form,
    /// Where distribution matching passes no gradient; `none`.
    pub stop_gradient: StopGradient,
    /// The images that soft co-annotation takes; `without_expression`.
    pub sca_on: ScaOn,
    /// Whether images with a class and no detections are trained towards that class's detections, with the weight of soft
    /// co-annotation; false.
    pub co_annotate_aus: bool,
}

impl Default for TaskConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: None,
            outputs: Vec::new(),
            weight: 1.0,
            class_weights: Vec::new(),
            positive_weights: Vec::new(),
            label_smoothing: 0.0,
            min_images: 1,
        }
    }
}

impl Default for CouplingConfig {
    fn default() -> Self {
        let options = CouplingOptions::default();
        Self {
            of: [String::new(), String::new()],
            distribution_matching: 0.0,
            soft_co_annotation: 0.0,
            relatedness: None,
            matching_table: None,
            form: options.form,
            stop_gradient: options.stop_gradient,
            sca_on: options.sca_on,
            co_annotate_aus: false,
        }
    }
}

/// The name of a relatedness table that is estimated.
pub const ESTIMATE: &str = "estimate";

impl TaskConfig {
    /// The names that need nothing else.
    pub const NAMES: [&str; 6] = [
        "expression",
        "action_units",
        "valence_arousal",
        "identity",
        "attributes",
        "compound",
    ];

    /// The kind that is given, or that the known names have.
    pub fn kind(&self) -> Option<TaskKind> {
        self.kind.or_else(|| self.known().map(|kinds| kinds[0]))
    }

    /// The kinds that a known name may have, the usual one first.
    pub(super) fn known(&self) -> Option<&'static [TaskKind]> {
        match self.name.as_str() {
            "expression" | "identity" | "compound" => Some(&[TaskKind::Softmax]),
            "action_units" | "attributes" => Some(&[TaskKind::Sigmoid]),
            "valence_arousal" => Some(&[TaskKind::Linear, TaskKind::Tanh]),
            _ => None,
        }
    }

    /// The outputs that are given, or that the known names have; none where they come from the training tables.
    pub fn outputs(&self) -> Vec<String> {
        if !self.outputs.is_empty() {
            return self.outputs.clone();
        }
        let affect = Tasks::affect();
        let known = affect.get(&self.name);
        known.map_or(Vec::new(), |task: &Task| task.outputs.clone())
    }

    /// How the task is trained.
    pub fn options(&self) -> TaskOptions {
        TaskOptions {
            weight: self.weight,
            class_weights: self.class_weights.clone(),
            positive_weights: self.positive_weights.clone(),
            label_smoothing: self.label_smoothing,
        }
    }
}

impl CouplingConfig {
    /// The name or path of the relatedness table.
    pub fn table(&self) -> &str {
        let affect = ["expression", "action_units"];
        let is_affect = affect
            .iter()
            .all(|name| self.of.iter().any(|it| it == name));
        match &self.relatedness {
            Some(table) => table,
            None if is_affect => "du2014",
            None => ESTIMATE,
        }
    }

    /// With every optional key given.
    pub(crate) fn full() -> Self {
        Self {
            relatedness: Some(String::new()),
            matching_table: Some(MatchingTable::Binary),
            ..Self::default()
        }
    }

    /// The coupling by a table.
    pub fn by(&self, table: Relatedness) -> Coupling {
        Coupling {
            of: self.of.clone(),
            table,
            options: self.options(),
        }
    }

    /// How the tasks are coupled.
    pub fn options(&self) -> CouplingOptions {
        let usual = match self.table() {
            ESTIMATE => MatchingTable::Weighted,
            _ => MatchingTable::Binary,
        };
        CouplingOptions {
            distribution_matching: self.distribution_matching,
            soft_co_annotation: self.soft_co_annotation,
            matching_table: self.matching_table.unwrap_or(usual),
            form: self.form,
            stop_gradient: self.stop_gradient,
            sca_on: self.sca_on,
            co_annotate_aus: self.co_annotate_aus,
        }
    }
}

/// The expression of a name that is none, where a task has one among its outputs.
pub(super) fn no_expression(task: &TaskConfig) -> Option<&String> {
    let known = |output: &&String| EXPRESSIONS.contains(&output.as_str());
    let foreign = task.outputs.iter().find(|output| !known(output));
    foreign.filter(|_| task.name == "expression")
}
