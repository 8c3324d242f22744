//! The three kernels in a row, with their buffers.

use super::{DRAWING, Face, FaceFeatures, FaceShape, FaceSkin, PARAMETERS};
use crate::gpu::Gpu;
use crate::kernels::{Bound, KernelError};

/// Renders batches of `count` faces of `size` pixels into one buffer, again and again, without allocating.
#[derive(Debug)]
pub struct FaceRenderer {
    count: usize,
    faces: wgpu::Buffer,
    steps: [Bound; 3],
}

impl FaceRenderer {
    /// Compiles the kernels and makes the buffers. The pictures go to `pixels`: [count, size, size, 3] bytes.
    ///
    /// # Errors
    /// [`KernelError`], when a size is not allowed, `pixels` is too small or the device refuses.
    pub async fn new(
        gpu: &Gpu,
        count: usize,
        size: usize,
        pixels: wgpu::BufferBinding<'_>,
    ) -> Result<Self, KernelError> {
        let calls = [
            FaceShape { count }.call()?,
            FaceSkin { count, size }.call()?,
            FaceFeatures { count, size }.call()?,
        ];
        let faces = gpu
            .storage("faces", 4 * (count * PARAMETERS) as u64)
            .await?;
        let drawings = gpu
            .storage("drawings", 4 * (count * DRAWING) as u64)
            .await?;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let mut steps = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let params = gpu.buffer("params", 16, usage).await?;
            gpu.queue.write_buffer(&params, 0, &call.params);
            let drawings = drawings.as_entire_buffer_binding();
            let buffers = match index {
                0 => [faces.as_entire_buffer_binding(), drawings],
                _ => [drawings, pixels.clone()],
            };
            let params = params.as_entire_buffer_binding();
            steps.push(Bound::new(gpu, call, params, &buffers).await?);
        }
        let steps = steps
            .try_into()
            .map_err(|steps: Vec<_>| KernelError::Bindings {
                kernel: "face",
                asked: steps.len(),
                allowed: 3,
            })?;
        Ok(Self {
            count,
            faces,
            steps,
        })
    }

    /// Sets the faces of the next batch: `count` of them; a shorter list leaves the rest as it was.
    pub fn set(&self, gpu: &Gpu, faces: &[Face]) {
        let faces = &faces[..faces.len().min(self.count)];
        gpu.queue
            .write_buffer(&self.faces, 0, bytemuck::cast_slice(faces));
    }

    /// Records the rendering into a pass.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        for step in &self.steps {
            step.record(pass);
        }
    }
}

/// Renders faces of `size` pixels (even) and reads them back: [faces, size, size, 3] bytes, 8-bit RGB.
///
/// # Errors
/// [`KernelError`], when the size is not allowed or the device refuses.
pub async fn render(gpu: &Gpu, faces: &[Face], size: usize) -> Result<Vec<u8>, KernelError> {
    /// Bytes of pictures in one go: small enough for every adapter's bindings.
    const CHUNK: usize = 1 << 26;
    let picture = 3 * size * size;
    let count = (CHUNK / picture.max(1)).clamp(1, faces.len().max(1));
    if faces.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = (count * picture) as u64;
    let pixels = gpu.storage("faces' pixels", bytes).await?;
    let renderer = FaceRenderer::new(gpu, count, size, pixels.as_entire_buffer_binding()).await?;
    let mut out = Vec::with_capacity(faces.len() * picture);
    for chunk in faces.chunks(count) {
        renderer.set(gpu, chunk);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        renderer.record(&mut encoder.begin_compute_pass(&Default::default()));
        gpu.queue.submit([encoder.finish()]);
        out.extend(gpu.read(&pixels, 0, (chunk.len() * picture) as u64).await?);
    }
    Ok(out)
}
