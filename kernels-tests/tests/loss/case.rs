//! A drawn problem of the objective, as the kernels and as the reference take it.

use kernels_tests::harness::{compare, execute, unpad};
use kernels_tests::loss as reference;
use kernels_tests::random::Draw;
use kinesic::kernels::{Access, loss as kernels};
use kinesic::objective::{
    AffectLabels, Form, Label, Labels, Objective, ObjectiveConfig, Relatedness, ScaOn,
    StopGradient, Task, TaskKind, TaskWeighting, Tasks,
};

/// Elements of a block's scratch about the whole batch.
const OF_BATCH: usize = 16;

/// Which images of a batch carry labels.
#[derive(Clone, Copy, Debug)]
pub enum Carry {
    /// Each drawn: any subset of the tasks, any subset of the units, one in twelve absent.
    Mixed,
    /// No image carries any label.
    None,
    /// Every image carries every label.
    All,
    /// One image carries every label, the others none.
    One,
}

/// The sizes of a problem; 0 for a task that is not declared.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub classes: usize,
    pub units: usize,
    pub axes: usize,
}

/// Case study (i).
pub const fn affect(batch: usize) -> Sizes {
    Sizes {
        batch,
        classes: 7,
        units: 17,
        axes: 2,
    }
}

/// What is known of an image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    pub expression: Option<u32>,
    pub au_mask: u64,
    pub au_value: u64,
    pub valence_arousal: Option<[f32; 2]>,
    pub absent: bool,
}

impl Known {
    /// The labels of the tasks that are declared.
    pub fn labels(&self, sizes: Sizes) -> Labels {
        let affect = AffectLabels {
            expression: self.expression,
            au_mask: self.au_mask,
            au_value: self.au_value,
            valence_arousal: self.valence_arousal,
        };
        let declared = [sizes.classes, sizes.units, sizes.axes];
        let labels: Vec<Label> = Labels::from(affect).tasks;
        let labels = labels.into_iter().zip(declared);
        Labels {
            tasks: labels
                .filter(|(_, outputs)| *outputs > 0)
                .map(|(label, _)| label)
                .collect(),
            absent: self.absent,
        }
    }
}

/// A problem: sizes, options, tables, logits and labels.
#[derive(Clone, Debug)]
pub struct Case {
    pub sizes: Sizes,
    pub tanh: bool,
    pub config: ObjectiveConfig,
    pub table: Option<Relatedness>,
    /// The heads' outputs, row major: expressions, action units, valence and arousal.
    pub heads: [Vec<f64>; 3],
    pub labels: Vec<Known>,
}

/// What the kernels give: the losses, and the gradients without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub losses: Vec<f32>,
    pub grad: Vec<f32>,
}

impl Case {
    /// Draws everything but the options, which are the defaults with every term at work.
    pub fn draw(draw: &mut Draw, sizes: Sizes, scale: f64, carry: Carry) -> Self {
        let Sizes {
            batch,
            classes,
            units,
            axes,
        } = sizes;
        let coupled = classes > 0 && units > 0;
        let mut head = |outputs: usize, scale| draw.tensor(batch * outputs, scale);
        let heads = [head(classes, scale), head(units, scale), head(axes, 1.5)];
        Self {
            sizes,
            tanh: false,
            config: ObjectiveConfig {
                distribution_matching: if coupled { 1.0 } else { 0.0 },
                soft_co_annotation: if coupled { 1.0 } else { 0.0 },
                ..Default::default()
            },
            table: coupled.then(|| table(draw, classes, units)),
            heads,
            labels: labels(draw, sizes, carry),
        }
    }

    pub fn objective(&self) -> Objective {
        let names = |prefix: &str, count| (0..count).map(|i| format!("{prefix}{i}")).collect();
        let axes = if self.tanh {
            TaskKind::Tanh
        } else {
            TaskKind::Linear
        };
        let tasks = [
            ("expression", TaskKind::Softmax, self.sizes.classes),
            ("action_units", TaskKind::Sigmoid, self.sizes.units),
            ("valence_arousal", axes, self.sizes.axes),
        ];
        let tasks = tasks.iter().filter(|(.., outputs)| *outputs > 0);
        let tasks = tasks.map(|&(name, kind, outputs)| Task {
            name: name.to_owned(),
            kind,
            outputs: names(name, outputs),
        });
        let tasks = Tasks::new(tasks.collect()).unwrap();
        Objective::new(&tasks, &self.config, self.table.as_ref()).unwrap()
    }

    /// The matrix of logits; those of absent images are NaN, because nothing may come of them.
    pub fn logits(&self, width: usize) -> Vec<f32> {
        let outputs = [self.sizes.classes, self.sizes.units, self.sizes.axes];
        let mut matrix = Vec::new();
        for (image, label) in self.labels.iter().enumerate() {
            for (head, outputs) in self.heads.iter().zip(outputs) {
                let row = &head[image * outputs..][..outputs];
                matrix.extend(row.iter().map(|&value| match label.absent {
                    true => f32::NAN,
                    false => value as f32,
                }));
            }
            matrix.resize((image + 1) * width, 0.0);
        }
        matrix
    }

