//! `kinesic bench --mode input`: how many images a second training could be fed with.

use super::{Common, Failure, predict};
use crate::data::synthetic::{Faces, Picture};
use crate::data::{Augment, Cache, Database, Loader, Row};
use crate::gpu::{Gpu, UploadRing};
use crate::kernels::face::{Face, render};
use crate::objective::{Objective, ObjectiveConfig, Tasks};
use crate::train::Feed;
use image::{ImageFormat, RgbImage};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// What the JSON file has.
pub(super) const HELP: &str = "\
--mode input measures what feeds training, without a network: images are read, decoded and resized to --size, put into batches with \
drawn augmentations and copied into a buffer of the adapter, by the code that `kinesic train` runs. No kernel runs; a software \
adapter's copies count as the host's.

JSON keys of --mode input:
  cold           every image is read and decoded each time
  warm           images come from the files of decoded images, mapped into memory, as in every run but the first
  upload         decoded images in memory to the adapter alone, in three ways:
    ring              put into mapped upload buffers that are used again and again: what training does
    write_buffer      put into a batch that wgpu's queue copies
    write_buffer_with put into the queue's own memory, new for each batch
  Each of them has images_per_second; busy_cores, the processor time of the whole process a second; and
  images_per_second_per_core, the images a second of processor time (both null where the system does not tell).
  images_per_second   that of warm
  fill_s         seconds to decode all images once and write the files
  images, formats, size, batch, cores, adapter, driver, backend

Example: kinesic bench --mode input --images faces/table.csv --size 112 --batch 256 --seconds 5 --json -";

/// Faces drawn where no images are given, at twice the side, so that they are resized as most photos are.
const DRAWN: u64 = 1024;
/// Faces drawn at once.
const CHUNK: u64 = 128;
/// Submissions in flight when uploads are measured alone.
const IN_FLIGHT: usize = 3;

#[derive(Clone, Copy, Serialize)]
struct Rate {
    images_per_second: f64,
    busy_cores: Option<f64>,
    images_per_second_per_core: Option<f64>,
}

#[derive(Serialize)]
struct Upload {
    ring: Rate,
    write_buffer: Rate,
    write_buffer_with: Rate,
}

#[derive(Serialize)]
struct Report {
    mode: &'static str,
    size: usize,
    batch: usize,
    images: usize,
    formats: String,
    cores: usize,
    images_per_second: f64,
    cold: Rate,
    warm: Rate,
    fill_s: f64,
    upload: Upload,
    adapter: String,
    driver: String,
    backend: String,
}

/// What is fed with what.
struct Bench<'a> {
    gpu: &'a Gpu,
    rows: Vec<Row>,
    size: usize,
    batch: usize,
    seconds: f64,
}

pub(super) fn run(
    common: &Common,
    size: usize,
    batch: usize,
    images: Option<&Path>,
    seconds: f64,
) -> Result<(), Failure> {
    let gpu = common.gpu()?;
    let folder = tempfile::tempdir().map_err(Failure::work)?;
    let rows = match images {
        Some(path) => predict::faces(path)?,
        None => draw(&gpu, folder.path(), 2 * size)?,
    };
    let bench = Bench {
        gpu: &gpu,
        rows,
        size,
        batch,
        seconds,
    };
    let kept = folder.path().join("decoded");
    let bytes = (bench.rows.len() as u64 + 1) * (3 * size * size + 64) as u64;
    let open = || Cache::open(&kept, size, bytes).map_err(Failure::work);
    let upload = bench.upload()?;
    let cold = bench.fed(&Cache::none())?;
    let fill_s = bench.fill(open()?)?;
    let warm = bench.fed(&open()?)?;
    let info = gpu.info();
    let report = Report {
        mode: "input",
        size,
        batch,
        images: bench.rows.len(),
        formats: formats(&bench.rows),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        images_per_second: warm.images_per_second,
        cold,
        warm,
        fill_s,
        upload,
        adapter: info.name.clone(),
        driver: format!("{} {}", info.driver, info.driver_info)
            .trim()
            .to_owned(),
        backend: info.backend.to_string(),
    };
    common.report(&report, || text(&report))
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "input of {} images ({}) at {}, batch {}, {} cores\n  {:<28}{:>12}{:>12}{:>18}\n",
        report.images,
        report.formats,
        report.size,
        report.batch,
        report.cores,
        "",
        "images/s",
        "busy cores",
        "images/s a core",
    );
    for (name, rate) in [
        ("decoded from files (cold)", report.cold),
        ("decoded before (warm)", report.warm),
        ("upload alone: ring", report.upload.ring),
        ("  write_buffer", report.upload.write_buffer),
        ("  write_buffer_with", report.upload.write_buffer_with),
    ] {
        let optional = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        text += &format!(
            "  {name:<28}{:>12.0}{:>12}{:>18}\n",
            rate.images_per_second,
            optional(rate.busy_cores, 2),
            optional(rate.images_per_second_per_core, 0),
        );
    }
    text + &format!(
        "  decoding all once and writing them: {:.2} s\n  {} ({}, {})\n",
        report.fill_s, report.adapter, report.backend, report.driver
    )
}

