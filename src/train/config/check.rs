//! The ranges of a configuration's values.

use super::error::ConfigError;
use super::tasks::no_expression;
use super::tree::{Schema, Source};
use super::{Config, DataConfig, TaskConfig};
use crate::nn::Backbone;
use crate::objective::{ObjectiveConfig, TaskKind};
use crate::tape::Memory;

/// Refuses the first value outside its range. The objective checks its own.
pub(super) fn check(config: &Config, source: &Source<'_, Config>) -> Result<(), ConfigError> {
    let rules = Rules { source };
    rules.model(config)?;
    rules.data(config)?;
    rules.tasks(config)?;
    rules.couplings(config)?;
    rules.optimizer(config)?;
    rules.augment(config)?;
    rules.train(config)
}

/// What says no to a value, with the line of its key.
pub(crate) struct Rules<'a, S> {
    pub(crate) source: &'a Source<'a, S>,
}

impl<S: Schema> Rules<'_, S> {
    pub(crate) fn holds(
        &self,
        key: &str,
        asked: &dyn std::fmt::Display,
        holds: bool,
        allowed: &str,
    ) -> Result<(), ConfigError> {
        if holds {
            return Ok(());
        }
        Err(ConfigError::Range {
            path: self.source.path(),
            line: self.source.line(key),
            key: key.to_owned(),
            asked: asked.to_string(),
            allowed: allowed.to_owned(),
        })
    }

    /// A number in a range; what is no number is in none.
    pub(crate) fn within(
        &self,
        key: &str,
        asked: f64,
        holds: impl Fn(f64) -> bool,
        allowed: &str,
    ) -> Result<(), ConfigError> {
        self.holds(key, &asked, asked.is_finite() && holds(asked), allowed)
    }
}

