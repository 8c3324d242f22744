//! `kinesic tune`.

use super::bench_plan::{self, StartUp, Watch};
use super::plan::{Mode, Model};
use super::{Common, Failure, cache, profile};
use crate::gpu::{Gpu, describe};
use crate::kernels::conv::{Measured, Pass, Problem, Tile, Tuning, Way, Ways};
use crate::tape::{Plan, Step};
use clap::Args;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

/// A way is taken where it needs at most this share of the own choice's time: less is noise.
const CLEARLY: f64 = 0.97;

#[derive(Debug, Args)]
#[command(
    about = "Measures the ways to compute each convolution on this adapter, and keeps the fastest for later runs",
    after_help = "Example: kinesic tune --backbone resnet18 --size 112 --batch 16 --mode train\n\n\
                  Sums are rounded otherwise in another way: a run repeats bit for bit as long as the table stays as it is.\n\
                  Removing the file that it names forgets what was measured."
)]
pub(super) struct TuneArgs {
    #[command(flatten)]
    model: Model,
    /// A training step or an inference pass
    #[arg(long, value_enum, default_value_t = Mode::Train)]
    mode: Mode,
    /// Steps of which each dispatch's shortest time counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

#[derive(Serialize)]
struct Report {
    adapter: String,
    backbone: String,
    mode: &'static str,
    file: PathBuf,
    convolutions: Vec<Measured>,
    own_ms: f64,
    ms: f64,
}

/// A problem's milliseconds in a step, and what was dispatched for it.
#[derive(Default)]
struct Cost {
    ms: f64,
    dispatches: Vec<String>,
}

pub(super) fn run(common: &Common, args: &TuneArgs) -> Result<(), Failure> {
    let input = |text: &str| Failure::Input(anyhow::anyhow!("{text}"));
    let folder = cache::folder(common.cache.as_deref())
        .ok_or_else(|| input("--cache none: there is nowhere to keep what is measured"))?;
    let gpu = common.gpu()?;
    profile::check(&gpu, "tune")?;
    if !gpu.can_store(args.model.precision()) {
        return Err(input(
            "--precision f16: the adapter has no f16 (shader-f16); choose another adapter or f32",
        ));
    }
    let own = costs(&gpu, args, Ways::default())?;
    let mut lines: HashMap<Problem, Measured> = HashMap::new();
    for (&problem, cost) in &own {
        let (way, ms) = (None, cost.ms);
        let line = Measured {
            problem,
            way,
            ms,
            own_ms: ms,
        };
        lines.insert(problem, line);
    }
    // Those for which there is a choice.
    let mut chosen = HashSet::new();
    for way in ways(&gpu, args) {
        let found = costs(&gpu, args, Ways::everywhere(way))?;
        for (problem, line) in &mut lines {
            let Some(cost) = found.get(problem) else {
                continue;
            };
            // Where the way cannot be taken the same was dispatched, and what differs is noise.
            if cost.dispatches == own[problem].dispatches {
                continue;
            }
            chosen.insert(*problem);
            if cost.ms < line.ms.min(CLEARLY * line.own_ms) {
                (line.way, line.ms) = (Some(way), cost.ms);
            }
        }
    }
    lines.retain(|problem, _| chosen.contains(problem));
    let mut lines: Vec<_> = lines.into_values().collect();
    lines.sort_by(|a, b| b.own_ms.total_cmp(&a.own_ms));
    let file = keep(&gpu, &folder, lines.clone())?;
    let sum = |ms: fn(&Measured) -> f64| lines.iter().map(ms).sum();
    let report = Report {
        adapter: describe(gpu.info()),
        backbone: args.model.backbone.clone(),
        mode: args.mode.name(),
        file,
        own_ms: sum(|line| line.own_ms),
        ms: sum(|line| line.ms),
        convolutions: lines,
    };
    common.report(&report, || report.text(args))
}

/// The ways that the adapter has.
fn ways(gpu: &Gpu, args: &TuneArgs) -> Vec<Way> {
    if gpu.has_software_kernels() {
        return vec![Way::Direct, Way::Winograd];
    }
    let mut ways: Vec<_> = Tile::ALL.into_iter().map(Way::Tile).collect();
    if gpu.matrices().side(args.model.precision()).is_some() {
        ways.push(Way::Matrices);
    }
    ways
}

/// What each convolution of a step costs in these ways.
fn costs(gpu: &Gpu, args: &TuneArgs, ways: Ways) -> Result<HashMap<Problem, Cost>, Failure> {
    let target = args.model.target(gpu).in_ways(ways);
    let mut start_up = StartUp::default();
    let mut watch = Watch::new(Instant::now());
    let compile = bench_plan::compile(
        gpu,
        &args.model,
        args.mode,
        &target,
        &mut watch,
        &mut start_up,
    );
    let plan = gpu.block_on(compile)?;
    // The first step pays for what the driver put off.
    plan.submit();
    gpu.wait()?;
    gpu.check()?;
    let seconds = shortest(gpu, &plan, args.rounds)?;
    let mut costs: HashMap<Problem, Cost> = HashMap::new();
    for (step, seconds) in plan.recording().steps.iter().zip(seconds) {
        if let Some(problem) = step.convolution {
            let cost = costs.entry(problem).or_default();
            cost.ms += 1e3 * seconds;
            cost.dispatches.push(dispatched(step));
        }
    }
    Ok(costs)
}

fn dispatched(step: &Step) -> String {
    format!("{} {:?}", step.call.shader.name, step.call.variant)
}

/// The shortest time of each dispatch of a step, in seconds.
fn shortest(gpu: &Gpu, plan: &Plan, rounds: u32) -> Result<Vec<f64>, Failure> {
    let mut shortest = vec![f64::INFINITY; plan.recording().steps.len()];
    for _ in 0..rounds {
        let profile = gpu.block_on(plan.profile())?;
        let profile = profile.ok_or_else(profile::none)?;
        for (least, span) in shortest.iter_mut().zip(&profile.spans) {
            *least = least.min(span.end - span.start);
        }
    }
    Ok(shortest)
}

/// Adds the lines to what the adapter's file has.
fn keep(gpu: &Gpu, folder: &std::path::Path, lines: Vec<Measured>) -> Result<PathBuf, Failure> {
    let earlier = gpu.tuning().and_then(|text| Tuning::read(&text).ok());
    let mut tuning = earlier.unwrap_or_else(|| Tuning {
        adapter: describe(gpu.info()),
        convolutions: Vec::new(),
    });
    tuning.update(lines);
    gpu.tune(&tuning.text().map_err(Failure::work)?);
    gpu.store_tuning_in(folder).map_err(|error| {
        let file = gpu.tuning_file(folder);
        Failure::work(anyhow::Error::new(error).context(file.display().to_string()))
    })
}

impl Report {
    fn text(&self, args: &TuneArgs) -> String {
        let Model {
            backbone,
            size,
            batch,
            precision,
            ..
        } = &args.model;
        let mut text = format!(
            "{backbone} at {size}, batch {batch}, {precision}, {}, on {}\n\n  {:12} {:>18} {:>12} {:>7} {:>9} {:>9}  way\n",
            self.mode, self.adapter, "pass", "input", "filters", "stride", "own ms", "ms"
        );
        for line in &self.convolutions {
            let Problem { pass, shape, .. } = line.problem;
            let pass = match pass {
                Pass::Forward => "forward",
                Pass::GradInput => "grad input",
                Pass::GradWeight => "grad weight",
            };
            let way = line.way.map_or("own".to_owned(), |way| way.to_string());
            let _ = writeln!(
                text,
                "  {pass:12} {:>18} {:>12} {:>7} {:>9.2} {:>9.2}  {way}",
                format!("{}×{}×{}×{}", shape.n, shape.h, shape.w, shape.c),
                format!("{}×{}×{}", shape.r, shape.s, shape.k),
                format!("{}×{}", shape.stride[0], shape.stride[1]),
                line.own_ms,
                line.ms
            );
        }
        let _ = write!(
            text,
            "\n  all of these in a step: {:.2} ms, {:.2} ms in the fastest ways\n  kept in {}\n",
            self.own_ms,
            self.ms,
            self.file.display()
        );
        text
    }
}
