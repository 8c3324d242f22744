//! `kinesic bench --profile`: where the time of a step goes, and the same as a trace for Perfetto.

use super::Failure;
use crate::gpu::Gpu;
use crate::tape::{Plan, Profile, Step};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Instant;

/// Layers of the table on the terminal; the JSON file has all.
const LAYERS: usize = 30;
/// Steps of which the one with the median time is shown, where there is time for them.
const STEPS: usize = 5;

/// The time of one step by kernel and by layer, longest first.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    dispatches: usize,
    /// In dispatches.
    ms: f64,
    /// From the first dispatch's begin to the last one's end.
    step_ms: f64,
    by_kernel: Vec<ByKernel>,
    by_layer: Vec<ByLayer>,
}

#[derive(Debug, Serialize)]
struct ByKernel {
    kernel: String,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Debug, Serialize)]
struct ByLayer {
    layer: String,
    #[serde(flatten)]
    sums: Sums,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Sums {
    dispatches: usize,
    ms: f64,
    /// Of the time in dispatches.
    share: f64,
    bytes: u64,
    flops: u64,
    gigabytes_per_second: f64,
    gigaflops_per_second: f64,
}

/// What a profile, or whatever was asked for, needs of the adapter.
///
/// # Errors
/// [`Failure::Input`] where it has no timestamps.
pub(super) fn check(gpu: &Gpu, asked: &str) -> Result<(), Failure> {
    let has = gpu.device.features();
    if has.contains(wgpu::Features::TIMESTAMP_QUERY) {
        return Ok(());
    }
    Err(Failure::Input(anyhow::anyhow!(
        "{asked}: the adapter {} has no timestamps; `kinesic adapters` lists those that have",
        crate::gpu::describe(gpu.info())
    )))
}

/// Profiles up to five steps within `seconds`, at least one, and gives the one with the median time.
pub(super) fn profile(gpu: &Gpu, plan: &Plan, seconds: f64) -> Result<Profile, Failure> {
    let start = Instant::now();
    let mut profiles = Vec::new();
    while profiles.is_empty() || (profiles.len() < STEPS && start.elapsed().as_secs_f64() < seconds)
    {
        profiles.extend(gpu.block_on(plan.profile())?);
        if profiles.is_empty() {
            break;
        }
    }
    profiles.sort_by(|a, b| a.seconds().total_cmp(&b.seconds()));
    let middle = profiles.len() / 2;
    profiles.into_iter().nth(middle).ok_or_else(none)
}

/// What an adapter that has timestamps does not do.
pub(super) fn none() -> Failure {
    Failure::work(anyhow::anyhow!("the adapter gave no timestamps"))
}

fn bytes(step: &Step) -> u64 {
    step.call.bytes_read() + step.call.bytes_written()
}

impl Table {
    pub(super) fn new(steps: &[Step], profile: &Profile) -> Self {
        let whole = 1e3 * profile.seconds();
        let by = |name: fn(&Step) -> &str| group(steps, profile, whole, name);
        let kernels = by(|step| step.call.shader.name).into_iter();
        let layers = by(|step| &step.layer).into_iter();
        Self {
            dispatches: steps.len(),
            ms: whole,
            step_ms: 1e3 * profile.spans.last().map_or(0.0, |span| span.end),
            by_kernel: kernels
                .map(|(kernel, sums)| ByKernel { kernel, sums })
                .collect(),
            by_layer: layers
                .map(|(layer, sums)| ByLayer { layer, sums })
                .collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "\nprofile of one step: {} dispatches, {:.2} ms in them, {:.2} ms from first to last\n",
            self.dispatches, self.ms, self.step_ms
        );
        let kernels = self.by_kernel.iter().map(|row| (&row.kernel, &row.sums));
        let kernels: Vec<_> = kernels.collect();
        table(&mut text, "kernel", &kernels, kernels.len());
        let layers = self.by_layer.iter().map(|row| (&row.layer, &row.sums));
        let layers: Vec<_> = layers.collect();
        table(&mut text, "layer", &layers, LAYERS);
        text
    }
}

#[allow(clippy::cast_precision_loss)] // for display
fn group(
    steps: &[Step],
    profile: &Profile,
    whole: f64,
    name: fn(&Step) -> &str,
) -> Vec<(String, Sums)> {
    let mut groups: Vec<(String, Sums)> = Vec::new();
    for (step, span) in steps.iter().zip(&profile.spans) {
        let name = name(step);
        let at = groups.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| {
            groups.push((name.to_owned(), Sums::default()));
            groups.len() - 1
        });
        let sums = &mut groups[at].1;
        sums.dispatches += 1;
        sums.ms += 1e3 * (span.end - span.start);
        sums.bytes += bytes(step);
        sums.flops += step.call.flops;
    }
    for (_, sums) in &mut groups {
        // A dispatch may be shorter than the clock's tick.
        let per_second = |amount: u64| match sums.ms {
            ms if ms > 0.0 => amount as f64 / ms / 1e6,
            _ => 0.0,
        };
        sums.gigabytes_per_second = per_second(sums.bytes);
        sums.gigaflops_per_second = per_second(sums.flops);
        sums.share = if whole > 0.0 { sums.ms / whole } else { 0.0 };
    }
    groups.sort_by(|a, b| b.1.ms.total_cmp(&a.1.ms));
    groups
}

