//! PyTorch's recorded values, where the file is at hand.

use kernels_tests::conv::*;
use kernels_tests::gemm::*;
use kernels_tests::norm::BatchNorm;
use kernels_tests::optim::{Adam, Sgd};
use kernels_tests::pool::*;
use kernels_tests::random::uniforms;
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// `shared/golden/golden_seed1.json` beside the workspace or above it; prints a line and gives nothing where it is missing.
pub fn golden(what: &str) -> Option<Value> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/golden/golden_seed1.json"))
        .find_map(|path| std::fs::read_to_string(path).ok());
    match found {
        Some(text) => Some(serde_json::from_str(&text).expect("golden_seed1.json is JSON")),
        None => {
            // Past the capture of passing tests: a skip must be seen.
            let line = format!("skipped {what}: shared/golden/golden_seed1.json is missing\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            None
        }
    }
}

pub fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

pub fn numbers(value: &Value) -> Vec<f64> {
    let array = value.as_array();
    let array = array.unwrap_or_else(|| panic!("{value} is no array"));
    array.iter().map(number).collect()
}

fn sizes<const N: usize>(value: &Value) -> [usize; N] {
    let sizes: Vec<usize> = numbers(value).iter().map(|&size| size as usize).collect();
    sizes.try_into().unwrap()
}

/// [N, inner, outer] to [N, outer, inner]: NCHW to NHWC with `rows` = C, and back with `rows` = H·W.
fn transposed(values: &[f64], n: usize, rows: usize) -> Vec<f64> {
    let columns = values.len() / n / rows;
    let mut out = Vec::with_capacity(values.len());
    for image in values.chunks_exact(rows * columns) {
        for column in 0..columns {
            out.extend((0..rows).map(|row| image[row * columns + column]));
        }
    }
    out
}

/// One recorded operation and its generated tensors.
struct Case<'a> {
    record: &'a Value,
    name: &'a str,
    seed: u64,
}

