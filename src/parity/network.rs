//! Ten Adam steps of a whole network.

use super::compare::{Check, draw, farthest, norm, to_nhwc};
use super::{Device, ParityError, loss};
use crate::gpu::Precision;
use crate::kernels::optim::{AdamConstants, Optimizer};
use crate::kernels::padded;
use crate::nn::{Backbone, Network, Weights};
use crate::objective::Objective;
use crate::tape::{Graph, Plan, Recording, Shape, Store};
use crate::train::step;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How far the pixels of an image are moved, as a share of each: about what float32's sums are off.
const NUDGE: f64 = 1e-6;
/// Images that are tried beside the one that is drawn.
const NUDGED: u64 = 8;

/// Ten steps of one network in one precision.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) arch: String,
    dtype: String,
    batch: usize,
    hw: usize,
    lr: f64,
    steps: Vec<BTreeMap<String, f64>>,
    train_logits: Vec<f64>,
    grad_norm: BTreeMap<String, f64>,
}

/// The float64 record of each network with its float32 one.
pub(super) fn pairs(records: &[Record]) -> Vec<(&Record, &Record)> {
    let of = |dtype: &'static str| {
        records
            .iter()
            .filter(move |record| record.dtype.ends_with(dtype))
    };
    of("float64")
        .filter_map(|double| {
            Some((
                double,
                of("float32").find(|single| single.arch == double.arch)?,
            ))
        })
        .collect()
}

struct Run {
    losses: Vec<f64>,
    logits: Vec<f32>,
    grad_norm: BTreeMap<String, f64>,
}

/// The checks, and a note where they hold for a nudged image only.
///
/// A gradient jumps where the input of a ReLU changes sign. Of some references that input is nearer to zero than float32's
/// rounding, and float64's own gradients jump when the image moves as little. Where the image as drawn fails, a few that are moved by
/// float32's rounding are tried: the answer is right where it is the reference's for an image within rounding. What is wrong otherwise
/// fails with all of them.
pub(super) async fn run(
    device: &Device<'_>,
    seed: u64,
    double: &Record,
    single: &Record,
    objective: &Objective,
) -> Result<(Vec<Check>, Option<String>), ParityError> {
    let records = [double, single];
    let passed = |checks: &[Check]| checks.iter().all(|check| check.passed);
    let drawn = compare(device, seed, records, objective, None).await?;
    if passed(&drawn) || device.target.precision != Precision::F32 {
        return Ok((drawn, None));
    }
    for nudge in 0..NUDGED {
        let checks = compare(device, seed, records, objective, Some(nudge)).await?;
        if passed(&checks) {
            let arch = &double.arch;
            let note = format!(
                "{arch}: a ReLU's input is within float32's rounding of zero; the values hold for an image moved by {NUDGE:.0e} of itself"
            );
            return Ok((checks, Some(note)));
        }
    }
    Ok((drawn, None))
}

async fn compare(
    device: &Device<'_>,
    seed: u64,
    [double, single]: [&Record; 2],
    objective: &Objective,
    nudge: Option<u64>,
) -> Result<Vec<Check>, ParityError> {
    let run = train(device, seed, double, objective, nudge).await?;
    let name = &double.arch;
    let mut checks = Vec::new();
    let totals = |record: &Record| -> Vec<f64> {
        record
            .steps
            .iter()
            .map(|s| s.get("total").copied().unwrap_or(f64::NAN))
            .collect()
    };
    let want = totals(double);
    // No number, where the file has no step.
    let first = |losses: &[f64]| losses.first().copied().unwrap_or(f64::NAN);
    checks.push(Check::new(
        format!("{name} step 0 loss"),
        (first(&run.losses) - first(&want)).abs(),
        1e-5 * first(&want).abs(),
    ));
    checks.push(logits(name, double, single, &run.logits));
    let drift = double
        .grad_norm
        .iter()
        .map(|(parameter, d64)| {
            (single.grad_norm.get(parameter).unwrap_or(&f64::NAN) - d64).abs() / d64
        })
        .fold(0.0, f64::max);
    for (parameter, d64) in &double.grad_norm {
        let got = run.grad_norm.get(parameter).copied().unwrap_or(f64::NAN);
        let tolerance = (4.0 * drift).max(1e-3) * d64;
        checks.push(Check::new(
            format!("{name} gradient of {parameter}"),
            (got - d64).abs(),
            tolerance,
        ));
    }
    checks.extend(losses(name, &run.losses, &want, &totals(single)));
    Ok(checks)
}

