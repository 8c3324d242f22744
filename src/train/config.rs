//! CONFIG.toml: what a run trains, on what, and how.

use crate::kernels::optim::AdamConstants;
use crate::nn::Backbone;
use crate::objective::ObjectiveConfig;
use crate::optim::{Decay, Optimizer};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Value;

/// What is wrong with a configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Text that is not TOML, or a value of the wrong type.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A key that nothing reads.
    #[error("{}: unknown key `{key}`{at}; the nearest known key is `{nearest}`", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The dotted key.
        key: String,
        /// Its line, where it stands in the file.
        at: String,
        /// The known key with the fewest edits.
        nearest: String,
    },
    /// A `--set` that cannot be applied.
    #[error("--set {text}: {reason}")]
    Set {
        /// The argument.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A value outside its range.
    #[error("{}: {key} = {asked}, but it must be {allowed}", path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The dotted key.
        key: &'static str,
        /// The value.
        asked: String,
        /// What it may be.
        allowed: &'static str,
    },
}

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
    /// The objective.
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
    /// Its share of each batch; proportional to its size where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
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
    /// Images a step; 64.
    pub batch: usize,
    /// f32; `f16` falls back to it with a warning.
    pub precision: String,
    /// Seeds weights, order, changes of images and dropout; 1.
    pub seed: u64,
    /// Steps between checkpoints; 500.
    pub checkpoint_every: u64,
    /// Steps between lines of the log; 20.
    pub log_every: u64,
    /// Steps between validations; 0 for one an epoch.
    pub validate_every: u64,
    /// MiB of memory for decoded images; 2048.
    pub cache_mib: usize,
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
            weight: None,
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
            batch: 64,
            precision: "f32".to_owned(),
            seed: 1,
            checkpoint_every: 500,
            log_every: 20,
            validate_every: 0,
            cache_mib: 2048,
        }
    }
}

impl Config {
    /// Reads a file and applies `--set KEY=VALUE` arguments. Paths in the file are relative to it, paths of `--set` to the
    /// current directory.
    ///
    /// # Errors
    /// [`ConfigError`], naming file, line and key.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut tree: Value = toml::from_str(&text).map_err(|error| ConfigError::Format {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        resolve(&mut tree, path.parent().unwrap_or(Path::new("")));
        for set in sets {
            apply(&mut tree, set)?;
        }
        check_keys(path, &text, &tree)?;
        let config: Self =
            tree.try_into()
                .map_err(|error: toml::de::Error| ConfigError::Format {
                    path: path.to_owned(),
                    reason: error.to_string().trim_end().to_owned(),
                })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let share = |value: f32| (0.0..1.0).contains(&value);
        let (model, optimizer, train) = (&self.model, &self.optimizer, &self.train);
        let rules: [(&'static str, String, bool, &'static str); 13] = [
            (
                "model.backbone",
                model.backbone.clone(),
                model.backbone.parse::<Backbone>().is_ok(),
                "resnet18, resnet34, resnet50, vgg16 or mobile",
            ),
            (
                "model.size",
                model.size.to_string(),
                (8..=4096).contains(&model.size),
                "from 8 to 4096",
            ),
            (
                "model.width",
                model.width.to_string(),
                model.width > 0.0 && model.width <= 16.0,
                "above 0 and at most 16",
            ),
            (
                "model.depth",
                model.depth.to_string(),
                model.depth > 0.0 && model.depth <= 16.0,
                "above 0 and at most 16",
            ),
            (
                "data",
                format!("{} entries", self.data.len()),
                !self.data.is_empty(),
                "at least one [[data]] entry",
            ),
            (
                "optimizer.kind",
                optimizer.kind.clone(),
                ["adam", "adamw", "sgd"].contains(&optimizer.kind.as_str()),
                "adam, adamw or sgd",
            ),
            (
                "optimizer.decay",
                optimizer.decay.clone(),
                ["constant", "step", "cosine"].contains(&optimizer.decay.as_str()),
                "constant, step or cosine",
            ),
            (
                "optimizer.learning_rate",
                optimizer.learning_rate.to_string(),
                positive(optimizer.learning_rate),
                "above 0",
            ),
            (
                "augment.scale",
                self.augment.scale.to_string(),
                share(self.augment.scale),
                "from 0 to below 1",
            ),
            (
                "augment.shift",
                self.augment.shift.to_string(),
                share(self.augment.shift),
                "from 0 to below 1",
            ),
            (
                "train.batch",
                train.batch.to_string(),
                (1..=65536).contains(&train.batch),
                "from 1 to 65536",
            ),
            (
                "train.epochs",
                train.epochs.to_string(),
                positive(train.epochs),
                "above 0",
            ),
            (
                "train.precision",
                train.precision.clone(),
                ["f32", "f16"].contains(&train.precision.as_str()),
                "f32 or f16",
            ),
        ];
        for (key, asked, holds, allowed) in rules {
            if !holds {
                return Err(ConfigError::Range {
                    path: path.to_owned(),
                    key,
                    asked,
                    allowed,
                });
            }
        }
        for data in self.data.iter().chain(&self.validation) {
            if data.format != "table" {
                return Err(ConfigError::Range {
                    path: path.to_owned(),
                    key: "data.format",
                    asked: data.format.clone(),
                    allowed: "table",
                });
            }
        }
        Ok(())
    }

    /// The resolved configuration as TOML.
    ///
    /// # Errors
    /// [`ConfigError::Format`], which only a defect of this crate can cause.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string_pretty(self).map_err(|error| ConfigError::Format {
            path: PathBuf::new(),
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

