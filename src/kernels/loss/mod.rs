//! The multi-task objective: expression, action units, valence and arousal, distribution matching and soft co-annotation
//! (Kollias, Sharmanska, Zafeiriou, arXiv:2105.03790), fused into three dispatches whatever the options. Other tasks of these
//! kinds take their places, and more tasks take more blocks of three dispatches.

mod grad;
mod reduce;
mod terms;

use super::{Call, Kernel, KernelError, Params, narrow};
use crate::gpu::{Shader, Variant};
use serde::{Deserialize, Serialize};
use std::ops::Range;

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
/// The place of the weighted total among the `losses` of a block.
pub const TOTAL: usize = 6;
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

    /// How many columns are also others'.
    fn shared(self, other: Self) -> usize {
        let end = self.end().min(other.end());
        end.saturating_sub(self.start.max(other.start))
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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

/// A part of the objective: at most one task of each kind, and what couples its classes with its detections. Three dispatches
/// compute it. The names are those of the affect tasks; identities may stand in place of expressions, attributes in place of
/// action units. From 256 classes on, the lanes of a
/// workgroup share an image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Block {
    /// The E softmax columns.
    pub expression: Columns,
    /// The A sigmoid columns, at most [`MOST_ACTION_UNITS`].
    pub action_units: Columns,
    /// The two columns of continuous values.
    pub valence_arousal: Option<ValenceArousal>,
    /// Columns whose gradients become 0: those of no task.
    pub padding: Columns,
    /// Whether the tables R and W couple the classes with the detections; else those terms are 0 and the tables are left out.
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
    /// How the labelled tasks are weighed; couplings count by their weights in any case.
    pub task_weighting: TaskWeighting,
}

/// The objective of one batch: blocks over the columns of one matrix of logits. Run the three [`calls`](Self::calls) of each
/// block in order, over these buffers:
///
/// - `logits` `[batch, width]` f32: the columns of all tasks, and padding;
/// - `labels` `[batch, LABEL_WORDS]` u32 for each block, from [`labels_at`](Self::labels_at) on;
/// - `tables` for each block, from [`tables_at`](Self::tables_at) on: R `[E, A]` of distribution matching and W `[E, A]` of
///   co-annotation where the block is coupled, the sums of W's rows `[E]`, class weights `[E]`, positive weights `[A]`, zeros
///   to a multiple of 4;
/// - `scratch` of [`scratch_len`](Self::scratch_len) f32, which the blocks may share;
/// - `grad_logits` `[batch, width]` f32, the gradient of the total: each block writes its own columns;
/// - `losses` `[LOSSES]` f32 for each block, from [`losses_at`](Self::losses_at) on. The total of all blocks is the sum of theirs.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Images.
    pub batch: usize,
    /// Columns of the logits, a multiple of 4.
    pub width: usize,
    /// What is computed; no two blocks share a column.
    pub blocks: Vec<Block>,
}

/// One block at a batch size.
#[derive(Clone, Copy, Debug)]
struct Problem<'a> {
    batch: usize,
    width: usize,
    block: &'a Block,
    /// Whether the block's columns are all there are.
    alone: bool,
}

impl Objective {
    /// The three dispatches of each block, in order; without the gradient the first two of each do. On `software` adapters, whose
    /// lanes run one after the other, an invocation does an image however many its classes are. They bind, of the block's own
    /// labels, tables and losses,
    ///
    /// 0. `objective_terms`: `logits`, `labels`, `tables`, `scratch`;
    /// 1. `objective_reduce`: `labels`, `scratch`, `losses`;
    /// 2. `objective_grad`: `labels`, `tables`, `scratch`, `grad_logits` and, where the gradient is `scaled`, the loss's scale
    ///    `scaling` (see [`optim`](super::optim)); else bind anything.
    ///
    /// # Errors
    /// [`KernelError::Argument`] for a shape or option that the formulas do not define; [`KernelError::TooLarge`].
    pub fn calls(&self, scaled: bool, software: bool) -> Result<Vec<[Call; 3]>, KernelError> {
        self.check()?;
        let calls = |problem: Problem| {
            Ok([
                terms::call(&problem, software)?,
                reduce::call(&problem)?,
                grad::call(&problem, scaled)?,
            ])
        };
        self.problems().map(calls).collect()
    }

