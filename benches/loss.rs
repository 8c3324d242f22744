//! The objective: all five terms of case study (i), forward and gradient, in bytes a second.

mod common;

#[allow(dead_code)] // the tests' drawn problems; they use more of it
#[path = "../kernels-tests/tests/loss/case.rs"]
mod case;

use case::{Carry, Case, affect, execute_all};
use common::{Line, quick};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::harness::execute;
use kernels_tests::random::Draw;
use kinesic::kernels::Call;

fn objective(criterion: &mut Criterion) {
    let batches: &[usize] = if quick() { &[5] } else { &[64, 256] };
    for &batch in batches {
        let case = Case::draw(
            &mut Draw::new("objective bench", 1),
            affect(batch),
            4.0,
            Carry::Mixed,
        );
        // All three dispatches against the reference, before any of them is timed.
        case.check("bench");
        let objective = case.objective();
        let problem = objective.kernel(batch);
        let words = objective.pack(&case.labels(), batch).unwrap();
        let labels: &[f32] = bytemuck::cast_slice(&words);
        let tables = objective.tables();
        let logits = case.logits(problem.width);
        let (_, grad) = execute_all(&problem, &logits, &words, tables);
        let [terms, reduce, finish] = problem.calls(false).unwrap().remove(0);
        let mut scratch = execute(&terms, &[&logits, labels, tables]).remove(0);
        let first = scratch.clone();
        scratch.resize(problem.scratch_len(), 0.0);
        let reduced = execute(&reduce, &[labels, &scratch]);

        let mut line = |kernel, call: &Call, inputs: &[&[f32]], want: &[f32]| {
            let line = Line {
                kernel,
                variant: "f32",
                shape: format!("{batch}x{}", problem.width),
            };
            line.stream(criterion, call, inputs, |what, outputs| {
                assert!(outputs[0] == *want, "{what}: other bits in a second run");
            });
        };
        line(
            "loss/objective_terms",
            &terms,
            &[&logits, labels, tables],
            &first,
        );
        line(
            "loss/objective_reduce",
            &reduce,
            &[labels, &scratch],
            &reduced[0],
        );
        line(
            "loss/objective_grad",
            &finish,
            &[labels, tables, &reduced[0]],
            &grad,
        );
    }
}

criterion_group!(benches, objective);
criterion_main!(benches);
