//! Batches on their way to the device: drawn, decoded and put into upload memory on a thread of their own.

use super::TrainError;
use crate::data::{DataError, Loader, Prefetch};
use crate::gpu::{Gpu, GpuError, Staging, UploadRing, Uploading};
use crate::kernels::image::MATRIX;
use crate::objective::Objective;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Upload buffers: those of a few batches made ahead, the one being filled, and those that submitted steps still copy from.
const RING: usize = 6;
/// Batches made ahead.
const AHEAD: usize = 3;
/// How long a batch is waited for before the device is asked for buffers: short against a step, long against the asking.
const PATIENCE: Duration = Duration::from_micros(100);

/// A batch in memory that the device reads.
#[derive(Debug)]
pub struct Fed {
    staging: Staging,
    /// Where pixels, matrices and labels begin, and the end.
    places: [u64; 4],
}

impl Fed {
    /// The bytes of pixels (u8 RGB images, padded to whole words), matrices (8 floats an image) and labels (as
    /// [`Objective::pack`] gives them).
    pub fn bytes(&self) -> [u64; 3] {
        [0, 1, 2].map(|part| self.places[part + 1] - self.places[part])
    }

    /// Records the copies of pixels, matrices and labels into ranges of [`Fed::bytes`] bytes.
    pub fn upload(
        self,
        encoder: &mut wgpu::CommandEncoder,
        targets: &[wgpu::BufferBinding<'_>],
    ) -> Option<Uploading> {
        let parts = self.places.into_iter().zip(targets.iter().cloned());
        self.staging.upload(encoder, &parts.collect::<Vec<_>>())
    }
}

/// The batches of consecutive steps. Its thread leaves the device to the one that trains: some backends allow no other.
#[derive(Debug)]
pub struct Feed {
    gpu: Gpu,
    ring: UploadRing,
    batches: Prefetch<Fed, TrainError>,
}

impl Feed {
    /// Makes the batches of a loader from step `first` on.
    ///
    /// # Errors
    /// As [`UploadRing::new`].
    pub fn new(
        gpu: &Gpu,
        loader: Arc<Loader>,
        objective: Objective,
        first: u64,
    ) -> Result<Self, GpuError> {
        let places = places(&loader, &objective);
        let ring = gpu.block_on(UploadRing::new(gpu, places[3], RING))?;
        let fill = {
            let ring = ring.clone();
            move |step| fill(&ring, &loader, &objective, step)
        };
        Ok(Self {
            gpu: gpu.clone(),
            ring,
            batches: Prefetch::new(fill, first, AHEAD),
        })
    }
}

impl Iterator for Feed {
    type Item = Result<Fed, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Poll::Ready(next) = self.batches.next_within(PATIENCE) {
                return next;
            }
            // The buffers that the thread may be waiting for come back when the device is asked.
            if let Err(error) = self.gpu.device.poll(wgpu::PollType::Poll) {
                let reason = error.to_string();
                return Some(Err(GpuError::Lost { reason }.into()));
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Nobody asks the device from here on, so the thread must not wait for it.
        self.ring.close();
    }
}

/// Where the parts of a batch lie.
fn places(loader: &Loader, objective: &Objective) -> [u64; 4] {
    let images = loader.images();
    let pixels = (images * loader.image_bytes()).next_multiple_of(4);
    let matrices = pixels + 4 * MATRIX * images;
    let labels = matrices + 4 * objective.kernel(images).labels_len();
    [0, pixels, matrices, labels].map(|place| place as u64)
}

/// The batch of a step: each image is copied once, from where it was decoded to where the device reads it.
fn fill(
    ring: &UploadRing,
    loader: &Loader,
    objective: &Objective,
    step: u64,
) -> Result<Fed, TrainError> {
    let places = places(loader, objective);
    let staging = pollster::block_on(ring.take())?;
    let mut staging = staging.ok_or(DataError::Worker)?;
    let mut view = staging.view()?;
    let (mut at, bytes) = (0, loader.image_bytes());
    let drawn = loader.batch_into(step, |image| {
        view.slice(at..at + bytes).copy_from_slice(image);
        at += bytes;
    })?;
    let labels = objective.pack(&drawn.labels, loader.images())?;
    // Bytes of padding are not read, but are the same in every run.
    view.slice(at..places[1] as usize).fill(0);
    let mut put = |part: usize, bytes: &[u8]| {
        view.slice(places[part] as usize..places[part + 1] as usize)
            .copy_from_slice(bytes);
    };
    put(1, bytemuck::cast_slice(&drawn.matrices));
    put(2, bytemuck::cast_slice(&labels));
    drop(view);
    Ok(Fed { staging, places })
}
