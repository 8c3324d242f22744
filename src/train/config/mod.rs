//! CONFIG.toml: what a run trains, on what, and how.

mod check;
mod error;
mod tasks;
mod tree;

pub(crate) use check::Rules;
pub(crate) use tree::{Schema, Source};

pub use error::{ConfigError, Line};
pub use tasks::{CouplingConfig, ESTIMATE, TaskConfig};

use crate::kernels::optim::AdamConstants;
use crate::objective::{ObjectiveConfig, TaskKind};
use crate::optim::{Decay, Optimizer};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A run. Every key has a default but `data`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The network.
    pub model: ModelConfig,
    /// The databases to train on.
    pub data: Vec<DataConfig>,
    /// The databases that choose the best weights.
    pub validation: Vec<DataConfig>,
    /// The tasks; without any, expression, action units, and valence with arousal, by the keys of `objective`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task: Vec<TaskConfig>,
    /// What couples those tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coupling: Vec<CouplingConfig>,
    /// The objective of the tasks of affect; beside `task` only its `task_weighting` counts.
    pub objective: ObjectiveConfig,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// Random changes of the images.
    pub augment: AugmentConfig,
    /// The run.
    pub train: TrainConfig,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// resnet18, resnet34, resnet50, vgg16 or mobile; `resnet50`.
    pub backbone: String,
    /// The side of the network's input in pixels; 112.
    pub size: usize,
    /// Scales the channels of `mobile`; 1.
    pub width: f32,
    /// Scales the blocks of `mobile`; 1.
    pub depth: f32,
    /// Weights to start from: a safetensors file of the same trunk; none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PathBuf>,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Its name in the log; the path, where empty.
    pub name: String,
    /// `table`.
    pub format: String,
    /// Where it is.
    pub path: PathBuf,
    /// The split to take, where the table has a column of that name; all rows where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Its share of each batch, against the other weights, or as a fraction where some databases have none; in proportion to
    /// its size where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Of a `[[validation]]` entry: a table of `image_a,image_b,same`, whose accuracy of verification counts as a task's; none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PathBuf>,
}

/// The optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// adam, adamw or sgd; `adam`.
    pub kind: String,
    /// The highest learning rate; 1e-4.
    pub learning_rate: f64,
    /// Weight decay; 0.
    pub weight_decay: f64,
    /// Momentum of sgd; 0.9.
    pub momentum: f64,
    /// Nesterov's rule for sgd; false.
    pub nesterov: bool,
    /// constant, step or cosine; `cosine`.
    pub decay: String,
    /// Steps in which the learning rate rises; 0.
    pub warmup: u64,
}

/// Random changes of the training images, each uniform within its bounds either way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Mirrors every second image; true.
    pub flip: bool,
    /// Degrees; 8.
    pub rotation: f32,
    /// A share of the size; 0.08.
    pub scale: f32,
    /// A share of the image's side; 0.05.
    pub shift: f32,
}

/// The run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the data; 30.
    pub epochs: f64,
    /// Steps, in place of epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Seconds after which the run ends, resumed pieces counted together; none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// Images a step; 64.
    pub batch: usize,
    /// f32; `f16` falls back to it with a warning.
    pub precision: String,
    /// What a step recomputes instead of storing: nothing (fast), or what lowers its memory (low), to the same bits; fast.
    pub memory: String,
    /// Seeds weights, order, changes of images and dropout; 1.
    pub seed: u64,
    /// Steps between checkpoints; 500.
    pub checkpoint_every: u64,
    /// Steps between lines of the log; 20.
    pub log_every: u64,
    /// Steps between validations; 0 for one an epoch.
    pub validate_every: u64,
    /// MiB of decoded images that are kept, in files of `cache_dir` or, where none can be written, in memory; 2048. 0 keeps
    /// none.
    pub cache_mib: usize,
    /// The folder of decoded images, which later runs find there; `images` in the user's cache folder of kinesic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_dir: Option<PathBuf>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            backbone: "resnet50".to_owned(),
            size: 112,
            width: 1.0,
            depth: 1.0,
            pretrained: None,
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            format: "table".to_owned(),
            path: PathBuf::new(),
            split: None,
            weight: None,
            pairs: None,
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: "adam".to_owned(),
            learning_rate: 1e-4,
            weight_decay: 0.0,
            momentum: 0.9,
            nesterov: false,
            decay: "cosine".to_owned(),
            warmup: 0,
        }
    }
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            flip: true,
            rotation: 8.0,
            scale: 0.08,
            shift: 0.05,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 30.0,
            steps: None,
            max_seconds: None,
            batch: 64,
            precision: "f32".to_owned(),
            memory: "fast".to_owned(),
            seed: 1,
            checkpoint_every: 500,
            log_every: 20,
            validate_every: 0,
            cache_mib: 2048,
            cache_dir: None,
        }
    }
}

