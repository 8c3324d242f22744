//! The device: adapter choice, buffers, pipelines, read-backs and timestamps. Knows no tensors.

mod adapter;
mod cache;
mod error;
mod matrices;
mod pipelines;
mod readback;
mod shader;
mod timer;
mod tuning;
mod upload;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

pub use adapter::{AdapterChoice, adapters, choose, describe};
pub use error::GpuError;
pub use matrices::Matrices;
pub use pipelines::{Compiled, CompilingAhead};
pub use readback::ReadRing;
pub use shader::{Pipeline, Precision, Shader, Variant};
pub use timer::Timer;
pub use upload::{Staging, UploadRing, Uploading};

/// A device with its queue and the pipelines made for it. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// The device.
    pub device: wgpu::Device,
    /// The device's queue.
    pub queue: wgpu::Queue,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    info: wgpu::AdapterInfo,
    matrices: Matrices,
    pipelines: pipelines::Pipelines,
    tuning: Mutex<Option<Arc<str>>>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

#[derive(Debug)]
enum Trouble {
    Lost(String),
    Uncaptured(wgpu::Error),
}

/// Features that make something faster or measurable; every one is optional.
const WANTED: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::SHADER_INT64)
    .union(wgpu::Features::PIPELINE_CACHE)
    .union(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);