/// Rounding errors grow from step to step, the more so the fewer values a batch normalisation has: an Adam step turns a
/// gradient's sign into its full length. So a loss may be as far off as the fixed share, or four times as far as float32 has
/// been by then in the implementation that wrote the file.
fn losses(name: &str, got: &[f64], double: &[f64], single: &[f64]) -> Vec<Check> {
    let relative = if name == "resnet18" { 3e-3 } else { 1e-1 };
    let mut drift = 0.0_f64;
    let steps = got.iter().zip(double).zip(single).enumerate();
    steps
        .map(|(index, ((got, want), single))| {
            drift = drift.max((single - want).abs());
            Check::new(
                format!("{name} loss of step {index}"),
                (got - want).abs(),
                (relative * want.abs()).max(4.0 * drift),
            )
        })
        .collect()
}

fn logits(name: &str, double: &Record, single: &Record, got: &[f32]) -> Check {
    let pairs = double.train_logits.iter().zip(&single.train_logits);
    let drift = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let wanted = &double.train_logits;
    let distance = farthest(got, [padded(26), 0], wanted, [double.batch, 26]);
    Check::new(
        format!("{name} step 0 logits"),
        distance,
        (4.0 * drift).max(2e-5),
    )
}

async fn train(
    device: &Device<'_>,
    seed: u64,
    record: &Record,
    objective: &Objective,
    nudge: Option<u64>,
) -> Result<Run, ParityError> {
    let backbone: Backbone = record.arch.parse().map_err(|_| ParityError::Case {
        case: record.arch.clone(),
        what: "the architecture",
    })?;
    let (batch, side) = (record.batch, record.hw);
    let network = Network {
        backbone,
        width: 1.0,
        depth: 1.0,
        outputs: objective.logits(),
    };
    let optimizer = Optimizer::Adam(AdamConstants::default());
    let mut graph = Graph::new();
    let image = graph.input("image", Shape::rows(&[batch, side, side, 3]));
    let step = step::record(
        &mut graph,
        image,
        &network,
        objective.kernel(batch),
        optimizer,
    )?;
    let weights = initial(&graph, seed);
    let recording = Recording::new(graph, &[step.losses, step.logits], &device.target)?;
    let store = Store::new(device.gpu, &recording, true).await?;
    let plan = Plan::new(device.gpu, recording, &store).await?;
    device.gpu.queue.write_buffer(
        &store.parameters,
        0,
        bytemuck::cast_slice(&weights.parameters),
    );
    device
        .gpu
        .queue
        .write_buffer(&store.states, 0, bytemuck::cast_slice(&weights.states));
    let mut pixels = draw(seed, "image", batch * 3 * side * side, 1.0);
    if let Some(nudge) = nudge {
        let moves = draw(seed, &format!("nudge.{nudge}"), pixels.len(), NUDGE);
        let nudged = pixels.iter_mut().zip(moves);
        nudged.for_each(|(pixel, share)| *pixel *= 1.0 + share);
    }
    plan.write(
        image,
        bytemuck::cast_slice(&to_nhwc(&pixels, [batch, 3, side, side])),
    )?;
    let labels = objective.pack(&loss::labels(seed, batch), batch)?;
    plan.write(step.labels, bytemuck::cast_slice(&labels))?;
    plan.write(step.tables, bytemuck::cast_slice(objective.tables()))?;
    let mut run = Run {
        losses: Vec::new(),
        logits: Vec::new(),
        grad_norm: BTreeMap::new(),
    };
    for index in 0..record.steps.len() as u64 {
        plan.write(
            step.schedule,
            bytemuck::cast_slice(&optimizer.schedule(record.lr, index, 0)),
        )?;
        plan.submit();
        run.losses.push(f64::from(plan.read(step.losses).await?[6]));
        if index == 0 {
            run.logits = plan.read(step.logits).await?;
            if let Some(gradients) = &store.gradients {
                let bytes = device
                    .gpu
                    .read(gradients, 0, 4 * weights.parameters.len() as u64)
                    .await?;
                let mut flat: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
                let scaling = store.read_scaling(device.gpu).await?;
                if let (Precision::F16, Some([_, inverse, ..])) = (device.target.precision, scaling)
                {
                    flat.iter_mut().for_each(|value| *value *= inverse);
                }
                run.grad_norm = weights
                    .take(&flat)
                    .map(|(name, g)| (name.to_owned(), norm(&g)))
                    .collect();
            }
        }
    }
    Ok(run)
}

/// The reference's initial weights: uniform, scales around 1.
#[allow(clippy::cast_possible_truncation)] // rounded once
fn initial(graph: &Graph, seed: u64) -> Weights {
    let mut weights = Weights::initialised(graph, seed);
    weights.fill(|name, shape| {
        let len = shape.iter().product();
        match *shape {
            [_, c, r, s] => draw(seed, name, len, (6.0 / (c * r * s) as f64).sqrt()),
            [_, c] => draw(seed, name, len, (3.0 / c as f64).sqrt()),
            _ if name.ends_with("weight") => draw(seed, name, len, 1.0)
                .iter()
                .map(|u| (1.0 + 0.1 * f64::from(*u)) as f32)
                .collect(),
            _ => draw(seed, name, len, 0.1),
        }
    });
    weights
}
