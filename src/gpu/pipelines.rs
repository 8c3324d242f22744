//! Pipelines: compiled once a device, on all cores ahead of their use, and through the driver's cache where the caller keeps
//! one.

use super::{Gpu, GpuError, Pipeline, Shader, Variant, cache, lock, now};
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// What is compiled once and shared by all clones of a [`Gpu`].
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    slots: Mutex<HashMap<(Shader, Variant), Slot>>,
    // By the text itself: precision and constants both choose its lines.
    modules: Mutex<HashMap<(Shader, Cow<'static, str>), Module>>,
    cache: OnceLock<wgpu::PipelineCache>,
    compiled: AtomicUsize,
    nanoseconds: AtomicU64,
}

/// Whoever comes first compiles, others wait; `None` stands for a failure, which is found again by those who use the pipeline.
type Slot = Arc<OnceLock<Option<Pipeline>>>;

/// One text of a shader.
type Module = Arc<OnceLock<wgpu::ShaderModule>>;

/// How much was compiled on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// The number of pipelines.
    pub pipelines: usize,
    /// The time that they took, added up over the threads.
    pub time: Duration,
}

/// Pipelines that are being compiled in the background; dropping it ends that work.
#[derive(Debug)]
#[must_use = "dropping it ends the compilation"]
pub struct CompilingAhead {
    jobs: Arc<Vec<(Shader, Variant)>>,
    next: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Gpu {
    /// The pipeline of a shader in one variant; compiled once a device.
    ///
    /// # Errors
    /// [`GpuError::Refused`] when the shader does not validate or the driver does not compile it.
    pub async fn pipeline(&self, shader: Shader, variant: &Variant) -> Result<Pipeline, GpuError> {
        let key = (shader, variant.clone());
        let slot: Slot = lock(&self.shared.pipelines.slots)
            .entry(key)
            .or_default()
            .clone();
        // A browser's errors come later, and it has one thread: nothing to wait for.
        #[cfg(not(target_arch = "wasm32"))]
        slot.get_or_init(|| self.block_on(self.compile(shader, variant)).ok());
        if let Some(Some(pipeline)) = slot.get() {
            return Ok(pipeline.clone());
        }
        let pipeline = self.compile(shader, variant).await?;
        // Taken already: by the failure that led here.
        let _ = slot.set(Some(pipeline.clone()));
        Ok(pipeline)
    }

    /// Begins to compile pipelines on all cores and returns at once; [`Gpu::pipeline`] takes what is ready, waits for what is
    /// being compiled and compiles the rest. Errors come from there. On wasm32 and on GL, whose one context its threads would
    /// take turns at, nothing is compiled ahead.
    pub fn compile_ahead<'a>(
        &self,
        wanted: impl IntoIterator<Item = (Shader, &'a Variant)>,
    ) -> CompilingAhead {
        let jobs: Vec<_> = {
            let mut slots = lock(&self.shared.pipelines.slots);
            let new = wanted.into_iter().filter_map(|(shader, variant)| {
                let key = (shader, variant.clone());
                match slots.entry(key.clone()) {
                    Entry::Occupied(_) => None, // compiled, or among the jobs of another call
                    Entry::Vacant(entry) => {
                        entry.insert(Slot::default());
                        Some(key)
                    }
                }
            });
            new.collect()
        };
        let serial = cfg!(target_arch = "wasm32") || self.info().backend == wgpu::Backend::Gl;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = if serial { 0 } else { cores.min(jobs.len()) };
        let (jobs, next) = (Arc::new(jobs), Arc::new(AtomicUsize::new(0)));
        let threads = (0..count).filter_map(|_| {
            let (gpu, jobs, next) = (self.clone(), jobs.clone(), next.clone());
            let work = move || {
                while let Some((shader, variant)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A failure is found again, with its reason, by whoever uses the pipeline.
                    let _ = gpu.block_on(gpu.pipeline(*shader, variant));
                }
            };
            // Without a thread the foreground compiles.
            std::thread::Builder::new()
                .name("compile".to_owned())
                .spawn(work)
                .ok()
        });
        let threads = threads.collect();
        CompilingAhead {
            jobs,
            next,
            threads,
        }
    }

    /// How much was compiled so far.
    pub fn compiled(&self) -> Compiled {
        let pipelines = &self.shared.pipelines;
        Compiled {
            pipelines: pipelines.compiled.load(Ordering::Relaxed),
            time: Duration::from_nanos(pipelines.nanoseconds.load(Ordering::Relaxed)),
        }
    }

    /// From now on keeps what the driver compiles, beginning with what [`Gpu::kept_pipelines`] gave in an earlier run. Bytes of
    /// another device or driver, or damaged ones, count as none. Says whether the device can: it needs the feature
    /// `PIPELINE_CACHE`; only the first call counts.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`] or [`GpuError::Refused`].
    pub async fn keep_pipelines(&self, earlier: &[u8]) -> Result<bool, GpuError> {
        let can = wgpu::Features::PIPELINE_CACHE;
        if !self.device.features().contains(can) {
            return Ok(false);
        }
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("kept pipelines"),
            data: cache::open(earlier),
            fallback: true,
        };
        // SAFETY: the bytes bear the seal of `kept_pipelines` and are whole, so they are what a device gave; wgpu and the
        // driver compare adapter, driver and version themselves and fall back to an empty cache.
        let make = || unsafe { self.device.create_pipeline_cache(&descriptor) };
        let made = self.scoped("a pipeline cache", make).await?;
        let _ = self.shared.pipelines.cache.set(made);
        Ok(true)
    }

