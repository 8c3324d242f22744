//! The tape: gradients through a whole graph, fusion, replay.

mod parameters;
mod refusals;
mod ways;

use kernels_tests::harness::{gpu, pad};
use kernels_tests::random::Draw;
use kernels_tests::{conv, elementwise, norm};
use kinesic::nn::{Conv2d, batch_norm, relu};
use kinesic::tape::ops::Add;
use kinesic::tape::{Graph, Plan, Recording, Shape, Store, TapeError, Target, Value};

const SEED: u64 = 5;
const N: usize = 3;
const SIDE: usize = 7;
const C: usize = 5;
const K: usize = 6;

/// conv, bn, relu, conv, bn, plus a projected shortcut, relu: a residual block with stride 2.
fn block(graph: &mut Graph, x: Value) -> Result<Value, TapeError> {
    let y = Conv2d::same(K, 3, 2).record(graph, "conv1", x)?;
    let y = batch_norm(graph, "bn1", y, true)?;
    let y = relu(graph, y)?;
    let y = Conv2d::same(K, 3, 1).record(graph, "conv2", y)?;
    let y = batch_norm(graph, "bn2", y, true)?;
    let z = Conv2d::same(K, 1, 2).record(graph, "conv3", x)?;
    let z = batch_norm(graph, "bn3", z, true)?;
    let y = graph.record1(Add { relu: false }, &[y, z])?;
    relu(graph, y)
}

struct Block {
    graph: Graph,
    x: Value,
    grad_y: Value,
    y: Value,
    grad_x: Value,
}

fn recorded() -> Block {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::rows(&[N, SIDE, SIDE, C]));
    let y = block(&mut graph, x).unwrap();
    let grad_y = graph.input("grad_y", graph.shape(y).clone());
    let mut wrt = graph.parameter_values();
    wrt.push(x);
    let mut grads = graph.gradients(&[(y, grad_y)], &wrt).unwrap();
    let grad_x = grads.pop().flatten().unwrap();
    graph.keep_gradients(&grads);
    Block {
        graph,
        x,
        grad_y,
        y,
        grad_x,
    }
}

/// The parameters of the block in travelling order, with the flat buffer that holds them.
struct Problem {
    weights: [Vec<f64>; 3],
    affine: [[Vec<f64>; 2]; 3],
    x: Vec<f64>,
    grad_y: Vec<f64>,
}

fn shapes() -> [conv::Conv2dShape; 3] {
    let first = conv::Conv2dShape {
        n: N,
        h: SIDE,
        w: SIDE,
        c: C,
        k: K,
        r: 3,
        s: 3,
        stride: [2; 2],
        padding: [1; 2],
    };
    let half = first.out_h();
    [
        first,
        conv::Conv2dShape {
            h: half,
            w: half,
            c: K,
            stride: [1; 2],
            ..first
        },
        conv::Conv2dShape {
            r: 1,
            s: 1,
            padding: [0; 2],
            ..first
        },
    ]
}

fn drawn() -> Problem {
    let mut draw = Draw::new("block", SEED);
    let shapes = shapes();
    let weights = shapes.map(|shape| draw.tensor(shape.weight_len(), 0.3));
    let affine = [0; 3].map(|_| {
        let gamma = draw.tensor(K, 0.5).iter().map(|g| 1.0 + g).collect();
        [gamma, draw.tensor(K, 0.5)]
    });
    Problem {
        weights,
        affine,
        x: draw.tensor(shapes[0].input_len(), 1.0),
        grad_y: draw.tensor(shapes[0].output_len(), 1.0),
    }
}

/// Σ grad_y · y in float64, from the references.
fn loss(problem: &Problem) -> f64 {
    let shapes = shapes();
    let layer = |index: usize, x: &[f64]| {
        let y = conv::conv2d(&shapes[index], x, &problem.weights[index], None).value;
        let [gamma, beta] = &problem.affine[index];
        let shape = norm::BatchNorm {
            channels: K,
            eps: 1e-5,
            momentum: 0.1,
        };
        shape
            .training(&y, gamma, beta, &[0.0; K], &[1.0; K])
            .y
            .value
    };
    let y = elementwise::relu(&layer(0, &problem.x)).value;
    let sum = elementwise::add(&layer(1, &y), &layer(2, &problem.x)).value;
    let y = elementwise::relu(&sum).value;
    y.iter().zip(&problem.grad_y).map(|(y, g)| y * g).sum()
}

/// y, grad_x and the parameters' gradients in travelling order by name.
type Step = (Vec<f32>, Vec<f32>, Vec<(String, Vec<f32>)>);

/// The adapter's target, fused or not.
fn target(fuse: bool) -> Target {
    Target {
        fuse,
        ..Target::of(gpu())
    }
}

