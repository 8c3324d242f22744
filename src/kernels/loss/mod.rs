//! The multi-task objective: expression, action units, valence and arousal, distribution matching and soft co-annotation
//! (Kollias, Sharmanska, Zafeiriou, arXiv:2105.03790), fused into three dispatches whatever the tasks and options.

mod grad;
mod reduce;
mod terms;

use super::{Call, Kernel, KernelError, Params, narrow};
use crate::gpu::{Shader, Variant};
use serde::{Deserialize, Serialize};

/// Words of an image in the label buffer: flags ([`PRESENT`], [`VALENCE_AROUSAL`]), class ([`NO_CLASS`] where there is
/// none), the mask of annotated action units (low word, high word), the mask of those that are on (low, high), and the bits
/// of valence and arousal as f32.
pub const LABEL_WORDS: usize = 8;
/// Flag of an image that takes part; without it all its other labels are ignored, its logits are not read and their
/// gradients are zero.
pub const PRESENT: u32 = 1;
/// Flag of an image that carries valence and arousal.
pub const VALENCE_AROUSAL: u32 = 2;
/// The class of an image without one.
pub const NO_CLASS: u32 = u32::MAX;
/// Elements of the `losses` buffer: expression, action units, valence and arousal, distribution matching, soft
/// co-annotation, co-annotated action units (all unweighted; 0 where no image of the batch carries the term), the weighted
/// total, and the number of images present.
pub const LOSSES: usize = 8;
/// The most action units: the masks have 64 bits.
pub const MOST_ACTION_UNITS: usize = 64;

/// Elements of the scratch about the whole batch, after its rows.
const OF_BATCH: usize = 16;
/// Rows of the scratch, an element an image, before those of the classes and action units.
const ROWS: usize = 13;
const WORKGROUP: usize = 64;

/// A task's columns in the matrix of logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The first column.
    pub start: usize,
    /// The number of columns; 0 for a task that is not declared.
    pub len: usize,
}

impl Columns {
    fn end(self) -> usize {
        self.start.saturating_add(self.len)
    }
}

/// What distribution matching compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `-p log q`, as the papers print it.
    Positive,
    /// `-p log q - (1 - p) log(1 - q)`, the cross entropy of the two Bernoulli variables.
    #[default]
    Bernoulli,
}

/// Where distribution matching passes no gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopGradient {
    /// It passes to the logits of both tasks.
    #[default]
    None,
    /// Not to the expressions.
    Q,
    /// Not to the action units.
    P,
}

/// The images that soft co-annotation takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaOn {
    /// Those that carry action units and no expression.
    #[default]
    WithoutExpression,
    /// All that carry action units.
    AllWithAus,
}

/// How the labelled tasks are weighed against each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskWeighting {
    /// Each loss counts by its weight.
    #[default]
    Fixed,
    /// Each loss L counts by its weight times `L / m + log m`, `m = max(L, 1e-3)`, whose gradient is that of L divided by m: the
    /// objective of Kendall, Gal and Cipolla (CVPR 2018), `L exp(-s) + s`, at the log variance s that is best for the batch, in
    /// place of one that is learned.
    Uncertainty,
}

/// The valence and arousal task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValenceArousal {
    /// The column of valence; arousal follows.
    pub column: usize,
    /// Whether the predictions are tanh of the outputs; else they are the outputs.
    pub tanh: bool,
}

/// What multiplies each term in the total.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of the softmax cross entropy.
    pub expression: f32,
    /// Of the binary cross entropies.
    pub action_units: f32,
    /// Of `1 - (CCC_valence + CCC_arousal) / 2`.
    pub valence_arousal: f32,
    /// Of distribution matching.
    pub distribution_matching: f32,
    /// Of soft co-annotation, both ways.
    pub soft_co_annotation: f32,
}

/// The objective of one batch. Run [`calls`](Self::calls) in order, over these buffers:
///
/// - `logits` `[batch, width]` f32: any columns, those of the tasks and padding;
/// - `labels` `[batch, LABEL_WORDS]` u32;
/// - `tables` of [`tables_len`](Self::tables_len) f32: R `[E, A]` of distribution matching, W `[E, A]` of co-annotation,
///   the sums of W's rows `[E]`, class weights `[E]`, positive weights `[A]`, zeros to a multiple of 4;
/// - `scratch` of [`scratch_len`](Self::scratch_len) f32;
/// - `grad_logits` `[batch, width]` f32, the gradient of the total; columns of no task become 0;
/// - `losses` `[LOSSES]` f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Images.
    pub batch: usize,
    /// Columns of the logits, a multiple of 4.
    pub width: usize,
    /// The E softmax columns.
    pub expression: Columns,
    /// The A sigmoid columns, at most [`MOST_ACTION_UNITS`].
    pub action_units: Columns,
    /// The valence and arousal columns.
    pub valence_arousal: Option<ValenceArousal>,
    /// Whether the tables R and W couple the expressions with the action units; else those terms are 0.
    pub coupled: bool,
    /// What distribution matching compares.
    pub form: Form,
    /// Where it passes no gradient.
    pub stop_gradient: StopGradient,
    /// The images that soft co-annotation takes.
    pub sca_on: ScaOn,
    /// Whether images with an expression and no action units are trained towards W's row of that expression.
    pub co_annotate_aus: bool,
    /// The share of a label that is spread evenly over all classes, in [0, 1).
    pub label_smoothing: f32,
    /// The weights of the terms.
    pub weights: Weights,
    /// How the three labelled tasks are weighed; couplings count by their weights in any case.
    pub task_weighting: TaskWeighting,
}

