//! What feeds training: upload buffers that are used again and again, and the batches in them.

use kinesic::data::{Augment, Cache, Database, Loader, Row};
use kinesic::gpu::{AdapterChoice, Gpu, UploadRing};
use kinesic::infer::Images;
use kinesic::nn::{Backbone, Network, Weights};
use kinesic::objective::{Label, Objective, ObjectiveConfig, Tasks};
use kinesic::optim::{Decay, Optimizer, Schedule};
use kinesic::tape::Memory;
use kinesic::train::{Feed, Setup, Trainer, Upload};
use kinesic::{gpu::Precision, wgpu};
use std::path::Path;
use std::sync::Arc;

const SIZE: usize = 9;
const BATCH: usize = 5;

fn gpu() -> Gpu {
    let choice = AdapterChoice::parse(std::env::var("KINESIC_ADAPTER").ok().as_deref());
    pollster::block_on(Gpu::new(&choice)).unwrap_or_else(|error| panic!("{error}"))
}

fn objective() -> Objective {
    Objective::new(&Tasks::affect(), &ObjectiveConfig::default(), None).unwrap()
}

/// Drawn images with an expression each; the one numbered `broken` is no image.
fn loader(
    folder: &Path,
    images: u32,
    broken: Option<u32>,
    batch: usize,
    cache: &Cache,
) -> Arc<Loader> {
    let row = |number: u32| {
        let path = folder.join(format!("{number}.png"));
        if broken == Some(number) {
            std::fs::write(&path, "no image").unwrap();
        } else {
            let value = |x, y| image::Rgb([number as u8, (17 * x + number) as u8, (29 * y) as u8]);
            let side = SIZE as u32;
            image::RgbImage::from_fn(side, side, value)
                .save(&path)
                .unwrap();
        }
        let mut row = Row::unlabelled(path);
        row.labels.tasks = vec![Label::Class(number % 7)];
        row
    };
    let database = Database {
        name: "drawn".to_owned(),
        rows: (0..images).map(row).collect(),
        weight: None,
    };
    let augment = Augment {
        flip: true,
        rotation: 10.0,
        scale: 0.1,
        shift: 0.1,
    };
    Arc::new(Loader::new(vec![database], SIZE, batch, 3, augment, cache).unwrap())
}

#[test]
fn a_ring_brings_more_batches_than_it_has_buffers_each_to_its_place() {
    let gpu = gpu();
    let ring = gpu.block_on(UploadRing::new(&gpu, 64, 2)).unwrap();
    let target = gpu.block_on(gpu.storage("target", 7 * 32)).unwrap();
    // One that is filled and given up comes back too.
    drop(gpu.block_on(ring.take()).unwrap().unwrap());
    for number in 0..7_u8 {
        let mut staging = gpu.block_on(ring.take()).unwrap().unwrap();
        let mut view = staging.view().unwrap();
        view.slice(..).fill(0xEE);
        view.slice(8..40).copy_from_slice(&[number; 32]);
        drop(view);
        let place = wgpu::BufferBinding {
            buffer: &target,
            offset: 32 * u64::from(number),
            size: std::num::NonZeroU64::new(32),
        };
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let uploading = staging.upload(&mut encoder, &[(8, place)]).unwrap();
        gpu.queue.submit([encoder.finish()]);
        uploading.submitted();
    }
    let bytes = gpu.block_on(gpu.read(&target, 0, 7 * 32)).unwrap();
    let wanted: Vec<u8> = (0..7).flat_map(|number| [number; 32]).collect();
    assert_eq!(bytes, wanted);
    ring.close();
    assert!(gpu.block_on(ring.take()).unwrap().is_none());
}

#[test]
fn what_is_fed_from_any_step_on_is_what_the_loader_gives() {
    let (gpu, folder) = (gpu(), tempfile::tempdir().unwrap());
    let objective = objective();
    let kept = folder.path().join("kept");
    let loader = || {
        let cache = Cache::open(&kept, SIZE, 1 << 20).unwrap();
        loader(folder.path(), 101, Some(7), BATCH, &cache)
    };
    let plain = loader();
    for first in [0, 33] {
        let feed = Feed::new(&gpu, loader(), objective.clone(), first).unwrap();
        // More steps than upload buffers, and more than an epoch.
        for (step, fed) in (first..first + 30).zip(feed) {
            let fed = fed.unwrap();
            let bytes = fed.bytes();
            let buffers = bytes.map(|bytes| gpu.block_on(gpu.storage("target", bytes)).unwrap());
            let targets: Vec<_> = buffers
                .iter()
                .map(wgpu::Buffer::as_entire_buffer_binding)
                .collect();
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            let uploading = fed.upload(&mut encoder, &targets).unwrap();
            gpu.queue.submit([encoder.finish()]);
            uploading.submitted();
            let read = |part: usize| {
                gpu.block_on(gpu.read(&buffers[part], 0, bytes[part]))
                    .unwrap()
            };
            let batch = plain.batch(step).unwrap();
            let labels = objective.pack(&batch.labels, BATCH).unwrap();
            assert_eq!(read(0), batch.pixels, "pixels of step {step}");
            assert_eq!(
                read(1),
                bytemuck::cast_slice::<f32, u8>(&batch.matrices),
                "step {step}"
            );
            assert_eq!(
                read(2),
                bytemuck::cast_slice::<u32, u8>(&labels),
                "labels of step {step}"
            );
        }
    }
}

