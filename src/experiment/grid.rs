//! A grid taken apart into the trainings that it takes, each once.

use super::config::{ExperimentConfig, Variant};
use super::{ExperimentError, LabelKind, Training};
use crate::data::relatedness;
use crate::objective::{Objective, ObjectiveConfig, Relatedness};
use crate::train::config::{CouplingConfig, TaskConfig};
use std::path::Path;

/// One cell: a variant with a share of the labels under a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its variant's place in the configuration.
    pub variant: usize,
    /// The share of the action unit labels.
    pub au_share: f64,
    /// The seed.
    pub seed: u64,
    /// The trainings that it is put together from: one, or one for each task.
    pub parts: Vec<usize>,
}

/// What there is to train.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// The trainings, by seed, with names for people. Cells share those that would come out equal.
    pub trainings: Vec<(String, Training)>,
    /// The cells.
    pub cells: Vec<Cell>,
}

/// "1/16" for 0.0625, "0.3" for 0.3.
pub fn share_name(share: f64) -> String {
    let parts = 1.0 / share;
    match share {
        1.0 => "all".to_owned(),
        _ if (parts - parts.round()).abs() < 1e-9 => format!("1/{parts:.0}"),
        _ => share.to_string(),
    }
}

impl Grid {
    /// Takes a checked configuration apart; `path` is for messages.
    ///
    /// # Errors
    /// [`ExperimentError::Variant`], [`ExperimentError::Table`] for an objective that cannot be.
    pub fn new(config: &ExperimentConfig, path: &Path) -> Result<Self, ExperimentError> {
        let mut grid = Self::default();
        let mut resolved = Vec::new();
        for variant in &config.variant {
            resolved.push(resolve(config, variant, path)?);
        }
        for &seed in &config.seeds {
            for (index, (variant, (aims, table))) in
                config.variant.iter().zip(&resolved).enumerate()
            {
                let shares = variant.au_shares.as_ref().unwrap_or(&config.au_shares);
                for &au_share in shares {
                    let mut parts = Vec::new();
                    for aim in aims {
                        let training = training(config, variant, au_share, seed, aim, table);
                        let name = name(config, variant, aim, &training);
                        parts.push(grid.place(name, training));
                    }
                    grid.cells.push(Cell {
                        variant: index,
                        au_share,
                        seed,
                        parts,
                    });
                }
            }
        }
        Ok(grid)
    }

    /// The place of a training, which may be there already.
    fn place(&mut self, name: String, training: Training) -> usize {
        let found = self.trainings.iter().position(|(_, it)| *it == training);
        found.unwrap_or_else(|| {
            self.trainings.push((name, training));
            self.trainings.len() - 1
        })
    }
}

/// What one network of a variant learns.
#[derive(Clone, Debug, Default)]
struct Aim {
    /// The one task, where a variant has a network for each.
    alone: Option<String>,
    objective: ObjectiveConfig,
    task: Vec<TaskConfig>,
    coupling: Vec<CouplingConfig>,
}

impl Aim {
    fn is_coupled(&self) -> bool {
        match self.task.is_empty() {
            true => coupled(&self.objective),
            false => !self.coupling.is_empty(),
        }
    }

    /// Whether labels of a task are learned from.
    fn learns(&self, kind: LabelKind) -> bool {
        match self.task.is_empty() {
            true => {
                coupled(&self.objective)
                    || kind != LabelKind::ActionUnits
                    || self.objective.action_units > 0.0
            }
            false => self.task.iter().any(|task| task.name == kind.task()),
        }
    }
}

/// What a variant's networks learn, and the relatedness table of affect; refuses what no training could take.
fn resolve(
    config: &ExperimentConfig,
    variant: &Variant,
    path: &Path,
) -> Result<(Vec<Aim>, Option<Relatedness>), ExperimentError> {
    let refused = |source| ExperimentError::Variant {
        path: path.to_owned(),
        variant: variant.name.clone(),
        source: Box::new(source),
    };
    // The keys were tried when the configuration was read.
    let objective = config.objective_of(variant).unwrap_or_default();
    if !config.task.is_empty() {
        let aims = declared(config, variant, &objective);
        for aim in &aims {
            let training = training(config, variant, 1.0, 0, aim, &None);
            training.check().map_err(refused)?;
        }
        return Ok((aims, None));
    }
    let loaded = relatedness::load(&objective.relatedness);
    let table = loaded
        .map_err(|source| ExperimentError::Table {
            path: path.to_owned(),
            variant: variant.name.clone(),
            source: Box::new(source),
        })?
        .table;
    let aims = affect(variant, &objective);
    let whole = Aim {
        objective,
        ..Aim::default()
    };
    for aim in [&whole].into_iter().chain(&aims) {
        let tasks = aim.objective.tasks().map_err(refused)?;
        Objective::new(&tasks, &aim.objective, Some(&table)).map_err(refused)?;
    }
    Ok((aims, Some(table)))
}

