//! CONFIG.toml of an experiment: a grid of variants, label budgets and seeds, as data.

use crate::objective::ObjectiveConfig;
use crate::train::config::{ConfigError, CouplingConfig, Line, Schema, TaskConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::Value;

/// A grid: every variant is trained with every share of the action unit labels under every seed. Every key has a default but
/// `variant`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentConfig {
    /// The report's heading.
    pub title: String,
    /// What is asked, a paragraph for the report.
    pub text: String,
    /// The seeds, each one of people, weights and order; 1 to 5. Comparisons are paired by them.
    pub seeds: Vec<u64>,
    /// The shares of the pictures with action units, or what `faces.thinned` names, that keep them; 1 alone.
    pub au_shares: Vec<f64>,
    /// The network.
    pub model: NetworkConfig,
    /// The pictures.
    pub faces: FacesConfig,
    /// Steps and optimiser.
    pub train: StepsConfig,
    /// Compound expressions from a few labelled faces.
    pub few_shot: FewShotConfig,
    /// The tasks, of those that synthetic faces have labels for; without any, those of affect by the keys of `objective`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task: Vec<TaskConfig>,
    /// What couples those tasks, unless a variant says otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coupling: Vec<CouplingConfig>,
    /// The objective of the tasks of affect that all variants start from; beside `task` only its `task_weighting` counts.
    pub objective: ObjectiveConfig,
    /// What is compared.
    pub variant: Vec<Variant>,
    /// Which variant is held against which; each against the first, where none is given.
    pub comparison: Vec<Comparison>,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// resnet18, resnet34, resnet50, vgg16 or mobile; `mobile`.
    pub backbone: String,
    /// The side of the pictures in pixels, even; 32.
    pub size: usize,
    /// Scales the channels of `mobile`; 1.
    pub width: f32,
    /// Scales the blocks of `mobile`; 1.
    pub depth: f32,
}

/// Labels that a database may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// The basic expression.
    Expression,
    /// All 17 action units.
    ActionUnits,
    /// Valence and arousal.
    ValenceArousal,
    /// All attributes.
    Attributes,
    /// Who it is.
    Identity,
}

impl LabelKind {
    /// The task that it is a label of.
    pub const fn task(self) -> &'static str {
        match self {
            Self::Expression => "expression",
            Self::ActionUnits => "action_units",
            Self::ValenceArousal => "valence_arousal",
            Self::Attributes => "attributes",
            Self::Identity => "identity",
        }
    }

    /// What such a label is called in "all of the ... labels", in full and in little space.
    pub(super) const fn noun(self) -> [&'static str; 2] {
        match self {
            Self::Expression => ["expression"; 2],
            Self::ActionUnits => ["action unit", "AU"],
            Self::ValenceArousal => ["valence and arousal"; 2],
            Self::Attributes => ["attribute"; 2],
            Self::Identity => ["identity"; 2],
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
    fn is_action_units(&self) -> bool {
        *self == Self::ActionUnits
    }
}

/// What becomes of pictures that lose the only label they had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlabelled {
    /// They leave the database: each step has as many annotated pictures as before, drawn from fewer.
    #[default]
    Drop,
    /// They stay without a label, and only distribution matching sees them.
    Keep,
}

/// The pictures, drawn anew for each seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FacesConfig {
    /// Pictures of each training database; 2560.
    pub pictures: usize,
    /// People of each training database and of each group of unseen people; 1000.
    pub people: u32,
    /// The labels of each training database, one to three of them; expression, action units, and valence with arousal, each
    /// in a database of its own.
    pub databases: Vec<Vec<LabelKind>>,
    /// What becomes of pictures that lose the only label they had: drop or keep; `drop`.
    pub unlabelled: Unlabelled,
    /// The labels of which shares are kept; `action_units`.
    #[serde(skip_serializing_if = "LabelKind::is_action_units")]
    pub thinned: LabelKind,
    /// Pictures of the people by whom options may be chosen, and again as many with compound expressions; 640.
    pub validation: usize,
    /// The same of the people by whom nothing may be chosen; 640.
    pub test: usize,
}

/// Steps, and the optimiser, which is AdamW with a rate that falls as half a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StepsConfig {
    /// Steps of each training; 1500.
    pub steps: u64,
    /// Pictures a step, an equal share from each database; 24.
    pub batch: usize,
    /// The highest learning rate; 0.01.
    pub learning_rate: f64,
    /// Weight decay; 0.001.
    pub weight_decay: f64,
    /// Steps in which the learning rate rises; 20.
    pub warmup: u64,
    /// f32; `f16` falls back to it with a message.
    pub precision: String,
}

/// Compound expressions from a few labelled faces of people who are in no other database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FewShotConfig {
    /// Labelled faces of each of the 15 classes; 0, for none.
    pub shots: usize,
    /// Steps in which the trunk is trained on with the head; 0, for none.
    pub steps: u64,
}

/// How a variant tells compound expressions apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompoundBy {
    /// From expressions, action units and valence; nothing is trained on them.
    #[default]
    ZeroShot,
    /// By a head on the trunk as it is, fitted to the shots of `[few_shot]`.
    FewShot,
    /// By such a head, with the trunk trained on for the steps of `[few_shot]`.
    FewShotTuned,
}

