//! Runs what of a grid has no result yet.

use super::evaluate::few_shot;
use super::store::{Found, Store, Stored};
use super::{
    Assessor, Cell, CompoundBy, ExperimentConfig, ExperimentError, Grid, Observer, Training,
    Values, World,
};
use crate::gpu::{Gpu, Precision, describe};
use crate::train::{TrainError, write_atomically};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// How long what is left of a grid takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Trainings of the grid.
    pub trainings: usize,
    /// Those that have a result already.
    pub done: usize,
    /// Steps of each training.
    pub steps: u64,
    /// Seconds a step, by a short trial; 0 where nothing is left.
    pub seconds_per_step: f64,
    /// Seconds that the rest takes.
    pub seconds: f64,
}

/// Which unseen people are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum People {
    /// By whom options may be chosen.
    Validation,
    /// By whom nothing may be chosen.
    #[default]
    Test,
}

/// A cell with what came out.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The cell.
    pub cell: Cell,
    /// The value of each measure.
    pub values: Values,
    /// What an answer that ignores the picture reaches.
    pub chances: Values,
    /// Seconds of its trainings, shared ones counted in each cell.
    pub seconds: f64,
}

/// A grid with all its results.
#[derive(Clone, Debug)]
pub struct Finished {
    /// A result for each cell.
    pub measured: Vec<Measured>,
    /// The adapters that the results come from.
    pub adapters: Vec<String>,
    /// Trainings of the grid.
    pub trainings: usize,
    /// Seconds of all trainings together, whenever they ran.
    pub seconds: f64,
}

/// What of a grid is there and what is not.
#[derive(Debug)]
pub struct Experiment {
    config: ExperimentConfig,
    grid: Grid,
    store: Store,
    results: Vec<Option<Stored>>,
}

