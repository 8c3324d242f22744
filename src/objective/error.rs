//! What the objective refuses.

use thiserror::Error;

/// An error in the declaration of tasks, in the options of the objective or in labels.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ObjectiveError {
    /// No task is declared.
    #[error("no task is declared; declare at least one")]
    NoTask,
    /// Two tasks, or two outputs of one task, bear one name.
    #[error("`{name}` is declared twice; names must differ")]
    Twice {
        /// The name.
        name: String,
    },
    /// A task with too few outputs.
    #[error("task `{task}` has {asked} outputs, at least {allowed} are needed")]
    TooFewOutputs {
        /// The task.
        task: String,
        /// How many it has.
        asked: usize,
        /// The fewest that its kind can have.
        allowed: usize,
    },
    /// A coupling of a task that is not declared.
    #[error("the coupling of `{}` and `{}` needs a task `{name}`, which is not declared", coupling[0], coupling[1])]
    UnknownTask {
        /// The tasks of the coupling.
        coupling: [String; 2],
        /// The one that is missing.
        name: String,
    },
    /// A task in two couplings, or twice in one.
    #[error("task `{name}` is coupled twice; a task takes part in at most one coupling")]
    CoupledTwice {
        /// The task.
        name: String,
    },
    /// A coupling of tasks of other kinds.
    #[error("`{}` and `{}` cannot be coupled: a coupling is of a softmax task and a sigmoid task", of[0], of[1])]
    CouplingKinds {
        /// The tasks.
        of: [String; 2],
    },
    /// Too many binary outputs for a label's mask.
    #[error("task `{task}` has {asked} binary outputs, a label holds at most {allowed}")]
    TooManyUnits {
        /// The task.
        task: String,
        /// How many are declared.
        asked: usize,
        /// The most that work.
        allowed: usize,
    },
    /// A continuous task that is not valence and arousal.
    #[error(
        "the continuous task `{task}` has {asked} outputs, it must have 2, as valence and arousal"
    )]
    Axes {
        /// The task.
        task: String,
        /// How many it has.
        asked: usize,
    },
    /// An option outside its range.
    #[error("{section}{key} = {asked}, but it must be {allowed}")]
    Option {
        /// Where the option stands.
        section: String,
        /// The option's key.
        key: &'static str,
        /// Its value.
        asked: f32,
        /// What it may be.
        allowed: &'static str,
    },
    /// A list of weights of the wrong length.
    #[error(
        "{section}{key} has {asked} entries, the task has {allowed} outputs; give one each or none"
    )]
    Length {
        /// Where the option stands.
        section: String,
        /// The option's key.
        key: &'static str,
        /// Its length.
        asked: usize,
        /// The task's outputs.
        allowed: usize,
    },
    /// A coupling without what it couples by.
    #[error(
        "objective.{key} = {asked} needs expressions, action units and a relatedness table; declare them or set it to 0"
    )]
    Uncoupled {
        /// The option's key.
        key: &'static str,
        /// Its value.
        asked: f32,
    },
    /// A relatedness table of another shape than the tasks.
    #[error("the relatedness table is {asked:?} (classes, detections), the tasks are {allowed:?}")]
    TableShape {
        /// The table's shape.
        asked: [usize; 2],
        /// The tasks'.
        allowed: [usize; 2],
    },
    /// A cell of a relatedness table that is no probability.
    #[error(
        "relatedness of expression {expression} and action unit column {unit} is {asked}, it must be in [0, 1]"
    )]
    TableCell {
        /// The row.
        expression: usize,
        /// The column.
        unit: usize,
        /// The value.
        asked: f32,
    },
    /// A relatedness table whose rows differ in length.
    #[error("row {expression} of the relatedness table has {asked} cells, row 0 has {allowed}")]
    TableRow {
        /// The row.
        expression: usize,
        /// Its length.
        asked: usize,
        /// The first row's length.
        allowed: usize,
    },
    /// A label that the tasks have no place for.
    #[error("image {image} of the batch: {what} is {asked}, but it must be {allowed}")]
    Label {
        /// The image's position in the batch.
        image: usize,
        /// The label's task.
        what: String,
        /// Its value, numbers in hexadecimal.
        asked: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// More labels than images.
    #[error("{asked} labels for a batch of {allowed} images")]
    Batch {
        /// The labels.
        asked: usize,
        /// The images.
        allowed: usize,
    },
    /// A compound expression needs an output that the tasks lack.
    #[error("compound expressions need `{output}`, which no task of the network has")]
    Compound {
        /// The missing task or output.
        output: &'static str,
    },
}
