//! Single operations with every gradient.

use super::compare::{Check, Recorded, draw, to_nchw, to_nhwc};
use super::{Device, ParityError};
use crate::kernels::optim::{AdamConstants, Optimizer, SCHEDULE};
use crate::nn::Weights;
use crate::tape::ops::{
    AvgPool2d, BatchNorm, Conv2d, DepthwiseConv2d, GlobalAvgPool2d, Linear, MaxPool2d, Op,
    OptimizerStep,
};
use crate::tape::{Graph, Plan, Recording, Shape, Store, Value};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// A case's JSON with typed access to its fields.
struct Case<'a> {
    json: &'a Json,
    name: String,
    seed: u64,
}

impl Case<'_> {
    fn get<T: DeserializeOwned>(&self, field: &'static str) -> Result<T, ParityError> {
        let value = self.json.get(field).cloned().unwrap_or(Json::Null);
        serde_json::from_value(value).map_err(|_| ParityError::Case {
            case: self.name.clone(),
            what: field,
        })
    }

    fn draw(&self, leaf: &str, len: usize, scale: f64) -> Vec<f32> {
        draw(self.seed, &format!("{}.{leaf}", self.name), len, scale)
    }

    /// `1 + half the draw`, or what else is affine in it.
    #[allow(clippy::cast_possible_truncation)] // rounded once
    fn around(&self, leaf: &str, len: usize, center: f64, scale: f64) -> Vec<f32> {
        let draws = self.draw(leaf, len, 1.0);
        draws
            .iter()
            .map(|u| (center + scale * f64::from(*u)) as f32)
            .collect()
    }

    fn check(&self, field: &'static str, got: &[f32]) -> Result<Vec<Check>, ParityError> {
        let recorded: Recorded = self.get(field)?;
        let op: String = self.get("op")?;
        Ok(recorded.check(&format!("{} {op} {field}", self.name), self.seed, got))
    }
}

/// How a leaf travels and is stored.
#[derive(Clone, Copy)]
enum Layout {
    /// `[N,C,H,W]` and `[N,H,W,C]`.
    Image([usize; 4]),
    /// Rows and columns, columns padded.
    Rows([usize; 2]),
}

impl Layout {
    fn shape(self) -> Shape {
        match self {
            Self::Image([n, c, h, w]) => Shape::rows(&[n, h, w, c]),
            Self::Rows([n, c]) => Shape::rows(&[n, c]),
        }
    }

    fn of(shape: &Shape) -> Self {
        match *shape.dims() {
            [n, h, w, c] => Self::Image([n, c, h, w]),
            _ => Self::Rows([shape.row_count(), shape.channels()]),
        }
    }

    fn dims(self) -> [usize; 4] {
        match self {
            Self::Image(dims) => dims,
            Self::Rows([n, c]) => [n, c, 1, 1],
        }
    }

    fn len(self) -> usize {
        self.dims().iter().product()
    }

    fn store(self, values: &[f32]) -> Vec<f32> {
        to_nhwc(values, self.dims())
    }

    fn take(self, values: &[f32]) -> Vec<f32> {
        to_nchw(values, self.dims())
    }
}

