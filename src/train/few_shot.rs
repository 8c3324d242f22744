//! Few-shot classes: a trained network learns classes that it was never shown from a few labelled faces. The trunk stays, and
//! a new softmax head is fitted to its features; where asked for, trunk and head are then trained on together.

mod regression;

use super::{Setup, TrainError, Trainer, Upload};
use crate::data::Augment;
use crate::gpu::{Gpu, Precision};
use crate::infer::{Images, Model, Predictor};
use crate::kernels::optim::{AdamConstants, Optimizer};
use crate::nn::{Network, Weights};
use crate::objective::compound::DU2014;
use crate::objective::{Label, Labels, Objective, ObjectiveConfig, Task, TaskKind, Tasks};
use crate::optim::{Decay, Schedule};
use crate::random::Random;
use crate::tape::Memory;
use regression::Head;
use std::collections::HashMap;

/// The few labelled faces.
#[derive(Clone, Copy, Debug)]
pub struct Shots<'a> {
    /// RGB bytes, `size` x `size` of the model each, face after face.
    pub pixels: &'a [u8],
    /// The class of each face, an index into [`FewShot::classes`].
    pub labels: &'a [u32],
}

/// How the classes are learned.
#[derive(Clone, Debug, PartialEq)]
pub struct FewShot {
    /// The task's name in the model that comes out.
    pub task: String,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// How strongly the head's weights, on features of deviation 1, are held towards 0.
    pub ridge: f64,
    /// Steps in which trunk and head are trained on together; 0 keeps the trunk.
    pub steps: u64,
    /// Faces of such a step.
    pub batch: usize,
    /// The highest learning rate of such a step.
    pub learning_rate: f64,
    /// Seeds the order and the random changes of the faces.
    pub seed: u64,
}

impl FewShot {
    /// With the trunk kept, for named classes.
    pub fn new(task: &str, classes: Vec<String>) -> Self {
        Self {
            task: task.to_owned(),
            classes,
            ridge: 0.1,
            steps: 0,
            batch: 24,
            learning_rate: 1e-3,
            seed: 1,
        }
    }

    /// For the compound expressions of [`DU2014`]; `steps` train the trunk, too.
    pub fn compounds(steps: u64) -> Self {
        let names = DU2014.map(|class| class.name.to_owned());
        Self {
            steps,
            ..Self::new("compound", names.into())
        }
    }

    /// The model that knows the new classes and nothing else.
    ///
    /// # Errors
    /// [`TrainError::Shots`] for fewer than two classes among the faces, a label that is no class, or another number of pixels;
    /// [`TrainError::Objective`] for names given twice; [`TrainError::Tape`].
    pub fn learn(&self, gpu: &Gpu, model: &Model, shots: Shots<'_>) -> Result<Model, TrainError> {
        self.check(model, shots)?;
        let tasks = Tasks::new(vec![Task {
            name: self.task.clone(),
            kind: TaskKind::Softmax,
            outputs: self.classes.clone(),
        }])?;
        let network = Network {
            outputs: self.classes.len(),
            ..model.network
        };
        let predictor = gpu.block_on(Predictor::new(gpu, model, self.batch))?;
        let outputs = gpu.block_on(predictor.run_all(shots.pixels))?;
        let features: Vec<&[f32]> = outputs.iter().map(|it| it.embedding.as_slice()).collect();
        let head = Head::fit(&features, shots.labels, self.classes.len(), self.ridge);
        let mut learned = Model {
            network,
            size: model.size,
            tasks,
            weights: with_head(model, network, &head)?,
        };
        if self.steps > 0 {
            learned.weights = self.tune(gpu, &learned, shots)?;
        }
        Ok(learned)
    }

