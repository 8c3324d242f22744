//! Fusion of the forward pass, in inference and in training.

use super::{Network, add, check_plans, passes, targets};
use kinesic::nn::{Conv2d, batch_norm, depthwise, relu};
use kinesic::tape::{Graph, TapeError, Value};

/// A convolution and its normalisation in evaluation, of layers `conv{name}` and `bn{name}`.
fn mapped(graph: &mut Graph, name: &str, x: Value, conv: Conv2d) -> Result<Value, TapeError> {
    let y = conv.record(graph, &format!("conv{name}"), x)?;
    batch_norm(graph, &format!("bn{name}"), y, false)
}

fn alone(y: Value) -> Result<(Value, Vec<Value>), TapeError> {
    Ok((y, Vec::new()))
}

/// A stem, a residual block with a projected shortcut at stride 2, and one with a plain shortcut.
fn residual(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let x = mapped(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let x = relu(graph, x)?;
    let y = mapped(graph, "1", x, Conv2d::same(7, 3, 2))?;
    let y = relu(graph, y)?;
    let y = mapped(graph, "2", y, Conv2d::same(70, 1, 1))?;
    let z = mapped(graph, "3", x, Conv2d::same(70, 1, 2))?;
    let y = add(graph, y, z)?;
    let x = relu(graph, y)?;
    let y = mapped(graph, "4", x, Conv2d::same(9, 1, 1))?;
    let y = relu(graph, y)?;
    let y = mapped(graph, "5", y, Conv2d::same(70, 3, 1))?;
    let y = add(graph, y, x)?;
    alone(relu(graph, y)?)
}

fn biased(channels: usize) -> Conv2d {
    Conv2d {
        bias: true,
        ..Conv2d::same(channels, 3, 1)
    }
}

fn bias_and_rectifier(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = biased(6).record(graph, "conv0", x)?;
    let y = relu(graph, y)?;
    let y = mapped(graph, "1", y, biased(7))?;
    alone(relu(graph, y)?)
}

/// Depthwise separable blocks, one with a residual; the depthwise kernel adds none.
fn separable(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let x = mapped(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let x = relu(graph, x)?;
    let y = depthwise(graph, "depthwise1", x, 1)?;
    let y = batch_norm(graph, "bn1", y, false)?;
    let y = relu(graph, y)?;
    let y = mapped(graph, "2", y, Conv2d::same(6, 1, 1))?;
    let x = add(graph, y, x)?;
    let y = depthwise(graph, "depthwise3", x, 1)?;
    let y = relu(graph, y)?;
    let z = depthwise(graph, "depthwise4", x, 1)?;
    let z = batch_norm(graph, "bn4", z, false)?;
    alone(add(graph, z, y)?)
}

/// The second batch normalisation does not follow a convolution.
fn normalised_twice(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = mapped(graph, "0", x, Conv2d::same(6, 3, 1))?;
    alone(batch_norm(graph, "bn1", y, false)?)
}

/// The convolution's output has another reader.
fn read_twice(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = Conv2d::same(6, 3, 1).record(graph, "conv0", x)?;
    let z = batch_norm(graph, "bn0", y, false)?;
    alone(add(graph, z, y)?)
}

/// The residual is what the convolution reads: one value in two bindings would alias.
fn residual_of_the_input(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let x = mapped(graph, "0", x, Conv2d::same(6, 3, 1))?;
    let y = mapped(graph, "1", x, Conv2d::same(6, 3, 1))?;
    alone(add(graph, y, x)?)
}

/// The residual is made after the convolution, though before its normalisation.
fn residual_made_later(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = Conv2d::same(6, 3, 1).record(graph, "conv0", x)?;
    let z = Conv2d::same(6, 1, 1).record(graph, "conv1", x)?;
    let z = relu(graph, z)?;
    let y = batch_norm(graph, "bn0", y, false)?;
    alone(add(graph, y, z)?)
}

/// Training behind a frozen normalisation: its gradient reads the convolution's output.
fn frozen(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    alone(mapped(graph, "0", x, Conv2d::same(6, 3, 1))?)
}

fn trained(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = Conv2d::same(6, 3, 1).record(graph, "conv0", x)?;
    let y = batch_norm(graph, "bn0", y, true)?;
    let y = relu(graph, y)?;
    let y = Conv2d::same(18, 1, 2).record(graph, "conv1", y)?;
    alone(batch_norm(graph, "bn1", y, true)?)
}

/// Two normalisations of one rectified convolution: the first gets its statistics. The sums are of a value made later, and of
/// gradients that no convolution makes.
fn statistics_wanted_twice(graph: &mut Graph, x: Value) -> Result<(Value, Vec<Value>), TapeError> {
    let y = Conv2d::same(6, 3, 1).record(graph, "conv0", x)?;
    let y = relu(graph, y)?;
    let a = batch_norm(graph, "bn0", y, true)?;
    let b = batch_norm(graph, "bn1", y, true)?;
    let b = relu(graph, b)?;
    alone(add(graph, a, b)?)
}

struct Case {
    name: &'static str,
    network: Network,
    trained: bool,
    /// Passes of each of [`KERNELS`] in the fused plan, and in the plain one. Statistics stay apart on software
    /// adapters, and normalisations in training.
    fused: [usize; KERNELS.len()],
    plain: [usize; KERNELS.len()],
}

const KERNELS: [&str; 6] = [
    "add",
    "relu",
    "batch_norm_stats",
    "batch_norm_fold",
    "batch_norm_fold_layers",
    "batch_norm_apply",
];

const CASES: [Case; 10] = [
    Case {
        name: "residual",
        network: residual,
        trained: false,
        fused: [0, 0, 0, 0, 1, 0],
        plain: [2, 5, 0, 6, 0, 6],
    },
    Case {
        name: "bias and rectifier",
        network: bias_and_rectifier,
        trained: false,
        fused: [0, 0, 0, 0, 1, 0],
        plain: [0, 2, 0, 1, 0, 1],
    },
    Case {
        name: "separable",
        network: separable,
        trained: false,
        fused: [0, 0, 0, 1, 1, 1],
        plain: [2, 3, 0, 4, 0, 4],
    },
    Case {
        name: "normalised twice",
        network: normalised_twice,
        trained: false,
        fused: [0, 0, 0, 1, 1, 1],
        plain: [0, 0, 0, 2, 0, 2],
    },
    Case {
        name: "read twice",
        network: read_twice,
        trained: false,
        fused: [0, 0, 0, 1, 0, 1],
        plain: [1, 0, 0, 1, 0, 1],
    },
    Case {
        name: "residual of the input",
        network: residual_of_the_input,
        trained: false,
        fused: [0, 0, 0, 1, 1, 1],
        plain: [1, 0, 0, 2, 0, 2],
    },
    Case {
        name: "residual made later",
        network: residual_made_later,
        trained: false,
        fused: [0, 0, 0, 1, 0, 1],
        plain: [1, 1, 0, 1, 0, 1],
    },
    Case {
        name: "frozen",
        network: frozen,
        trained: true,
        fused: [0, 0, 0, 1, 0, 1],
        plain: [0, 0, 0, 1, 0, 1],
    },
    Case {
        name: "trained",
        network: trained,
        trained: true,
        fused: [0, 0, 0, 0, 0, 1],
        plain: [0, 1, 2, 0, 0, 2],
    },
    Case {
        name: "statistics wanted twice",
        network: statistics_wanted_twice,
        trained: true,
        fused: [2, 0, 1, 0, 0, 2],
        plain: [2, 2, 2, 0, 0, 2],
    },
];

#[test]
fn fused_and_plain_forward_plans_agree() {
    for case in CASES {
        check_plans(case.name, case.network, case.trained);
    }
}

#[test]
fn each_forward_rule_applies_where_it_may_and_only_there() {
    for case in CASES {
        let passes = |target: &_| passes(case.network, case.trained, target, KERNELS);
        for (fused, plain) in targets(true).iter().zip(targets(false)) {
            let mut want = case.fused;
            if fused.software {
                // No convolution gathers statistics, but what is wanted twice is made once.
                let twice = case.name == "statistics wanted twice";
                want[2] = case.plain[2] - usize::from(twice);
            }
            if fused.software && case.trained {
                want[5] = case.plain[5];
            }
            assert_eq!(passes(fused), want, "{}", case.name);
            assert_eq!(passes(&plain), case.plain, "{}", case.name);
        }
    }
}
