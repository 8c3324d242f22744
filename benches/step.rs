//! Whole steps, training and inference, of `mobile` at 48 and ResNet-18 at 112, from submission to completion.

mod common;

use common::{Work, is_test, peaks, quick, record, sample};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels_tests::harness::gpu;
use kinesic::gpu::Precision;
use kinesic::infer::{Images, InferencePass};
use kinesic::kernels::optim::AdamConstants;
use kinesic::nn::{Backbone, Network, Weights};
use kinesic::objective::{AffectLabels, Labels, Objective, ObjectiveConfig, Tasks};
use kinesic::optim::Optimizer;
use kinesic::random::Random;
use kinesic::tape::{Plan, Recording, Store, TapeError, Target, Value};
use kinesic::train::step::TrainingStep;
use std::time::Instant;

/// A network on a batch.
struct Problem {
    network: Network,
    name: &'static str,
    images: Images,
}

/// A recorded step: its inputs, and the value by which plans are compared, with the difference allowed.
struct Recorded {
    recording: Recording,
    inputs: Vec<(Value, Vec<u8>)>,
    output: Value,
}

/// Records a step of a problem.
type Make = fn(&Problem, &Target) -> Recorded;

/// Batches are those of training on a GPU, and small on software adapters.
fn problems() -> Vec<Problem> {
    let problem = |name, backbone, side: usize, batch: [usize; 2]| {
        let side = if quick() { 32 } else { side };
        // Eight: batch normalisation over two images' last pixels would magnify every rounding.
        let batch = if quick() {
            8
        } else {
            batch[usize::from(gpu().is_software())]
        };
        let scale = if quick() && backbone == Backbone::Mobile {
            0.5
        } else {
            1.0
        };
        Problem {
            network: Network {
                backbone,
                width: scale,
                depth: 1.0,
                outputs: Tasks::affect().logits(),
            },
            name,
            images: Images {
                batch,
                source: side,
                size: side,
            },
        }
    };
    let mut problems = vec![problem("mobile", Backbone::Mobile, 48, [256, 64])];
    // A test run compiles its pipelines and runs it once, for seconds; `mobile` has shown by then that this file works.
    if !is_test() {
        problems.push(problem("resnet18", Backbone::Resnet18, 112, [64, 4]));
    }
    problems
}

impl Problem {
    fn pictures(&self, pixels: Value, matrices: Value) -> Vec<(Value, Vec<u8>)> {
        let random = Random::new(1, "step bench");
        let bytes = (0..self.images.bytes() as u64 / 4)
            .flat_map(|i| (random.bits(i) as u32).to_le_bytes())
            .collect();
        let identity = [1.0_f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0].repeat(self.images.batch);
        vec![
            (pixels, bytes),
            (matrices, bytemuck::cast_slice(&identity).to_vec()),
        ]
    }

    fn inference(&self, target: &Target) -> Recorded {
        let pass = InferencePass::new(&self.network, self.images, target).unwrap();
        Recorded {
            inputs: self.pictures(pass.pixels, pass.matrices),
            recording: pass.recording,
            output: pass.logits,
        }
    }

    fn training(&self, target: &Target) -> Recorded {
        let batch = self.images.batch;
        let objective =
            Objective::new(&Tasks::affect(), &ObjectiveConfig::default(), None).unwrap();
        let adam = Optimizer::Adam(AdamConstants::default());
        let step = TrainingStep::new(
            &self.network,
            self.images,
            objective.kernel(batch),
            adam,
            target,
        );
        let step = step.unwrap();
        let labels: Vec<_> = (0..batch as u32).map(label).collect();
        let labels = objective.pack(&labels, batch).unwrap();
        let recorded = step.recorded;
        let mut inputs = self.pictures(step.pixels, step.matrices);
        inputs.extend([
            (recorded.labels, bytemuck::cast_slice(&labels).to_vec()),
            (
                recorded.tables,
                bytemuck::cast_slice(objective.tables()).to_vec(),
            ),
            (
                recorded.schedule,
                bytemuck::cast_slice(&adam.schedule(1e-4, 0, 1)).to_vec(),
            ),
        ]);
        Recorded {
            inputs,
            recording: step.recording,
            output: recorded.losses,
        }
    }

