//! Fusion, here of the backward pass: each rule where it applies and where it must not, and the fused plan against the plain one.

mod forward;

use kernels_tests::harness::{gpu, pad};
use kernels_tests::random::Draw;
use kinesic::nn::{Conv2d, Weights, batch_norm, depthwise, relu};
use kinesic::tape::ops::{Add, GlobalAvgPool2d, MaxPool2d};
use kinesic::tape::{Graph, Memory, Plan, Recording, Shape, Store, TapeError, Target, Value};

const SEED: u64 = 6;
const N: usize = 3;
const SIDE: usize = 9;
const C: usize = 5;

/// A network on `x`: its output, and values whose gradients the host reads besides that of `x`.
type Network = fn(&mut Graph, Value) -> Result<(Value, Vec<Value>), TapeError>;

/// A convolution and its normalisation, of layers `conv{name}` and `bn{name}`.
fn normed(graph: &mut Graph, name: &str, x: Value, conv: Conv2d) -> Result<Value, TapeError> {
    let y = conv.record(graph, &format!("conv{name}"), x)?;
    batch_norm(graph, &format!("bn{name}"), y, true)
}

fn add(graph: &mut Graph, a: Value, b: Value) -> Result<Value, TapeError> {
    graph.record1(Add { relu: false }, &[a, b])
}