impl Bench<'_> {
    fn loader(&self, cache: &Cache) -> Result<Arc<Loader>, Failure> {
        let augment = Augment {
            flip: true,
            rotation: 8.0,
            scale: 0.08,
            shift: 0.05,
        };
        let database = Database {
            name: "images".to_owned(),
            rows: self.rows.clone(),
            weight: None,
        };
        let loader = Loader::new(vec![database], self.size, self.batch, 1, augment, cache);
        Ok(Arc::new(loader.map_err(Failure::input)?))
    }

    /// Batches of a loader, uploaded as training uploads them.
    fn fed(&self, cache: &Cache) -> Result<Rate, Failure> {
        let objective = Objective::new(&Tasks::affect(), &ObjectiveConfig::default(), None)?;
        let mut feed = Feed::new(self.gpu, self.loader(cache)?, objective, 0)?;
        let mut targets: Vec<wgpu::Buffer> = Vec::new();
        // The first batch finds an empty pipe; from then on, as much goes in as comes out.
        let (mut meter, mut batches) = (Meter::start(), 0);
        for batch in &mut feed {
            let batch = batch?;
            if targets.is_empty() {
                for bytes in batch.bytes() {
                    targets.push(self.gpu.block_on(self.gpu.storage("the input", bytes))?);
                }
                meter = Meter::start();
            } else {
                batches += 1;
            }
            let bindings: Vec<_> = targets
                .iter()
                .map(wgpu::Buffer::as_entire_buffer_binding)
                .collect();
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            let uploading = batch.upload(&mut encoder, &bindings);
            self.gpu.queue.submit([encoder.finish()]);
            if let Some(uploading) = uploading {
                uploading.submitted();
            }
            if batches >= 3 && meter.seconds() >= self.seconds {
                break;
            }
        }
        let rate = meter.rate(batches * self.batch);
        drop(feed);
        self.gpu.wait()?;
        self.gpu.check()?;
        Ok(rate)
    }

    /// Decodes every image once and writes the files; the seconds.
    fn fill(&self, cache: Cache) -> Result<f64, Failure> {
        let start = Instant::now();
        let loader = self.loader(&cache)?;
        for step in 0..loader.steps_per_epoch() {
            loader.batch_into(step, |_| {}).map_err(Failure::input)?;
        }
        drop((loader, cache));
        Ok(start.elapsed().as_secs_f64())
    }

    /// The ways from decoded images to the adapter, a slice of time each in turn.
    fn upload(&self) -> Result<Upload, Failure> {
        let bytes = 3 * self.size * self.size;
        let images: Vec<Vec<u8>> = (0..self.batch)
            .map(|image| vec![image as u8; bytes])
            .collect();
        let size = (self.batch * bytes).next_multiple_of(4) as u64;
        let target = self.gpu.block_on(self.gpu.storage("the input", size))?;
        let ring = self
            .gpu
            .block_on(UploadRing::new(self.gpu, size, IN_FLIGHT + 1))?;
        let mut totals = [(0, 0.0, Some(0.0)); 3];
        // The first round warms up.
        for round in 0..5 {
            for (way, total) in totals.iter_mut().enumerate() {
                let meter = Meter::start();
                let (mut batches, mut in_flight) = (0, VecDeque::new());
                while batches < 3 || meter.seconds() < self.seconds / 12.0 {
                    in_flight.push_back(self.put(way, &images, &target, &ring)?);
                    if in_flight.len() > IN_FLIGHT {
                        self.wait_for(in_flight.pop_front())?;
                    }
                    batches += 1;
                }
                self.wait_for(in_flight.pop_back())?;
                if round > 0 {
                    total.0 += batches * self.batch;
                    total.1 += meter.seconds();
                    total.2 = total.2.zip(meter.busy()).map(|(sum, busy)| sum + busy);
                }
            }
        }
        let [ring, write_buffer, write_buffer_with] =
            totals.map(|(images, seconds, busy)| rate(images, seconds, busy));
        Ok(Upload {
            ring,
            write_buffer,
            write_buffer_with,
        })
    }

    /// Brings one batch to the adapter in one of the ways.
    fn put(
        &self,
        way: usize,
        images: &[Vec<u8>],
        target: &wgpu::Buffer,
        ring: &UploadRing,
    ) -> Result<wgpu::SubmissionIndex, Failure> {
        let (queue, bytes) = (&self.gpu.queue, images[0].len());
        let places = images
            .iter()
            .enumerate()
            .map(|(image, pixels)| (image * bytes..(image + 1) * bytes, pixels));
        match way {
            0 => {
                let staging = self.gpu.block_on(ring.take())?;
                let mut staging =
                    staging.ok_or_else(|| Failure::work(anyhow::anyhow!("the ring is closed")))?;
                let mut view = staging.view()?;
                places.for_each(|(place, pixels)| view.slice(place).copy_from_slice(pixels));
                drop(view);
                let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
                let uploading =
                    staging.upload(&mut encoder, &[(0, target.as_entire_buffer_binding())]);
                let index = queue.submit([encoder.finish()]);
                if let Some(uploading) = uploading {
                    uploading.submitted();
                }
                return Ok(index);
            }
            1 => {
                let mut batch = vec![0; target.size() as usize];
                places.for_each(|(place, pixels)| batch[place].copy_from_slice(pixels));
                queue.write_buffer(target, 0, &batch);
            }
            _ => {
                let size = target.size().try_into().map_err(Failure::work)?;
                let view = queue.write_buffer_with(target, 0, size);
                let mut view = view
                    .ok_or_else(|| Failure::work(anyhow::anyhow!("the queue gives no memory")))?;
                places.for_each(|(place, pixels)| view.slice(place).copy_from_slice(pixels));
            }
        }
        Ok(queue.submit([]))
    }

    fn wait_for(&self, index: Option<wgpu::SubmissionIndex>) -> Result<(), Failure> {
        let wait = wgpu::PollType::Wait {
            submission_index: index,
            timeout: None,
        };
        self.gpu.device.poll(wait).map_err(Failure::work)?;
        Ok(())
    }
}

