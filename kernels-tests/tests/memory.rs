//! Values recomputed instead of stored: a lower arena, by the recomputed dispatches alone.

use kinesic::gpu::Precision;
use kinesic::infer::Images;
use kinesic::kernels::optim::{AdamConstants, Optimizer};
use kinesic::nn::{Backbone, Network};
use kinesic::objective::{Objective, ObjectiveConfig, Tasks};
use kinesic::tape::{Accounts, Memory, Target};
use kinesic::train::step::TrainingStep;

const BATCH: usize = 64;

/// The accounts of a training step of ResNet-50 at 112 pixels.
fn accounts(memory: Memory, precision: Precision) -> Accounts {
    let tasks = Tasks::affect();
    let objective = Objective::new(&tasks, &ObjectiveConfig::default(), None).unwrap();
    let network = Network {
        backbone: "resnet50".parse::<Backbone>().unwrap(),
        width: 1.0,
        depth: 1.0,
        outputs: tasks.logits(),
    };
    let images = Images {
        batch: BATCH,
        source: 112,
        size: 112,
    };
    let step = TrainingStep::new(
        &network,
        images,
        objective.kernel(BATCH),
        Optimizer::Adam(AdamConstants::default()),
        &Target::unlimited().stored(precision).within(memory),
    );
    step.unwrap().recording.accounts()
}

#[test]
fn fast_is_the_default() {
    assert_eq!(Target::unlimited().memory, Memory::Fast);
    assert_eq!(accounts(Memory::Fast, Precision::F32).recomputed, 0);
}

#[test]
fn low_takes_a_third_less_by_its_recomputed_dispatches_alone() {
    for precision in [Precision::F32, Precision::F16] {
        let fast = accounts(Memory::Fast, precision);
        let low = accounts(Memory::Low, precision);
        let (a, b) = (low.arena_bytes, fast.arena_bytes);
        assert!(3 * a <= 2 * b, "{a} bytes low, {b} fast");
        assert!(low.recomputed > 0);
        assert_eq!(low.dispatches, fast.dispatches + low.recomputed);
        for kernel in &low.by_kernel {
            let mut others = fast.by_kernel.iter();
            let other = others.find(|it| it.kernel == kernel.kernel).unwrap();
            let cheap = ["batch_norm_apply", "max_pool2d", "image_input", "dropout"];
            let more = kernel.dispatches - other.dispatches;
            assert!(
                more == 0 || cheap.contains(&kernel.kernel),
                "{}",
                kernel.kernel
            );
        }
    }
}