/// A stem, a residual block with a projected shortcut at stride 2, and one with a plain shortcut.
fn residual(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let stem = normed(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let x = relu(graph, stem)?;
    let y = normed(graph, "1", x, Conv2d::same(7, 3, 2))?;
    let y = relu(graph, y)?;
    let y = normed(graph, "2", y, Conv2d::same(18, 1, 1))?;
    let z = normed(graph, "3", x, Conv2d::same(18, 1, 2))?;
    let y = add(graph, y, z)?;
    let x = relu(graph, y)?;
    let y = normed(graph, "4", x, Conv2d::same(9, 1, 1))?;
    let y = relu(graph, y)?;
    let y = normed(graph, "5", y, Conv2d::same(18, 3, 1))?;
    let y = add(graph, y, x)?;
    Ok((relu(graph, y)?, Vec::new()))
}

fn two_convolutions_of_one_input(
    graph: &mut Graph,
    x: Value,
) -> Result<(Value, Vec<Value>), TapeError> {
    let a = Conv2d::same(6, 3, 1).record(graph, "conv0", x)?;
    let b = Conv2d::same(6, 1, 1).record(graph, "conv1", x)?;
    Ok((add(graph, a, b)?, Vec::new()))
}

fn rectifier_without_norm(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = Conv2d::same(6, 3, 1).record(graph, "conv0", x)?;
    let y = relu(graph, y)?;
    let y = Conv2d::same(17, 3, 2).record(graph, "conv1", y)?;
    Ok((y, Vec::new()))
}

/// As [`rectifier_without_norm`], with the gradient before the mask read by the host.
fn rectifier_watched(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = Conv2d::same(6, 3, 1).record(graph, "conv0", x)?;
    let watched = relu(graph, y)?;
    let y = Conv2d::same(17, 3, 2).record(graph, "conv1", watched)?;
    Ok((y, vec![watched]))
}

/// A residual around a convolution without a rectifier, as in inverted residuals.
fn linear_residual(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let x = normed(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let y = normed(graph, "1", x, Conv2d::same(6, 3, 1))?;
    Ok((add(graph, y, x)?, Vec::new()))
}

/// Normalisations that convolutions alone read, rectified or not, also two of them and at stride 2.
fn normalised_inputs(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = normed(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let y = normed(graph, "1", y, Conv2d::same(7, 3, 2))?;
    let y = relu(graph, y)?;
    let a = Conv2d::same(9, 3, 1).record(graph, "conv2", y)?;
    let b = Conv2d::same(9, 1, 1).record(graph, "conv3", y)?;
    let y = add(graph, a, b)?;
    Ok((batch_norm(graph, "bn3", y, true)?, Vec::new()))
}

/// A depthwise convolution, and one with a bias.
fn readers_that_do_not_map(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = normed(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let y = relu(graph, y)?;
    let y = depthwise(graph, "depthwise1", y, 1)?;
    let y = batch_norm(graph, "bn1", y, true)?;
    let y = relu(graph, y)?;
    let biased = Conv2d {
        bias: true,
        ..Conv2d::same(17, 3, 2)
    };
    Ok((biased.record(graph, "conv2", y)?, Vec::new()))
}

fn rectifier_before_a_pool(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = normed(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let y = relu(graph, y)?;
    Ok((graph.record1(GlobalAvgPool2d, &[y])?, Vec::new()))
}

fn rectifier_before_a_max_pool(
    graph: &mut Graph,
    x: Value,
) -> Result<(Value, Vec<Value>), TapeError> {
    let y = normed(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let y = relu(graph, y)?;
    let pool = MaxPool2d {
        kernel: 3,
        stride: 2,
        padding: 1,
    };
    Ok((graph.record(pool, &[y])?[0], Vec::new()))
}

/// The passes that are counted.
const KERNELS: [&str; 5] = [
    "add",
    "relu_grad",
    "batch_norm_grad_reduce",
    "batch_norm_apply",
    "batch_norm_grad_input",
];

struct Case {
    name: &'static str,
    network: Network,
    /// Passes of the fused plan, in the order of [`KERNELS`].
    fused: [usize; 5],
    /// Those on software adapters, where column sums and the gradients of normalisations stay apart from the convolutions.
    software: [usize; 5],
    /// Those of the plain plan.
    plain: [usize; 5],
}

const CASES: [Case; 9] = [
    // What is left to reduce is fed by the host, and the second reader of the gradient that the shortcut shares; what is left of
    // normalisations are sums; and of their gradients what is masked by the output, or before convolutions that add and mask.
    Case {
        name: "residual",
        network: residual,
        fused: [0, 0, 2, 2, 3],
        software: [0, 0, 6, 5, 6],
        plain: [4, 5, 6, 6, 6],
    },
    // What is left is the forward sum.
    Case {
        name: "two convolutions of one input",
        network: two_convolutions_of_one_input,
        fused: [1, 0, 0, 0, 0],
        software: [1, 0, 0, 0, 0],
        plain: [2, 0, 0, 0, 0],
    },
    Case {
        name: "rectifier without norm",
        network: rectifier_without_norm,
        fused: [0, 0, 0, 0, 0],
        software: [0, 0, 0, 0, 0],
        plain: [0, 1, 0, 0, 0],
    },
    Case {
        name: "rectifier watched",
        network: rectifier_watched,
        fused: [0, 1, 0, 0, 0],
        software: [0, 1, 0, 0, 0],
        plain: [0, 1, 0, 0, 0],
    },
    Case {
        name: "linear residual",
        network: linear_residual,
        fused: [0, 0, 1, 2, 1],
        software: [0, 0, 2, 2, 2],
        plain: [2, 0, 2, 2, 2],
    },
    // What is left is read by the host, or reads its gradient and that of a sum.
    Case {
        name: "normalised inputs",
        network: normalised_inputs,
        fused: [1, 0, 1, 1, 1],
        software: [1, 0, 3, 3, 3],
        plain: [2, 1, 3, 3, 3],
    },
    Case {
        name: "readers that do not map",
        network: readers_that_do_not_map,
        fused: [0, 0, 1, 2, 2],
        software: [0, 0, 2, 2, 2],
        plain: [0, 2, 2, 2, 2],
    },
    Case {
        name: "rectifier before a max pool",
        network: rectifier_before_a_max_pool,
        fused: [0, 0, 1, 0, 1],
        software: [0, 0, 1, 0, 1],
        plain: [0, 1, 1, 1, 1],
    },
    Case {
        name: "rectifier before a pool",
        network: rectifier_before_a_pool,
        fused: [0, 0, 1, 1, 1],
        software: [0, 0, 1, 1, 1],
        plain: [0, 1, 1, 1, 1],
    },
];

struct Recorded {
    graph: Graph,
    x: Value,
    grad_y: Option<Value>,
    /// What the host reads: y, and the gradients of x and of the watched values.
    outputs: Vec<Value>,
}

/// A network, with its gradients where it is `trained`.
fn recorded(network: Network, trained: bool) -> Recorded {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::rows(&[N, SIDE, SIDE, C]));
    let (y, watched) = network(&mut graph, x).unwrap();
    if !trained {
        return Recorded {
            graph,
            x,
            grad_y: None,
            outputs: vec![y],
        };
    }
    let grad_y = graph.input("grad_y", graph.shape(y).clone());
    let parameters = graph.parameter_values();
    let wrt = [parameters.clone(), vec![x], watched].concat();
    let grads = graph.gradients(&[(y, grad_y)], &wrt).unwrap();
    let (kept, read) = grads.split_at(parameters.len());
    graph.keep_gradients(kept);
    let mut outputs = vec![y];
    outputs.extend(read.iter().flatten());
    Recorded {
        graph,
        x,
        grad_y: Some(grad_y),
        outputs,
    }
}

/// All that a step gives, by name: outputs, gradients and running statistics.
fn run(network: Network, trained: bool, target: &Target) -> Vec<(String, Vec<f32>)> {
    let Recorded {
        graph,
        x,
        grad_y,
        outputs,
    } = recorded(network, trained);
    let mut draw = Draw::new("fusion", SEED);
    let mut drawn = |shape: &Shape| {
        let values = draw.tensor(shape.dims().iter().product(), 1.0);
        pad(&values, shape.channels())
    };
    let x_values = drawn(graph.shape(x));
    let grad_values = grad_y.map(|grad_y| (grad_y, drawn(graph.shape(grad_y))));
    let mut weights = Weights::zeroed(&graph);
    weights.fill(|name, shape| {
        let values = Draw::new(name, SEED).tensor(shape.iter().product(), 0.4);
        let centre = if name.starts_with("bn") && name.ends_with("weight") {
            1.0
        } else {
            0.0
        };
        values.iter().map(|&v| (centre + v) as f32).collect()
    });
    weights.fill_states(|name, shape| {
        let values = Draw::new(name, SEED).tensor(shape.iter().product(), 0.4);
        let centre = if name.ends_with("var") { 1.0 } else { 0.0 };
        values.iter().map(|&v| (centre + v) as f32).collect()
    });
    let gpu = gpu();
    gpu.block_on(async {
        let recording = Recording::new(graph, &outputs, target)?;
        let store = Store::new(gpu, &recording, true).await?;
        let plan = Plan::new(gpu, recording, &store).await?;
        let flat = bytemuck::cast_slice(&weights.parameters);
        gpu.queue.write_buffer(&store.parameters, 0, flat);
        let flat = bytemuck::cast_slice(&weights.states);
        gpu.queue.write_buffer(&store.states, 0, flat);
        plan.write(x, bytemuck::cast_slice(&x_values))?;
        if let Some((grad_y, values)) = &grad_values {
            plan.write(*grad_y, bytemuck::cast_slice(values))?;
        }
        plan.submit();
        let mut read = Vec::new();
        for (output, index) in outputs.iter().zip(0..) {
            read.push((format!("output {index}"), plan.read(*output).await?));
        }
        let size = 4 * weights.states.len() as u64;
        if size > 0 {
            let states = gpu.read(&store.states, 0, size).await?;
            read.push(("states".to_owned(), bytemuck::pod_collect_to_vec(&states)));
        }
        if !trained {
            return Ok(read);
        }
        let size = 4 * weights.parameters.len() as u64;
        let flat = gpu.read(store.gradients.as_ref().unwrap(), 0, size).await?;
        let flat: Vec<f32> = bytemuck::pod_collect_to_vec(&flat);
        read.extend(weights.take(&flat).map(|(name, g)| (name.to_owned(), g)));
        Ok::<_, TapeError>(read)
    })
    .unwrap()
}

/// The device's kernels, and the base kernels.
fn targets(fuse: bool) -> Vec<Target> {
    let own = Target {
        fuse,
        normalise_on_load: Some(true),
        ..Target::of(gpu())
    };
    let base = Target {
        software: false,
        ..own.clone()
    };
    if own == base {
        vec![own]
    } else {
        vec![own, base]
    }
}

/// Holds the fused plan's results against the plain one's.
fn check_plans(what: &str, network: Network, trained: bool) {
    for (fused, plain) in targets(true).iter().zip(targets(false)) {
        let fused = run(network, trained, fused);
        let plain = run(network, trained, &plain);
        for ((name, a), (_, b)) in fused.iter().zip(&plain) {
            let most = b.iter().fold(0f32, |most, v| most.max(v.abs()));
            assert!(most > 0.0, "{what}, {name}: nothing to compare");
            for (a, b) in a.iter().zip(b) {
                let close = (a - b).abs() <= 1e-5 * most;
                assert!(close, "{what}, {name}: {a} fused, {b} plain");
            }
        }
    }
}

/// How often each kernel runs in a step.
fn passes<const KERNELS: usize>(
    network: Network,
    trained: bool,
    target: &Target,
    kernels: [&str; KERNELS],
) -> [usize; KERNELS] {
    let Recorded { graph, outputs, .. } = recorded(network, trained);
    let recording = Recording::new(graph, &outputs, target).unwrap();
    kernels.map(|kernel| {
        let steps = recording.steps.iter();
        steps.filter(|s| s.call.shader.name == kernel).count()
    })
}

#[test]
fn fused_and_plain_plans_agree() {
    for case in CASES {
        check_plans(case.name, case.network, true);
    }
}

#[test]
fn each_rule_applies_where_it_may_and_only_there() {
    let passes = |network, target: &Target| passes(network, true, target, KERNELS);
    for case in CASES {
        for (fused, plain) in targets(true).iter().zip(targets(false)) {
            let want = if fused.software {
                case.software
            } else {
                case.fused
            };
            assert_eq!(passes(case.network, fused), want, "{}", case.name);
            assert_eq!(passes(case.network, &plain), case.plain, "{}", case.name);
        }
    }
}

#[test]
fn low_memory_gives_the_same_bits_fused_and_plain() {
    for target in [targets(true), targets(false)].concat() {
        let low = target.clone().within(Memory::Low);
        let norms = |target| passes(readers_that_do_not_map, true, target, ["batch_norm_apply"]);
        assert!(!target.fuse || norms(&low) > norms(&target), "{target:?}");
        for case in CASES {
            let fast = run(case.network, true, &target);
            let low = run(case.network, true, &low);
            for ((name, fast), (_, low)) in fast.iter().zip(&low) {
                let same = fast
                    .iter()
                    .zip(low)
                    .all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{}, {name}, {target:?}", case.name);
            }
        }
    }
}