/// Appends a table of the first `most` rows; the others are summed up in its last line.
fn table(text: &mut String, head: &str, rows: &[(&String, &Sums)], most: usize) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let width = width.clamp(24, 44);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n  {head:<width$}{:>11}{:>11}{:>8}{:>11}{:>9}",
        "dispatches", "ms", "%", "GFLOP/s", "GB/s"
    );
    for (name, sums) in rows.iter().take(most) {
        // Sums of gradients where branches part, and the like.
        let name = if name.is_empty() { "(no layer)" } else { name };
        let _ = writeln!(
            text,
            "  {name:<width$}{:>11}{:>11.3}{:>8.1}{:>11.1}{:>9.1}",
            sums.dispatches,
            sums.ms,
            1e2 * sums.share,
            sums.gigaflops_per_second,
            sums.gigabytes_per_second
        );
    }
    let rest = &rows[most.min(rows.len())..];
    if !rest.is_empty() {
        let name = format!("{} more (in --json)", rest.len());
        let sum = |of: fn(&Sums) -> f64| rest.iter().map(|(_, sums)| of(sums)).sum::<f64>();
        let dispatches: usize = rest.iter().map(|(_, sums)| sums.dispatches).sum();
        let _ = writeln!(
            text,
            "  {name:<width$}{dispatches:>11}{:>11.3}{:>8.1}",
            sum(|sums| sums.ms),
            1e2 * sum(|sums| sums.share)
        );
    }
}

/// The step in Chrome's trace format, which <https://ui.perfetto.dev> opens: a track of the host and one of the GPU. Times are in
/// µs from when the host began to record. The two clocks are not compared: the GPU's first dispatch is put where the host
/// submits, so that the tracks may be off against each other by the time until the GPU began.
pub(super) fn trace(gpu: &Gpu, title: &str, steps: &[Step], profile: &Profile) -> Value {
    let meta = |name: &str, thread: u32, value: &str| json!({"ph": "M", "name": name, "pid": 1, "tid": thread, "args": {"name": value}});
    let adapter = crate::gpu::describe(gpu.info());
    let mut events = vec![
        meta("process_name", 0, title),
        meta("thread_name", 1, "host"),
        meta("thread_name", 2, &format!("GPU: {adapter}")),
    ];
    let [recorded, submitted, done] = profile.host.unwrap_or_default();
    let host = [
        ("record", 0.0, recorded),
        ("submit", recorded, submitted),
        ("wait", submitted, done),
    ];
    events.extend(host.map(|(name, begin, end)| {
        json!({"ph": "X", "name": name, "cat": "host", "pid": 1, "tid": 1, "ts": 1e6 * begin, "dur": 1e6 * (end - begin)})
    }));
    events.extend(steps.iter().zip(&profile.spans).map(|(step, span)| {
        let args = json!({
            "layer": step.layer,
            "variant": step.call.variant.to_string(),
            "bytes": bytes(step),
            "flops": step.call.flops,
        });
        json!({
            "ph": "X", "name": step.call.shader.name, "cat": "gpu", "pid": 1, "tid": 2,
            "ts": 1e6 * (recorded + span.start), "dur": 1e6 * (span.end - span.start), "args": args,
        })
    }));
    json!({
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "adapter": adapter,
            "clocks": "the GPU's first dispatch is put where the host submits: the two clocks are not compared",
        },
    })
}
