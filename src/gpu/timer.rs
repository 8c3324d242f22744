//! GPU timestamps around passes.

use super::{Gpu, GpuError};

/// Measures a compute pass with timestamp queries, where the device has them.
#[derive(Debug)]
pub struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    capacity: u32,
    period_ns: f32,
}

impl Timer {
    /// A timer for up to `passes` passes a submission; `None` where the device has no timestamps.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`] or [`GpuError::Refused`].
    pub async fn new(gpu: &Gpu, passes: u32) -> Result<Option<Self>, GpuError> {
        if !gpu
            .device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY)
        {
            return Ok(None);
        }
        let queries = gpu
            .scoped("a timestamp query set", || {
                gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("timer"),
                    ty: wgpu::QueryType::Timestamp,
                    count: 2 * passes,
                })
            })
            .await?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.buffer("timer", u64::from(passes) * 16, usage).await?;
        Ok(Some(Self {
            queries,
            resolved,
            capacity: passes,
            period_ns: gpu.queue.get_timestamp_period(),
        }))
    }

    /// How many passes fit.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// What to put into the descriptor of pass number `pass`.
    pub fn writes(&self, pass: u32) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(2 * pass),
            end_of_pass_write_index: Some(2 * pass + 1),
        }
    }

    /// Records the copy of the first `passes` results; call before finishing the encoder.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder, passes: u32) {
        encoder.resolve_query_set(&self.queries, 0..2 * passes, &self.resolved, 0);
    }

    /// The seconds that each of the first `passes` passes took.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn seconds(&self, gpu: &Gpu, passes: u32) -> Result<Vec<f64>, GpuError> {
        let ticks = self.ticks(gpu, passes).await?;
        // Differences of ticks are far below 2^53.
        #[allow(clippy::cast_precision_loss)]
        Ok(ticks
            .iter()
            .map(|[begin, end]| end.saturating_sub(*begin) as f64 * self.period())
            .collect())
    }

    /// Begin and end of each of the first `passes` passes on the device's clock, whose zero is anywhere.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn ticks(&self, gpu: &Gpu, passes: u32) -> Result<Vec<[u64; 2]>, GpuError> {
        let bytes = gpu.read(&self.resolved, 0, u64::from(passes) * 16).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// The seconds of a tick.
    pub fn period(&self) -> f64 {
        f64::from(self.period_ns) * 1e-9
    }
}
