//! Uploads from memory that the device reads itself: a ring of mapped buffers, filled on any thread while the device works.

use super::{Gpu, GpuError, lock};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// A ring of upload buffers of one size. A buffer is taken, filled through its mapped view, copied from by a submitted encoder, and
/// comes back once the device has done that copy; no byte is moved twice on the host, and nothing is allocated. Clones share it.
#[derive(Clone, Debug)]
pub struct UploadRing {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Mapped, and used by nobody.
    free: Vec<wgpu::Buffer>,
    lost: Option<wgpu::BufferAsyncError>,
    closed: bool,
    waker: Option<Waker>,
}

/// A mapped buffer of a ring. It goes back when it is dropped.
#[derive(Debug)]
pub struct Staging {
    buffer: Option<wgpu::Buffer>,
    ring: Arc<Mutex<Ring>>,
}

/// A buffer that commands copy from.
#[derive(Debug)]
#[must_use = "call `submitted` after the commands are submitted: else the ring has one buffer less"]
pub struct Uploading {
    buffer: wgpu::Buffer,
    ring: Arc<Mutex<Ring>>,
}

impl UploadRing {
    /// A ring of `depth` buffers of `size` bytes.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub async fn new(gpu: &Gpu, size: u64, depth: usize) -> Result<Self, GpuError> {
        let ring = Arc::new(Mutex::new(Ring::default()));
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        for _ in 0..depth {
            let buffer = gpu.buffer("upload ring", size, usage).await?;
            map(buffer, ring.clone());
        }
        Ok(Self { ring })
    }

    /// The next buffer that is free; waits while all are filled or in flight, which ends when someone polls or submits to the
    /// device. Nothing, once the ring is closed.
    ///
    /// # Errors
    /// [`GpuError::Upload`] where a buffer cannot be mapped again.
    pub fn take(&self) -> impl Future<Output = Result<Option<Staging>, GpuError>> {
        std::future::poll_fn(|context| {
            let mut ring = lock(&self.ring);
            if let Some(source) = ring.lost.clone() {
                return Poll::Ready(Err(GpuError::Upload { source }));
            }
            if ring.closed {
                return Poll::Ready(Ok(None));
            }
            if let Some(buffer) = ring.free.pop() {
                return Poll::Ready(Ok(Some(Staging {
                    buffer: Some(buffer),
                    ring: self.ring.clone(),
                })));
            }
            ring.waker = Some(context.waker().clone());
            Poll::Pending
        })
    }

    /// Gives no buffers any more, and ends the wait of who waits for one.
    pub fn close(&self) {
        let mut ring = lock(&self.ring);
        ring.closed = true;
        ring.wake();
    }
}

impl Ring {
    fn put(&mut self, buffer: wgpu::Buffer) {
        self.free.push(buffer);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Staging {
    /// The whole buffer, to be written; drop it before [`Staging::upload`].
    ///
    /// # Errors
    /// [`GpuError::Refused`] where another view of it is still there.
    pub fn view(&mut self) -> Result<wgpu::BufferViewMut, GpuError> {
        let refused = |description: String| GpuError::Refused {
            what: "an upload".to_owned(),
            description,
        };
        let buffer = self.buffer.as_ref();
        let buffer = buffer.ok_or_else(|| refused("the buffer is gone".to_owned()))?;
        let view = buffer.slice(..).get_mapped_range_mut();
        view.map_err(|error| refused(error.to_string()))
    }

    /// Records copies into ranges of other buffers: each starts at its offset here and is as long as its target's range
    /// (multiples of 4). Nothing, where the buffer has gone.
    pub fn upload(
        mut self,
        encoder: &mut wgpu::CommandEncoder,
        parts: &[(u64, wgpu::BufferBinding<'_>)],
    ) -> Option<Uploading> {
        let buffer = self.buffer.take()?;
        buffer.unmap();
        for (from, to) in parts {
            let size = to.size.map_or(to.buffer.size() - to.offset, u64::from);
            encoder.copy_buffer_to_buffer(&buffer, *from, to.buffer, to.offset, size);
        }
        Some(Uploading {
            buffer,
            ring: self.ring.clone(),
        })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            lock(&self.ring).put(buffer);
        }
    }
}

impl Uploading {
    /// The commands are submitted: the buffer comes back to its ring when the device is done with it.
    pub fn submitted(self) {
        map(self.buffer, self.ring);
    }
}

/// Maps a buffer once the device has no use for it, and puts it into its ring.
fn map(buffer: wgpu::Buffer, ring: Arc<Mutex<Ring>>) {
    let mapped = buffer.clone();
    buffer.map_async(wgpu::MapMode::Write, .., move |result| {
        let mut ring = lock(&ring);
        match result {
            Ok(()) => ring.put(mapped),
            Err(error) => {
                ring.lost = Some(error);
                ring.wake();
            }
        }
    });
}