impl<'a> Case<'a> {
    fn of(golden: &'a Value, op: &str) -> Vec<Case<'a>> {
        let seed = golden["seed"].as_u64().unwrap();
        let records = golden["ops"].as_array().unwrap().iter();
        let cases: Vec<_> = records
            .filter(|record| record["op"] == op)
            .map(|record| Case {
                record,
                name: record["name"].as_str().unwrap(),
                seed,
            })
            .collect();
        assert!(!cases.is_empty(), "no golden case of {op}");
        cases
    }

    /// offset + scale · uniform(NAME.what).
    fn tensor(&self, what: &str, len: usize, offset: f64, scale: f64) -> Vec<f64> {
        let values = uniforms(&format!("{}.{what}", self.name), len, self.seed);
        values.iter().map(|value| offset + scale * value).collect()
    }

    /// Holds `values`, in PyTorch's order, against the recorded norm and projections.
    fn check(&self, what: &str, values: &[f64]) {
        let record = &self.record[what];
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let want = number(&record["norm"]);
        let name = self.name;
        let tolerance = 1e-11 * want + 1e-12;
        assert!(
            (norm - want).abs() <= tolerance,
            "{name} {what}: norm {norm}, not {want}"
        );
        for (k, want) in numbers(&record["proj"]).into_iter().enumerate() {
            let axis = uniforms(&format!("proj.{k}"), values.len(), self.seed);
            let got: f64 = axis.iter().zip(values).map(|(a, v)| a * v).sum();
            assert!(
                (got - want).abs() <= tolerance,
                "{name} {what}: projection {k} {got}, not {want}"
            );
        }
    }
}

#[test]
fn convolutions_equal_pytorch() {
    let Some(golden) = golden("convolutions") else {
        return;
    };
    for case in Case::of(&golden, "conv2d") {
        let [n, c, h, w] = sizes(&case.record["x"]);
        let [k, group, r, s] = sizes(&case.record["w"]);
        let stride = sizes(&case.record["stride"]);
        let padding = sizes(&case.record["padding"]);
        let shape = Conv2dShape {
            n,
            h,
            w,
            c,
            k,
            r,
            s,
            stride,
            padding,
        };
        let pixels = shape.out_h() * shape.out_w();
        let x = transposed(&case.tensor("x", shape.input_len(), 0.0, 1.0), n, c);
        let g = transposed(&case.tensor("grad_y", shape.output_len(), 0.0, 1.0), n, k);
        let scale = (3.0 / (group * r * s) as f64).sqrt();
        let weight = case.tensor("w", k * group * r * s, 0.0, scale);
        let bias = case.record["bias"] == true;
        let bias = bias.then(|| case.tensor("b", k, 0.0, 0.1));
        let (y, grad_x, grad_weight) = if group == c {
            (
                conv2d(&shape, &x, &weight, bias.as_deref()),
                conv2d_grad_input(&shape, &g, &weight),
                conv2d_grad_weight(&shape, &x, &g),
            )
        } else {
            (
                depthwise(&shape, &x, &weight, bias.as_deref()),
                depthwise_grad_input(&shape, &g, &weight),
                depthwise_grad_weight(&shape, &x, &g),
            )
        };
        case.check("y", &transposed(&y.value, n, pixels));
        case.check("grad_x", &transposed(&grad_x.value, n, h * w));
        case.check("grad_w", &grad_weight.value);
        if bias.is_some() {
            case.check("grad_bias", &conv2d_grad_bias(&shape, &g).value);
        }
    }
}

#[test]
fn linear_layers_equal_pytorch() {
    let Some(golden) = golden("linear layers") else {
        return;
    };
    for case in Case::of(&golden, "linear") {
        let [n, c] = sizes(&case.record["x"]);
        let [k, _] = sizes(&case.record["w"]);
        let shape = LinearShape { n, c, k };
        let x = case.tensor("x", n * c, 0.0, 1.0);
        let weight = case.tensor("w", k * c, 0.0, (3.0 / c as f64).sqrt());
        let g = case.tensor("grad_y", n * k, 0.0, 1.0);
        let bias = case.tensor("b", k, 0.0, 0.1);
        case.check("y", &linear(shape, &x, &weight, Some(&bias)).value);
        case.check("grad_x", &linear_grad_input(shape, &g, &weight).value);
        case.check("grad_w", &linear_grad_weight(shape, &x, &g).value);
        case.check("grad_bias", &linear_grad_bias(shape, &g).value);
    }
}

#[test]
fn batch_normalisations_equal_pytorch() {
    let Some(golden) = golden("batch normalisations") else {
        return;
    };
    for case in Case::of(&golden, "batch_norm") {
        let [n, c, h, w] = sizes(&case.record["x"]);
        let layer = BatchNorm {
            channels: c,
            eps: number(&case.record["eps"]),
            momentum: number(&case.record["momentum"]),
        };
        let [x, g] = ["x", "grad_y"]
            .map(|what| transposed(&case.tensor(what, n * c * h * w, 0.0, 1.0), n, c));
        let gamma = case.tensor("w", c, 1.0, 0.5);
        let beta = case.tensor("b", c, 0.0, 0.1);
        let mean = case.tensor("running_mean", c, 0.0, 0.1);
        let var = case.tensor("running_var", c, 1.0, 0.5);
        let (y, grad) = if case.record["training"] == true {
            let out = layer.training(&x, &gamma, &beta, &mean, &var);
            case.check("running_mean_after", &out.running_mean.value);
            case.check("running_var_after", &out.running_var.value);
            (out.y, layer.training_gradients(&x, &gamma, &g))
        } else {
            (
                layer.eval(&x, &gamma, &beta, &mean, &var),
                layer.eval_gradients(&x, &gamma, &mean, &var, &g),
            )
        };
        case.check("y", &transposed(&y.value, n, h * w));
        case.check("grad_x", &transposed(&grad.x.value, n, h * w));
        case.check("grad_w", &grad.gamma.value);
        case.check("grad_bias", &grad.beta.value);
    }
}

#[test]
fn pooling_equals_pytorch() {
    let Some(golden) = golden("pooling") else {
        return;
    };
    for op in ["max_pool2d", "avg_pool2d", "global_avg_pool2d"] {
        for case in Case::of(&golden, op) {
            let [n, c, h, w] = sizes(&case.record["x"]);
            let x = transposed(&case.tensor("x", n * c * h * w, 0.0, 1.0), n, c);
            let gradient =
                |pixels: usize| transposed(&case.tensor("grad_y", n * c * pixels, 0.0, 1.0), n, c);
            let (y, grad_x) = if op == "global_avg_pool2d" {
                (
                    global_avg_pool(n, h * w, c, &x),
                    global_avg_pool_grad(n, h * w, c, &gradient(1)),
                )
            } else {
                let both = |what: &str| [number(&case.record[what]) as usize; 2];
                let (window, stride, padding) = (both("kernel"), both("stride"), both("padding"));
                let shape = PoolShape {
                    n,
                    h,
                    w,
                    c,
                    window,
                    stride,
                    padding,
                };
                let g = gradient(shape.out_h() * shape.out_w());
                if op == "max_pool2d" {
                    (max_pool(&shape, &x).y, max_pool_grad(&shape, &x, &g))
                } else {
                    (avg_pool(&shape, &x), avg_pool_grad(&shape, &g))
                }
            };
            case.check("y", &transposed(&y.value, n, y.value.len() / n / c));
            case.check("grad_x", &transposed(&grad_x.value, n, h * w));
        }
    }
}

#[test]
fn optimisers_equal_pytorch() {
    let Some(golden) = golden("optimisers") else {
        return;
    };
    for op in ["adam", "adamw", "sgd"] {
        for case in Case::of(&golden, op) {
            let option = |name: &str| case.record[name].as_f64().unwrap_or(0.0);
            let len = sizes::<1>(&case.record["x"])[0];
            let mut parameter = case.tensor("x", len, 0.0, 1.0);
            let (mut first, mut second) = (vec![0.0; len], vec![0.0; len]);
            for step in 0..option("steps") as u32 {
                let gradient = case.tensor(&format!("g{step}"), len, 0.0, 1.0);
                if op == "sgd" {
                    let sgd = Sgd {
                        lr: option("lr"),
                        momentum: option("momentum"),
                        nesterov: case.record["nesterov"] == true,
                        weight_decay: option("weight_decay"),
                    };
                    let after = sgd.step(&parameter, &gradient, &first);
                    (parameter, first) = (after.parameter.value, after.direction.value);
                } else {
                    let adam = Adam {
                        lr: option("lr"),
                        betas: numbers(&case.record["betas"]).try_into().unwrap(),
                        eps: option("eps"),
                        weight_decay: option("weight_decay"),
                        decoupled: op == "adamw",
                    };
                    let after = adam.step(step + 1, &parameter, &gradient, &first, &second);
                    parameter = after.parameter.value;
                    (first, second) = (after.first.value, after.second.value);
                }
            }
            case.check("y", &parameter);
        }
    }
}
