//! A run: data in, checkpoints, weights and a log out.

use super::config::Config;
use super::curves::{curves_png, from_log};
use super::event::{Event, Losses, Outcome};
use super::folder::{self, Journals};
use super::input::cache;
use super::log::{LogWriter, read as read_log};
use super::metrics::mean;
use super::tensorboard::EventWriter;
use super::validate::{Validated, Validator};
use super::{
    Declared, Feed, LabelledDatabase, PairImages, Setup, StepLosses, TrainError, Trainer,
    write_atomically,
};
use crate::data::{Augment, Cache, DataError, Loader, Sequence};
use crate::gpu::{Gpu, Precision};
use crate::infer::{Images, Model};
use crate::nn::{Backbone, Network, Weights};
use crate::objective::Objective;
use crate::optim::Schedule;
use crate::tape::Memory;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Who watches a run: progress, messages, and the wish to stop.
pub trait Observer {
    /// The run has this many steps, of which `done` lie behind.
    fn begin(&mut self, total: u64, done: u64);
    /// A step's losses have arrived.
    fn step(&mut self, done: u64, images_per_second: f64, loss: f32);
    /// Something to say.
    fn message(&mut self, text: &str);
    /// Whether to stop after this step.
    fn stop(&self) -> bool;
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Steps done.
    pub steps: u64,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// The best validation score, where there is validation data.
    pub best: Option<f64>,
    /// Images a second over this piece of the run.
    pub images_per_second: f64,
}

/// A run being executed.
struct Run<'a> {
    gpu: &'a Gpu,
    config: &'a Config,
    out: &'a Path,
    observer: &'a mut dyn Observer,
    loader: Arc<Loader>,
    cache: Cache,
    objective: Objective,
    trainer: Trainer,
    validators: Vec<Validator>,
    model: Model,
    log: LogWriter,
    board: EventWriter,
    total: u64,
    best: Option<f64>,
    best_step: Option<u64>,
    named_broken: BTreeSet<PathBuf>,
    clock: Clock,
}

struct Clock {
    start: Instant,
    before: f64,
    since: Instant,
    since_step: u64,
    /// The step that this piece of the run began with.
    first: u64,
}

