//! A grid taken apart into the trainings that it takes, each once.

use super::config::{ExperimentConfig, Variant};
use super::{ExperimentError, LabelKind, Training};
use crate::data::relatedness;
use crate::objective::{Objective, ObjectiveConfig, Relatedness};
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
        let mut tables = Vec::new();
        for variant in &config.variant {
            tables.push(resolve(config, variant, path)?);
        }
        for &seed in &config.seeds {
            for (index, (variant, (objective, table))) in
                config.variant.iter().zip(&tables).enumerate()
            {
                let shares = variant.au_shares.as_ref().unwrap_or(&config.au_shares);
                for &au_share in shares {
                    let mut parts = Vec::new();
                    for (task, objective) in objectives(variant, objective) {
                        let training = training(config, variant, au_share, seed, objective, table);
                        let name = name(config, variant, task, &training);
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

type Resolved = (ObjectiveConfig, Relatedness);

/// The objective and table of a variant; refuses what no training could take.
fn resolve(
    config: &ExperimentConfig,
    variant: &Variant,
    path: &Path,
) -> Result<Resolved, ExperimentError> {
    let refused = |source| ExperimentError::Variant {
        path: path.to_owned(),
        variant: variant.name.clone(),
        source: Box::new(source),
    };
    // The keys were tried when the configuration was read.
    let objective = config.objective_of(variant).unwrap_or_default();
    let loaded = relatedness::load(&objective.relatedness);
    let table = loaded
        .map_err(|source| ExperimentError::Table {
            path: path.to_owned(),
            variant: variant.name.clone(),
            source: Box::new(source),
        })?
        .table;
    let tasks = objective.tasks().map_err(refused)?;
    Objective::new(&tasks, &objective, Some(&table)).map_err(refused)?;
    for (_, objective) in objectives(variant, &objective) {
        let tasks = objective.tasks().map_err(refused)?;
        Objective::new(&tasks, &objective, Some(&table)).map_err(refused)?;
    }
    Ok((objective, table))
}

/// The objectives that a variant trains: its own, or one for each task.
fn objectives(
    variant: &Variant,
    objective: &ObjectiveConfig,
) -> Vec<(Option<LabelKind>, ObjectiveConfig)> {
    if !variant.single_task {
        return vec![(None, reduced(objective.clone()))];
    }
    let alone = |kind, weight: f32, set: fn(&mut ObjectiveConfig, f32)| {
        let mut alone = ObjectiveConfig {
            expression: 0.0,
            action_units: 0.0,
            valence_arousal: 0.0,
            distribution_matching: 0.0,
            soft_co_annotation: 0.0,
            ..objective.clone()
        };
        set(&mut alone, weight);
        (weight > 0.0).then(|| (Some(kind), reduced(alone)))
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
    objective: ObjectiveConfig,
    table: &Relatedness,
) -> Training {
    let mut faces = config.faces.clone();
    if let Some(databases) = &variant.databases {
        faces.databases.clone_from(databases);
    }
    let coupled = coupled(&objective);
    // Without action units the budget of their labels is no part of a training.
    let units = coupled || objective.action_units > 0.0;
    let table = || match variant.shuffled {
        true => table.shuffled(seed),
        false => table.clone(),
    };
    Training {
        seed,
        model: config.model.clone(),
        faces,
        au_share: if units { au_share } else { 1.0 },
        train: config.train.clone(),
        few_shot: config.few_shot.clone(),
        relatedness: coupled.then(table),
        objective,
    }
}

fn name(
    config: &ExperimentConfig,
    variant: &Variant,
    task: Option<LabelKind>,
    training: &Training,
) -> String {
    let mut name = variant.name.clone();
    if let Some(task) = task {
        name += match task {
            LabelKind::Expression => ", expression",
            LabelKind::ActionUnits => ", action units",
            LabelKind::ValenceArousal => ", valence and arousal",
        };
    }
    if config.au_shares.len() > 1 {
        name += &format!(", {} of the AU labels", share_name(training.au_share));
    }
    format!("{name}, seed {}", training.seed)
}

#[cfg(test)]
mod tests;
