//! The objective's kernels against their reference and against PyTorch's values.

mod golden;

use kernels_tests::harness::{execute, unpad};
use kinesic::objective::{Labels, Objective};

/// Runs the objective of a whole batch: the losses, and the gradients of the logits without their padding.
fn step(objective: &Objective, logits: &[f32], labels: &[Labels]) -> (Vec<f32>, Vec<f32>) {
    run(objective, logits, labels, labels.len())
}

/// Runs the objective of a batch that `labels` may not fill.
fn run(
    objective: &Objective,
    logits: &[f32],
    labels: &[Labels],
    batch: usize,
) -> (Vec<f32>, Vec<f32>) {
    let problem = objective.kernel(batch);
    let words = objective.pack(labels, batch).unwrap();
    let labels: &[f32] = bytemuck::cast_slice(&words);
    let tables = objective.tables();
    let [terms, reduce, grad] = problem.calls().unwrap();
    let mut scratch = execute(&terms, &[logits, labels, tables]).remove(0);
    // What only objective_reduce writes.
    scratch.resize(problem.scratch_len(), f32::NAN);
    let mut reduced = execute(&reduce, &[labels, &scratch]);
    let (losses, scratch) = (reduced.remove(1), reduced.remove(0));
    let grad = execute(&grad, &[labels, tables, &scratch]).remove(0);
    (losses, unpad("grad_logits", &grad, objective.logits()))
}
