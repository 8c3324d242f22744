//! How tasks are trained, and what couples them.

use super::{Form, MatchingTable, ObjectiveError, Relatedness, ScaOn, StopGradient};

/// How a task is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskOptions {
    /// What its loss counts in the total, 0 or more.
    pub weight: f32,
    /// Softmax: a weight for each class, above 0; empty for 1 each.
    pub class_weights: Vec<f32>,
    /// Sigmoid: how much more an output counts where it is on, above 0; empty for 1 each.
    pub positive_weights: Vec<f32>,
    /// Softmax: the share of a label that is spread evenly over all classes, in [0, 1).
    pub label_smoothing: f32,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            weight: 1.0,
            class_weights: Vec::new(),
            positive_weights: Vec::new(),
            label_smoothing: 0.0,
        }
    }
}

/// What couples a softmax task with a sigmoid task.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupling {
    /// The names of the two tasks, in either order.
    pub of: [String; 2],
    /// A row for each class, a column for each detection.
    pub table: Relatedness,
    /// How.
    pub options: CouplingOptions,
}

/// How two tasks are coupled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CouplingOptions {
    /// The weight of distribution matching.
    pub distribution_matching: f32,
    /// The weight of soft co-annotation, both ways.
    pub soft_co_annotation: f32,
    /// What distribution matching takes of the table.
    pub matching_table: MatchingTable,
    /// What distribution matching compares.
    pub form: Form,
    /// Where it passes no gradient.
    pub stop_gradient: StopGradient,
    /// The images that soft co-annotation takes.
    pub sca_on: ScaOn,
    /// Whether images with a class and no detections are trained towards that class's row of the table.
    pub co_annotate_aus: bool,
}

impl TaskOptions {
    /// Checks every value for the task of a name with as many outputs.
    pub(super) fn check(&self, task: &str, outputs: usize) -> Result<(), ObjectiveError> {
        let section = format!("task `{task}`: ");
        let weight = self.weight;
        let allowed = "a finite number, 0 or more";
        holds(&section, "weight", weight, weight >= 0.0, allowed)?;
        let smoothing = self.label_smoothing;
        let within = (0.0..1.0).contains(&smoothing);
        holds(&section, "label_smoothing", smoothing, within, "in [0, 1)")?;
        list(&section, "class_weights", &self.class_weights, outputs)?;
        list(
            &section,
            "positive_weights",
            &self.positive_weights,
            outputs,
        )
    }
}

impl CouplingOptions {
    /// Checks every value.
    pub(super) fn check(&self, of: &[String; 2]) -> Result<(), ObjectiveError> {
        let section = format!("coupling of `{}` and `{}`: ", of[0], of[1]);
        let weights = [
            ("distribution_matching", self.distribution_matching),
            ("soft_co_annotation", self.soft_co_annotation),
        ];
        for (key, asked) in weights {
            let allowed = "a finite number, 0 or more";
            holds(&section, key, asked, asked >= 0.0, allowed)?;
        }
        Ok(())
    }
}

/// Refuses a value outside its range, or that is not finite.
pub(super) fn holds(
    section: &str,
    key: &'static str,
    asked: f32,
    holds: bool,
    allowed: &'static str,
) -> Result<(), ObjectiveError> {
    if holds && asked.is_finite() {
        return Ok(());
    }
    Err(ObjectiveError::Option {
        section: section.to_owned(),
        key,
        asked,
        allowed,
    })
}

/// Refuses a list of weights that is neither empty nor one for each output, or has one that is not above 0.
pub(super) fn list(
    section: &str,
    key: &'static str,
    list: &[f32],
    allowed: usize,
) -> Result<(), ObjectiveError> {
    if !list.is_empty() && list.len() != allowed {
        return Err(ObjectiveError::Length {
            section: section.to_owned(),
            key,
            asked: list.len(),
            allowed,
        });
    }
    list.iter()
        .try_for_each(|&asked| holds(section, key, asked, asked > 0.0, "finite numbers above 0"))
}