/// Makes the paths of a file relative to it.
fn resolve(tree: &mut Value, folder: &Path) {
    let join = |value: &mut Value| {
        if let Value::String(text) = value {
            *text = folder.join(&*text).display().to_string();
        }
    };
    for list in ["data", "validation"] {
        let entries = tree
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten();
        entries
            .filter_map(|entry| entry.get_mut("path"))
            .for_each(join);
    }
    tree.get_mut("model")
        .and_then(|model| model.get_mut("pretrained"))
        .into_iter()
        .for_each(join);
    if let Some(table) = tree
        .get_mut("objective")
        .and_then(|objective| objective.get_mut("relatedness"))
        && table.as_str().is_some_and(|name| name.ends_with(".toml"))
    {
        join(table);
    }
}

/// Applies `a.b.0.c=value`; a value that is not TOML is text.
fn apply(tree: &mut Value, set: &str) -> Result<(), ConfigError> {
    let error = |reason: &str| ConfigError::Set {
        text: set.to_owned(),
        reason: reason.to_owned(),
    };
    let (key, text) = set
        .split_once('=')
        .ok_or_else(|| error("it must be KEY=VALUE"))?;
    let value = toml::from_str::<toml::Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    let mut place = tree;
    for part in key.split('.') {
        if part.is_empty() {
            return Err(error("a part of the key is empty"));
        }
        place = match (place, part.parse::<usize>()) {
            (Value::Array(list), Ok(index)) => {
                let len = list.len();
                if index == len {
                    list.push(Value::Table(toml::Table::new()));
                }
                list.get_mut(index)
                    .ok_or_else(|| error(&format!("the list has {len} entries")))?
            }
            (Value::Table(table), _) => {
                let fresh = if ["data", "validation"].contains(&part) {
                    Value::Array(Vec::new())
                } else {
                    Value::Table(toml::Table::new())
                };
                table.entry(part).or_insert(fresh)
            }
            _ => return Err(error(&format!("`{part}` is below a value"))),
        };
    }
    *place = value;
    Ok(())
}

/// All keys of a configuration with every option given, dotted; entries of lists as `[]`.
fn known_keys() -> Vec<String> {
    let full = Config {
        model: ModelConfig {
            pretrained: Some(PathBuf::new()),
            ..ModelConfig::default()
        },
        data: vec![DataConfig {
            weight: Some(1.0),
            ..DataConfig::default()
        }],
        validation: vec![DataConfig {
            weight: Some(1.0),
            ..DataConfig::default()
        }],
        train: TrainConfig {
            steps: Some(1),
            ..TrainConfig::default()
        },
        ..Config::default()
    };
    let mut keys = Vec::new();
    if let Ok(tree) = Value::try_from(&full) {
        walk(&tree, "", "", &mut |known, _| keys.push(known.to_owned()));
    }
    keys
}

