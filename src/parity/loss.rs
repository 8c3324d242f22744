//! The objective's values and gradients.

use super::compare::{Check, draw, farthest};
use super::{Device, ParityError};
use crate::gpu::Precision;
use crate::kernels::padded;
use crate::objective::{
    AffectLabels, Form, Labels, MatchingTable, Objective, ObjectiveConfig, Relatedness, ScaOn,
    Tasks,
};
use crate::random::Random;
use crate::tape::ops::Objective as ObjectiveOp;
use crate::tape::{Graph, Plan, Recording, Shape, Store};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A named configuration of the file.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    form: Form,
    weighted: bool,
    lambda: BTreeMap<String, f32>,
}

/// One batch under one configuration.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    batch: usize,
    pub(super) config: String,
    values: BTreeMap<String, f64>,
    grad_expression: Vec<f64>,
    grad_au: Vec<f64>,
    grad_va: Vec<f64>,
}

/// Names of the terms in the file, and their places in the losses.
pub(super) const TERMS: [(&str, usize); 6] = [
    ("expression", 0),
    ("au", 1),
    ("va", 2),
    ("dm", 3),
    ("sca", 4),
    ("total", 6),
];

/// The objective of a configuration: co-annotation on all images with AUs, as the reference has it.
pub(super) fn objective(config: &Config, table: &[Vec<f32>]) -> Result<Objective, ParityError> {
    let lambda = |name: &str| config.lambda.get(name).copied().unwrap_or(1.0);
    let options = ObjectiveConfig {
        expression: lambda("expression"),
        action_units: lambda("au"),
        valence_arousal: lambda("va"),
        distribution_matching: lambda("dm"),
        soft_co_annotation: lambda("sca"),
        form: config.form,
        sca_on: ScaOn::AllWithAus,
        matching_table: if config.weighted {
            MatchingTable::Weighted
        } else {
            MatchingTable::Binary
        },
        ..ObjectiveConfig::default()
    };
    let table = Relatedness::new(table)?;
    Ok(Objective::new(&Tasks::affect(), &options, Some(&table))?)
}

/// The labels of the reference's batch: every fourth image an expression, AUs, valence and arousal, or first and last.
pub(super) fn labels(seed: u64, batch: usize) -> Vec<Labels> {
    let class = Random::new(seed, "label.expression");
    let mask = Random::new(seed, "label.au_mask");
    let value = Random::new(seed, "label.au");
    let axes = Random::new(seed, "label.va");
    (0..batch as u64)
        .map(|i| {
            let kind = i % 4;
            let units = |random: Random, above: f32| {
                (0..17)
                    .filter(|j| random.uniform(17 * i + j) > above)
                    .fold(0u64, |bits, j| bits | 1 << j)
            };
            let annotated = if kind == 1 { units(mask, -0.6) } else { 0 };
            AffectLabels {
                expression: matches!(kind, 0 | 3).then(|| {
                    // In [0, 7): the cast rounds down.
                    ((f64::from(class.uniform(i)) + 1.0) / 2.0 * 7.0) as u32
                }),
                au_mask: annotated,
                au_value: units(value, 0.2) & annotated,
                valence_arousal: (kind >= 2)
                    .then(|| [axes.uniform(2 * i), axes.uniform(2 * i + 1)]),
            }
            .into()
        })
        .collect()
}

pub(super) async fn run(
    device: &Device<'_>,
    seed: u64,
    case: &Case,
    config: &Config,
    table: &[Vec<f32>],
) -> Result<Vec<Check>, ParityError> {
    let objective = objective(config, table)?;
    let heads = [("expression", 7), ("au", 17), ("va", 2)];
    let width = padded(objective.logits());
    let mut logits = vec![0.0; case.batch * width];
    let mut start = 0;
    for (name, len) in heads {
        let head = draw(seed, &format!("head.{name}"), case.batch * len, 3.0);
        for (row, values) in head.chunks_exact(len).enumerate() {
            logits[row * width + start..][..len].copy_from_slice(values);
        }
        start += len;
    }
    let (losses, gradient) = evaluate(device, &objective, case.batch, &logits, seed).await?;
    let name = format!("loss {} batch {}", case.config, case.batch);
    let mut checks = Vec::new();
    for (term, place) in TERMS {
        let want = case.values.get(term).copied().unwrap_or(f64::NAN);
        let distance = (f64::from(losses[place]) - want).abs();
        checks.push(Check::new(
            format!("{name} {term}"),
            distance,
            1e-5 * want.abs(),
        ));
    }
    let wanted = [&case.grad_expression, &case.grad_au, &case.grad_va];
    let mut start = 0;
    for ((head, len), want) in heads.into_iter().zip(wanted) {
        let largest = want.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
        let distance = farthest(&gradient, [width, start], want, [case.batch, len]);
        checks.push(Check::new(
            format!("{name} gradient of {head}"),
            distance,
            1e-5 * largest,
        ));
        start += len;
    }
    Ok(checks)
}

/// The losses and the logits' gradients.
async fn evaluate(
    device: &Device<'_>,
    objective: &Objective,
    batch: usize,
    logits: &[f32],
    seed: u64,
) -> Result<(Vec<f32>, Vec<f32>), ParityError> {
    let kernel = objective.kernel(batch);
    let mut graph = Graph::new();
    let inputs = [
        graph.input("logits", Shape::rows(&[batch, objective.logits()])),
        graph.input("labels", Shape::raw(kernel.labels_len())),
        graph.input("tables", Shape::raw(objective.tables().len())),
    ];
    let outputs = graph.record(ObjectiveOp(kernel), &inputs)?;
    let recording = Recording::new(graph, &outputs, &device.target)?;
    let store = Store::new(device.gpu, &recording, true).await?;
    let plan = Plan::new(device.gpu, recording, &store).await?;
    let labels = objective.pack(&labels(seed, batch), batch)?;
    plan.write(inputs[0], bytemuck::cast_slice(logits))?;
    plan.write(inputs[1], bytemuck::cast_slice(&labels))?;
    plan.write(inputs[2], bytemuck::cast_slice(objective.tables()))?;
    plan.submit();
    let mut gradient = plan.read(outputs[0]).await?;
    if let (Precision::F16, Some([scale, ..])) = (
        device.target.precision,
        store.read_scaling(device.gpu).await?,
    ) {
        gradient.iter_mut().for_each(|value| *value /= scale);
    }
    Ok((plan.read(outputs[1]).await?, gradient))
}