impl CompoundBy {
    /// Its name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroShot => "zero_shot",
            Self::FewShot => "few_shot",
            Self::FewShotTuned => "few_shot_tuned",
        }
    }
}

/// A way to train.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variant {
    /// Its name in the report.
    pub name: String,
    /// Trains a network for each task, with that task's weight alone, and joins what they say; false. The pictures and their
    /// order stay the same.
    pub single_task: bool,
    /// Shuffles the relatedness table's rows, by the seed, so that no expression keeps its own: a negative control; false.
    pub shuffled: bool,
    /// How it tells compound expressions apart: zero_shot, few_shot or few_shot_tuned; `zero_shot`.
    pub compound: CompoundBy,
    /// The labels of each training database, in place of those of `[faces]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<Vec<LabelKind>>>,
    /// Those of the grid's shares that it is trained with; all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub au_shares: Option<Vec<f64>>,
    /// Its couplings of the declared tasks, in place of the grid's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coupling: Option<Vec<CouplingConfig>>,
    /// Keys of `[objective]` that differ.
    pub objective: toml::Table,
}

/// One variant held against another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Comparison {
    /// The variant whose gain is asked for.
    pub of: String,
    /// The variant that it is held against.
    pub to: String,
}

impl Default for ExperimentConfig {
    fn default() -> Self {
        Self {
            title: "Experiment".to_owned(),
            text: String::new(),
            seeds: (1..=5).collect(),
            au_shares: vec![1.0],
            model: NetworkConfig::default(),
            faces: FacesConfig::default(),
            train: StepsConfig::default(),
            few_shot: FewShotConfig::default(),
            task: Vec::new(),
            coupling: Vec::new(),
            objective: ObjectiveConfig::default(),
            variant: Vec::new(),
            comparison: Vec::new(),
        }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            backbone: "mobile".to_owned(),
            size: 32,
            width: 1.0,
            depth: 1.0,
        }
    }
}

impl Default for FacesConfig {
    fn default() -> Self {
        let kinds = [
            LabelKind::Expression,
            LabelKind::ActionUnits,
            LabelKind::ValenceArousal,
        ];
        Self {
            pictures: 2560,
            people: 1000,
            databases: kinds.map(|kind| vec![kind]).into(),
            unlabelled: Unlabelled::default(),
            thinned: LabelKind::ActionUnits,
            validation: 640,
            test: 640,
        }
    }
}

impl Default for StepsConfig {
    fn default() -> Self {
        Self {
            steps: 1500,
            batch: 24,
            learning_rate: 1e-2,
            weight_decay: 1e-3,
            warmup: 20,
            precision: "f32".to_owned(),
        }
    }
}

impl Schema for ExperimentConfig {
    const LISTS: &'static [&'static str] = &["variant", "comparison", "task", "coupling"];

    fn full() -> Self {
        let objective = Value::try_from(ObjectiveConfig::default());
        let variant = Variant {
            coupling: Some(vec![CouplingConfig::full()]),
            databases: Some(Vec::new()),
            au_shares: Some(Vec::new()),
            objective: match objective {
                Ok(Value::Table(table)) => table,
                _ => toml::Table::new(),
            },
            ..Variant::default()
        };
        Self {
            faces: FacesConfig {
                thinned: LabelKind::Attributes,
                ..FacesConfig::default()
            },
            task: vec![TaskConfig::default()],
            coupling: vec![CouplingConfig::full()],
            variant: vec![variant],
            comparison: vec![Comparison::default()],
            ..Self::default()
        }
    }

    fn is_path(key: &str, text: &str) -> bool {
        let tables = [
            "objective.relatedness",
            "variant.[].objective.relatedness",
            "coupling.[].relatedness",
            "variant.[].coupling.[].relatedness",
        ];
        // Without the ending it is the name of a table that comes with the program.
        tables.contains(&key) && text.ends_with(".toml")
    }
}

impl ExperimentConfig {
    /// The couplings of declared tasks of a variant.
    pub(super) fn couplings_of<'a>(&'a self, variant: &'a Variant) -> &'a [CouplingConfig] {
        variant.coupling.as_ref().unwrap_or(&self.coupling)
    }

    /// The objective of a variant.
    ///
    /// # Errors
    /// The key that does not fit, and why.
    pub(super) fn objective_of(
        &self,
        variant: &Variant,
    ) -> Result<ObjectiveConfig, (String, String)> {
        let text = |error: &dyn std::fmt::Display| error.to_string().trim_end().to_owned();
        let mut objective = self.objective.clone();
        // One after the other, so that the one at fault is known.
        for (key, value) in &variant.objective {
            let fault = |reason| (key.clone(), reason);
            let mut tree = toml::Table::try_from(&objective).map_err(|e| fault(text(&e)))?;
            tree.insert(key.clone(), value.clone());
            objective = tree
                .try_into()
                .map_err(|error: toml::de::Error| fault(error.message().to_owned()))?;
        }
        Ok(objective)
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

    /// The most training databases that a variant has.
    pub fn databases(&self) -> usize {
        let own = self.variant.iter().filter_map(|it| it.databases.as_ref());
        own.chain([&self.faces.databases])
            .map(Vec::len)
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
