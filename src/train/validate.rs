//! Validation during a run, on the buffers that are being trained.

use super::metrics::{Accumulator, Metrics, mean, verification};
use super::{PairImages, TrainError};
use crate::data::{Broken, Sequence};
use crate::gpu::Gpu;
use crate::infer::{Model, Output, Predictor};
use crate::objective::Tasks;
use crate::tape::Store;

/// A database, and a predictor on a trainer's weights.
#[derive(Debug)]
pub struct Validator {
    sequence: Sequence,
    pairs: Option<PairImages>,
    predictor: Predictor,
    tasks: Tasks,
}

/// What a validation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// What the score is the mean of, by name; see [`Metrics::scores`].
    pub scores: Vec<(String, f64)>,
    /// The metrics in the shape of `kinesic eval --json`.
    pub metrics: serde_json::Value,
}

impl Validated {
    /// What chooses the best weights; larger is better. None where the data has no label that the network knows, such as people
    /// who were not trained on, and no pairs.
    pub fn score(&self) -> Option<f64> {
        let scores: Vec<f64> = self.scores.iter().map(|(_, score)| *score).collect();
        mean(&scores)
    }
}

impl Validator {
    /// Compiles the pass for batches of `batch` images, as many as `sequence` and `pairs` give, on the weights in `store`.
    ///
    /// # Errors
    /// [`TrainError::Tape`].
    pub async fn new(
        gpu: &Gpu,
        model: &Model,
        sequence: Sequence,
        pairs: Option<PairImages>,
        batch: usize,
        store: &Store,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            predictor: Predictor::with_store(gpu, model, batch, store).await?,
            sequence,
            pairs,
            tasks: model.tasks.clone(),
        })
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        self.sequence.name()
    }

    /// The files that could not be used so far.
    pub fn broken(&self) -> Vec<Broken> {
        let of_pairs = self.pairs.as_ref().map(PairImages::broken);
        let mut broken = self.sequence.broken();
        broken.extend(of_pairs.unwrap_or_default());
        broken
    }

    /// Evaluates the whole database, and its pairs.
    ///
    /// # Errors
    /// [`TrainError::Data`], [`TrainError::Tape`].
    pub async fn run(&self) -> Result<Validated, TrainError> {
        let metrics = evaluate(&self.predictor, &self.tasks, &self.sequence, |_, _| {}).await?;
        let verified = match &self.pairs {
            Some(pairs) => verification(&pairs.similarities(&self.predictor, &self.tasks).await?),
            None => None,
        };
        let scores = metrics.scores(verified.as_ref());
        let mut found = serde_json::to_value(&metrics).unwrap_or_default();
        if let Some(verified) = verified {
            found["verification"] = serde_json::to_value(&verified).unwrap_or_default();
        }
        Ok(Validated {
            scores,
            metrics: found,
        })
    }
}

/// Runs a database through a predictor; `each` sees every image's row number and output.
///
/// # Errors
/// [`TrainError::Data`], [`TrainError::Tape`].
pub async fn evaluate(
    predictor: &Predictor,
    tasks: &Tasks,
    sequence: &Sequence,
    mut each: impl FnMut(usize, &Output),
) -> Result<Metrics, TrainError> {
    let mut accumulator = Accumulator::new(tasks);
    for index in 0..sequence.batches() {
        let batch = sequence.batch(index)?;
        let outputs = predictor.run(&batch.pixels, &batch.matrices).await?;
        for (place, (output, labels)) in outputs.iter().zip(&batch.labels).enumerate() {
            accumulator.add(&output.logits, labels);
            if !labels.absent {
                each(index * predictor.batch() + place, output);
            }
        }
    }
    Ok(accumulator.finish())
}
