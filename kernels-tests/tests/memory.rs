//! Values recomputed instead of stored: a lower arena, by the recomputed dispatches alone, and the same bits.

use kernels_tests::harness::gpu;
use kinesic::gpu::{Gpu, Precision};
use kinesic::infer::Images;
use kinesic::kernels::optim::{AdamConstants, Optimizer};
use kinesic::nn::{Backbone, Network, Weights};
use kinesic::objective::{AffectLabels, Labels, Objective, ObjectiveConfig, Tasks};
use kinesic::random::Random;
use kinesic::tape::{Accounts, Memory, Plan, Store, TapeError, Target};
use kinesic::train::step::TrainingStep;
use kinesic::wgpu;

const SEED: u64 = 15;
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::F16];

struct Training {
    network: Network,
    images: Images,
    objective: Objective,
}

impl Training {
    fn of(backbone: &str, size: usize, batch: usize) -> Self {
        let tasks = Tasks::affect();
        Self {
            network: Network {
                backbone: backbone.parse::<Backbone>().unwrap(),
                width: 1.0,
                depth: 1.0,
                outputs: tasks.logits(),
            },
            images: Images {
                batch,
                source: size,
                size,
            },
            objective: Objective::new(&tasks, &ObjectiveConfig::default(), None).unwrap(),
        }
    }

    fn step(&self, target: &Target) -> TrainingStep {
        let step = TrainingStep::new(
            &self.network,
            self.images,
            self.objective.kernel(self.images.batch),
            Optimizer::Adam(AdamConstants::default()),
            target,
        );
        step.unwrap()
    }

    /// Writes images and labels that are drawn.
    fn feed(&self, plan: &Plan, step: &TrainingStep) -> Result<(), TapeError> {
        let Images { batch, .. } = self.images;
        let random = Random::new(SEED, "images");
        let pixels: Vec<u8> = (0..self.images.bytes() as u64)
            .map(|i| random.below(i, 256) as u8)
            .collect();
        let matrices = [1.0_f32, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0].repeat(batch);
        let random = Random::new(SEED, "labels");
        let labels: Vec<Labels> = (0..batch as u64)
            .map(|image| AffectLabels {
                expression: Some(random.below(4 * image, 7) as u32),
                au_mask: (1 << 17) - 1,
                au_value: random.below(4 * image + 1, 1 << 17),
                valence_arousal: Some([2, 3].map(|i| random.uniform(4 * image + i) - 0.5)),
            })
            .map(Labels::from)
            .collect();
        let labels = self.objective.pack(&labels, batch).unwrap();
        let tables = self.objective.tables();
        plan.write(step.pixels, &pixels)?;
        plan.write(step.matrices, bytemuck::cast_slice(&matrices))?;
        plan.write(step.recorded.labels, bytemuck::cast_slice(&labels))?;
        plan.write(step.recorded.tables, bytemuck::cast_slice(tables))
    }

    fn weights(&self) -> Weights {
        let declared = self.network.declare(self.images.size).unwrap();
        Weights::initialised(&declared, SEED)
    }

    /// What two steps on a device leave, by name: the losses, the logits and the gradients of both, and the second's parameters,
    /// moments and running statistics.
    fn run(&self, weights: &Weights, target: &Target) -> Vec<(&'static str, Vec<f32>)> {
        let (gpu, step) = (gpu(), self.step(target));
        let read = gpu.block_on(async {
            let store = Store::new(gpu, &step.recording, true).await?;
            let upload = |buffer: &wgpu::Buffer, values: &[f32]| {
                gpu.queue
                    .write_buffer(buffer, 0, bytemuck::cast_slice(values));
            };
            upload(&store.parameters, &weights.parameters);
            upload(&store.states, &weights.states);
            let plan = Plan::new(gpu, step.recording.clone(), &store).await?;
            self.feed(&plan, &step)?;
            let mut read = Vec::new();
            for number in 0..2 {
                let optimizer = Optimizer::Adam(AdamConstants::default());
                let schedule = optimizer.schedule(1e-3, number, SEED as u32);
                plan.write(step.recorded.schedule, bytemuck::cast_slice(&schedule))?;
                plan.submit();
                let recorded = step.recorded;
                read.push(("losses", plan.read(recorded.losses).await?));
                read.push(("logits", plan.read(recorded.logits).await?));
                let gradients = store.gradients.as_ref().unwrap();
                read.push(("gradients", floats(gpu, gradients).await?));
            }
            let [first, second] = store.moments.as_ref().unwrap();
            for (name, buffer) in [
                ("parameters", &store.parameters),
                ("first moments", first),
                ("second moments", second),
                ("states", &store.states),
            ] {
                read.push((name, floats(gpu, buffer).await?));
            }
            Ok::<_, TapeError>(read)
        });
        read.unwrap()
    }