impl Rules<'_, Config> {
    fn model(&self, config: &Config) -> Result<(), ConfigError> {
        let model = &config.model;
        let known = model.backbone.parse::<Backbone>().is_ok();
        let names = "resnet18, resnet34, resnet50, vgg16 or mobile";
        self.holds("model.backbone", &model.backbone, known, names)?;
        let size = (8..=4096).contains(&model.size);
        self.holds("model.size", &model.size, size, "from 8 to 4096")?;
        let scales = [("model.width", model.width), ("model.depth", model.depth)];
        for (key, asked) in scales {
            let holds = |scale| scale > 0.0 && scale <= 16.0;
            self.within(key, asked.into(), holds, "above 0 and at most 16")?;
        }
        Ok(())
    }

    fn data(&self, config: &Config) -> Result<(), ConfigError> {
        let some = !config.data.is_empty();
        self.holds("data", &"[]", some, "at least one [[data]] entry")?;
        for (list, entries) in [("data", &config.data), ("validation", &config.validation)] {
            for (index, entry) in entries.iter().enumerate() {
                self.database(&format!("{list}.{index}"), entry)?;
            }
        }
        Ok(())
    }

    fn database(&self, key: &str, data: &DataConfig) -> Result<(), ConfigError> {
        let table = data.format == "table";
        self.holds(&format!("{key}.format"), &data.format, table, "table")?;
        let given = !data.path.as_os_str().is_empty();
        self.holds(
            &format!("{key}.path"),
            &"\"\"",
            given,
            "the path of a table",
        )?;
        match data.weight {
            Some(weight) => {
                let key = format!("{key}.weight");
                self.within(&key, weight, |weight| weight > 0.0, "a number above 0")
            }
            None => Ok(()),
        }
    }

    fn tasks(&self, config: &Config) -> Result<(), ConfigError> {
        for (index, task) in config.task.iter().enumerate() {
            let key = |name: &str| format!("task.{index}.{name}");
            let before = &config.task[..index];
            let named = !task.name.is_empty() && before.iter().all(|it| it.name != task.name);
            let names = "a name that no other task has";
            self.holds(&key("name"), &format!("\"{}\"", task.name), named, names)?;
            self.kind(&key("kind"), task)?;
            let outputs = format!("{:?}", task.outputs);
            let (given, allowed) = match task.kind() {
                Some(TaskKind::Sigmoid) => (
                    task.name == "attributes" || !task.outputs().is_empty(),
                    "the columns that the task reads",
                ),
                Some(TaskKind::Linear | TaskKind::Tanh) => (
                    task.outputs().len() == 2,
                    "the two columns that the task reads",
                ),
                _ => (no_expression(task).is_none(), "expressions"),
            };
            self.holds(&key("outputs"), &outputs, given, allowed)?;
            let from_data = task.min_images == 1 || task.outputs().is_empty();
            let some = task.min_images > 0 && from_data;
            let allowed = "1 or more, and 1 where the outputs are given";
            self.holds(&key("min_images"), &task.min_images, some, allowed)?;
        }
        if config.task.is_empty() {
            return Ok(());
        }
        // What would be passed over in silence.
        let plain = ObjectiveConfig {
            task_weighting: config.objective.task_weighting,
            ..ObjectiveConfig::default()
        };
        match first_difference(&config.objective, &plain) {
            Some((key, asked)) => {
                let allowed = "left out beside [[task]]: weights and options of tasks stand there, couplings in [[coupling]]";
                self.holds(&format!("objective.{key}"), &asked, false, allowed)
            }
            None => Ok(()),
        }
    }

    fn kind(&self, key: &str, task: &TaskConfig) -> Result<(), ConfigError> {
        let (asked, holds) = match (task.kind, task.known()) {
            (Some(kind), Some(known)) => {
                (format!("{kind:?}").to_lowercase(), known.contains(&kind))
            }
            (kind, known) => ("nothing".to_owned(), kind.is_some() || known.is_some()),
        };
        let allowed = match task.known() {
            Some([TaskKind::Softmax]) => format!("softmax for `{}`", task.name),
            Some([TaskKind::Sigmoid]) => format!("sigmoid for `{}`", task.name),
            Some(_) => format!("linear or tanh for `{}`", task.name),
            None => format!(
                "softmax, sigmoid, linear or tanh, as the name is none of {}",
                TaskConfig::NAMES.join(", ")
            ),
        };
        self.holds(key, &asked, holds, &allowed)
    }

    fn couplings(&self, config: &Config) -> Result<(), ConfigError> {
        for (index, coupling) in config.coupling.iter().enumerate() {
            let named = |name: &String| config.task.iter().any(|task| task.name == *name);
            let known = coupling.of.iter().all(named);
            let asked = format!("{:?}", coupling.of);
            let allowed = "the names of two [[task]] entries, a softmax and a sigmoid one";
            self.holds(&format!("coupling.{index}.of"), &asked, known, allowed)?;
        }
        Ok(())
    }

    fn optimizer(&self, config: &Config) -> Result<(), ConfigError> {
        let optimizer = &config.optimizer;
        let known = ["adam", "adamw", "sgd"].contains(&optimizer.kind.as_str());
        let kinds = "adam, adamw or sgd";
        self.holds("optimizer.kind", &optimizer.kind, known, kinds)?;
        let known = ["constant", "step", "cosine"].contains(&optimizer.decay.as_str());
        let decays = "constant, step or cosine";
        self.holds("optimizer.decay", &optimizer.decay, known, decays)?;
        let (rate, decay) = (optimizer.learning_rate, optimizer.weight_decay);
        self.within(
            "optimizer.learning_rate",
            rate,
            |v| v > 0.0,
            "a number above 0",
        )?;
        self.within(
            "optimizer.weight_decay",
            decay,
            |v| v >= 0.0,
            "0 or a number above it",
        )?;
        let holds = |v| (0.0..1.0).contains(&v);
        let allowed = "from 0 to below 1";
        self.within("optimizer.momentum", optimizer.momentum, holds, allowed)
    }

    fn augment(&self, config: &Config) -> Result<(), ConfigError> {
        let augment = &config.augment;
        let turn = |v| (0.0..=180.0).contains(&v);
        let allowed = "from 0 to 180 degrees";
        self.within("augment.rotation", augment.rotation.into(), turn, allowed)?;
        let shares = [
            ("augment.scale", augment.scale),
            ("augment.shift", augment.shift),
        ];
        for (key, asked) in shares {
            let holds = |v| (0.0..1.0).contains(&v);
            self.within(key, asked.into(), holds, "from 0 to below 1")?;
        }
        Ok(())
    }

    fn train(&self, config: &Config) -> Result<(), ConfigError> {
        let train = &config.train;
        let batch = (1..=65536).contains(&train.batch);
        self.holds("train.batch", &train.batch, batch, "from 1 to 65536")?;
        self.within(
            "train.epochs",
            train.epochs,
            |v| v > 0.0,
            "a number above 0",
        )?;
        if let Some(steps) = train.steps {
            self.holds("train.steps", &steps, steps > 0, "1 or more")?;
        }
        if let Some(seconds) = train.max_seconds {
            self.within(
                "train.max_seconds",
                seconds,
                |v| v > 0.0,
                "a number above 0",
            )?;
        }
        let precision = ["f32", "f16"].contains(&train.precision.as_str());
        self.holds("train.precision", &train.precision, precision, "f32 or f16")?;
        let memory = Memory::named(&train.memory).is_some();
        self.holds("train.memory", &train.memory, memory, "fast or low")?;
        let cache = train.cache_mib <= 1 << 24;
        self.holds(
            "train.cache_mib",
            &train.cache_mib,
            cache,
            "at most 16777216",
        )?;
        let named = train
            .cache_dir
            .as_ref()
            .is_none_or(|folder| !folder.as_os_str().is_empty());
        self.holds("train.cache_dir", &"\"\"", named, "a folder")
    }
}

/// The first key in which two sections differ, with the value in the first of them.
fn first_difference(a: &ObjectiveConfig, b: &ObjectiveConfig) -> Option<(String, String)> {
    let [a, b] = [a, b].map(|it| toml::Table::try_from(it).unwrap_or_default());
    let mut differing = a
        .into_iter()
        .filter(|(key, value)| b.get(key) != Some(value));
    differing
        .next()
        .map(|(key, value)| (key, value.to_string()))
}
