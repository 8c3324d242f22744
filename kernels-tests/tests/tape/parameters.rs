//! What a plan makes of parameters alone.

use super::SEED;
use kernels_tests::harness::{gpu, pad};
use kernels_tests::random::Draw;
use kinesic::nn::{Conv2d, batch_norm, relu};
use kinesic::tape::{Graph, Plan, Recording, Shape, Store, Target, Value};

/// Three convolutions that Winograd's method pays for where software kernels run, each with a batch normalisation in evaluation.
fn evaluation(target: &Target) -> (Recording, Value, Value) {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::rows(&[4, 8, 8, 64]));
    let mut y = x;
    for layer in ["a", "b", "c"] {
        y = Conv2d::same(64, 3, 1).record(&mut graph, layer, y).unwrap();
        y = batch_norm(&mut graph, &format!("{layer}.bn"), y, false).unwrap();
        y = relu(&mut graph, y).unwrap();
    }
    (Recording::new(graph, &[y], target).unwrap(), x, y)
}

#[test]
fn what_depends_on_fixed_parameters_alone_is_made_once_and_kept() {
    let gpu = gpu();
    let (fixed, x, y) = evaluation(&Target::of(gpu).fixed());
    let (changing, ..) = evaluation(&Target::of(gpu));
    let filters = 3 * usize::from(gpu.has_software_kernels());
    assert_eq!(fixed.preparation.len(), 1 + filters);
    assert!(changing.preparation.is_empty());
    assert_eq!(changing.steps.len(), fixed.steps.len() + 1 + filters);
    assert_eq!(fixed.accounts().dispatches, fixed.steps.len());
    let store = gpu.block_on(Store::new(gpu, &fixed, false)).unwrap();
    let plans = [fixed, changing].map(|recording| {
        let plan = gpu.block_on(Plan::new(gpu, recording, &store)).unwrap();
        let mut draw = Draw::new("fixed parameters", SEED);
        plan.write(
            x,
            bytemuck::cast_slice(&pad(&draw.tensor(plan.len(x), 1.0), 64)),
        )
        .unwrap();
        plan
    });
    let run = |plan: &Plan| {
        plan.submit();
        gpu.block_on(plan.read(y)).unwrap()
    };
    for seed in [1, 2] {
        for (buffer, name) in [(&store.parameters, "parameters"), (&store.states, "states")] {
            let mut draw = Draw::new(name, seed);
            let values = draw.tensor(buffer.size() as usize / 4, 1.0);
            // Variances among them.
            let values: Vec<f32> = values.iter().map(|v| v.abs() as f32).collect();
            gpu.queue
                .write_buffer(buffer, 0, bytemuck::cast_slice(&values));
        }
        let [kept, made_anew] = &plans;
        let want = run(made_anew);
        assert!(want.iter().any(|&v| v > 0.0));
        assert!(run(kept) != want, "seed {seed}: nothing was kept");
        kept.prepare();
        // A step leaves alone what the next one needs.
        assert!(run(kept) == want && run(kept) == want, "seed {seed}");
    }
}