/// Calls `visit(key with [] for indices, key with indices)` for every key.
fn walk(tree: &Value, known: &str, exact: &str, visit: &mut dyn FnMut(&str, &str)) {
    let dotted = |prefix: &str, part: &str| match prefix {
        "" => part.to_owned(),
        prefix => format!("{prefix}.{part}"),
    };
    match tree {
        Value::Table(table) => {
            for (name, value) in table {
                let (known, exact) = (dotted(known, name), dotted(exact, name));
                visit(&known, &exact);
                walk(value, &known, &exact, visit);
            }
        }
        Value::Array(list) => {
            for (index, value) in list
                .iter()
                .enumerate()
                .filter(|(_, value)| value.is_table())
            {
                walk(
                    value,
                    &dotted(known, "[]"),
                    &dotted(exact, &index.to_string()),
                    visit,
                );
            }
        }
        _ => {}
    }
}

/// Refuses keys that nothing reads, with the nearest one that something does.
fn check_keys(path: &Path, text: &str, tree: &Value) -> Result<(), ConfigError> {
    let keys = known_keys();
    let mut unknown = None;
    walk(tree, "", "", &mut |known, exact| {
        if unknown.is_none() && !keys.iter().any(|key| key == known) {
            unknown = Some((known.to_owned(), exact.to_owned()));
        }
    });
    let Some((known, exact)) = unknown else {
        return Ok(());
    };
    let candidates: Vec<&str> = keys.iter().map(String::as_str).collect();
    let nearest = crate::data::nearest(&known, &candidates).unwrap_or_default();
    let name = exact.rsplit('.').next().unwrap_or_default();
    let line = text.lines().position(|line| {
        let line = line.trim_start().trim_start_matches('[');
        line.strip_prefix(name)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', ']']))
    });
    Err(ConfigError::UnknownKey {
        path: path.to_owned(),
        key: exact,
        at: line.map_or_else(String::new, |line| format!(" in line {}", line + 1)),
        nearest: nearest.replace(".[]", ""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, sets: &[&str]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::read(&path, &sets)
    }

    const SMALL: &str = "[model]\nbackbone = \"mobile\"\n[[data]]\npath = \"train.csv\"\n";

    #[test]
    fn defaults_fill_the_smallest_useful_form() {
        let config = read(SMALL, &[]).unwrap();
        assert_eq!(
            (config.model.size, config.train.batch, config.train.seed),
            (112, 64, 1)
        );
        assert!(config.data[0].path.is_absolute() && config.data[0].path.ends_with("train.csv"));
    }

    #[test]
    fn sets_are_typed_and_reach_into_lists() {
        let config = read(
            SMALL,
            &[
                "train.batch=8",
                "data.0.path=faces.csv",
                "data.1.path=more.csv",
                "model.backbone=resnet18",
            ],
        )
        .unwrap();
        assert_eq!(config.train.batch, 8);
        assert_eq!(config.data[0].path, Path::new("faces.csv"));
        assert_eq!(config.data[1].path, Path::new("more.csv"));
        assert_eq!(config.model.backbone, "resnet18");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let error = read(&format!("{SMALL}[train]\nepoch = 3\n"), &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`train.epoch` in line 6") && error.contains("`train.epochs`"),
            "{error}"
        );
        let error = read(SMALL, &["data.0.pth=x"]).unwrap_err().to_string();
        assert!(
            error.contains("`data.0.pth`") && error.contains("`data.path`"),
            "{error}"
        );
    }

    #[test]
    fn rejects_values_out_of_range_and_of_another_type() {
        for set in [
            "train.batch=0",
            "model.backbone=resnet51",
            "optimizer.learning_rate=-1.0",
            "train.batch=\"many\"",
            "data.0.format=disfa",
        ] {
            assert!(read(SMALL, &[set]).is_err(), "{set}");
        }
        assert!(read("[model]\n", &[]).is_err());
        assert!(read("[model\n", &[]).is_err());
    }

    #[test]
    fn the_resolved_configuration_reads_back() {
        let config = read(SMALL, &["train.steps=7"]).unwrap();
        assert_eq!(read(&config.to_toml().unwrap(), &[]).unwrap(), config);
    }
}