    fn check(&self, model: &Model, shots: Shots<'_>) -> Result<(), TrainError> {
        let mut there: Vec<u32> = shots.labels.to_vec();
        there.sort_unstable();
        there.dedup();
        let known = there
            .iter()
            .all(|&label| (label as usize) < self.classes.len());
        let whole = shots.pixels.len() == shots.labels.len() * 3 * model.size * model.size;
        if there.len() < 2 || !known || !whole || self.batch == 0 {
            return Err(TrainError::Shots {
                faces: shots.labels.len(),
                classes: there.len(),
                known: self.classes.len(),
            });
        }
        Ok(())
    }

    /// Trains trunk and head on together.
    fn tune(&self, gpu: &Gpu, model: &Model, shots: Shots<'_>) -> Result<Weights, TrainError> {
        let objective = Objective::new(&model.tasks, &ObjectiveConfig::default(), None)?;
        let setup = self.setup(model, &objective);
        let mut trainer = gpu.block_on(Trainer::new(gpu, setup, &model.weights))?;
        let order = Random::new(self.seed, "few shots, order");
        let changes = Random::new(self.seed, "few shots, changes");
        let face = 3 * model.size * model.size;
        for step in 0..self.steps {
            let (mut pixels, mut labels, mut matrices) = (Vec::new(), Vec::new(), Vec::new());
            for place in 0..self.batch as u64 {
                let position = step * self.batch as u64 + place;
                let drawn = order.below(position, shots.labels.len() as u64) as usize;
                pixels.extend_from_slice(&shots.pixels[drawn * face..][..face]);
                labels.push(Labels {
                    tasks: vec![Label::Class(shots.labels[drawn])],
                    absent: false,
                });
                matrices.extend(CHANGES.matrix(&changes, position, model.size));
            }
            pixels.resize(pixels.len().next_multiple_of(4), 0);
            let labels = objective.pack(&labels, self.batch)?;
            gpu.block_on(trainer.step(Upload {
                pixels: &pixels,
                matrices: &matrices,
                labels: &labels,
            }))?;
        }
        while gpu.block_on(trainer.oldest())?.is_some() {}
        gpu.block_on(trainer.weights())
    }

    fn setup(&self, model: &Model, objective: &Objective) -> Setup {
        Setup {
            network: model.network,
            images: Images {
                batch: self.batch,
                source: model.size,
                size: model.size,
            },
            objective: objective.kernel(self.batch),
            tables: objective.tables().to_vec(),
            optimizer: Optimizer::AdamW(AdamConstants {
                weight_decay: 1e-3,
                ..AdamConstants::default()
            }),
            schedule: Schedule {
                base: self.learning_rate,
                warmup: (self.steps / 10).min(20),
                total: self.steps,
                decay: Decay::Cosine,
            },
            seed: self.seed as u32,
            precision: Precision::F32,
            memory: Memory::Fast,
        }
    }
}

/// The random changes of the faces, as in training by default.
const CHANGES: Augment = Augment {
    flip: true,
    rotation: 8.0,
    scale: 0.08,
    shift: 0.05,
};

/// The weights of a model's trunk in a network with a fitted head.
fn with_head(model: &Model, network: Network, head: &Head) -> Result<Weights, TrainError> {
    let mut weights = Weights::zeroed(&network.declare(model.size)?);
    let trunk: HashMap<&str, Vec<f32>> = model.weights.take(&model.weights.parameters).collect();
    let name = network.backbone.head();
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    weights.fill(|slot, shape| {
        if slot == bias {
            return head.biases.clone();
        }
        if slot != weight {
            let len = shape.iter().product();
            let found = trunk.get(slot).filter(|values| values.len() == len);
            return found.cloned().unwrap_or_else(|| vec![0.0; len]);
        }
        // The features come with their padding, which is behind them.
        let (features, padded) = (shape[1], head.weights.len() / head.biases.len());
        let rows = head.weights.chunks_exact(padded);
        rows.flat_map(|row| &row[..features]).copied().collect()
    });
    weights.fill_states(|name, shape| {
        let zeros = || vec![0.0; shape.iter().product()];
        model.weights.state(name).unwrap_or_else(zeros)
    });
    Ok(weights)
}