    fn problems(&self) -> impl Iterator<Item = Problem<'_>> {
        self.blocks.iter().map(|block| Problem {
            batch: self.batch,
            width: self.width,
            block,
            alone: self.blocks.len() == 1 && block.own() == self.width,
        })
    }

    /// Elements of the scratch: enough for any block.
    pub fn scratch_len(&self) -> usize {
        self.problems()
            .map(|it| it.scratch_len())
            .max()
            .unwrap_or(0)
    }

    /// The words of the labels of a block, of which there are `batch · LABEL_WORDS`.
    pub fn labels_at(&self, block: usize) -> Range<usize> {
        let len = self.batch * LABEL_WORDS;
        let start = block * aligned(len);
        start..start + len
    }

    /// Words of the labels of all blocks.
    pub fn labels_len(&self) -> usize {
        self.blocks
            .len()
            .checked_sub(1)
            .map_or(0, |last| self.labels_at(last).end)
    }

    /// The elements of the tables of a block.
    pub fn tables_at(&self, block: usize) -> Range<usize> {
        let before = self.blocks.iter().take(block);
        let start = before.map(|block| aligned(block.tables_len())).sum();
        let len = self.blocks.get(block).map_or(0, Block::tables_len);
        start..start + len
    }

    /// Elements of the tables of all blocks.
    pub fn tables_len(&self) -> usize {
        self.tables_at(self.blocks.len().saturating_sub(1)).end
    }

    /// The elements of the losses of a block.
    pub fn losses_at(&self, block: usize) -> Range<usize> {
        let start = block * aligned(LOSSES);
        start..start + LOSSES
    }

    /// Elements of the losses of all blocks.
    pub fn losses_len(&self) -> usize {
        self.losses_at(self.blocks.len().saturating_sub(1)).end
    }

    fn check(&self) -> Result<(), KernelError> {
        let columns: Vec<Columns> = self.blocks.iter().flat_map(Block::columns).collect();
        let shared = |(index, a): (usize, &Columns)| {
            let others = columns[index + 1..].iter();
            others.map(|b| a.shared(*b)).sum::<usize>()
        };
        let shared = columns.iter().enumerate().map(shared).sum();
        let held = columns.iter().all(|columns| columns.end() <= self.width);
        let blocks = self.blocks.len();
        let rules = [
            ("batch", self.batch, self.batch > 0, "at least 1"),
            ("blocks", blocks, blocks > 0, "at least 1"),
            (
                "width",
                self.width,
                self.width.is_multiple_of(4) && held,
                "a multiple of 4 that holds the columns of every task",
            ),
            ("columns shared by two tasks", shared, shared == 0, "0"),
        ];
        let of_blocks = self.blocks.iter().flat_map(Block::rules);
        for (name, asked, holds, allowed) in rules.into_iter().chain(of_blocks) {
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
        narrow("objective", self.labels_len())?;
        narrow("objective", self.batch.saturating_mul(self.width))?;
        Ok(())
    }
}

/// The weighted total of all blocks, from the `losses` buffer.
pub fn total(losses: &[f32]) -> f32 {
    let blocks = losses.chunks(aligned(LOSSES));
    blocks.filter_map(|block| block.get(TOTAL)).sum()
}

/// Rounds a length up so that what follows may be a binding of its own.
const fn aligned(len: usize) -> usize {
    len.next_multiple_of(64)
}

/// A size, what was asked, whether it may be, and what it may be.
type Rule = (&'static str, usize, bool, &'static str);

impl Block {
    /// Elements of the tables.
    pub const fn tables_len(&self) -> usize {
        let (classes, units) = (self.expression.len, self.action_units.len);
        let len = 2 * self.cells() + 2 * classes + units;
        (len + 4 * (len == 0) as usize).next_multiple_of(4)
    }

    /// Cells of each of the tables R and W.
    pub const fn cells(&self) -> usize {
        self.coupled as usize * self.expression.len * self.action_units.len
    }

    const fn rows(&self) -> usize {
        ROWS + 3 * self.expression.len + 5 * self.action_units.len
    }

    /// The columns whose gradients the block writes.
    fn columns(&self) -> [Columns; 4] {
        let axes = self.valence_arousal.map(|task| Columns {
            start: task.column,
            len: 2,
        });
        [
            self.expression,
            self.action_units,
            axes.unwrap_or_default(),
            self.padding,
        ]
    }

    fn own(&self) -> usize {
        self.columns().iter().map(|columns| columns.len).sum()
    }

    fn rules(&self) -> [Rule; 2] {
        let (classes, units) = (self.expression.len, self.action_units.len);
        [
            (
                "action_units",
                units,
                units <= MOST_ACTION_UNITS,
                "at most 64",
            ),
            (
                "coupled",
                usize::from(self.coupled),
                !self.coupled || (classes > 0 && units > 0),
                "0 unless both expressions and action units are declared",
            ),
        ]
    }

    /// How the shaders name the valence and arousal task: its column, and 0 none, 1 linear, 2 tanh.
    fn axes(&self) -> Result<[u32; 2], KernelError> {
        Ok(match self.valence_arousal {
            None => [0, 0],
            Some(task) => [narrow("objective", task.column)?, 1 + u32::from(task.tanh)],
        })
    }
}

impl Problem<'_> {
    fn scratch_len(&self) -> usize {
        self.batch * self.block.rows() + OF_BATCH
    }
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