impl Config {
    /// Reads a file and applies `--set KEY=VALUE` arguments. Paths in the file are relative to it, paths of `--set` to the
    /// current directory; all are absolute in what is returned.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and key.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let mut source = Source::read(path, sets)?;
        let config: Self = source.typed()?;
        check::check(&config, &source)?;
        Ok(config)
    }

    /// The resolved configuration as TOML.
    ///
    /// # Errors
    /// [`ConfigError::Format`], which only a defect of this crate can cause.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self).map_err(|error| ConfigError::Format {
            path: PathBuf::new(),
            line: Line(None),
            reason: error.to_string(),
        })
    }

    /// The optimiser's kernels.
    pub fn optimizer(&self) -> Optimizer {
        let constants = AdamConstants {
            weight_decay: self.optimizer.weight_decay,
            ..AdamConstants::default()
        };
        match self.optimizer.kind.as_str() {
            "sgd" => Optimizer::Sgd {
                momentum: self.optimizer.momentum,
                nesterov: self.optimizer.nesterov,
                weight_decay: self.optimizer.weight_decay,
            },
            "adamw" => Optimizer::AdamW(constants),
            _ => Optimizer::Adam(constants),
        }
    }

    /// How the learning rate falls.
    pub fn decay(&self) -> Decay {
        match self.optimizer.decay.as_str() {
            "constant" => Decay::Constant,
            "step" => Decay::Step,
            _ => Decay::Cosine,
        }
    }
}

impl Schema for Config {
    const LISTS: &'static [&'static str] = &["data", "validation", "task", "coupling"];

    fn full() -> Self {
        let data = DataConfig {
            split: Some(String::new()),
            weight: Some(1.0),
            ..DataConfig::default()
        };
        let validation = DataConfig {
            pairs: Some(PathBuf::new()),
            ..data.clone()
        };
        Self {
            model: ModelConfig {
                pretrained: Some(PathBuf::new()),
                ..ModelConfig::default()
            },
            data: vec![data],
            validation: vec![validation],
            task: vec![TaskConfig {
                kind: Some(TaskKind::Softmax),
                ..TaskConfig::default()
            }],
            coupling: vec![CouplingConfig::full()],
            train: TrainConfig {
                steps: Some(1),
                max_seconds: Some(1.0),
                cache_dir: Some(PathBuf::new()),
                ..TrainConfig::default()
            },
            ..Self::default()
        }
    }

    fn is_path(key: &str, text: &str) -> bool {
        match key {
            "data.[].path" | "validation.[].path" | "validation.[].pairs" => true,
            "model.pretrained" | "train.cache_dir" => true,
            // Without the ending it is the name of a table that comes with the program.
            "objective.relatedness" | "coupling.[].relatedness" => text.ends_with(".toml"),
            _ => false,
        }
    }
}

impl DataConfig {
    /// The name in messages.
    pub fn label(&self) -> String {
        if self.name.is_empty() {
            self.path.display().to_string()
        } else {
            self.name.clone()
        }
    }
}

#[cfg(test)]
mod tests;
