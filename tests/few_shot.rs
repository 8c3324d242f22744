//! Few-shot classes on a network that was never shown them.

use kinesic::gpu::{AdapterChoice, Gpu};
use kinesic::infer::{Model, Predictor};
use kinesic::nn::{Backbone, Network, Weights};
use kinesic::objective::Tasks;
use kinesic::train::metrics::largest;
use kinesic::train::{FewShot, Shots, TrainError};

const SIZE: usize = 16;

fn gpu() -> Gpu {
    pollster::block_on(Gpu::new(&AdapterChoice::parse(None))).unwrap()
}

fn model() -> Model {
    let tasks = Tasks::affect();
    let network = Network {
        backbone: Backbone::Mobile,
        width: 1.0,
        depth: 1.0,
        outputs: tasks.logits(),
    };
    Model {
        network,
        size: SIZE,
        tasks,
        weights: Weights::initialised(&network.declare(SIZE).unwrap(), 3),
    }
}

/// Pictures of one colour each, in turn of three hues, each a little lighter than the one before.
fn pictures(count: usize, first: u8) -> (Vec<u8>, Vec<u32>) {
    let mut pixels = Vec::new();
    for index in 0..count {
        let mut color = [first + 3 * index as u8; 3];
        color[index % 3] = 200;
        pixels.extend(color.repeat(SIZE * SIZE));
    }
    (pixels, (0..count as u32).map(|index| index % 3).collect())
}

fn learner(steps: u64) -> FewShot {
    FewShot {
        steps,
        batch: 24,
        ..FewShot::new("hue", ["red", "green", "blue"].map(str::to_owned).into())
    }
}

fn right(gpu: &Gpu, model: &Model) -> usize {
    let (pixels, labels) = pictures(12, 5);
    let predictor = gpu.block_on(Predictor::new(gpu, model, 8)).unwrap();
    let outputs = gpu.block_on(predictor.run_all(&pixels)).unwrap();
    let found = outputs.iter().map(|output| largest(&output.logits[..3]));
    found
        .zip(labels)
        .filter(|(found, label)| *found == Some(*label as usize))
        .count()
}

/// The parameters without the head's.
fn trunk(model: &Model) -> Vec<(String, Vec<f32>)> {
    let all = model.weights.take(&model.weights.parameters);
    all.filter(|(name, _)| !name.starts_with("fc."))
        .map(|(name, values)| (name.to_owned(), values))
        .collect()
}

#[test]
fn a_head_on_the_trunk_as_it_is_learns_new_classes() {
    let (gpu, model) = (gpu(), model());
    let (pixels, labels) = pictures(9, 0);
    let shots = Shots {
        pixels: &pixels,
        labels: &labels,
    };
    let learned = learner(0).learn(&gpu, &model, shots).unwrap();
    assert_eq!(learned.tasks.get("hue").unwrap().outputs.len(), 3);
    assert_eq!(trunk(&learned), trunk(&model), "the trunk stays");
    assert_eq!(learned.weights.states, model.weights.states);
    assert_eq!(right(&gpu, &learned), 12);
    // It travels as any model.
    let bytes = learned.to_safetensors().unwrap();
    let read = Model::from_safetensors(&bytes).unwrap();
    assert_eq!(right(&gpu, &read), 12);
    let again = learner(0).learn(&gpu, &model, shots).unwrap();
    assert_eq!(again.weights, learned.weights);
}

#[test]
fn trunk_and_head_are_trained_on_together_where_asked_for() {
    let (gpu, model) = (gpu(), model());
    let (pixels, labels) = pictures(9, 0);
    let shots = Shots {
        pixels: &pixels,
        labels: &labels,
    };
    // As many steps as running statistics need to follow: those of weights that were never trained are far off.
    let tuned = learner(100).learn(&gpu, &model, shots).unwrap();
    assert_ne!(trunk(&tuned), trunk(&model));
    assert!(right(&gpu, &tuned) >= 11, "{}", right(&gpu, &tuned));
    let again = learner(100).learn(&gpu, &model, shots).unwrap();
    assert_eq!(again.weights, tuned.weights, "the same bits");
}

#[test]
fn rejects_faces_that_no_classes_can_be_learned_from() {
    let (gpu, model) = (gpu(), model());
    let (pixels, labels) = pictures(9, 0);
    let cases: [(&[u8], &[u32]); 4] = [
        (&[], &[]),
        (&pixels, &[0; 9]),
        (&pixels, &[0, 1, 2, 3, 0, 1, 2, 0, 1]),
        (&pixels[1..], &labels),
    ];
    for (pixels, labels) in cases {
        let error = learner(0).learn(&gpu, &model, Shots { pixels, labels });
        let error = error.unwrap_err();
        assert!(matches!(error, TrainError::Shots { .. }), "{error}");
    }
}