/// What a variant learns of declared tasks: all, or each by a network of its own.
fn declared(config: &ExperimentConfig, variant: &Variant, objective: &ObjectiveConfig) -> Vec<Aim> {
    let aim = |alone: Option<String>, task, coupling| Aim {
        alone,
        // Of its keys only this counts.
        objective: ObjectiveConfig {
            task_weighting: objective.task_weighting,
            ..ObjectiveConfig::default()
        },
        task,
        coupling,
    };
    if !variant.single_task {
        let couplings = config.couplings_of(variant).to_vec();
        return vec![aim(None, config.task.clone(), couplings)];
    }
    let each = config.task.iter();
    each.map(|task| aim(Some(task.name.clone()), vec![task.clone()], Vec::new()))
        .collect()
}

/// What a variant learns of affect: by one network, or each task by one of its own.
fn affect(variant: &Variant, objective: &ObjectiveConfig) -> Vec<Aim> {
    if !variant.single_task {
        return vec![Aim {
            objective: reduced(objective.clone()),
            ..Aim::default()
        }];
    }
    let alone = |kind: LabelKind, weight: f32, set: fn(&mut ObjectiveConfig, f32)| {
        let mut alone = ObjectiveConfig {
            expression: 0.0,
            action_units: 0.0,
            valence_arousal: 0.0,
            distribution_matching: 0.0,
            soft_co_annotation: 0.0,
            ..objective.clone()
        };
        set(&mut alone, weight);
        (weight > 0.0).then(|| Aim {
            alone: Some(kind.task().to_owned()),
            objective: reduced(alone),
            ..Aim::default()
        })
    };
    let all = [
        alone(LabelKind::Expression, objective.expression, |it, weight| {
            it.expression = weight;
        }),
        alone(
            LabelKind::ActionUnits,
            objective.action_units,
            |it, weight| it.action_units = weight,
        ),
        alone(
            LabelKind::ValenceArousal,
            objective.valence_arousal,
            |it, weight| it.valence_arousal = weight,
        ),
    ];
    all.into_iter().flatten().collect()
}

fn coupled(objective: &ObjectiveConfig) -> bool {
    objective.distribution_matching > 0.0 || objective.soft_co_annotation > 0.0
}

/// The objective with the keys that it does not use at their defaults, so that equal trainings are found equal.
fn reduced(objective: ObjectiveConfig) -> ObjectiveConfig {
    let default = ObjectiveConfig::default();
    let coupled = coupled(&objective);
    let mut reduced = objective;
    if !coupled {
        reduced = ObjectiveConfig {
            form: default.form,
            matching_table: default.matching_table,
            stop_gradient: default.stop_gradient,
            sca_on: default.sca_on,
            co_annotate_aus: default.co_annotate_aus,
            ..reduced
        };
    }
    // Which table it is is said by its weights.
    reduced.relatedness = default.relatedness;
    if !coupled && reduced.expression == 0.0 {
        reduced.class_weights = default.class_weights;
        reduced.label_smoothing = default.label_smoothing;
    }
    if !coupled && reduced.action_units == 0.0 {
        reduced.positive_weights = default.positive_weights;
    }
    reduced
}

fn training(
    config: &ExperimentConfig,
    variant: &Variant,
    au_share: f64,
    seed: u64,
    aim: &Aim,
    table: &Option<Relatedness>,
) -> Training {
    let mut faces = config.faces.clone();
    if let Some(databases) = &variant.databases {
        faces.databases.clone_from(databases);
    }
    let coupled = aim.is_coupled();
    let shuffled = variant.shuffled && coupled;
    let table = table.as_ref().filter(|_| coupled);
    Training {
        seed,
        model: config.model.clone(),
        // Without the labels that are thinned their budget is no part of a training.
        au_share: if aim.learns(faces.thinned) {
            au_share
        } else {
            1.0
        },
        faces,
        train: config.train.clone(),
        few_shot: config.few_shot.clone(),
        relatedness: table.map(|table| match shuffled {
            true => table.shuffled(seed),
            false => table.clone(),
        }),
        objective: aim.objective.clone(),
        task: aim.task.clone(),
        coupling: aim.coupling.clone(),
        shuffled: shuffled && !aim.task.is_empty(),
    }
}

fn name(config: &ExperimentConfig, variant: &Variant, aim: &Aim, training: &Training) -> String {
    let mut name = variant.name.clone();
    if let Some(task) = &aim.alone {
        let task = match task.as_str() {
            "valence_arousal" => "valence and arousal".to_owned(),
            task => task.replace('_', " "),
        };
        name += &format!(", {task}");
    }
    if config.au_shares.len() > 1 {
        let [_, noun] = config.faces.thinned.noun();
        name += &format!(", {} of the {noun} labels", share_name(training.au_share));
    }
    format!("{name}, seed {}", training.seed)
}

#[cfg(test)]
mod tests;