impl Objective {
    /// The three dispatches, in order; without the gradient the first two do. They bind
    ///
    /// 0. `objective_terms`: `logits`, `labels`, `tables`, `scratch`;
    /// 1. `objective_reduce`: `labels`, `scratch`, `losses`;
    /// 2. `objective_grad`: `labels`, `tables`, `scratch`, `grad_logits` and, where the gradient is `scaled`, the loss's scale
    ///    `scaling` (see [`optim`](super::optim)); else bind anything.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a shape or option that the formulas do not define; [`KernelError::TooLarge`].
    pub fn calls(&self, scaled: bool) -> Result<[Call; 3], KernelError> {
        self.check()?;
        Ok([
            terms::call(self)?,
            reduce::call(self)?,
            grad::call(self, scaled)?,
        ])
    }

    /// Elements of the scratch.
    pub const fn scratch_len(&self) -> usize {
        self.batch * self.rows() + OF_BATCH
    }

    const fn rows(&self) -> usize {
        ROWS + 3 * self.expression.len + 5 * self.action_units.len
    }

    /// Elements of the tables.
    pub const fn tables_len(&self) -> usize {
        tables_len(self.expression.len, self.action_units.len)
    }

    fn check(&self) -> Result<(), KernelError> {
        let ends = [
            self.expression.end(),
            self.action_units.end(),
            self.valence_arousal
                .map_or(0, |task| task.column.saturating_add(2)),
        ];
        let rules = [
            ("batch", self.batch, self.batch > 0, "at least 1"),
            (
                "width",
                self.width,
                self.width.is_multiple_of(4) && ends.iter().all(|&end| end <= self.width),
                "a multiple of 4 that holds the columns of every task",
            ),
            (
                "columns shared by two tasks",
                self.overlap(),
                self.overlap() == 0,
                "0",
            ),
            (
                "action_units",
                self.action_units.len,
                self.action_units.len <= MOST_ACTION_UNITS,
                "at most 64",
            ),
            (
                "coupled",
                usize::from(self.coupled),
                !self.coupled || (self.expression.len > 0 && self.action_units.len > 0),
                "0 unless both expressions and action units are declared",
            ),
        ];
        for (name, asked, holds, allowed) in rules {
            if !holds {
                return Err(KernelError::Argument {
                    kernel: "objective",
                    name,
                    asked: i64::try_from(asked).unwrap_or(i64::MAX),
                    allowed,
                });
            }
        }
        narrow("objective", self.scratch_len())?;
        narrow("objective", self.batch.saturating_mul(self.width))?;
        Ok(())
    }

    /// Columns that two tasks claim.
    fn overlap(&self) -> usize {
        let axes = self
            .valence_arousal
            .map_or(Columns::default(), |task| Columns {
                start: task.column,
                len: 2,
            });
        let shared =
            |a: Columns, b: Columns| a.end().min(b.end()).saturating_sub(a.start.max(b.start));
        shared(self.expression, self.action_units)
            + shared(self.expression, axes)
            + shared(self.action_units, axes)
    }

    /// How the shaders name the valence and arousal task: its column, and 0 none, 1 linear, 2 tanh.
    fn axes(&self) -> Result<[u32; 2], KernelError> {
        Ok(match self.valence_arousal {
            None => [0, 0],
            Some(task) => [narrow("objective", task.column)?, 1 + u32::from(task.tanh)],
        })
    }
}

/// Elements of the tables of `classes` expressions and `action_units`.
pub const fn tables_len(classes: usize, action_units: usize) -> usize {
    let len = 2 * classes * action_units + 2 * classes + action_units;
    (len + 4 * (len == 0) as usize).next_multiple_of(4)
}

fn kernel<P: Params>(shader: Shader) -> Kernel {
    Kernel {
        family: "loss",
        shader,
        params: P::FIELDS,
        variants: vec![Variant::new()],
    }
}

pub(super) fn kernels() -> Vec<Kernel> {
    vec![terms::kernel(), reduce::kernel(), grad::kernel()]
}
