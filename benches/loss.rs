//! The objective: all five terms of case study (i), and of many people with attributes, forward and gradient, in bytes a second.

mod common;

#[allow(dead_code)] // the tests' drawn problems; they use more of it
#[path = "../kernels-tests/tests/loss/case.rs"]
mod case;

use case::{Carry, Case, Sizes, affect, execute_all};
use common::{Line, quick};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::harness::execute;
use kernels_tests::random::Draw;
use kinesic::kernels::Call;

fn objective(criterion: &mut Criterion) {
    let people = |batch, classes| Sizes {
        batch,
        classes,
        units: 40,
        axes: 0,
    };
    let problems = match quick() {
        true => [affect(5), people(3, 300)].to_vec(),
        false => [affect(64), affect(256), people(64, 1000), people(64, 5000)].to_vec(),
    };
    for sizes in problems {
        let batch = sizes.batch;
        let mut draw = Draw::new("objective bench", 1);
        let case = Case::draw(&mut draw, sizes, 4.0, Carry::Mixed);
        // All three dispatches against the reference, before any of them is timed.
        case.check("bench");
        let objective = case.objective();
        let problem = objective.kernel(batch);
        let words = objective.pack(&case.labels(), batch).unwrap();
        let labels: &[f32] = bytemuck::cast_slice(&words);
        let tables = objective.tables();
        let logits = case.logits(problem.width);
        let (_, grad) = execute_all(&problem, &logits, &words, tables);
        let [terms, reduce, finish] = problem.calls(false, false).unwrap().remove(0);
        let mut scratch = execute(&terms, &[&logits, labels, tables]).remove(0);
        let first = scratch.clone();
        scratch.resize(problem.scratch_len(), 0.0);
        let reduced = execute(&reduce, &[labels, &scratch]);

        let mut line = |kernel, variant, call: &Call, inputs: &[&[f32]], want: &[f32]| {
            let line = Line {
                kernel,
                variant,
                shape: format!("{batch}x{}", problem.width),
            };
            line.stream(criterion, call, inputs, |what, outputs| {
                assert!(outputs[0] == *want, "{what}: other bits in a second run");
            });
        };
        let inputs: &[&[f32]] = &[&logits, labels, tables];
        line("loss/objective_terms", "f32", &terms, inputs, &first);
        let [software, ..] = problem.calls(false, true).unwrap().remove(0);
        if software != terms {
            let first = execute(&software, inputs).remove(0);
            let kernel = "loss/objective_terms";
            line(kernel, "f32_software", &software, inputs, &first);
        }
        let inputs: &[&[f32]] = &[labels, &scratch];
        line("loss/objective_reduce", "f32", &reduce, inputs, &reduced[0]);
        let inputs: &[&[f32]] = &[labels, tables, &reduced[0]];
        line("loss/objective_grad", "f32", &finish, inputs, &grad);
    }
}

criterion_group!(benches, objective);
criterion_main!(benches);