/// Faces as PNG and JPEG files in turn.
fn draw(gpu: &Gpu, folder: &Path, side: usize) -> Result<Vec<Row>, Failure> {
    let stream = Faces::new(1, 0..1000).map_err(Failure::work)?;
    let mut rows = Vec::new();
    for first in (0..DRAWN).step_by(CHUNK as usize) {
        let pictures: Vec<Picture> = (first..first + CHUNK)
            .map(|index| stream.picture(index))
            .collect();
        let faces: Vec<Face> = pictures.iter().map(|picture| picture.face).collect();
        let pixels = gpu.block_on(render(gpu, &faces, side))?;
        let images: Vec<(u64, &[u8])> = (first..)
            .zip(pixels.chunks_exact(3 * side * side))
            .collect();
        let written: Result<Vec<Row>, Failure> = images
            .into_par_iter()
            .map(|(index, pixels)| {
                let (ending, format) = match index % 2 {
                    0 => ("png", ImageFormat::Png),
                    _ => ("jpg", ImageFormat::Jpeg),
                };
                let path = folder.join(format!("{index:06}.{ending}"));
                let picture = RgbImage::from_raw(side as u32, side as u32, pixels.to_vec());
                let picture = picture.unwrap_or_default();
                picture
                    .save_with_format(&path, format)
                    .map_err(Failure::work)?;
                Ok(Row::unlabelled(path))
            })
            .collect();
        rows.extend(written?);
    }
    Ok(rows)
}

/// The files' endings with their numbers.
fn formats(rows: &[Row]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for row in rows {
        let ending = row.image.extension().unwrap_or_default();
        *counts
            .entry(ending.to_string_lossy().to_lowercase())
            .or_insert(0) += 1;
    }
    let parts: Vec<_> = counts
        .iter()
        .map(|(ending, count)| format!("{count} {ending}"))
        .collect();
    parts.join(", ")
}

/// Seconds on the clock and of processor time.
struct Meter {
    clock: Instant,
    busy: Option<f64>,
}

impl Meter {
    fn start() -> Self {
        Self {
            busy: processor_seconds(),
            clock: Instant::now(),
        }
    }

    fn seconds(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn busy(&self) -> Option<f64> {
        Some(processor_seconds()? - self.busy?)
    }

    fn rate(&self, images: usize) -> Rate {
        rate(images, self.seconds(), self.busy())
    }
}

#[allow(clippy::cast_precision_loss)]
fn rate(images: usize, seconds: f64, busy: Option<f64>) -> Rate {
    let busy = busy.filter(|busy| *busy > 0.0);
    Rate {
        images_per_second: images as f64 / seconds,
        busy_cores: busy.map(|busy| busy / seconds),
        images_per_second_per_core: busy.map(|busy| images as f64 / busy),
    }
}

/// The processor time of the process so far, all threads together; Linux tells it in hundredths of a second.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold anything; user and system time are the 12th and 13th behind it.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn processor_time_passes_with_work() {
        let meter = Meter::start();
        let before = meter.busy().unwrap();
        let mut sum = 0_u64;
        while meter.busy().unwrap() < before + 0.1 && meter.seconds() < 20.0 {
            sum = std::hint::black_box((0..100_000).fold(sum, |a, b| a ^ b));
        }
        assert!(meter.busy().unwrap() >= before + 0.1, "{before}");
    }
}