/// Weights and states of an operation by travelling name.
type Leaves = Vec<(&'static str, Vec<f32>)>;

pub(super) async fn run(
    device: &Device<'_>,
    seed: u64,
    json: &Json,
) -> Result<Vec<Check>, ParityError> {
    let mut case = Case {
        json,
        name: String::new(),
        seed,
    };
    case.name = case.get("name")?;
    let op: String = case.get("op")?;
    match op.as_str() {
        "conv2d" => conv2d(device, &case).await,
        "batch_norm" => batch_norm(device, &case).await,
        "linear" => linear(device, &case).await,
        "max_pool2d" => {
            let pool = MaxPool2d {
                kernel: case.get("kernel")?,
                stride: case.get("stride")?,
                padding: case.get("padding")?,
            };
            differentiate(device, &case, Vec::new(), |graph, x| {
                Ok(graph.record(pool, &[x])?[0])
            })
            .await
        }
        "avg_pool2d" => {
            let pool = AvgPool2d {
                kernel: case.get("kernel")?,
                stride: case.get("stride")?,
            };
            differentiate(device, &case, Vec::new(), |graph, x| {
                Ok(graph.record1(pool, &[x])?)
            })
            .await
        }
        "global_avg_pool2d" => {
            differentiate(device, &case, Vec::new(), |graph, x| {
                Ok(graph.record1(GlobalAvgPool2d, &[x])?)
            })
            .await
        }
        "adam" | "adamw" | "sgd" => optimizer(device, &case, &op).await,
        _ => Err(ParityError::Case {
            case: case.name.clone(),
            what: "op",
        }),
    }
}

#[allow(clippy::cast_precision_loss)]
async fn conv2d(device: &Device<'_>, case: &Case<'_>) -> Result<Vec<Check>, ParityError> {
    let [k, c, r, s]: [usize; 4] = case.get("w")?;
    let (stride, padding) = (case.get("stride")?, case.get("padding")?);
    let groups: usize = case.get("groups")?;
    let bias: bool = case.get("bias")?;
    let depthwise = groups > 1;
    let fan_in = (c * r * s) as f64;
    let mut leaves = vec![("w", case.draw("w", k * c * r * s, (3.0 / fan_in).sqrt()))];
    if bias {
        leaves.push(("bias", case.draw("b", k, 0.1)));
    }
    differentiate(device, case, leaves, |graph, x| {
        let op: Op = if depthwise {
            DepthwiseConv2d::new(stride, padding).into()
        } else {
            Conv2d::new(stride, padding).into()
        };
        let shape = if depthwise {
            Shape::rows(&[r, s, k])
        } else {
            Shape::conv_weight(r, s, c, k)
        };
        let mut inputs = vec![x, graph.parameter("w", shape)?];
        if bias {
            inputs.push(graph.parameter("bias", Shape::rows(&[k]))?);
        }
        Ok(graph.record1(op, &inputs)?)
    })
    .await
}

async fn linear(device: &Device<'_>, case: &Case<'_>) -> Result<Vec<Check>, ParityError> {
    let [k, c]: [usize; 2] = case.get("w")?;
    #[allow(clippy::cast_precision_loss)]
    let leaves = vec![
        ("w", case.draw("w", k * c, (3.0 / c as f64).sqrt())),
        ("bias", case.draw("b", k, 0.1)),
    ];
    differentiate(device, case, leaves, |graph, x| {
        let weight = graph.parameter("w", Shape::matrix(c, k))?;
        let bias = graph.parameter("bias", Shape::rows(&[k]))?;
        Ok(graph.record1(Linear, &[x, weight, bias])?)
    })
    .await
}

async fn batch_norm(device: &Device<'_>, case: &Case<'_>) -> Result<Vec<Check>, ParityError> {
    let [_, c, _, _]: [usize; 4] = case.get("x")?;
    let training: bool = case.get("training")?;
    let leaves = vec![
        ("w", case.around("w", c, 1.0, 0.5)),
        ("bias", case.draw("b", c, 0.1)),
        ("running_mean", case.draw("running_mean", c, 0.1)),
        ("running_var", case.around("running_var", c, 1.0, 0.5)),
    ];
    differentiate(device, case, leaves, |graph, x| {
        let shape = Shape::rows(&[c]);
        let inputs = [
            x,
            graph.parameter("w", shape.clone())?,
            graph.parameter("bias", shape.clone())?,
            graph.state("running_mean", shape.clone())?,
            graph.state("running_var", shape)?,
        ];
        Ok(graph.record(BatchNorm::new(training), &inputs)?[0])
    })
    .await
}

/// Runs an operation forward and backward with the drawn upstream gradient and checks everything that is recorded.
async fn differentiate(
    device: &Device<'_>,
    case: &Case<'_>,
    leaves: Leaves,
    record: impl FnOnce(&mut Graph, Value) -> Result<Value, ParityError>,
) -> Result<Vec<Check>, ParityError> {
    let dims: Vec<usize> = case.get("x")?;
    let layout = match *dims {
        [n, c, h, w] => Layout::Image([n, c, h, w]),
        [n, c] => Layout::Rows([n, c]),
        _ => {
            return Err(ParityError::Case {
                case: case.name.clone(),
                what: "x",
            });
        }
    };
    let mut graph = Graph::new();
    let x = graph.input("x", layout.shape());
    let y = record(&mut graph, x)?;
    let y_layout = Layout::of(graph.shape(y));
    let grad_y = graph.input("grad_y", graph.shape(y).clone());
    let mut wrt = graph.parameter_values();
    wrt.push(x);
    let mut grads = graph.gradients(&[(y, grad_y)], &wrt)?;
    let grad_x = grads.pop().flatten().unwrap_or(x);
    graph.keep_gradients(&grads);
    let mut weights = Weights::zeroed(&graph);
    let leaf = |name: &str| {
        let found = leaves.iter().find(|(leaf, _)| *leaf == name);
        found.map(|(_, values)| values.clone()).unwrap_or_default()
    };
    weights.fill(|name, _| leaf(name));
    weights.fill_states(|name, _| leaf(name));
    let recording = Recording::new(graph, &[y, grad_x], &device.target)?;
    let store = Store::new(device.gpu, &recording, true).await?;
    let plan = Plan::new(device.gpu, recording, &store).await?;
    device.gpu.queue.write_buffer(
        &store.parameters,
        0,
        bytemuck::cast_slice(&weights.parameters),
    );
    device
        .gpu
        .queue
        .write_buffer(&store.states, 0, bytemuck::cast_slice(&weights.states));
    let upload = |leaf, layout: Layout| layout.store(&case.draw(leaf, layout.len(), 1.0));
    plan.write(x, bytemuck::cast_slice(&upload("x", layout)))?;
    plan.write(grad_y, bytemuck::cast_slice(&upload("grad_y", y_layout)))?;
    plan.submit();
    let mut checks = case.check("y", &y_layout.take(&plan.read(y).await?))?;
    checks.extend(case.check("grad_x", &layout.take(&plan.read(grad_x).await?))?);
    checks.extend(stored(device, case, &store, &mut weights).await?);
    Ok(checks)
}

/// The parameters' gradients and the states after the step.
async fn stored(
    device: &Device<'_>,
    case: &Case<'_>,
    store: &Store,
    weights: &mut Weights,
) -> Result<Vec<Check>, ParityError> {
    let mut checks = Vec::new();
    if let (Some(gradients), false) = (&store.gradients, weights.parameters.is_empty()) {
        let bytes = device
            .gpu
            .read(gradients, 0, 4 * weights.parameters.len() as u64)
            .await?;
        let flat: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        for (name, values) in weights.take(&flat) {
            let field = if name == "w" { "grad_w" } else { "grad_bias" };
            checks.extend(case.check(field, &values)?);
        }
    }
    if case.json.get("running_mean_after").is_some() {
        let bytes = device
            .gpu
            .read(&store.states, 0, 4 * weights.states.len() as u64)
            .await?;
        weights.states = bytemuck::pod_collect_to_vec(&bytes);
        for (name, field) in [
            ("running_mean", "running_mean_after"),
            ("running_var", "running_var_after"),
        ] {
            checks.extend(case.check(field, &weights.state(name).unwrap_or_default())?);
        }
    }
    Ok(checks)
}

async fn optimizer(
    device: &Device<'_>,
    case: &Case<'_>,
    op: &str,
) -> Result<Vec<Check>, ParityError> {
    let [len]: [usize; 1] = case.get("x")?;
    let steps: u64 = case.get("steps")?;
    let lr: f64 = case.get("lr")?;
    let weight_decay = case.get("weight_decay").unwrap_or(0.0);
    let optimizer = if op == "sgd" {
        Optimizer::Sgd {
            momentum: case.get("momentum")?,
            nesterov: case.get("nesterov").unwrap_or(false),
            weight_decay,
        }
    } else {
        let [beta1, beta2]: [f64; 2] = case.get("betas")?;
        let constants = AdamConstants {
            beta1,
            beta2,
            eps: case.get("eps")?,
            weight_decay,
        };
        if op == "adam" {
            Optimizer::Adam(constants)
        } else {
            Optimizer::AdamW(constants)
        }
    };
    let mut graph = Graph::new();
    graph.parameter("x", Shape::rows(&[len]))?;
    let schedule = graph.input("schedule", Shape::raw(SCHEDULE));
    graph.record(OptimizerStep(optimizer), &[schedule])?;
    let recording = Recording::new(graph, &[], &device.target)?;
    let store = Store::new(device.gpu, &recording, true).await?;
    let plan = Plan::new(device.gpu, recording, &store).await?;
    device.gpu.queue.write_buffer(
        &store.parameters,
        0,
        bytemuck::cast_slice(&case.draw("x", len, 1.0)),
    );
    for step in 0..steps {
        if let Some(gradients) = &store.gradients {
            let gradient = case.draw(&format!("g{step}"), len, 1.0);
            device
                .gpu
                .queue
                .write_buffer(gradients, 0, bytemuck::cast_slice(&gradient));
        }
        plan.write(
            schedule,
            bytemuck::cast_slice(&optimizer.schedule(lr, step, 0)),
        )?;
        plan.submit();
    }
    let bytes = device
        .gpu
        .read(&store.parameters, 0, 4 * len as u64)
        .await?;
    case.check("y", &bytemuck::pod_collect_to_vec::<u8, f32>(&bytes))
}