#[test]
fn a_feed_ends_with_its_listener_and_with_too_many_broken_images() {
    let (gpu, folder) = (gpu(), tempfile::tempdir().unwrap());
    let good = loader(folder.path(), 12, None, BATCH, &Cache::none());
    // Dropped at once, while buffers are filled, and with a batch in hand.
    for taken in 0..3 {
        let mut feed = Feed::new(&gpu, good.clone(), objective(), 0).unwrap();
        let hand: Vec<_> = feed.by_ref().take(taken).collect();
        drop(feed);
        assert_eq!(hand.len(), taken);
    }
    // Dropped with every buffer in flight.
    let mut feed = Feed::new(&gpu, good.clone(), objective(), 0).unwrap();
    let mut target = None;
    let mut waiting = Vec::new();
    for fed in feed.by_ref().take(6) {
        let (fed, mut encoder) = (
            fed.unwrap(),
            gpu.device.create_command_encoder(&Default::default()),
        );
        let size = fed.bytes()[0];
        let target =
            target.get_or_insert_with(|| gpu.block_on(gpu.storage("target", size)).unwrap());
        let uploading = fed.upload(&mut encoder, &[target.as_entire_buffer_binding()]);
        gpu.queue.submit([encoder.finish()]);
        waiting.push(uploading);
    }
    drop(feed);
    let bad = loader(folder.path(), 12, Some(3), BATCH, &Cache::none());
    let fed: Vec<_> = Feed::new(&gpu, bad, objective(), 0).unwrap().collect();
    let (last, before) = fed.split_last().unwrap();
    let error = last.as_ref().unwrap_err().to_string();
    assert!(error.contains("1 of 12 images are broken"), "{error}");
    assert!(before.len() < 3 && before.iter().all(Result::is_ok));
}

fn trainer(gpu: &Gpu) -> Trainer {
    let objective = objective();
    let network = Network {
        backbone: Backbone::Mobile,
        width: 0.25,
        depth: 1.0,
        outputs: Tasks::affect().logits(),
    };
    let setup = Setup {
        network,
        images: Images {
            batch: BATCH,
            source: SIZE,
            size: SIZE,
        },
        objective: objective.kernel(BATCH),
        tables: objective.tables().to_vec(),
        optimizer: Optimizer::Adam(Default::default()),
        schedule: Schedule {
            base: 1e-3,
            warmup: 0,
            total: 6,
            decay: Decay::Constant,
        },
        seed: 1,
        precision: Precision::F32,
        memory: Memory::Fast,
    };
    let weights = Weights::initialised(&network.declare(SIZE).unwrap(), 1);
    gpu.block_on(Trainer::new(gpu, setup, &weights)).unwrap()
}

#[test]
fn training_on_what_is_fed_gives_the_bits_of_training_on_what_is_written() {
    let (gpu, folder) = (gpu(), tempfile::tempdir().unwrap());
    let loader = loader(folder.path(), 12, None, BATCH, &Cache::memory(1 << 20));
    let (mut fed, mut written) = (trainer(&gpu), trainer(&gpu));
    for batch in Feed::new(&gpu, loader.clone(), objective(), 0)
        .unwrap()
        .take(6)
    {
        gpu.block_on(fed.step_fed(batch.unwrap())).unwrap();
    }
    for step in 0..6 {
        let batch = loader.batch(step).unwrap();
        let labels = objective().pack(&batch.labels, BATCH).unwrap();
        let upload = Upload {
            pixels: &batch.pixels,
            matrices: &batch.matrices,
            labels: &labels,
        };
        gpu.block_on(written.step(upload)).unwrap();
    }
    let weights = |trainer: &Trainer| gpu.block_on(trainer.weights()).unwrap().parameters;
    let (fed, written) = (weights(&fed), weights(&written));
    assert!(fed.iter().all(|weight| weight.is_finite()));
    assert!(fed == written);
}

#[test]
fn rejects_a_batch_of_another_size() {
    let (gpu, folder) = (gpu(), tempfile::tempdir().unwrap());
    let loader = loader(folder.path(), 12, None, BATCH + 1, &Cache::none());
    let mut feed = Feed::new(&gpu, loader, objective(), 0).unwrap();
    let batch = feed.next().unwrap().unwrap();
    let mut trainer = trainer(&gpu);
    let error = gpu
        .block_on(trainer.step_fed(batch))
        .unwrap_err()
        .to_string();
    // 5 and 6 images of 9 x 9 x 3 bytes, in whole words.
    assert!(
        error.contains("pixels") && error.contains("1216") && error.contains("1460"),
        "{error}"
    );
    assert_eq!(trainer.done(), 0);
}
