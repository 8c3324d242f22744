//! Several blocks over one matrix of logits.

use crate::case::{Carry, Case, Known, Sizes, affect, execute_all};
use kernels_tests::harness::gpu;
use kernels_tests::random::Draw;
use kinesic::kernels::loss::{LOSSES, total};
use kinesic::objective::{
    Coupling, CouplingOptions, Labels, MatchingTable, Objective, StopGradient, Task, TaskKind,
    TaskOptions, TaskWeighting, Tasks,
};
use kinesic::tape::{Graph, Plan, Recording, Shape, Store, Target, ops};
use std::ops::Range;

const SEED: u64 = 5;
const PARTS: [&str; 3] = ["classes", "units", "axes"];

/// Cases whose tasks stand side by side: the objective of all of them, with the tasks in an order that mixes them.
struct Together {
    cases: Vec<Case>,
    tasks: Tasks,
    objective: Objective,
}

fn name(case: usize, part: usize) -> String {
    format!("{}-{case}", PARTS[part])
}

impl Together {
    fn new(cases: Vec<Case>) -> Self {
        let (mut tasks, mut options, mut couplings) = (Vec::new(), Vec::new(), Vec::new());
        // All softmax tasks, then the sigmoid ones from the last to the first, then the continuous ones.
        let back = cases.iter().enumerate().rev();
        let parts = [
            cases.iter().enumerate().collect::<Vec<_>>(),
            back.collect(),
            cases.iter().enumerate().collect(),
        ];
        for (part, list) in parts.into_iter().enumerate() {
            for (number, case) in list {
                let config = &case.config;
                let (outputs, weight) = match part {
                    0 => (case.sizes.classes, config.expression),
                    1 => (case.sizes.units, config.action_units),
                    _ => (case.sizes.axes, config.valence_arousal),
                };
                let kind = match part {
                    0 => TaskKind::Softmax,
                    1 => TaskKind::Sigmoid,
                    _ if case.tanh => TaskKind::Tanh,
                    _ => TaskKind::Linear,
                };
                if outputs > 0 {
                    tasks.push(Task {
                        name: name(number, part),
                        kind,
                        outputs: (0..outputs).map(|it| it.to_string()).collect(),
                    });
                    options.push(TaskOptions {
                        weight,
                        ..TaskOptions::default()
                    });
                }
            }
        }
        for (number, case) in cases.iter().enumerate() {
            couplings.extend(case.table.clone().map(|table| Coupling {
                of: [name(number, 0), name(number, 1)],
                table,
                options: CouplingOptions {
                    distribution_matching: case.config.distribution_matching,
                    soft_co_annotation: case.config.soft_co_annotation,
                    matching_table: case.config.matching_table,
                    form: case.config.form,
                    stop_gradient: case.config.stop_gradient,
                    sca_on: case.config.sca_on,
                    co_annotate_aus: case.config.co_annotate_aus,
                },
            }));
        }
        let tasks = Tasks::new(tasks).unwrap();
        let objective = Objective::declare(&tasks, &options, &couplings, TaskWeighting::Fixed);
        Self {
            cases,
            tasks,
            objective: objective.unwrap(),
        }
    }

    fn batch(&self) -> usize {
        self.cases[0].sizes.batch
    }

    /// The columns of a case's part, in the matrix of all.
    fn columns(&self, case: usize, part: usize) -> Range<usize> {
        self.tasks.columns(&name(case, part)).unwrap_or_default()
    }

    fn labels(&self) -> Vec<Labels> {
        let label = |image: usize| {
            let mut labels = Labels::default();
            for task in &self.tasks {
                let (part, case) = task.name.split_once('-').unwrap();
                let case = &self.cases[case.parse::<usize>().unwrap()];
                let sizes = [case.sizes.classes, case.sizes.units, case.sizes.axes];
                let part = PARTS.iter().position(|it| *it == part).unwrap();
                let before = sizes[..part].iter().filter(|&&size| size > 0).count();
                let known = case.labels[image].labels(case.sizes);
                labels.tasks.push(known.get(before));
                labels.absent = known.absent;
            }
            labels
        };
        (0..self.batch()).map(label).collect()
    }

    fn logits(&self) -> Vec<f32> {
        let width = self.tasks.width();
        let mut matrix = vec![0.0; self.batch() * width];
        for (number, case) in self.cases.iter().enumerate() {
            for (part, head) in case.heads.iter().enumerate() {
                let columns = self.columns(number, part);
                let rows = head.chunks_exact(columns.len().max(1)).enumerate();
                for (image, row) in rows.filter(|_| !columns.is_empty()) {
                    let place = &mut matrix[image * width..][columns.clone()];
                    for (place, value) in place.iter_mut().zip(row) {
                        *place = match case.labels[image].absent {
                            true => f32::NAN,
                            false => *value as f32,
                        };
                    }
                }
            }
        }
        matrix
    }