    /// Holds what a low plan gives against what a fast one does. Says which kernels ran again.
    fn compare(&self, what: &str, target: &Target) -> Vec<&'static str> {
        let [fast, low] = [Memory::Fast, Memory::Low].map(|it| target.clone().within(it));
        let again = again(
            &self.step(&fast).recording.accounts(),
            &self.step(&low).recording.accounts(),
        );
        let weights = self.weights();
        let [fast, low] = [fast, low].map(|target| self.run(&weights, &target));
        for ((name, fast), (_, low)) in fast.iter().zip(&low) {
            assert_eq!(fast.len(), low.len(), "{what}: {name}");
            let differ = |(a, b): &(&f32, &f32)| a.to_bits() != b.to_bits();
            let values = fast.iter().zip(low);
            let first = values.enumerate().find(|(_, pair)| differ(pair));
            assert_eq!(first, None, "{what}: {name} differ, fast and low");
        }
        // There is something to compare: numbers, and each parameter has a gradient.
        assert!(fast[0].1.iter().all(|loss| loss.is_finite()), "{what}");
        for (name, gradient) in weights.take(&fast[2].1) {
            assert!(gradient.iter().any(|it| *it != 0.0), "{what}: {name}");
        }
        again
    }
}

async fn floats(gpu: &Gpu, buffer: &wgpu::Buffer) -> Result<Vec<f32>, TapeError> {
    let bytes = gpu.read(buffer, 0, buffer.size()).await?;
    Ok(bytemuck::pod_collect_to_vec(&bytes))
}

/// The kernels that run more often in a low plan than in a fast one.
fn again(fast: &Accounts, low: &Accounts) -> Vec<&'static str> {
    let times = |accounts: &Accounts, kernel: &str| {
        let mut kernels = accounts.by_kernel.iter();
        let found = kernels.find(|it| it.kernel == kernel);
        found.map_or(0, |it| it.dispatches)
    };
    let kernels = low.by_kernel.iter().map(|it| it.kernel);
    let mut again: Vec<_> = kernels
        .filter(|kernel| times(low, kernel) > times(fast, kernel))
        .collect();
    again.sort_unstable();
    again
}

/// The device's kernels, and those of a GPU.
fn targets(precision: Precision) -> Vec<Target> {
    let own = Target::of(gpu()).stored(precision);
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

#[test]
fn low_gives_the_bits_of_fast() {
    for (backbone, size, batch) in [("resnet18", 48, 4), ("resnet50", 32, 4), ("mobile", 40, 5)] {
        let training = Training::of(backbone, size, batch);
        for precision in PRECISIONS.into_iter().filter(|it| gpu().can_store(*it)) {
            for target in targets(precision) {
                let what = format!("{backbone} at {size}, batch {batch}, {target:?}");
                let again = training.compare(&what, &target);
                assert!(again.contains(&"batch_norm_apply"), "{what}: {again:?}");
            }
        }
    }
}

/// The accounts of a training step of ResNet-50 at 112 pixels.
fn accounts(memory: Memory, precision: Precision) -> Accounts {
    let target = Target::unlimited().stored(precision).within(memory);
    let training = Training::of("resnet50", 112, 64);
    training.step(&target).recording.accounts()
}

#[test]
fn fast_is_the_default() {
    assert_eq!(Target::unlimited().memory, Memory::Fast);
    assert_eq!(accounts(Memory::Fast, Precision::F32).recomputed, 0);
}

#[test]
fn low_takes_a_quarter_less_by_its_recomputed_dispatches_alone() {
    for precision in PRECISIONS {
        let fast = accounts(Memory::Fast, precision);
        let low = accounts(Memory::Low, precision);
        let (a, b) = (low.arena_bytes, fast.arena_bytes);
        assert!(4 * a <= 3 * b, "{a} bytes low, {b} fast");
        assert!(low.recomputed > 0);
        assert_eq!(low.dispatches, fast.dispatches + low.recomputed);
        let again = again(&fast, &low);
        assert_eq!(again, ["batch_norm_apply", "image_input", "max_pool2d"]);
    }
}
