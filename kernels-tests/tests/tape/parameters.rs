//! What a plan makes of parameters alone.

use super::SEED;
use kernels_tests::harness::{gpu, pad};
use kernels_tests::random::Draw;
use kinesic::gpu::{Matrices, Precision};
use kinesic::nn::{Conv2d, batch_norm, relu};
use kinesic::tape::{
    Flat, Graph, Memory, Operand, Plan, Recording, Shape, Slot, Step, Store, Target, Value,
};

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

/// Two convolutions whose products fill matrices, one behind the other, with a step of the optimiser behind their gradients.
fn training(target: &Target) -> (Recording, Vec<Slot>) {
    let mut graph = Graph::new();
    let mut x = graph.input("x", Shape::rows(&[2, 8, 8, 64]));
    for layer in ["a", "b"] {
        // A bias of 64: the second filters begin at an odd multiple of 64.
        let conv = Conv2d {
            bias: true,
            ..Conv2d::same(64, 3, 1)
        };
        x = conv.record(&mut graph, layer, x).unwrap();
        x = batch_norm(&mut graph, &format!("{layer}.bn"), x, true).unwrap();
    }
    let grad_y = graph.input("grad_y", graph.shape(x).clone());
    let wrt = graph.parameter_values();
    let grads = graph.gradients(&[(x, grad_y)], &wrt).unwrap();
    graph.keep_gradients(&grads);
    let slots = graph.parameters().cloned().collect();
    (Recording::new(graph, &[], target).unwrap(), slots)
}

/// A device with cooperative matrices that take filters in f16.
fn with_matrices() -> Target {
    let matrices = Matrices {
        half16: true,
        ..Matrices::NONE
    };
    Target {
        matrices,
        ..Target::unlimited().stored(Precision::F16)
    }
}

fn roundings(steps: &[Step]) -> Vec<&Step> {
    let of_filters = |it: &&Step| it.call.shader.name == "half_filters";
    steps.iter().filter(of_filters).collect()
}

#[test]
fn all_are_rounded_to_f16_by_one_dispatch_before_what_reads_them() {
    let (recording, slots) = training(&with_matrices());
    let made = roundings(&recording.steps);
    assert_eq!(made.len(), 1);
    let Operand::Flat { flat, offset, len } = made[0].operands[0] else {
        panic!("{:?}", made[0].operands);
    };
    assert_eq!((flat, offset), (Flat::Parameters, 0));
    assert_eq!(4 * len as u64, recording.accounts().parameter_bytes);
    let Operand::Value(halves) = made[0].operands[1] else {
        panic!("{:?}", made[0].operands);
    };
    let steps = recording.steps.iter();
    let mut steps = steps.skip_while(|it| it.call.shader.name != "half_filters");
    let mut read = Vec::new();
    for step in recording.steps.iter() {
        let bindings = step.operands.iter().zip(&step.call.extents);
        for (operand, _) in bindings.filter(|(_, extent)| extent.name == "weight") {
            match *operand {
                Operand::Part { value, offset, len } => {
                    assert_eq!(value, halves);
                    // WebGPU's alignment of a binding is 256 bytes.
                    assert_eq!(offset % 64, 0);
                    read.push([2 * offset, 2 * len]);
                    assert!(
                        steps.any(|it| std::ptr::eq(it, step)),
                        "read before it is made"
                    );
                }
                _ => assert_eq!(step.call.shader.name, "half_filters"),
            }
        }
    }
    let filters = slots
        .iter()
        .filter(|slot| slot.name.ends_with("a.weight") || slot.name.ends_with("b.weight"));
    let filters: Vec<_> = filters.map(|it| [it.offset, it.shape.len()]).collect();
    // Forward, and backward through the second, and through the first to the input's gradient, which nobody wants.
    assert_eq!(read, [filters[0], filters[1], filters[1]]);
}

#[test]
fn are_rounded_layer_by_layer_where_that_saves_memory_or_bindings_are_small() {
    let small = Target {
        max_binding: 4 * 64 * 64 * 9,
        ..with_matrices()
    };
    // The second layer's are the same for both of its passes.
    assert_eq!(roundings(&training(&small).0.steps).len(), 2);
    let low = with_matrices().within(Memory::Low);
    assert_eq!(roundings(&training(&low).0.steps).len(), 3);
    let without = Target::unlimited().stored(Precision::F16);
    assert_eq!(roundings(&training(&without).0.steps).len(), 0);
}

#[test]
fn are_rounded_once_for_all_steps_where_they_stay_as_they_are() {
    let (recording, ..) = evaluation(&with_matrices().fixed());
    assert_eq!(roundings(&recording.steps).len(), 0);
    assert_eq!(roundings(&recording.preparation).len(), 1);
}
