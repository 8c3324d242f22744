//! A step of each optimiser over a flat buffer.

mod common;

use common::{Line, quick};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::harness::compare;
use kernels_tests::optim as reference;
use kernels_tests::random::Draw;
use kinesic::kernels::optim::{AdamConstants, Optimizer};

const WEIGHT_DECAY: f64 = 0.01;
const MOMENTUM: f64 = 0.9;

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn step(criterion: &mut Criterion, kernel: &str, optimizer: Optimizer) {
    // A power of two for the learning rate, so that f32 and f64 hold the same.
    let lr = 1.0 / 1024.0;
    let len = if quick() { 260 } else { 1 << 20 };
    let mut draw = Draw::new("optim bench", 1);
    let (parameter, gradient) = (draw.tensor(len, 1.0), draw.tensor(len, 1.0));
    let zeros = vec![0.0; len];
    let adam = |decoupled| {
        let options = reference::Adam {
            lr,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: WEIGHT_DECAY,
            decoupled,
        };
        options
            .step(1, &parameter, &gradient, &zeros, &zeros)
            .parameter
    };
    let want = match optimizer {
        Optimizer::Adam(_) => adam(false),
        Optimizer::AdamW(_) => adam(true),
        _ => {
            let options = reference::Sgd {
                lr,
                momentum: MOMENTUM,
                nesterov: false,
                weight_decay: WEIGHT_DECAY,
            };
            options.step(&parameter, &gradient, &zeros).parameter
        }
    };
    let call = optimizer.call(len, false).unwrap();
    let schedule = optimizer.schedule(lr, 0, 0).map(f32::from_bits);
    let (p, g, m) = (f32s(&parameter), f32s(&gradient), f32s(&zeros));
    let mut inputs: Vec<&[f32]> = vec![&schedule, &g, &p];
    inputs.resize(3 + optimizer.moments(), &m);
    let line = Line {
        kernel,
        variant: &call.variant.to_string(),
        shape: format!("{len}"),
    };
    line.stream(criterion, &call, &inputs, |what, outputs| {
        compare(what, &outputs[0], &want, 10);
    });
}

fn optimizers(criterion: &mut Criterion) {
    let constants = AdamConstants {
        weight_decay: WEIGHT_DECAY,
        ..Default::default()
    };
    let sgd = Optimizer::Sgd {
        momentum: MOMENTUM,
        nesterov: false,
        weight_decay: WEIGHT_DECAY,
    };
    step(criterion, "optim/adam", Optimizer::Adam(constants));
    step(criterion, "optim/adam", Optimizer::AdamW(constants));
    step(criterion, "optim/sgd", sgd);
}

criterion_group!(benches, optimizers);
criterion_main!(benches);
