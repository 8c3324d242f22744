//! What every kernel bench shares: buffers, one check against the float64 reference, and timing that ends with the work.
//!
//! Ids are `family/kernel/variant/shape`. Time is the adapter's own (timestamps around a pass) where it has timestamps, and
//! that from submission to completion elsewhere; throughput is operations, each multiply-add counted as two, or the bytes
//! that a kernel reads and writes where moving them is its whole work.

#![allow(dead_code)] // each bench is a crate of its own and uses a part

use criterion::{BenchmarkId, Criterion, Throughput};
use kernels_tests::harness::{execute, gpu};
use kinesic::gpu::{Gpu, Timer};
use kinesic::kernels::{Access, Bound, Call, KernelError};
use kinesic::wgpu;
use std::time::{Duration, Instant};

/// Dispatches of one submission at most, so that no driver's watchdog bites.
const CHUNK: u64 = 32;

/// Whether this is `cargo bench -- --test`: everything runs once, on small shapes.
pub fn quick() -> bool {
    std::env::args().any(|arg| arg == "--test")
}

/// Base kernels, and those for software adapters where the adapter runs them; with their name in an id.
pub fn variants() -> Vec<(&'static str, bool)> {
    let mut variants = vec![("f32", false)];
    if gpu().has_software_kernels() {
        variants.push(("f32_software", true));
    }
    variants
}

/// One line of a bench: its id.
pub struct Line<'a> {
    /// `family/kernel`.
    pub kernel: &'a str,
    /// The variant's part of the id.
    pub variant: &'a str,
    /// The shape's part of the id.
    pub shape: String,
}

impl Line<'_> {
    /// Runs `calls` one after the other, `inputs` the contents of the first one's `Read` bindings and the output of each
    /// the input of the next, hands the last output to `check`, which panics where it is wrong, and measures.
    pub fn measure(
        &self,
        criterion: &mut Criterion,
        calls: &[Call],
        inputs: &[&[f32]],
        check: impl Fn(&str, &[f32]),
    ) {
        let id = format!("{}/{}/{}", self.kernel, self.variant, self.shape);
        let mut outputs = execute(&calls[0], inputs);
        for call in &calls[1..] {
            outputs = execute(call, &[&outputs[0]]);
        }
        check(&id, &outputs[0]);

        let flops = calls.iter().map(|call| call.flops).sum();
        self.time(criterion, calls, inputs, Throughput::Elements(flops));
    }

    /// Runs one call whose time goes into moving bytes, `inputs` the contents of its `Read` and `Update` bindings, hands its
    /// outputs to `check`, which panics where they are wrong, and measures.
    pub fn stream(
        &self,
        criterion: &mut Criterion,
        call: &Call,
        inputs: &[&[f32]],
        check: impl Fn(&str, &[Vec<f32>]),
    ) {
        let id = format!("{}/{}/{}", self.kernel, self.variant, self.shape);
        check(&id, &execute(call, inputs));
        let bytes = call.bytes_read() + call.bytes_written();
        let calls = std::slice::from_ref(call);
        self.time(criterion, calls, inputs, Throughput::Bytes(bytes));
    }

    fn time(
        &self,
        criterion: &mut Criterion,
        calls: &[Call],
        inputs: &[&[f32]],
        throughput: Throughput,
    ) {
        let gpu = gpu();
        let bound = gpu.block_on(bind(gpu, calls, inputs)).unwrap();
        let timer = gpu.block_on(Timer::new(gpu, 1)).unwrap();
        let mut group = criterion.benchmark_group(self.kernel);
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        group.throughput(throughput);
        let id = BenchmarkId::new(self.variant, &self.shape);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|times| {
                let mut left = times;
                let mut time = Duration::ZERO;
                while left > 0 {
                    let now = left.min(CHUNK);
                    time += run(gpu, &bound, timer.as_ref(), now);
                    left -= now;
                }
                time
            });
        });
        group.finish();
    }
}

/// Buffers for all calls; a call's one input is the output of the call before.
async fn bind(gpu: &Gpu, calls: &[Call], inputs: &[&[f32]]) -> Result<Vec<Bound>, KernelError> {
    let mut bound = Vec::new();
    let mut handed: Option<wgpu::Buffer> = None;
    for call in calls {
        let mut inputs = inputs.iter();
        let mut buffers = Vec::new();
        let mut output = None;
        for extent in &call.extents {
            let buffer = match (extent.access, handed.take()) {
                (Access::Read, Some(buffer)) => buffer,
                // No binding is smaller than a vector.
                _ => gpu.storage(extent.name, extent.bytes.max(16)).await?,
            };
            if extent.access != Access::Write && bound.is_empty() {
                let contents = inputs.next().copied().unwrap_or_default();
                gpu.queue
                    .write_buffer(&buffer, 0, bytemuck::cast_slice(contents));
            }
            if extent.access == Access::Write {
                output = Some(buffer.clone());
            }
            buffers.push(buffer);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let size = (call.params.len() as u64).next_multiple_of(16);
        let params = gpu.buffer("params", size, usage).await?;
        gpu.queue.write_buffer(&params, 0, &call.params);
        let bindings: Vec<_> = buffers
            .iter()
            .map(wgpu::Buffer::as_entire_buffer_binding)
            .collect();
        let params = params.as_entire_buffer_binding();
        bound.push(Bound::new(gpu, call, params, &bindings).await?);
        handed = output;
    }
    Ok(bound)
}

fn run(gpu: &Gpu, bound: &[Bound], timer: Option<&Timer>, times: u64) -> Duration {
    let start = Instant::now();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: timer.map(|timer| timer.writes(0)),
        });
        for _ in 0..times {
            for call in bound {
                call.record(&mut pass);
            }
        }
    }
    if let Some(timer) = timer {
        timer.resolve(&mut encoder, 1);
    }
    gpu.queue.submit([encoder.finish()]);
    gpu.wait().unwrap();
    let waited = start.elapsed();
    timer.map_or(waited, |timer| {
        let seconds = gpu.block_on(timer.seconds(gpu, 1)).unwrap()[0];
        Duration::from_secs_f64(seconds)
    })
}
