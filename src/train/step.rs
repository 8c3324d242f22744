//! The recorded training step of a network.

use crate::infer::Images;
use crate::kernels::loss::Objective;
use crate::kernels::optim::SCHEDULE;
use crate::nn::Network;
use crate::optim::Optimizer;
use crate::tape::ops::{Objective as ObjectiveOp, OptimizerStep};
use crate::tape::{Graph, Recording, Shape, TapeError, Target, Value};

/// A training step: image input, forward, objective, backward, optimiser.
#[derive(Clone, Debug)]
pub struct TrainingStep {
    /// The compiled dispatches.
    pub recording: Recording,
    /// Input: u8 RGB images.
    pub pixels: Value,
    /// Input: a 2 x 3 matrix (and two unused floats) an image.
    pub matrices: Value,
    /// The other inputs and the outputs.
    pub recorded: Recorded,
}

/// What a recorded step hands on, whatever its images come from.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// Input: packed labels.
    pub labels: Value,
    /// Input: packed tables.
    pub tables: Value,
    /// Input: the optimiser's step values.
    pub schedule: Value,
    /// Output: the losses.
    pub losses: Value,
    /// Output: the logits.
    pub logits: Value,
}

/// Records forward, objective, backward and optimiser on a normalised image `[N, H, W, 3]`.
///
/// # Errors
/// [`TapeError`] with the layer and shape at fault.
pub fn record(
    graph: &mut Graph,
    image: Value,
    network: &Network,
    objective: Objective,
    optimizer: Optimizer,
) -> Result<Recorded, TapeError> {
    let labels = graph.input("labels", Shape::raw(objective.labels_len()));
    let tables = graph.input("tables", Shape::raw(objective.tables_len()));
    let schedule = graph.input("schedule", Shape::raw(SCHEDULE));
    let outputs = network.record(graph, image, Some(schedule))?;
    let loss = graph.layer("objective", |graph| {
        graph.record(ObjectiveOp(objective), &[outputs.logits, labels, tables])
    })?;
    let (grad_logits, losses) = (loss[0], loss[1]);
    let parameters = graph.parameter_values();
    let gradients = graph.gradients(&[(outputs.logits, grad_logits)], &parameters)?;
    graph.keep_gradients(&gradients);
    let mut operands = vec![schedule];
    operands.extend(gradients.into_iter().flatten());
    graph.layer("optimizer", |graph| {
        graph.record(OptimizerStep(optimizer), &operands)
    })?;
    Ok(Recorded {
        labels,
        tables,
        schedule,
        losses,
        logits: outputs.logits,
    })
}

impl TrainingStep {
    /// Records and compiles the step.
    ///
    /// # Errors
    /// [`TapeError`] with the layer and shape at fault.
    pub fn new(
        network: &Network,
        images: Images,
        objective: Objective,
        optimizer: Optimizer,
        target: &Target,
    ) -> Result<Self, TapeError> {
        let mut graph = Graph::new();
        let (pixels, matrices, image) = images.record(&mut graph)?;
        let recorded = record(&mut graph, image, network, objective, optimizer)?;
        let kept = [recorded.losses, recorded.logits];
        Ok(Self {
            recording: Recording::new(graph, &kept, target)?,
            pixels,
            matrices,
            recorded,
        })
    }
}
