//! The predictor: the batch that an image is in changes nothing, and neither does a journey through a file.

use kernels_tests::harness::gpu;
use kinesic::infer::{Images, InferencePass, Model, Output, Predictor};
use kinesic::nn::{Backbone, Network, Weights};
use kinesic::objective::Tasks;
use kinesic::tape::{Store, Target};

const SIZE: usize = 32;
const IMAGES: usize = 7;
/// Bounds on what the two networks below are made of: layers one behind the other, and terms of the largest sum.
const LAYERS: f32 = 24.0;
const TERMS: f32 = 9.0 * 128.0;

fn model(backbone: Backbone, width: f32) -> Model {
    let tasks = Tasks::affect();
    let network = Network {
        backbone,
        width,
        depth: 1.0,
        outputs: tasks.logits(),
    };
    let weights = Weights::initialised(&network.declare(SIZE).unwrap(), 5);
    Model {
        network,
        size: SIZE,
        tasks,
        weights,
    }
}

fn models() -> [Model; 2] {
    [
        model(Backbone::Mobile, 0.5),
        model(Backbone::Resnet18, 0.25),
    ]
}

/// Images of stripes, each of another width, direction and colour.
fn pixels() -> Vec<u8> {
    let value = |image: usize, y: usize, x: usize, channel: usize| {
        let along = if image.is_multiple_of(2) { x } else { y };
        let bright = (along / (image + 1)).is_multiple_of(2);
        (if bright { 250 } else { 20 } - 5 * image * channel % 20) as u8
    };
    let places = (0..IMAGES * SIZE * SIZE * 3).map(|place| {
        let (image, rest) = (place / (SIZE * SIZE * 3), place % (SIZE * SIZE * 3));
        value(image, rest / (SIZE * 3), rest / 3 % SIZE, rest % 3)
    });
    places.collect()
}

fn predict(model: &Model, batch: usize) -> Vec<Output> {
    let gpu = gpu();
    let predictor = gpu.block_on(Predictor::new(gpu, model, batch)).unwrap();
    assert_eq!(predictor.batch(), batch);
    gpu.block_on(predictor.run_all(&pixels())).unwrap()
}

/// The largest difference of two rows, as a share of the largest value.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let scale = a.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let differences = a.iter().zip(b).map(|(x, y)| (x - y).abs() / scale);
    // A NaN must not be lost on the way.
    differences.fold(0.0, |most, next| if next <= most { most } else { next })
}

#[test]
fn an_image_is_predicted_alike_in_batches_of_every_size() {
    let tolerance = LAYERS * TERMS * f32::EPSILON / 2.0;
    for model in models() {
        let alone = predict(&model, 1);
        assert_eq!(alone.len(), IMAGES);
        for (index, image) in alone.iter().enumerate() {
            let other = &alone[(index + 1) % IMAGES];
            let apart = distance(&image.logits, &other.logits);
            assert!(apart > 2.0 * tolerance, "images must differ: {apart}");
        }
        // Whole batches, a last one that is not full, and one that never is.
        for batch in [2, 3, IMAGES, IMAGES + 1] {
            let together = predict(&model, batch);
            assert_eq!(together.len(), IMAGES);
            for (a, b) in alone.iter().zip(&together) {
                let apart =
                    distance(&a.logits, &b.logits).max(distance(&a.embedding, &b.embedding));
                assert!(
                    apart <= tolerance,
                    "{} in batches of {batch}: {apart} > {tolerance}",
                    model.network.backbone
                );
            }
        }
    }
}

#[test]
fn a_saved_and_loaded_model_predicts_the_same_bits() {
    for model in models() {
        let loaded = Model::from_safetensors(&model.to_safetensors().unwrap()).unwrap();
        assert!(predict(&model, 3) == predict(&loaded, 3));
    }
}

#[test]
fn a_predictor_on_weights_of_another_plan_reads_them_as_they_are_now() {
    let gpu = gpu();
    let [model, _] = models();
    let images = Images {
        batch: 4,
        source: SIZE,
        size: SIZE,
    };
    let pass = InferencePass::new(&model.network, images, &Target::of(gpu)).unwrap();
    let store = gpu
        .block_on(Store::new(gpu, &pass.recording, false))
        .unwrap();
    let shared = gpu
        .block_on(Predictor::with_store(gpu, &model, 3, &store))
        .unwrap();
    for seed in [5, 6] {
        let weights = Weights::initialised(&model.network.declare(SIZE).unwrap(), seed);
        let upload = |buffer, values: &[f32]| {
            let bytes: &[u8] = bytemuck::cast_slice(values);
            gpu.queue.write_buffer(buffer, 0, bytes);
        };
        upload(&store.parameters, &weights.parameters);
        upload(&store.states, &weights.states);
        let own = Model {
            weights,
            ..model.clone()
        };
        let found = gpu.block_on(shared.run_all(&pixels())).unwrap();
        assert!(found == predict(&own, 3), "seed {seed}");
    }
}