    /// The labels of the declared tasks.
    pub fn labels(&self) -> Vec<Labels> {
        let labels = self.labels.iter();
        labels.map(|label| label.labels(self.sizes)).collect()
    }

    /// Runs the kernels.
    pub fn run(&self) -> Given {
        self.run_on(false)
    }

    /// Runs the kernels, those for software adapters if asked.
    fn run_on(&self, software: bool) -> Given {
        let objective = self.objective();
        let problem = objective.kernel(self.sizes.batch);
        let words = objective.pack(&self.labels(), self.sizes.batch).unwrap();
        let logits = self.logits(problem.width);
        let (losses, grad) = execute_on(&problem, &logits, &words, objective.tables(), software);
        let grad = unpad("grad_logits", &grad, objective.logits());
        Given { losses, grad }
    }

    /// Runs the kernels, those for software adapters too where they are others, and holds what they give against the reference.
    pub fn check(&self, what: &str) {
        let want = self.reference();
        self.hold(&format!("{what}: {:?}", self.sizes), &self.run(), &want);
        let problem = self.objective().kernel(self.sizes.batch);
        let [any, software] = [false, true].map(|software| problem.calls(false, software).unwrap());
        if any != software {
            let what = format!("{what}, software: {:?}", self.sizes);
            self.hold(&what, &self.run_on(true), &want);
        }
    }

    fn hold(&self, what: &str, given: &Given, want: &reference::Outcome) {
        let Sizes {
            batch,
            classes,
            units,
            axes,
        } = self.sizes;
        let present = self.labels.iter().filter(|label| !label.absent).count();
        assert_eq!(given.losses[7], present as f32, "{what}: images present");
        // The sums over the images and over a task's outputs, after those over the classes.
        let depth = batch * classes.max(units).max(1) + classes;
        compare(
            &format!("{what}: losses"),
            &given.losses[..7],
            &want.losses,
            depth,
        );
        let rows: Vec<_> = given.grad.chunks_exact(classes + units + axes).collect();
        let columns = |range: std::ops::Range<usize>| -> Vec<f32> {
            rows.iter()
                .flat_map(|row| &row[range.clone()])
                .copied()
                .collect()
        };
        let grad = &want.grad;
        let (first, last) = (classes + units, classes + units + axes);
        let depth = classes + units;
        compare(
            &format!("{what}: grad expression"),
            &columns(0..classes),
            &grad.expression,
            depth,
        );
        compare(
            &format!("{what}: grad action units"),
            &columns(classes..first),
            &grad.action_units,
            depth,
        );
        compare(
            &format!("{what}: grad valence, arousal"),
            &columns(first..last),
            &grad.valence_arousal,
            batch,
        );
    }

    /// What the reference gives.
    pub fn reference(&self) -> reference::Outcome {
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        let or_ones = |values: &[f32], len| match values {
            [] => vec![1.0; len],
            values => wide(values),
        };
        let config = &self.config;
        let objective = reference::Objective {
            weights: reference::Weights {
                expression: config.expression.into(),
                action_units: config.action_units.into(),
                valence_arousal: config.valence_arousal.into(),
                distribution_matching: config.distribution_matching.into(),
                soft_co_annotation: config.soft_co_annotation.into(),
            },
            uncertainty: config.task_weighting == TaskWeighting::Uncertainty,
            class_weights: or_ones(&config.class_weights, self.sizes.classes),
            label_smoothing: config.label_smoothing.into(),
            positive_weights: or_ones(&config.positive_weights, self.sizes.units),
            tanh: self.tanh,
            form: match config.form {
                Form::Positive => reference::Form::Positive,
                Form::Bernoulli => reference::Form::Bernoulli,
            },
            stop_gradient: match config.stop_gradient {
                StopGradient::None => reference::StopGradient::None,
                StopGradient::Q => reference::StopGradient::Q,
                StopGradient::P => reference::StopGradient::P,
            },
            sca_on: match config.sca_on {
                ScaOn::WithoutExpression => reference::ScaOn::OnlyWithoutExpression,
                ScaOn::AllWithAus => reference::ScaOn::AllWithAus,
            },
            co_annotate_aus: config.co_annotate_aus,
            ..reference::Objective::plain(
                self.sizes.classes,
                self.sizes.units,
                self.table.as_ref().map(|table| reference::Tables {
                    relatedness: wide(&table.matching(config.matching_table)),
                    co_annotation: wide(table.weights()),
                }),
            )
        };
        let logits = reference::Logits {
            expression: &self.heads[0],
            action_units: &self.heads[1],
            valence_arousal: &self.heads[2],
        };
        objective.evaluate(logits, &self.reference_labels())
    }