impl Gpu {
    /// Makes a device with all the limits that the chosen adapter really has.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::UnknownAdapter`] or [`GpuError::NoDevice`].
    pub async fn new(choice: &AdapterChoice) -> Result<Self, GpuError> {
        let adapter = choose(choice).await?;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("kinesic"),
            required_features: adapter.features() & WANTED,
            experimental_features: matrices::experimental(adapter.features()),
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|source| GpuError::NoDevice {
                adapter: describe(&adapter.get_info()),
                source,
            })?;
        let gpu = Self::with_matrices(device, queue, Matrices::of(&adapter));
        let trouble = gpu.shared.trouble.clone();
        gpu.device.on_uncaptured_error(Arc::new(move |error| {
            set_once(&trouble, Trouble::Uncaptured(error));
        }));
        let trouble = gpu.shared.trouble.clone();
        gpu.device.set_device_lost_callback(move |_, reason| {
            set_once(&trouble, Trouble::Lost(reason));
        });
        Ok(gpu)
    }

    /// Takes a device that the caller made and goes on owning; its error handlers are left as they are. Cooperative matrices
    /// are not used: only an adapter lists them.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self::with_matrices(device, queue, Matrices::NONE)
    }

    /// [`Gpu::from_device`] with the matrices of the device's adapter ([`Matrices::of`]), used if the device has the feature.
    pub fn with_matrices(device: wgpu::Device, queue: wgpu::Queue, matrices: Matrices) -> Self {
        let feature = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let matrices = if device.features().contains(feature) {
            matrices
        } else {
            Matrices::NONE
        };
        let info = device.adapter_info();
        Self {
            device,
            queue,
            shared: Arc::new(Shared {
                info,
                matrices,
                pipelines: pipelines::Pipelines::default(),
                tuning: Mutex::default(),
                trouble: Arc::default(),
            }),
        }
    }

    /// The adapter behind the device.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.shared.info
    }

    /// Whether the adapter is software on the CPU: what cheap vector lanes and barriers are worth differs there.
    pub fn is_software(&self) -> bool {
        self.info().device_type == wgpu::DeviceType::Cpu
    }

    /// Whether the device can and should run the kernels made for software adapters, which trade loads for arithmetic: the
    /// adapter is the CPU, its subgroups have 8 lanes each, and shaders may broadcast among them and use 64-bit integers.
    pub fn has_software_kernels(&self) -> bool {
        takes_software_kernels(self.info(), self.device.features())
    }

    /// The cooperative matrices that kernels may use.
    pub fn matrices(&self) -> Matrices {
        self.shared.matrices
    }

    /// Whether activations can be stored so: f16 needs the feature `SHADER_F16`.
    pub fn can_store(&self, precision: Precision) -> bool {
        precision == Precision::F32 || self.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// The device's limits.
    pub fn limits(&self) -> wgpu::Limits {
        self.device.limits()
    }

    /// Says whether the device is still there and free of errors that no scope caught.
    ///
    /// # Errors
    /// [`GpuError::Lost`], [`GpuError::OutOfMemory`] or [`GpuError::Refused`].
    pub fn check(&self) -> Result<(), GpuError> {
        let mut trouble = lock(&self.shared.trouble);
        match trouble.take() {
            None => Ok(()),
            Some(Trouble::Lost(reason)) => {
                let error = GpuError::Lost {
                    reason: reason.clone(),
                };
                *trouble = Some(Trouble::Lost(reason));
                Err(error)
            }
            Some(Trouble::Uncaptured(error)) => Err(as_gpu_error(error, "a submitted step")),
        }
    }

    /// Runs `work` within error scopes and carries what wgpu caught up as a typed error about `what`.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`] or [`GpuError::Refused`].
    pub async fn scoped<T>(&self, what: &str, work: impl FnOnce() -> T) -> Result<T, GpuError> {
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work();
        // All three are popped before the first await: a scope belongs to the thread that pushed it.
        let popped = (validation.pop(), memory.pop(), internal.pop());
        let errors = [popped.0.await, popped.1.await, popped.2.await];
        match errors.into_iter().flatten().next() {
            Some(error) => Err(as_gpu_error(error, what)),
            None => Ok(result),
        }
    }

    /// Makes a zeroed buffer of `size` bytes, rounded up to a multiple of 4.
    ///
    /// # Errors
    /// [`GpuError::Limit`] above the device's buffer size, [`GpuError::OutOfMemory`] when the driver has no room.
    pub async fn buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let allowed = self.device.limits().max_buffer_size;
        if size > allowed {
            return Err(GpuError::Limit {
                what: label.to_owned(),
                limit: "max_buffer_size",
                needed: size,
                allowed,
            });
        }
        self.scoped(label, || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: size.max(4).next_multiple_of(4),
                usage,
                mapped_at_creation: false,
            })
        })
        .await
    }

    /// A storage buffer that can be written and read back.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub async fn storage(&self, label: &str, size: u64) -> Result<wgpu::Buffer, GpuError> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        self.buffer(label, size, usage).await
    }

    /// Reads `size` bytes of a buffer from `offset` on (both multiples of 4), once all submitted work is done.
    ///
    /// # Errors
    /// [`GpuError::ReadBack`], [`GpuError::Lost`], [`GpuError::OutOfMemory`].
    pub async fn read(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        size: u64,
    ) -> Result<Vec<u8>, GpuError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.buffer("read-back", size, usage).await?;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, size);
        self.queue.submit([encoder.finish()]);
        readback::read(self, staging, size).await
    }

    /// Drives a future of this device to its end on the calling thread, letting the device work while it waits: the
    /// blocking edge of the command line and the tests. In a browser, await the future instead.
    ///
    /// # Errors
    /// Those of the future, and [`GpuError::Lost`] when the device no longer answers.
    pub fn block_on<T, E: From<GpuError>>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                return result;
            }
            self.device
                .poll(wgpu::PollType::Poll)
                .map_err(|error| GpuError::Lost {
                    reason: error.to_string(),
                })?;
            // Short against a step, long against a poll; waiting for the device instead would wait for all that is queued.
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Blocks until all submitted work is done.
    ///
    /// # Errors
    /// [`GpuError::Lost`].
    pub fn wait(&self) -> Result<(), GpuError> {
        match self.device.poll(wgpu::PollType::wait_indefinitely()) {
            Ok(_) => Ok(()),
            Err(error) => Err(GpuError::Lost {
                reason: error.to_string(),
            }),
        }
    }
}

fn as_gpu_error(error: wgpu::Error, what: &str) -> GpuError {
    let what = what.to_owned();
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { what },
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            GpuError::Refused { what, description }
        }
    }
}

fn set_once(slot: &Mutex<Option<Trouble>>, trouble: Trouble) {
    let mut slot = lock(slot);
    if slot.is_none() {
        *slot = Some(trouble);
    }
}

/// A poisoned lock only says that another thread panicked; what it guards here is valid after every statement.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an adapter with these features runs the kernels for software adapters; see [`Gpu::has_software_kernels`].
pub fn takes_software_kernels(info: &wgpu::AdapterInfo, features: wgpu::Features) -> bool {
    let needed = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_INT64;
    info.device_type == wgpu::DeviceType::Cpu
        && (info.subgroup_min_size, info.subgroup_max_size) == (8, 8)
        && features.contains(needed)
}

/// The time, for measuring; `None` in a browser, where std's clock panics.
pub(crate) fn now() -> Option<Instant> {
    cfg!(not(target_arch = "wasm32")).then(Instant::now)
}
