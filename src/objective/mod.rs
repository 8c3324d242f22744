//! The multi-task loss: which tasks there are, how their terms are weighted and coupled, and the zero-shot scores of
//! compound expressions (Kollias, Sharmanska, Zafeiriou, arXiv:2105.03790).
//!
//! Tasks are data ([`Tasks`]): each has a name, outputs and a kind, which says what its logits mean and what its loss is. Couplings
//! ([`Coupling`]) name a softmax and a sigmoid task. For the tasks of affect, with C the classes of expression and per-image labels
//! that may each be missing,
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
//!
//! Identities and attributes ([`TaskOptions`], [`Objective::declare`]), or any other classes and detections, take the places of
//! expressions and action units in these formulas; further tasks add terms of the same kinds.

mod blocks;
pub mod compound;
mod config;
mod error;
mod labels;
mod options;
mod relatedness;
mod tasks;

use crate::kernels::loss;
use blocks::Slots;

pub use crate::kernels::loss::{Form, LABEL_WORDS, LOSSES, ScaOn, StopGradient, TaskWeighting};
pub use config::{MatchingTable, ObjectiveConfig};
pub use error::ObjectiveError;
pub use labels::{AffectLabels, Label, Labels};
pub use options::{Coupling, CouplingOptions, TaskOptions};
pub use relatedness::Relatedness;
pub use tasks::{ACTION_UNITS, EXPRESSIONS, Task, TaskKind, Tasks};

/// The objective of a network: tasks, options and tables, without a batch size.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    logits: usize,
    tasks: Tasks,
    slots: Vec<Slots>,
    kernel: loss::Objective,
    tables: Vec<f32>,
    /// The names of the terms, and where each stands among the losses.
    terms: Vec<(String, usize)>,
}

impl Objective {
    /// The objective of the tasks of affect, or some of them, by the options of `[objective]`: the first softmax task takes those of
    /// the expressions, the first sigmoid task those of the action units, the first continuous one those of valence and arousal.
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
        let outputs = |task: Option<&Task>| task.map_or(0, |task| task.outputs.len());
        let first = |kind| tasks.iter().find(|task| task.kind == kind);
        let (classes, units) = (first(TaskKind::Softmax), first(TaskKind::Sigmoid));
        config.check(outputs(classes), outputs(units))?;
        let couplings = match (relatedness, classes, units) {
            (Some(table), Some(classes), Some(units)) => vec![Coupling {
                of: [classes.name.clone(), units.name.clone()],
                table: table.clone(),
                options: config.coupling(),
            }],
            _ => {
                config.check_uncoupled()?;
                Vec::new()
            }
        };
        let options: Vec<_> = tasks.iter().map(|task| config.of(task.kind)).collect();
        Self::declare(tasks, &options, &couplings, config.task_weighting)
    }

    /// The objective of any tasks, with the options of each in their order, and of what couples them.
    ///
    /// # Errors
    /// [`ObjectiveError`] names the option or task: values outside their ranges, more than 64 detections, a continuous task without
    /// two outputs, a coupling of other tasks than a softmax and a sigmoid one, a task in two couplings, a table of another shape.
    pub fn declare(
        tasks: &Tasks,
        options: &[TaskOptions],
        couplings: &[Coupling],
        task_weighting: TaskWeighting,
    ) -> Result<Self, ObjectiveError> {
        let slots = blocks::assign(tasks, couplings)?;
        let mut kernel = loss::Objective {
            batch: 1,
            width: tasks.width(),
            blocks: Vec::new(),
        };
        let (mut tables, mut terms) = (Vec::new(), Vec::new());
        for (number, slots) in slots.iter().enumerate() {
            let declared = blocks::Declared {
                tasks,
                options,
                coupling: slots.coupling.map(|index| &couplings[index]),
                slots,
            };
            let mut block = declared.block(task_weighting)?;
            if number == 0 {
                block.padding = loss::Columns {
                    start: tasks.logits(),
                    len: tasks.width() - tasks.logits(),
                };
            }
            kernel.blocks.push(block);
            tables.resize(kernel.tables_at(number).start, 0.0);
            tables.extend(declared.tables(&block)?);
            let first = kernel.losses_at(number).start;
            terms.extend(declared.terms(first, couplings.len()));
        }
        // Tasks in their order, then couplings in theirs.
        terms.sort_by_key(|(order, ..)| *order);
        Ok(Self {
            logits: tasks.logits(),
            tasks: tasks.clone(),
            slots,
            kernel,
            tables,
            terms: terms.into_iter().map(|(_, name, at)| (name, at)).collect(),
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
            ..self.kernel.clone()
        }
    }

    /// The contents of the `tables` buffer.
    pub fn tables(&self) -> &[f32] {
        &self.tables
    }

    /// The unweighted terms by name, of what the `losses` buffer holds: each task's, by the task's name, then
    /// `distribution_matching` and `soft_co_annotation`, with the names of the tasks behind them where there are several couplings.
    /// A term that no image of the batch carries is 0.
    pub fn terms(&self, losses: &[f32]) -> Vec<(String, f32)> {
        let term = |(name, at): &(String, usize)| (name.clone(), losses[*at]);
        self.terms.iter().map(term).collect()
    }

    /// The contents of the `labels` buffer of a batch. Images beyond the end of `labels` are marked absent and contribute to
    /// nothing.
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
        for (image, label) in labels.iter().enumerate() {
            label.check(image, &self.tasks)?;
        }
        let kernel = self.kernel(batch);
        let mut words = Vec::with_capacity(kernel.labels_len());
        for (number, slots) in self.slots.iter().enumerate() {
            words.resize(kernel.labels_at(number).start, 0);
            words.extend(labels.iter().flat_map(|label| label.words(slots.tasks)));
            let absent = std::iter::repeat_n(Labels::ABSENT_WORDS, batch - labels.len());
            words.extend(absent.flatten());
        }
        Ok(words)
    }
}

#[cfg(test)]
mod tests;