    async fn plan(&self, recorded: &Recorded) -> Result<Plan, TapeError> {
        let _ahead = recorded.recording.compile_ahead(gpu());
        let graph = self.network.declare(self.images.size)?;
        let weights = Weights::initialised(&graph, 1);
        let store = Store::new(gpu(), &recorded.recording, true).await?;
        let queue = &gpu().queue;
        queue.write_buffer(
            &store.parameters,
            0,
            bytemuck::cast_slice(&weights.parameters),
        );
        queue.write_buffer(&store.states, 0, bytemuck::cast_slice(&weights.states));
        let plan = Plan::new(gpu(), recorded.recording.clone(), &store).await?;
        for (value, bytes) in &recorded.inputs {
            plan.write(*value, bytes)?;
        }
        Ok(plan)
    }

    /// What the first step gives.
    fn first(&self, recorded: &Recorded) -> (Plan, Vec<f32>) {
        let plan = gpu().block_on(self.plan(recorded)).unwrap();
        plan.submit();
        let output = gpu().block_on(plan.read(recorded.output)).unwrap();
        (plan, output)
    }
}

fn label(image: u32) -> Labels {
    AffectLabels {
        expression: Some(image % 7),
        au_mask: (1 << 17) - 1,
        au_value: u64::from(image) % (1 << 17),
        valence_arousal: Some([
            (image % 5) as f32 / 4.0 - 0.5,
            (image % 3) as f32 / 2.0 - 0.5,
        ]),
    }
    .into()
}

/// Holds the first step's output against that of a plan without fusion in f32. Both round in other places, f16 once a layer
/// (2⁻¹¹ each, of values of the order of the largest): some tens of layers on.
fn check(what: &str, got: &[f32], want: &[f32], precision: Precision) {
    let share = match precision {
        Precision::F32 => 1e-3,
        Precision::F16 => 5e-2,
    };
    let largest = want
        .iter()
        .fold(0.0_f32, |most, value| most.max(value.abs()));
    for (got, want) in got.iter().zip(want) {
        let off = (got - want).abs();
        assert!(
            off <= share * largest,
            "{what}: {got} and {want}, largest {largest}"
        );
    }
}

fn steps(criterion: &mut Criterion) {
    for problem in problems() {
        let modes: [(_, Make); 2] = [("train", Problem::training), ("infer", Problem::inference)];
        for (mode, make) in modes {
            let plain = Target {
                fuse: false,
                ..Target::of(gpu())
            };
            let want = problem.first(&make(&problem, &plain)).1;
            for precision in [Precision::F32, Precision::F16] {
                if gpu().can_store(precision) {
                    line(criterion, &problem, mode, precision, make, &want);
                }
            }
        }
    }
}

fn line(
    criterion: &mut Criterion,
    problem: &Problem,
    mode: &str,
    precision: Precision,
    make: Make,
    want: &[f32],
) {
    let recorded = make(problem, &Target::of(gpu()).stored(precision));
    let (plan, output) = problem.first(&recorded);
    let Images { batch, size, .. } = problem.images;
    let kernel = format!("step/{}_{mode}", problem.name);
    let shape = format!("n{batch}s{size}");
    let id = format!("{kernel}/{}/{shape}", precision.name());
    check(&id, &output, want, precision);
    let run = |times| {
        let start = Instant::now();
        for _ in 0..times {
            plan.submit();
            gpu().wait().unwrap();
        }
        start.elapsed()
    };
    // A step is more than a second on a software adapter: criterion takes as long as its ten samples need.
    let name = [&*kernel, precision.name(), &*shape];
    let samples = sample(criterion, name, Throughput::Elements(batch as u64), run);
    if !samples.is_empty() {
        let calls = recorded.recording.steps.iter().map(|step| &step.call);
        record(id, Work::new(calls, peaks()), samples, None, false);
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
