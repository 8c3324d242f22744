//! One step with a timestamp around each dispatch.

use super::{Plan, TapeError};
use crate::gpu::{Timer, now};
use std::ops::Range;

/// When each dispatch of a step ran, and what the host did meanwhile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// For each dispatch the seconds from the first one's begin to its own begin and end, by the device's clock. They follow
    /// each other: where a device takes the begin of one before the end of the one before, it is counted from there.
    pub spans: Vec<Range<f64>>,
    /// The seconds at which the host had recorded, submitted, and heard of the end, from when it began to record; `None` where
    /// there is no clock (a browser).
    pub host: Option<[f64; 3]>,
}

impl Profile {
    /// Seconds in dispatches.
    pub fn seconds(&self) -> f64 {
        self.spans.iter().map(|span| span.end - span.start).sum()
    }
}

impl Plan {
    /// Runs one step with timestamps; `None` where the device has none. Each dispatch is a pass of its own for that, so that a
    /// step takes a little longer than without.
    ///
    /// # Errors
    /// [`TapeError::Gpu`].
    pub async fn profile(&self) -> Result<Option<Profile>, TapeError> {
        let mut timers = Vec::new();
        // 2048 passes fill WebGPU's largest query set.
        for chunk in self.bound.chunks(2048) {
            let Some(timer) = Timer::new(&self.gpu, chunk.len() as u32).await? else {
                return Ok(None);
            };
            timers.push(timer);
        }
        let start = now();
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (chunk, timer) in self.bound.chunks(2048).zip(&timers) {
            for (bound, index) in chunk.iter().zip(0..) {
                bound.record(
                    &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: Some(timer.writes(index)),
                    }),
                );
            }
            timer.resolve(&mut encoder, chunk.len() as u32);
        }
        let commands = encoder.finish();
        let recorded = now();
        self.gpu.queue.submit([commands]);
        let submitted = now();
        let mut ticks = Vec::new();
        for timer in &timers {
            ticks.extend(timer.ticks(&self.gpu, timer.capacity()).await?);
        }
        let since = |moment| Some((moment?, start?));
        let host = [recorded, submitted, now()].map(since);
        let seconds = |moment: Option<(std::time::Instant, std::time::Instant)>| {
            moment.map(|(moment, start)| moment.duration_since(start).as_secs_f64())
        };
        let host = match host.map(seconds) {
            [Some(recorded), Some(submitted), Some(done)] => Some([recorded, submitted, done]),
            _ => None,
        };
        let period = timers.first().map_or(0.0, Timer::period);
        Ok(Some(Profile {
            spans: spans(&ticks, period),
            host,
        }))
    }
}

/// Ticks of the device's clock to seconds since the first.
#[allow(clippy::cast_precision_loss)] // differences of ticks are far below 2^53
fn spans(ticks: &[[u64; 2]], period: f64) -> Vec<Range<f64>> {
    let origin = ticks.first().map_or(0, |first| first[0]);
    let mut last = origin;
    let mut spans = Vec::with_capacity(ticks.len());
    for [begin, end] in ticks {
        let begin = last.max(*begin);
        last = begin.max(*end);
        let seconds = |tick: u64| (tick - origin) as f64 * period;
        spans.push(seconds(begin)..seconds(last));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_follow_each_other_whatever_the_device_says() {
        let ticks = [[100, 200], [150, 300], [310, 305], [400, 450]];
        let want = [0.0..50.0, 50.0..100.0, 105.0..105.0, 150.0..175.0];
        assert_eq!(spans(&ticks, 0.5), want);
        assert_eq!(spans(&[], 0.5), []);
    }
}
