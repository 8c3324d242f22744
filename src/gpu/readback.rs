//! Read-backs that lag behind: a ring of staging buffers, so that no step waits for its own result.

use super::{Gpu, GpuError, lock};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// A ring of staging buffers of one size.
#[derive(Debug)]
pub struct ReadRing {
    size: u64,
    free: Vec<wgpu::Buffer>,
    in_flight: VecDeque<(wgpu::Buffer, Arc<Mutex<Slot>>)>,
}

#[derive(Debug, Default)]
struct Slot {
    result: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<Waker>,
}

impl ReadRing {
    /// A ring of `depth` read-backs of `size` bytes (a multiple of 4).
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub async fn new(gpu: &Gpu, size: u64, depth: usize) -> Result<Self, GpuError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let mut free = Vec::new();
        for _ in 0..depth {
            free.push(gpu.buffer("read-back ring", size, usage).await?);
        }
        Ok(Self {
            size,
            free,
            in_flight: VecDeque::new(),
        })
    }

    /// Whether every staging buffer is in flight: take the oldest first.
    pub fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Submits the encoder with a copy of the source's first bytes behind it. When the ring is full the copy is left out
    /// and `false` returned.
    pub fn submit(
        &mut self,
        gpu: &Gpu,
        mut encoder: wgpu::CommandEncoder,
        source: &wgpu::BufferBinding<'_>,
    ) -> bool {
        let Some(staging) = self.free.pop() else {
            gpu.queue.submit([encoder.finish()]);
            return false;
        };
        encoder.copy_buffer_to_buffer(source.buffer, source.offset, &staging, 0, self.size);
        gpu.queue.submit([encoder.finish()]);
        self.in_flight.push_back(map(staging));
        true
    }

    /// The bytes of the oldest read-back in flight; `None` when there is none.
    ///
    /// # Errors
    /// [`GpuError::ReadBack`], [`GpuError::Lost`], or what a submitted step caused.
    pub async fn oldest(&mut self, gpu: &Gpu) -> Result<Option<Vec<u8>>, GpuError> {
        let Some((staging, slot)) = self.in_flight.pop_front() else {
            return Ok(None);
        };
        let bytes = finish(gpu, &staging, self.size, &slot).await?;
        self.free.push(staging);
        Ok(Some(bytes))
    }
}

/// Starts mapping a staging buffer.
fn map(staging: wgpu::Buffer) -> (wgpu::Buffer, Arc<Mutex<Slot>>) {
    let slot = Arc::new(Mutex::new(Slot::default()));
    let shared = slot.clone();
    staging
        .slice(..)
        .map_async(wgpu::MapMode::Read, move |result| {
            let mut slot = lock(&shared);
            slot.result = Some(result);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        });
    (staging, slot)
}

/// Waits for the mapping, copies `size` bytes and unmaps.
async fn finish(
    gpu: &Gpu,
    staging: &wgpu::Buffer,
    size: u64,
    slot: &Mutex<Slot>,
) -> Result<Vec<u8>, GpuError> {
    let mapped = std::future::poll_fn(|context| {
        let mut slot = lock(slot);
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    });
    mapped
        .await
        .map_err(|source| GpuError::ReadBack { source })?;
    gpu.check()?;
    let view = staging
        .slice(..size)
        .get_mapped_range()
        .map_err(|error| GpuError::Refused {
            what: "a read-back".to_owned(),
            description: error.to_string(),
        })?;
    let bytes = view.to_vec();
    drop(view);
    staging.unmap();
    Ok(bytes)
}

/// Reads `size` bytes of a staging buffer that a submitted copy fills.
pub(super) async fn read(gpu: &Gpu, staging: wgpu::Buffer, size: u64) -> Result<Vec<u8>, GpuError> {
    let (staging, slot) = map(staging);
    finish(gpu, &staging, size, &slot).await
}