/// Runs one step.
fn run(problem: &Problem, target: &Target) -> Step {
    let Block {
        graph,
        x,
        grad_y,
        y,
        grad_x,
    } = recorded();
    let mut weights = kinesic::nn::Weights::zeroed(&graph);
    weights.fill(|name, _| {
        let index = name.trim_start_matches(|c: char| !c.is_ascii_digit())[..1]
            .parse::<usize>()
            .unwrap()
            - 1;
        let values = match (name.starts_with("conv"), name.ends_with("weight")) {
            (true, _) => &problem.weights[index],
            (false, true) => &problem.affine[index][0],
            (false, false) => &problem.affine[index][1],
        };
        values.iter().map(|&v| v as f32).collect()
    });
    let gpu = gpu();
    gpu.block_on(async {
        let recording = Recording::new(graph, &[y, grad_x], target)?;
        let store = Store::new(gpu, &recording, true).await?;
        let plan = Plan::new(gpu, recording, &store).await?;
        gpu.queue.write_buffer(
            &store.parameters,
            0,
            bytemuck::cast_slice(&weights.parameters),
        );
        plan.write(x, bytemuck::cast_slice(&pad(&problem.x, C)))?;
        plan.write(grad_y, bytemuck::cast_slice(&pad(&problem.grad_y, K)))?;
        plan.submit();
        let size = 4 * weights.parameters.len() as u64;
        let flat = gpu.read(store.gradients.as_ref().unwrap(), 0, size).await?;
        let flat: Vec<f32> = bytemuck::pod_collect_to_vec(&flat);
        let grads = weights
            .take(&flat)
            .map(|(name, values)| (name.to_owned(), values))
            .collect();
        Ok::<_, TapeError>((plan.read(y).await?, plan.read(grad_x).await?, grads))
    })
    .unwrap()
}

#[test]
fn gradients_match_differences_of_the_references() {
    let problem = drawn();
    let (_, grad_x, grads) = run(&problem, &target(true));
    let mut draw = Draw::new("direction", SEED);
    let mut check = |name: &str, gradient: &[f32], change: &dyn Fn(&mut Problem, &[f64])| {
        let direction = draw.tensor(gradient.len(), 1.0);
        let analytic: f64 = gradient
            .iter()
            .zip(&direction)
            .map(|(g, d)| f64::from(*g) * d)
            .sum();
        let moved = |step: f64| {
            let mut problem = drawn();
            change(
                &mut problem,
                &direction.iter().map(|d| d * step).collect::<Vec<_>>(),
            );
            loss(&problem)
        };
        let step = 1e-6;
        let numeric = (moved(step) - moved(-step)) / (2.0 * step);
        let scale = gradient
            .iter()
            .map(|g| f64::from(*g).powi(2))
            .sum::<f64>()
            .sqrt()
            * direction.iter().map(|d| d * d).sum::<f64>().sqrt();
        // f32 through six layers; a wrong factor or sign is off by the gradient's own size.
        assert!(
            (analytic - numeric).abs() <= 1e-4 * scale,
            "{name}: {analytic} against {numeric}"
        );
    };
    let add = |to: &mut [f64], by: &[f64]| to.iter_mut().zip(by).for_each(|(a, b)| *a += b);
    let unpadded = kernels_tests::harness::unpad("grad_x", &grad_x, C);
    check("x", &unpadded, &|p, by| add(&mut p.x, by));
    for (name, gradient) in &grads {
        let index = name.trim_start_matches(|c: char| !c.is_ascii_digit())[..1]
            .parse::<usize>()
            .unwrap()
            - 1;
        let conv = name.starts_with("conv");
        let side = usize::from(name.ends_with("bias"));
        check(name, gradient, &|p, by| {
            add(
                if conv {
                    &mut p.weights[index]
                } else {
                    &mut p.affine[index][side]
                },
                by,
            );
        });
    }
}

#[test]
fn fused_and_plain_plans_agree() {
    let problem = drawn();
    let (fused, plain) = (run(&problem, &target(true)), run(&problem, &target(false)));
    assert_close("fused and plain", 1e-5, &fused, &plain);
}

/// Each tensor's values differ by at most a share of its largest.
fn assert_close(what: &str, share: f32, got: &Step, want: &Step) {
    let close = |name: &str, a: &[f32], b: &[f32]| {
        let most = b.iter().fold(0f32, |most, v| most.max(v.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= share * most, "{what}, {name}: {a}, {b}");
        }
    };
    close("y", &got.0, &want.0);
    close("grad_x", &got.1, &want.1);
    for ((name, a), (_, b)) in got.2.iter().zip(&want.2) {
        close(name, a, b);
    }
}

#[test]
fn fusion_leaves_no_pass_for_activation_and_sum() {
    let names = |fuse| {
        let Block {
            graph, y, grad_x, ..
        } = recorded();
        let recording = Recording::new(graph, &[y, grad_x], &target(fuse)).unwrap();
        let count = |kernel: &str| {
            recording
                .steps
                .iter()
                .filter(|step| step.call.shader.name == kernel)
                .count()
        };
        (count("relu"), count("add"), count("relu_grad"))
    };
    assert_eq!(names(true), (0, 0, 0));
    assert_eq!(names(false), (2, 2, 2));
}

#[test]
fn repeats_bit_for_bit() {
    let problem = drawn();
    let bits = || {
        let (y, grad_x, grads) = run(&problem, &target(true));
        let all = y
            .into_iter()
            .chain(grad_x)
            .chain(grads.into_iter().flat_map(|(_, values)| values));
        all.map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(bits(), bits());
}
