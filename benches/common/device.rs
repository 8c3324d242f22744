//! Calls with their buffers, and the time that they take.

use kinesic::gpu::{Gpu, Timer};
use kinesic::kernels::{Access, Bound, Call, Extent, KernelError};
use kinesic::wgpu;
use std::time::{Duration, Instant};

/// Dispatches of one submission at most, so that no driver's watchdog bites.
pub const CHUNK: u64 = 32;

/// Buffers for all calls; a call's first input is the output of the call before, the others have contents from `inputs`. The last ones' buffers of outputs come with it.
pub async fn bind(
    gpu: &Gpu,
    calls: &[Call],
    inputs: &[&[f32]],
) -> Result<(Vec<Bound>, Option<wgpu::Buffer>), KernelError> {
    let mut bound = Vec::new();
    let mut handed: Option<wgpu::Buffer> = None;
    // As `harness::execute`: what a call does not touch has no contents.
    let mut inputs = inputs.iter().filter(|input| !input.is_empty());
    for call in calls {
        let mut buffers = Vec::new();
        let mut output = None;
        for extent in &call.extents {
            let from_before = handed.take().filter(|_| extent.access == Access::Read);
            let is_new = from_before.is_none();
            let buffer = match from_before {
                Some(buffer) => buffer,
                // No binding is smaller than a vector.
                None => gpu.storage(extent.name, extent.bytes.max(16)).await?,
            };
            if extent.access != Access::Write && extent.bytes > 0 && is_new {
                let contents = inputs.next().copied().unwrap_or_default();
                gpu.queue
                    .write_buffer(&buffer, 0, &stored(call, extent, contents));
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
    Ok((bound, handed))
}

/// Contents as a binding holds them: activations of an f16 variant are f16.
fn stored(call: &Call, extent: &Extent, contents: &[f32]) -> Vec<u8> {
    if call.is_half(extent) {
        let halves = contents.iter().map(|&value| half::f16::from_f32(value));
        return halves.flat_map(half::f16::to_ne_bytes).collect();
    }
    bytemuck::cast_slice(contents).to_vec()
}

/// Runs calls one after the other, `times` times, in one submission: by the adapter's timestamps, or from submission to end.
pub fn run(gpu: &Gpu, bound: &[Bound], timer: Option<&Timer>, times: u64) -> Duration {
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