impl Experiment {
    /// Takes a configuration apart and finds what the folder `results` holds of it; `path` is for messages. Writes nothing.
    ///
    /// # Errors
    /// [`ExperimentError`] for an objective that cannot be, and a result that cannot be read.
    pub fn open(
        config: ExperimentConfig,
        path: &Path,
        results: &Path,
    ) -> Result<Self, ExperimentError> {
        let grid = Grid::new(&config, path)?;
        let store = Store::new(results);
        let load = |(_, training): &(String, Training)| store.load(training);
        let results = grid.trainings.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self {
            config,
            grid,
            store,
            results,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &ExperimentConfig {
        &self.config
    }

    /// The places of the trainings without a result.
    fn pending(&self) -> Vec<usize> {
        let results = self.results.iter().enumerate();
        let pending = results.filter(|(_, result)| result.is_none());
        pending.map(|(place, _)| place).collect()
    }

    fn world(&self, gpu: &Gpu, seed: u64) -> Result<World, ExperimentError> {
        let (faces, size) = (&self.config.faces, self.config.model.size);
        let counts = [self.config.databases(), self.config.few_shot.shots];
        World::render(gpu, seed, faces, counts, size)
    }

    /// How long the rest takes, by a short trial of the next training: its pictures, some steps, its evaluation.
    ///
    /// # Errors
    /// What training meets.
    pub fn estimate(&self, gpu: &Gpu) -> Result<Estimate, ExperimentError> {
        let pending = self.pending();
        let mut estimate = Estimate {
            trainings: self.results.len(),
            done: self.results.len() - pending.len(),
            steps: self.config.train.steps,
            seconds_per_step: 0.0,
            seconds: 0.0,
        };
        let Some(&first) = pending.first() else {
            return Ok(estimate);
        };
        let training = &self.grid.trainings[first].1;
        let start = Instant::now();
        let world = self.world(gpu, training.seed)?;
        let render = start.elapsed().as_secs_f64();
        estimate.seconds_per_step = training.seconds_per_step(gpu, &world)?;
        let mut short = training.clone();
        short.train.steps = 1;
        let mut beside = 0.0;
        // The first one compiles what the others find compiled.
        for _ in 0..2 {
            let start = Instant::now();
            result(gpu, &short, &world, "", &mut Nobody)?;
            beside = start.elapsed().as_secs_f64();
        }
        let seed = |place: &usize| self.grid.trainings[*place].1.seed;
        let mut seeds: Vec<u64> = pending.iter().map(seed).collect();
        seeds.dedup();
        let each = beside + estimate.seconds_per_step * estimate.steps as f64;
        estimate.seconds = render * seeds.len() as f64 + each * pending.len() as f64;
        Ok(estimate)
    }

    /// Trains what has no result yet; each result is kept as soon as it is there.
    ///
    /// # Errors
    /// [`ExperimentError::Stopped`] where the observer asks to stop, and what training meets. What was kept stays.
    pub fn run(&mut self, gpu: &Gpu, observer: &mut dyn Observer) -> Result<(), ExperimentError> {
        let pending = self.pending();
        let mut world: Option<(u64, World)> = None;
        let start = Instant::now();
        for (done, &place) in pending.iter().enumerate() {
            if observer.stop() {
                return Err(ExperimentError::Stopped);
            }
            let (name, training) = &self.grid.trainings[place];
            let seed = training.seed;
            let drawn = match world.take() {
                Some((of, world)) if of == seed => world,
                _ => {
                    observer.message(&format!("drawing the faces of seed {seed}"));
                    self.world(gpu, seed)?
                }
            };
            let stored = result(gpu, training, &drawn, name, observer)?;
            self.store.save(training, &stored)?;
            self.results[place] = Some(stored);
            world = Some((seed, drawn));
            let done = done + 1;
            let left = pending.len() - done;
            let each = start.elapsed().as_secs_f64() / done as f64;
            observer.message(&format!(
                "{} of {} trainings are done; the rest takes about {}",
                self.results.len() - left,
                self.results.len(),
                duration(each * left as f64)
            ));
        }
        Ok(())
    }

    /// Writes the resolved configuration beside the results.
    ///
    /// # Errors
    /// [`ExperimentError::Train`].
    pub fn write_config(&self, out: &Path) -> Result<(), ExperimentError> {
        let text = self.config.to_toml()?;
        Ok(write_atomically(&out.join("config.toml"), text.as_bytes())?)
    }

    /// Puts the cells together; cells without all their results are left out.
    ///
    /// # Errors
    /// [`ExperimentError::Objective`], which only a defect of this crate can cause.
    pub fn finish(&self, people: People) -> Result<Finished, ExperimentError> {
        let mut measured = Vec::new();
        for cell in &self.grid.cells {
            let parts = cell.parts.iter().map(|&part| self.results[part].as_ref());
            let Some(parts) = parts.collect::<Option<Vec<&Stored>>>() else {
                continue;
            };
            let found = |stored: &&'_ Stored| match people {
                People::Validation => stored.validation.clone(),
                People::Test => stored.test.clone(),
            };
            let found: Vec<Found> = parts.iter().map(found).collect();
            let tasks = parts.iter().map(|stored| &stored.tasks);
            let joined: Vec<_> = tasks.zip(&found).collect();
            let mut evaluation = Found::joined(&joined)?;
            if let [found] = found.as_slice() {
                evaluation.compound = match self.config.variant[cell.variant].compound {
                    CompoundBy::ZeroShot => evaluation.compound,
                    CompoundBy::FewShot => found.few_shot,
                    CompoundBy::FewShotTuned => found.few_shot_tuned,
                };
            }
            measured.push(Measured {
                cell: cell.clone(),
                values: evaluation.values(),
                chances: evaluation.chances(),
                seconds: parts.iter().map(|stored| stored.seconds).sum(),
            });
        }
        let results = self.results.iter().flatten();
        let mut adapters: Vec<String> = results.clone().map(|it| it.adapter.clone()).collect();
        adapters.sort();
        adapters.dedup();
        Ok(Finished {
            measured,
            adapters,
            trainings: self.results.len(),
            seconds: results.map(|stored| stored.seconds).sum(),
        })
    }
}

/// Trains and evaluates.
fn result(
    gpu: &Gpu,
    training: &Training,
    world: &World,
    name: &str,
    observer: &mut dyn Observer,
) -> Result<Stored, ExperimentError> {
    let start = Instant::now();
    let trained = training.run(gpu, world, name, observer);
    let model = match trained {
        Err(ExperimentError::Train(source @ TrainError::Diverged { .. })) => {
            return Err(ExperimentError::Training {
                name: name.to_owned(),
                source: Box::new(source),
            });
        }
        trained => trained?.model,
    };
    let assessor = Assessor::new(gpu, &model, training.train.batch)?;
    let found = |unseen| Ok(Found::new(&model, unseen, assessor.assess(unseen)?));
    let found = [&world.validation, &world.test].map(found);
    let [validation, test]: [Result<Found, ExperimentError>; 2] = found;
    let (mut validation, mut test) = (validation?, test?);
    let few = &training.few_shot;
    let learn = |steps| {
        let unseen = [&world.validation, &world.test];
        few_shot(gpu, &model, &world.shots, steps, unseen)
    };
    if few.shots > 0 {
        [validation.few_shot, test.few_shot] = learn(0)?.map(Some);
        if few.steps > 0 {
            [validation.few_shot_tuned, test.few_shot_tuned] = learn(few.steps)?.map(Some);
        }
    }
    let text = serde_json::to_value(training);
    Ok(Stored {
        name: name.to_owned(),
        training: text.unwrap_or_default(),
        adapter: describe(gpu.info()),
        seconds: start.elapsed().as_secs_f64(),
        tasks: model.tasks.clone(),
        validation,
        test,
    })
}

/// Uses the adapter's precision: f16 where it is asked for and there, else f32. Returns whether it had to fall back.
pub fn fall_back(config: &mut ExperimentConfig, gpu: &Gpu) -> bool {
    let asked = Precision::named(&config.train.precision).unwrap_or_default();
    if gpu.can_store(asked) {
        return false;
    }
    config.train.precision = Precision::F32.name().to_owned();
    true
}

/// Seconds as people say them.
pub fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0..2 => format!("{seconds:.0} s"),
        2..90 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// Watches a trial.
struct Nobody;

impl Observer for Nobody {
    fn stage(&mut self, _: &str, _: Option<u64>) {}

    fn step(&mut self, _: u64, _: f64, _: f32) {}

    fn message(&mut self, _: &str) {}

    fn stop(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_what_people_say() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (75.0, "75 s"),
            (120.0, "2 min"),
            (5000.0, "83 min"),
            (7300.0, "2 h 2 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
