//! The multi-task loss: which tasks there are, how their terms are weighted and coupled, and the zero-shot scores of
//! compound expressions (Kollias, Sharmanska, Zafeiriou, arXiv:2105.03790).
//!
//! With C the classes of expression and per-image labels that may each be missing,
//!
//! ```text
//! L = w_expression L_expression + w_action_units L_action_units + w_valence_arousal L_valence_arousal
//!   + w_distribution_matching L_distribution_matching + w_soft_co_annotation (L_soft_co_annotation + L_co_annotated_aus)
//! ```
//!
//! With `task_weighting = "uncertainty"` the first three count by `w_t (1 + log L_t)` in place of `w_t L_t`
//! ([`TaskWeighting`]). An image contributes to a term, to the term's gradient and to the denominator of its mean where it carries the label:
//! - expression: softmax cross entropy, `Σ_images c_y Σ_e c_e t_e (-log p_e) / Σ_images c_y` with class weights c and the
//!   smoothed label `t_e = (1 - s) [e = y] + s / C`;
//! - action units: binary cross entropies of the annotated units, `b_i` times as much where unit i is on, divided by the
//!   number annotated; mean over the images that have any;
//! - valence and arousal: `1 - (CCC_valence + CCC_arousal) / 2` over the images that carry them; 0 where fewer than two do;
//! - distribution matching: `Σ_i H(p_i, q_i)`, `q_i = Σ_e p_e R[e][i]`, mean over all images, labelled or not; q is clamped
//!   to [1e-6, 1 - 1e-6] and passes no gradient where it is;
//! - soft co-annotation: `-Σ_e softmax_e(Σ_i W[e][i] on_i) log p_e`, mean over the images with action units that
//!   [`ScaOn`] takes;
//! - co-annotated action units, where asked for: `Σ_i W[y][i] (-log p_i) / Σ_i W[y][i]`, mean over the images with an
//!   expression y, whose row of W is not zero, and without action units.

pub mod compound;
mod config;
mod error;
mod labels;
mod relatedness;
mod tasks;

use crate::kernels::loss::{self, Columns, ValenceArousal, Weights};

pub use crate::kernels::loss::{Form, LABEL_WORDS, LOSSES, ScaOn, StopGradient, TaskWeighting};
pub use config::{MatchingTable, ObjectiveConfig};
pub use error::ObjectiveError;
pub use labels::Labels;
pub use relatedness::Relatedness;
pub use tasks::{ACTION_UNITS, EXPRESSIONS, Task, TaskKind, Tasks};

/// The objective of a network: tasks, options and tables, without a batch size.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    logits: usize,
    kernel: loss::Objective,
    tables: Vec<f32>,
}

impl Objective {
    /// Checks the options against the tasks and packs the tables.
    ///
    /// Without `relatedness`, or where the tasks lack expressions or action units, the coupling terms are 0; asking for one
    /// by its weight is then an error.
    ///
    /// # Errors
    /// [`ObjectiveError`] names the option or task.
    pub fn new(
        tasks: &Tasks,
        config: &ObjectiveConfig,
        relatedness: Option<&Relatedness>,
    ) -> Result<Self, ObjectiveError> {
        let expression = columns(tasks, &[TaskKind::Softmax])?.unwrap_or_default();
        let action_units = columns(tasks, &[TaskKind::Sigmoid])?.unwrap_or_default();
        let valence_arousal = valence_arousal(tasks)?;
        if action_units.len > loss::MOST_ACTION_UNITS {
            return Err(ObjectiveError::TooManyUnits {
                asked: action_units.len,
                allowed: loss::MOST_ACTION_UNITS,
            });
        }
        config.check(expression.len, action_units.len)?;
        let relatedness = relatedness.filter(|_| expression.len > 0 && action_units.len > 0);
        if relatedness.is_none() {
            config.check_uncoupled()?;
        }
        let kernel = loss::Objective {
            batch: 1,
            width: tasks.width(),
            expression,
            action_units,
            valence_arousal,
            coupled: relatedness.is_some(),
            form: config.form,
            stop_gradient: config.stop_gradient,
            sca_on: config.sca_on,
            co_annotate_aus: config.co_annotate_aus,
            label_smoothing: config.label_smoothing,
            weights: Weights {
                expression: config.expression,
                action_units: config.action_units,
                valence_arousal: config.valence_arousal,
                distribution_matching: config.distribution_matching,
                soft_co_annotation: config.soft_co_annotation,
            },
            task_weighting: config.task_weighting,
        };
        let tables = tables(&kernel, config, relatedness)?;
        Ok(Self {
            logits: tasks.logits(),
            kernel,
            tables,
        })
    }

