//! The objective as an operation of the tape.

use crate::case::{Carry, Case, affect};
use kernels_tests::harness::{gpu, unpad};
use kernels_tests::random::Draw;
use kinesic::objective::{MatchingTable, ScaOn};
use kinesic::tape::ops::Objective;
use kinesic::tape::{Graph, Plan, Recording, Shape, Store, Target};

#[test]
fn a_plan_gives_the_bits_of_the_kernels() {
    let batch = 65;
    let mut case = Case::draw(&mut Draw::new("plan", 3), affect(batch), 3.0, Carry::Mixed);
    case.config.co_annotate_aus = true;
    case.config.sca_on = ScaOn::AllWithAus;
    case.config.matching_table = MatchingTable::Weighted;
    let objective = case.objective();
    let problem = objective.kernel(batch);
    assert_eq!(problem.blocks.len(), 1);

    let mut graph = Graph::new();
    let logits = graph.input("logits", Shape::rows(&[batch, objective.logits()]));
    let labels = graph.input("labels", Shape::raw(problem.labels_len()));
    let tables = graph.input("tables", Shape::raw(problem.tables_len()));
    let inputs = [logits, labels, tables];
    let outputs = graph.record(Objective(problem.clone()), &inputs).unwrap();
    let recording = Recording::new(graph, &outputs, &Target::of(gpu())).unwrap();
    assert_eq!(recording.steps.len(), 3);

    let words = objective.pack(&case.labels(), batch).unwrap();
    let (losses, grad) = gpu()
        .block_on(async {
            let store = Store::new(gpu(), &recording, true).await?;
            let plan = Plan::new(gpu(), recording, &store).await?;
            plan.write(logits, bytemuck::cast_slice(&case.logits(problem.width)))?;
            plan.write(labels, bytemuck::cast_slice(&words))?;
            plan.write(tables, bytemuck::cast_slice(objective.tables()))?;
            // The second step meets what the first left in the scratch.
            plan.submit();
            plan.submit();
            let [grad, losses] = [0, 1].map(|output| plan.read(outputs[output]));
            Ok::<_, kinesic::tape::TapeError>((losses.await?, grad.await?))
        })
        .unwrap();
    let given = case.run();
    let bits = |values: &[f32]| {
        values
            .iter()
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&losses), bits(&given.losses));
    assert_eq!(bits(&unpad("grad_logits", &grad, 26)), bits(&given.grad));
}