/// Trains what `config` says into the folder `out`. With `resume`, goes on from its last checkpoint, to the very weights that
/// an uninterrupted run would have reached.
///
/// # Errors
/// [`TrainError`]: bad data or weights, a device that gives up, a loss that left the numbers.
pub fn run(
    gpu: &Gpu,
    config: &Config,
    out: &Path,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Summary, TrainError> {
    let mut run = Run::prepare(gpu, config, out, resume, observer)?;
    let result = run.train();
    let outcome = match &result {
        Ok(false) => Outcome::Finished,
        Ok(true) => Outcome::Interrupted,
        Err(_) => Outcome::Failed,
    };
    let end = run.end(outcome);
    let interrupted = result?;
    end?;
    let seconds = run.clock.start.elapsed().as_secs_f64().max(1e-9);
    Ok(Summary {
        steps: run.trainer.done(),
        interrupted,
        best: run.best,
        images_per_second: (run.trainer.done() - run.clock.first) as f64
            * config.train.batch as f64
            / seconds,
    })
}

/// How activations are stored: what is asked for, or f32 where the adapter has no f16.
fn precision(gpu: &Gpu, config: &Config, observer: &mut dyn Observer) -> Precision {
    let asked = Precision::named(&config.train.precision).unwrap_or_default();
    if gpu.can_store(asked) {
        return asked;
    }
    observer.message("the adapter has no f16 (shader-f16): training in f32");
    Precision::F32
}

impl<'a> Run<'a> {
    fn prepare(
        gpu: &'a Gpu,
        config: &'a Config,
        out: &'a Path,
        resume: bool,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let declared = Declared::read(config, &mut |text| observer.message(text))?;
        let (tasks, objective) = (declared.tasks, declared.objective);
        let (size, batch, seed) = (config.model.size, config.train.batch, config.train.seed);
        let precision = precision(gpu, config, observer);
        let augment = Augment {
            flip: config.augment.flip,
            rotation: config.augment.rotation,
            scale: config.augment.scale,
            shift: config.augment.shift,
        };
        let cache = cache(config, observer)?;
        let data = declared
            .training
            .into_iter()
            .map(LabelledDatabase::database)
            .collect();
        let loader = Arc::new(Loader::new(data, size, batch, seed, augment, &cache)?);
        let epochs = config.train.epochs * loader.steps_per_epoch() as f64;
        let total = config.train.steps.unwrap_or(epochs.ceil() as u64).max(1);
        let backbone = config
            .model
            .backbone
            .parse::<Backbone>()
            .unwrap_or(Backbone::Mobile);
        let network = Network {
            backbone,
            width: config.model.width,
            depth: config.model.depth,
            outputs: tasks.logits(),
        };
        let weights = initial(&network, config)?;
        let setup = Setup {
            network,
            images: Images {
                batch,
                source: size,
                size,
            },
            objective: objective.kernel(batch),
            tables: objective.tables().to_vec(),
            optimizer: config.optimizer(),
            schedule: Schedule {
                base: config.optimizer.learning_rate,
                warmup: config.optimizer.warmup,
                total,
                decay: config.decay(),
            },
            seed: seed as u32,
            precision,
            memory: Memory::named(&config.train.memory).unwrap_or_default(),
        };
        let checkpoint = folder::resumed(out, resume, &weights)?;
        let model = Model {
            network,
            size,
            tasks,
            weights,
        };
        let mut trainer = gpu.block_on(Trainer::new(gpu, setup, &model.weights))?;
        if let Some(checkpoint) = &checkpoint {
            trainer.restore(checkpoint);
        }
        let mut validators = Vec::new();
        for labelled in declared.validation {
            let pairs = labelled.pairs.as_ref();
            let pairs =
                pairs.map(|(table, pairs)| PairImages::new(table, pairs, size, batch, &cache));
            let pairs = pairs.transpose()?;
            let sequence = Sequence::new(labelled.database(), size, batch, &cache)?;
            validators.push(gpu.block_on(Validator::new(
                gpu,
                &model,
                sequence,
                pairs,
                batch,
                trainer.store(),
            ))?);
        }
        write_atomically(&out.join("config.toml"), config.to_toml()?.as_bytes())?;
        let step = trainer.done();
        let journals = Journals::open(out, resume, step)?;
        Ok(Self {
            gpu,
            config,
            out,
            observer,
            loader,
            cache,
            objective,
            trainer,
            validators,
            model,
            log: journals.log,
            board: journals.board,
            total,
            best: checkpoint.as_ref().and_then(|checkpoint| checkpoint.best),
            best_step: None,
            named_broken: journals.broken,
            clock: Clock {
                start: Instant::now(),
                before: journals.seconds,
                since: Instant::now(),
                since_step: step,
                first: step,
            },
        })
    }

    /// Runs to the end, or until the observer wants to stop; says whether it did.
    fn train(&mut self) -> Result<bool, TrainError> {
        let first = self.trainer.done();
        self.start(first)?;
        self.observer.begin(self.total, first);
        let loader = self.loader.clone();
        let validate_every = match self.config.train.validate_every {
            0 => loader.steps_per_epoch(),
            every => every,
        };
        let mut feed = Feed::new(self.gpu, loader, self.objective.clone(), first)?;
        while self.trainer.done() < self.total {
            let batch = feed.next().unwrap_or(Err(DataError::Worker.into()))?;
            let losses = self.gpu.block_on(self.trainer.step_fed(batch))?;
            losses.map(|losses| self.arrived(losses)).transpose()?;
            let done = self.trainer.done();
            let stop = self.observer.stop();
            let late = self.late();
            let last = done == self.total || stop || late;
            if last
                || done.is_multiple_of(self.config.train.checkpoint_every.max(1))
                || done.is_multiple_of(validate_every)
            {
                self.drain()?;
                if done == self.total || late || done.is_multiple_of(validate_every) {
                    self.validate()?;
                }
                if last || done.is_multiple_of(self.config.train.checkpoint_every.max(1)) {
                    self.checkpoint()?;
                }
            }
            if stop {
                return Ok(done < self.total);
            }
            if late {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Whether the time that the configuration gives the run is over.
    fn late(&self) -> bool {
        let seconds = self.clock.before + self.clock.start.elapsed().as_secs_f64();
        let most = self.config.train.max_seconds;
        most.is_some_and(|most| seconds >= most)
    }

    fn start(&mut self, step: u64) -> Result<(), TrainError> {
        let parameters = self.model.weights.parameter_count();
        self.log.write(&Event::Start {
            step,
            total_steps: self.total,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            adapter: crate::gpu::describe(self.gpu.info()),
            precision: self.trainer.precision().name().to_owned(),
            batch: self.config.train.batch,
            seed: self.config.train.seed,
            parameters,
            databases: self.loader.databases(),
        })?;
        Ok(())
    }

    /// Takes the losses of a step, and logs every so often.
    fn arrived(&mut self, losses: StepLosses) -> Result<(), TrainError> {
        let done = losses.step + 1;
        let steps = done.saturating_sub(self.clock.since_step);
        let batch = self.config.train.batch as u64;
        let rate = (steps * batch) as f64 / self.clock.since.elapsed().as_secs_f64().max(1e-9);
        self.observer.step(done, rate, losses.total());
        if !done.is_multiple_of(self.config.train.log_every.max(1)) && done != self.total {
            return Ok(());
        }
        let mut named = self.objective.terms(&losses.values);
        named.push(("total".to_owned(), losses.total()));
        let scalars: Vec<_> = named
            .iter()
            .map(|(name, value)| (format!("loss/{name}"), *value))
            .collect();
        self.log.write(&Event::Step {
            step: done,
            epoch: done as f64 / self.loader.steps_per_epoch() as f64,
            images: done * batch,
            seconds: self.clock.before + self.clock.start.elapsed().as_secs_f64(),
            images_per_second: rate,
            learning_rate: self.trainer.rate_at(losses.step),
            losses: Losses { named },
        })?;
        let scalars: Vec<_> = scalars
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        self.board.scalars(done, &scalars)?;
        self.clock.since = Instant::now();
        self.clock.since_step = done;
        self.report_broken()
    }

    /// Names the broken images, each once; in validation data too.
    fn report_broken(&mut self) -> Result<(), TrainError> {
        if let Some(trouble) = self.cache.trouble() {
            self.observer
                .message(&format!("{trouble}; they are kept in memory"));
        }
        let mut found = self.loader.broken();
        found.extend(self.validators.iter().flat_map(Validator::broken));
        for broken in found {
            if !self.named_broken.insert(broken.file.clone()) {
                continue;
            }
            self.observer
                .message(&format!("skipped a broken image: {}", broken.reason));
            self.log.write(&Event::BrokenImage {
                database: broken.database,
                file: broken.file,
                reason: broken.reason,
            })?;
        }
        Ok(())
    }

    /// Waits for the losses in flight.
    fn drain(&mut self) -> Result<(), TrainError> {
        while let Some(losses) = self.gpu.block_on(self.trainer.oldest())? {
            self.arrived(losses)?;
        }
        Ok(())
    }

    fn validate(&mut self) -> Result<(), TrainError> {
        let step = self.trainer.done();
        let mut scores = Vec::new();
        for validator in &self.validators {
            let validated = self.gpu.block_on(validator.run())?;
            let score = validated.score();
            let database = validator.name().to_owned();
            self.observer
                .message(&format!("step {step}: {database}: {}", told(&validated)));
            if let Some(score) = score {
                self.board
                    .scalars(step, &[(&format!("validation/{database}"), score as f32)])?;
            }
            self.log.write(&Event::Validation {
                step,
                database,
                score: score.unwrap_or(f64::NAN),
                metrics: validated.metrics,
            })?;
            scores.extend(score);
        }
        self.report_broken()?;
        self.clock.since = Instant::now();
        self.clock.since_step = step;
        let Some(score) = mean(&scores) else {
            return Ok(());
        };
        if self.best.is_none_or(|best| score > best) {
            self.best = Some(score);
            self.best_step = Some(step);
            self.save("best.safetensors")?;
        }
        Ok(())
    }

    fn save(&mut self, name: &str) -> Result<(), TrainError> {
        self.model.weights = self.gpu.block_on(self.trainer.weights())?;
        let path = self.out.join(name);
        let bytes = self
            .model
            .to_safetensors()
            .map_err(|source| TrainError::Weights {
                path: path.clone(),
                source,
            })?;
        write_atomically(&path, &bytes)
    }

    fn checkpoint(&mut self) -> Result<(), TrainError> {
        let checkpoint = self.gpu.block_on(self.trainer.checkpoint(self.best))?;
        folder::keep(self.out, &checkpoint)?;
        self.save("last.safetensors")
    }

    /// What is written whatever the outcome; without a validation score the last weights are the best.
    fn end(&mut self, outcome: Outcome) -> Result<(), TrainError> {
        self.report_broken()?;
        if outcome == Outcome::Finished && self.best.is_none() {
            self.save("best.safetensors")?;
        }
        self.log.write(&Event::End {
            step: self.trainer.done(),
            seconds: self.clock.before + self.clock.start.elapsed().as_secs_f64(),
            outcome,
            broken_images: self.loader.broken().len() as u64,
            best_score: self.best,
            best_step: self.best_step,
        })?;
        let curves = from_log(&read_log(&self.out.join("log.jsonl"))?);
        if curves.is_empty() {
            return Ok(());
        }
        write_atomically(&self.out.join("curves.png"), &curves_png(&curves)?)
    }
}

/// What is said of a validation.
fn told(validated: &Validated) -> String {
    let Some(score) = validated.score() else {
        return "no label that the network knows".to_owned();
    };
    let scores = validated.scores.iter();
    let parts: Vec<String> = scores
        .map(|(name, score)| format!("{name} {score:.3}"))
        .collect();
    format!("score {score:.4}: {}", parts.join(", "))
}

/// The weights a run starts from.
fn initial(network: &Network, config: &Config) -> Result<Weights, TrainError> {
    let graph = network.declare(config.model.size)?;
    let mut weights = Weights::initialised(&graph, config.train.seed);
    if let Some(path) = &config.model.pretrained {
        let bytes = std::fs::read(path).map_err(|source| TrainError::Read {
            path: path.clone(),
            source,
        })?;
        weights
            .load(&bytes, false)
            .map_err(|source| TrainError::Weights {
                path: path.clone(),
                source,
            })?;
    }
    Ok(weights)
}