    /// The number of logits of an image, padding left out.
    pub fn logits(&self) -> usize {
        self.logits
    }

    /// The kernels' problem at a batch size: its dispatches, and the lengths of its buffers.
    pub fn kernel(&self, batch: usize) -> loss::Objective {
        loss::Objective {
            batch,
            ..self.kernel
        }
    }

    /// The contents of the `tables` buffer.
    pub fn tables(&self) -> &[f32] {
        &self.tables
    }

    /// The contents of the `labels` buffer of a batch: `batch · LABEL_WORDS` words. Images beyond the end of `labels` are
    /// marked absent and contribute to nothing.
    ///
    /// # Errors
    /// [`ObjectiveError::Label`] for a label outside the tasks or that is not a number, [`ObjectiveError::Batch`] for more
    /// labels than images.
    pub fn pack(&self, labels: &[Labels], batch: usize) -> Result<Vec<u32>, ObjectiveError> {
        if labels.len() > batch {
            return Err(ObjectiveError::Batch {
                asked: labels.len(),
                allowed: batch,
            });
        }
        let mut words = Vec::with_capacity(batch * LABEL_WORDS);
        for (image, label) in labels.iter().enumerate() {
            label.check(image, &self.kernel)?;
            words.extend(label.words());
        }
        while words.len() < batch * LABEL_WORDS {
            words.extend(Labels::ABSENT_WORDS);
        }
        Ok(words)
    }
}

/// The columns of the one task of these kinds.
fn columns(tasks: &Tasks, kinds: &[TaskKind]) -> Result<Option<Columns>, ObjectiveError> {
    let mut found = tasks.iter().filter(|task| kinds.contains(&task.kind));
    let Some(task) = found.next() else {
        return Ok(None);
    };
    if let Some(other) = found.next() {
        return Err(ObjectiveError::TwoOfAKind {
            first: task.name.clone(),
            second: other.name.clone(),
        });
    }
    Ok(tasks.columns(&task.name).map(|range| Columns {
        start: range.start,
        len: range.len(),
    }))
}

fn valence_arousal(tasks: &Tasks) -> Result<Option<ValenceArousal>, ObjectiveError> {
    let kinds = [TaskKind::Linear, TaskKind::Tanh];
    let Some(columns) = columns(tasks, &kinds)? else {
        return Ok(None);
    };
    if columns.len != 2 {
        return Err(ObjectiveError::Axes { asked: columns.len });
    }
    Ok(Some(ValenceArousal {
        column: columns.start,
        tanh: tasks.iter().any(|task| task.kind == TaskKind::Tanh),
    }))
}

fn tables(
    kernel: &loss::Objective,
    config: &ObjectiveConfig,
    relatedness: Option<&Relatedness>,
) -> Result<Vec<f32>, ObjectiveError> {
    let (classes, units) = (kernel.expression.len, kernel.action_units.len);
    let mut tables = vec![0.0; 2 * classes * units + classes];
    if let Some(table) = relatedness {
        if (table.classes(), table.action_units()) != (classes, units) {
            return Err(ObjectiveError::TableShape {
                asked: [table.classes(), table.action_units()],
                allowed: [classes, units],
            });
        }
        tables = table.matching(config.matching_table);
        tables.extend_from_slice(table.weights());
        tables.extend((0..classes).map(|class| table.row(class).iter().sum::<f32>()));
    }
    let or_ones = |weights: &[f32], len| match weights {
        [] => vec![1.0; len],
        weights => weights.to_vec(),
    };
    tables.extend(or_ones(&config.class_weights, classes));
    tables.extend(or_ones(&config.positive_weights, units));
    tables.resize(kernel.tables_len(), 0.0);
    Ok(tables)
}

#[cfg(test)]
mod tests;