    fn reference_labels(&self) -> reference::Labels {
        let labels = self.labels.iter();
        let unit = |label: &Known, unit: usize| {
            (label.au_mask >> unit & 1 == 1).then_some(label.au_value >> unit & 1 == 1)
        };
        let units = |label| (0..self.sizes.units).map(move |i| unit(label, i));
        reference::Labels {
            present: labels.clone().map(|label| !label.absent).collect(),
            expression: labels
                .clone()
                .map(|label| label.expression.map(|class| class as usize))
                .collect(),
            action_units: labels.clone().flat_map(units).collect(),
            valence_arousal: labels
                .map(|label| label.valence_arousal.map(|values| values.map(f64::from)))
                .collect(),
        }
    }
}

/// Runs the dispatches of all blocks: the losses, and the gradients with their padding.
pub fn execute_all(
    problem: &kernels::Objective,
    logits: &[f32],
    labels: &[u32],
    tables: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    execute_on(problem, logits, labels, tables, false)
}

fn execute_on(
    problem: &kernels::Objective,
    logits: &[f32],
    labels: &[u32],
    tables: &[f32],
    software: bool,
) -> (Vec<f32>, Vec<f32>) {
    let labels: &[f32] = bytemuck::cast_slice(labels);
    let mut all_losses = vec![0.0; problem.losses_len()];
    // What is in no block's columns must stay.
    let mut grad = vec![f32::NAN; problem.batch * problem.width];
    let calls = problem.calls(false, software).unwrap();
    for (block, [terms, reduce, last]) in calls.into_iter().enumerate() {
        let labels = &labels[problem.labels_at(block)];
        let tables = &tables[problem.tables_at(block)];
        let mut scratch = execute(&terms, &[logits, labels, tables]).remove(0);
        // What only objective_reduce writes.
        scratch.resize(scratch.len() + OF_BATCH, f32::NAN);
        let mut reduced = execute(&reduce, &[labels, &scratch]);
        let (losses, scratch) = (reduced.remove(1), reduced.remove(0));
        all_losses[problem.losses_at(block)].copy_from_slice(&losses);
        let before: &[f32] = match last.extents[3].access {
            Access::Write => &[],
            _ => &grad,
        };
        grad = execute(&last, &[labels, tables, &scratch, before]).remove(0);
    }
    (all_losses, grad)
}

/// A table with an empty row (neutral), an empty column and a full one where there is room, the rest drawn.
fn table(draw: &mut Draw, classes: usize, units: usize) -> Relatedness {
    let rows: Vec<Vec<f32>> = (0..classes)
        .map(|class| {
            (0..units)
                .map(|unit| match (class, unit) {
                    (_, 2) => 1.0,
                    (0, _) | (_, 1) => 0.0,
                    _ if draw.chance(0.5) => 0.0,
                    _ if draw.chance(0.4) => 1.0,
                    _ => draw.int(1..=99) as f32 / 100.0,
                })
                .collect()
        })
        .collect();
    Relatedness::new(&rows).unwrap()
}

fn labels(draw: &mut Draw, sizes: Sizes, carry: Carry) -> Vec<Known> {
    let one = draw.int(0..=sizes.batch - 1);
    let mut label = |image: usize| match carry {
        Carry::None => Known::default(),
        Carry::One if image != one => Known::default(),
        Carry::One | Carry::All => full(draw, sizes),
        Carry::Mixed => {
            let mut label = full(draw, sizes);
            let kept = draw.int(0..=7);
            if kept & 1 == 0 {
                label.expression = None;
            }
            let units =
                (0..sizes.units).fold(0, |mask, unit| mask | u64::from(draw.chance(0.7)) << unit);
            label.au_mask &= if kept & 2 == 0 { 0 } else { units };
            label.au_value &= label.au_mask;
            if kept & 4 == 0 {
                label.valence_arousal = None;
            }
            label.absent = sizes.batch > 1 && draw.chance(1.0 / 12.0);
            label
        }
    };
    (0..sizes.batch).map(&mut label).collect()
}

/// Every label that the sizes allow.
fn full(draw: &mut Draw, sizes: Sizes) -> Known {
    let mask = u64::MAX.checked_shr(64 - sizes.units as u32).unwrap_or(0);
    let on = (0..sizes.units).fold(0, |on, unit| on | u64::from(draw.chance(0.3)) << unit);
    Known {
        expression: (sizes.classes > 0).then(|| draw.int(0..=sizes.classes - 1) as u32),
        au_mask: mask,
        au_value: on,
        valence_arousal: (sizes.axes > 0).then(|| [draw.uniform() as f32, draw.uniform() as f32]),
        absent: false,
    }
}