    /// Whether pipelines are kept: [`Gpu::keep_pipelines`] was called and the device can.
    pub fn keeps_pipelines(&self) -> bool {
        self.shared.pipelines.cache.get().is_some()
    }

    /// What the driver compiled, for [`Gpu::keep_pipelines`] of a later run; `None` where nothing is kept.
    pub fn kept_pipelines(&self) -> Option<Vec<u8>> {
        let cache = self.shared.pipelines.cache.get()?;
        cache.get_data().map(|data| cache::seal(&data))
    }

    /// [`Gpu::keep_pipelines`] with the adapter's file in a folder; a file that is missing or cannot be read counts as none.
    ///
    /// # Errors
    /// As [`Gpu::keep_pipelines`].
    pub async fn keep_pipelines_in(&self, folder: &Path) -> Result<bool, GpuError> {
        let Some(path) = cache::path(folder, self.info()) else {
            return Ok(false);
        };
        self.keep_pipelines(&std::fs::read(path).unwrap_or_default())
            .await
    }

    /// Writes the adapter's file in a folder if it would change, through a temporary file beside it; says whether it did.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn store_pipelines_in(&self, folder: &Path) -> std::io::Result<bool> {
        match (cache::path(folder, self.info()), self.kept_pipelines()) {
            (Some(path), Some(bytes)) => cache::store(&path, &bytes),
            _ => Ok(false),
        }
    }

    async fn compile(&self, shader: Shader, variant: &Variant) -> Result<Pipeline, GpuError> {
        let label = format!("{}/{variant}", shader.name);
        let start = now();
        let made = self.scoped(&label, || self.make(shader, variant, &label));
        let made = made.await;
        let pipelines = &self.shared.pipelines;
        match &made {
            Ok(_) => {
                pipelines.compiled.fetch_add(1, Ordering::Relaxed);
                let took = start.map_or(0, |start| start.elapsed().as_nanos());
                let took = u64::try_from(took).unwrap_or(u64::MAX);
                pipelines.nanoseconds.fetch_add(took, Ordering::Relaxed);
            }
            // A module that does not validate must say so again to the next who asks.
            Err(_) => {
                lock(&pipelines.modules).remove(&(shader, shader.text(variant)));
            }
        }
        made
    }

    fn make(&self, shader: Shader, variant: &Variant, label: &str) -> Pipeline {
        // Variants of one text share its module: it is parsed and validated once.
        let module = lock(&self.shared.pipelines.modules)
            .entry((shader, shader.text(variant)))
            .or_default()
            .clone();
        let module = module.get_or_init(|| self.module(shader, variant));
        let pipeline = self
            .device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(label),
                layout: None,
                module,
                entry_point: Some(shader.name),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &variant.as_wgpu(),
                    ..Default::default()
                },
                cache: self.shared.pipelines.cache.get(),
            });
        let layout = pipeline.get_bind_group_layout(0);
        Pipeline { pipeline, layout }
    }

    fn module(&self, shader: Shader, variant: &Variant) -> wgpu::ShaderModule {
        let text = match self.info().backend {
            wgpu::Backend::BrowserWebGpu => shader.text_for_browsers(variant),
            _ => shader.text(variant),
        };
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(shader.name),
            source: wgpu::ShaderSource::Wgsl(text),
        };
        // SAFETY: the kernels are this crate's own. Every loop counts an index up to a bound that its twin computed, no
        // index leaves its binding (the twins state each binding's extent, the tests poison guard bands around it), and
        // divisors are positive shape constants. The loop bound check alone would cost an order of magnitude.
        unsafe {
            self.device
                .create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        }
    }
}

impl CompilingAhead {
    /// How many pipelines there were to compile.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether all were compiled before.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Waits until all are compiled or refused.
    pub fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked leaves its pipeline to whoever uses it.
            let _ = thread.join();
        }
    }
}

impl Drop for CompilingAhead {
    /// Ends after the pipelines that are being compiled: a driver must not be at work when the process ends.
    fn drop(&mut self) {
        self.next.store(self.jobs.len(), Ordering::Relaxed);
        self.join();
    }
}