    fn run(&self) -> (Vec<f32>, Vec<f32>) {
        let words = self.objective.pack(&self.labels(), self.batch()).unwrap();
        let problem = self.objective.kernel(self.batch());
        execute_all(&problem, &self.logits(), &words, self.objective.tables())
    }

    /// Holds losses and gradients against those of each case alone, which are held against the reference. The kernels do the same
    /// arithmetic for a block wherever its columns, labels and tables lie, so they are the same bits.
    fn check(&self, what: &str) {
        let (losses, grad) = self.run();
        let width = self.tasks.width();
        let problem = self.objective.kernel(self.batch());
        let mut touched = vec![false; width];
        for (number, case) in self.cases.iter().enumerate() {
            let what = format!("{what}, case {number}");
            case.check(&what);
            let alone = case.run();
            let given = &losses[problem.losses_at(number)];
            assert_eq!(bits(given), bits(&alone.losses), "{what}: losses");
            let sizes = [case.sizes.classes, case.sizes.units, case.sizes.axes];
            for (image, row) in alone.grad.chunks_exact(sizes.iter().sum()).enumerate() {
                let mut rest = row;
                for (part, &outputs) in sizes.iter().enumerate() {
                    let (own, behind) = rest.split_at(outputs);
                    rest = behind;
                    let columns = self.columns(number, part);
                    let given = &grad[image * width..][columns.clone()];
                    assert_eq!(bits(given), bits(own), "{what}: image {image}, {part}");
                    touched[columns].fill(true);
                }
            }
        }
        let sum: f32 = self.cases.iter().map(|case| case.run().losses[6]).sum();
        assert!((total(&losses) - sum).abs() <= 1e-6 * sum.abs(), "{what}");
        for (index, value) in grad.iter().enumerate() {
            let padding = !touched[index % width];
            assert!(!padding || *value == 0.0, "{what}: padding is {value}");
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Two coupled cases with options of their own, and the same images absent.
fn two(batch: usize, carry: Carry) -> Together {
    let mut draw = Draw::new("blocks", SEED + batch as u64);
    let mut first = Case::draw(&mut draw, affect(batch), 3.0, carry);
    first.config.co_annotate_aus = true;
    let others = Sizes {
        batch,
        classes: 23,
        units: 41,
        axes: 2,
    };
    let mut second = Case::draw(&mut draw, others, 3.0, carry);
    second.config.matching_table = MatchingTable::Weighted;
    second.config.stop_gradient = StopGradient::Q;
    second.config.expression = 0.25;
    second.config.action_units = 3.0;
    second.config.valence_arousal = 0.5;
    second.tanh = true;
    for (label, other) in second.labels.iter_mut().zip(&first.labels) {
        label.absent = other.absent;
    }
    Together::new(vec![first, second])
}

#[test]
fn blocks_are_the_sum_of_separate_objectives() {
    for batch in [1, 63, 65, 130] {
        for carry in [Carry::Mixed, Carry::None, Carry::All, Carry::One] {
            let together = two(batch, carry);
            assert_eq!(together.objective.kernel(batch).blocks.len(), 2);
            together.check(&format!("batch {batch}, {carry:?}"));
        }
    }
}

#[test]
fn tasks_without_coupling_fill_the_blocks_there_are() {
    let mut draw = Draw::new("uncoupled", SEED);
    let sizes = |classes, units, axes| Sizes {
        batch: 67,
        classes,
        units,
        axes,
    };
    let mut cases = vec![
        Case::draw(&mut draw, sizes(7, 17, 0), 3.0, Carry::Mixed),
        Case::draw(&mut draw, sizes(31, 5, 2), 3.0, Carry::Mixed),
        Case::draw(&mut draw, sizes(3, 0, 2), 3.0, Carry::Mixed),
    ];
    // The second is not coupled, but one block all the same; of the third the classes are a block, and so is its pair of values:
    // the first block has room for the second's, and its block for the third's.
    cases[1].table = None;
    cases[1].config.distribution_matching = 0.0;
    cases[1].config.soft_co_annotation = 0.0;
    let absent: Vec<bool> = cases[0].labels.iter().map(|label| label.absent).collect();
    for case in &mut cases {
        for (label, absent) in case.labels.iter_mut().zip(&absent) {
            label.absent = *absent;
        }
    }
    let together = Together::new(cases);
    let blocks = together.objective.kernel(67).blocks;
    let outputs: Vec<_> = blocks
        .iter()
        .map(|block| {
            let axes = block.valence_arousal.map(|axes| axes.column);
            (block.expression.len, block.action_units.len, axes)
        })
        .collect();
    assert_eq!(
        outputs,
        [(7, 17, Some(63)), (31, 5, Some(65)), (3, 0, None)]
    );
    // Each task against its case alone, whatever block it is in.
    let (losses, grad) = together.run();
    let named = together.objective.terms(&losses);
    let width = together.tasks.width();
    for (number, case) in together.cases.iter().enumerate() {
        case.check(&format!("uncoupled, case {number}"));
        let alone = case.run();
        for part in 0..3 {
            let term = named.iter().find(|(term, _)| *term == name(number, part));
            if let Some((_, value)) = term {
                assert_eq!(
                    value.to_bits(),
                    alone.losses[part].to_bits(),
                    "{number} {part}"
                );
            }
        }
        let outputs = case.sizes.classes + case.sizes.units + case.sizes.axes;
        for (image, row) in alone.grad.chunks_exact(outputs).enumerate() {
            let parts = (0..3).flat_map(|part| together.columns(number, part));
            let given: Vec<f32> = parts.map(|column| grad[image * width + column]).collect();
            assert_eq!(bits(&given), bits(row), "case {number}, image {image}");
        }
    }
}

#[test]
fn thousands_of_classes_match_the_reference() {
    for (classes, units) in [(4001, 0), (1201, 40)] {
        for carry in [Carry::Mixed, Carry::One] {
            let sizes = Sizes {
                batch: 9,
                classes,
                units,
                axes: 0,
            };
            let mut draw = Draw::new("thousands", SEED + classes as u64);
            let mut case = Case::draw(&mut draw, sizes, 4.0, carry);
            case.config.label_smoothing = 0.1;
            case.config.matching_table = MatchingTable::Weighted;
            case.check(&format!("{carry:?}"));
            // Uncoupled, too: the tables are then as long as the outputs.
            case.table = None;
            case.config.distribution_matching = 0.0;
            case.config.soft_co_annotation = 0.0;
            assert!(case.objective().tables().len() <= 2 * classes + units + 4);
            case.check(&format!("{carry:?}, uncoupled"));
        }
    }
}

#[test]
fn absent_images_are_absent_in_every_block() {
    let mut together = two(9, Carry::All);
    for case in &mut together.cases {
        for image in [0, 4] {
            case.labels[image] = Known {
                absent: true,
                ..case.labels[image]
            };
        }
    }
    let (losses, grad) = together.run();
    for block in losses.chunks(64) {
        assert_eq!(block[LOSSES - 1], 7.0);
    }
    for image in [0, 4] {
        let row = &grad[image * together.tasks.width()..][..together.tasks.width()];
        assert!(row.iter().all(|value| *value == 0.0), "image {image}");
    }
}

#[test]
fn a_plan_of_several_blocks_gives_the_bits_of_the_kernels() {
    let together = two(65, Carry::Mixed);
    let (losses, grad) = together.run();
    let problem = together.objective.kernel(65);
    let mut graph = Graph::new();
    let logits = graph.input("logits", Shape::rows(&[65, together.tasks.logits()]));
    let labels = graph.input("labels", Shape::raw(problem.labels_len()));
    let tables = graph.input("tables", Shape::raw(problem.tables_len()));
    let op = ops::Objective(problem.clone());
    let outputs = graph.record(op, &[logits, labels, tables]).unwrap();
    let recording = Recording::new(graph, &outputs, &Target::of(gpu())).unwrap();
    assert_eq!(recording.steps.len(), 6);
    let words = together.objective.pack(&together.labels(), 65).unwrap();
    let given = gpu()
        .block_on(async {
            let store = Store::new(gpu(), &recording, true).await?;
            let plan = Plan::new(gpu(), recording, &store).await?;
            plan.write(logits, bytemuck::cast_slice(&together.logits()))?;
            plan.write(labels, bytemuck::cast_slice(&words))?;
            plan.write(tables, bytemuck::cast_slice(together.objective.tables()))?;
            // The second step meets what the first left.
            plan.submit();
            plan.submit();
            let [grad, losses] = [0, 1].map(|output| plan.read(outputs[output]));
            Ok::<_, kinesic::tape::TapeError>((losses.await?, grad.await?))
        })
        .unwrap();
    for block in 0..2 {
        let at = problem.losses_at(block);
        assert_eq!(bits(&given.0[at.clone()]), bits(&losses[at]));
    }
    assert_eq!(bits(&given.1), bits(&grad));
}
