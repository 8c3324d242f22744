//! Runs a kernel's [`Call`] on the test adapter and holds its outputs against a float64 reference.
//!
//! Outputs are poisoned before the run and every buffer lies between guard bands, so that an element that was not written
//! and one that should not have been both show. The adapter is `KINESIC_ADAPTER`, or the best one of the machine.

mod half;

use crate::Reference;
use kinesic::gpu::{AdapterChoice, Gpu};
use kinesic::kernels::{Access, Bound, Call};
use kinesic::wgpu;
use std::sync::OnceLock;

/// Bytes of guard band on either side of a binding; a multiple of every adapter's offset alignment.
const GUARD: usize = 256;
/// A NaN in f32 and f16 alike.
const POISON: u8 = 0xFF;

/// The adapter of all tests of this process.
///
/// # Panics
/// Where the machine has no adapter: tests that need one cannot pass without.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let choice = AdapterChoice::parse(std::env::var("KINESIC_ADAPTER").ok().as_deref());
        let gpu = kinesic_block_on(Gpu::new(&choice)).unwrap_or_else(|error| panic!("{error}"));
        eprintln!("adapter: {}", kinesic::gpu::describe(gpu.info()));
        gpu
    })
}

fn kinesic_block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

/// The call and, where its shader combines lanes and the adapter has subgroups, the one that does it within them.
pub fn ways(call: &Call) -> Vec<Call> {
    let combined = call.clone().in_subgroups();
    if combined == *call {
        return vec![combined];
    }
    if !gpu().device.features().contains(wgpu::Features::SUBGROUP) {
        eprintln!(
            "{}: not within subgroups, which the adapter lacks",
            call.shader.name
        );
        return vec![call.clone()];
    }
    vec![call.clone(), combined]
}

/// Runs `call`, and holds its variants in f16 and with 64-bit words against it where there are any. `inputs` holds the contents of the `Read` and `Update` bindings in binding order (bit patterns of u32
/// labels travel as f32 bits), those that the call does not touch left out or empty; the result holds the contents of the `Write` and `Update` bindings in binding order.
///
/// # Panics
/// When the device refuses the call, an input has the wrong length, a guard band or a `Read` binding changed.
pub fn execute(call: &Call, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let outputs = execute_as_is(call, inputs);
    half::check(call, inputs);
    check_words(call, inputs, &outputs);
    outputs
}

/// The same arithmetic on the same values has the same bits however they were loaded.
fn check_words(call: &Call, inputs: &[&[f32]], outputs: &[Vec<f32>]) {
    let words = call.clone().in_words();
    if words.variant == call.variant || !gpu().has_software_kernels() {
        return;
    }
    let bits = |values: &Vec<f32>| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for (got, want) in execute_as_is(&words, inputs).iter().zip(outputs) {
        let (name, variant) = (call.shader.name, &words.variant);
        assert!(bits(got) == bits(want), "{name} ({variant}): other bits");
    }
}

/// Runs `call` in its precision alone. Activations are given and come back as f32 whatever they are stored as.
///
/// # Panics
/// As [`execute`].
pub fn execute_as_is(call: &Call, inputs: &[&[f32]]) -> Vec<Vec<f32>> {
    let gpu = gpu();
    let name = call.shader.name;
    let mut inputs = inputs.iter().filter(|input| !input.is_empty());
    let images: Vec<Vec<u8>> = call
        .extents
        .iter()
        .map(|extent| {
            let bytes = usize::try_from(extent.bytes).unwrap();
            let mut image = vec![POISON; bytes + 2 * GUARD];
            if extent.access != Access::Write && bytes > 0 {
                let input = inputs
                    .next()
                    .unwrap_or_else(|| panic!("{name}: no input for `{}`", extent.name));
                let input = half::store(call, extent, input);
                assert_eq!(input.len(), bytes, "{name}: length of `{}`", extent.name);
                image[GUARD..GUARD + bytes].copy_from_slice(&input);
            }
            image
        })
        .collect();
    assert!(inputs.next().is_none(), "{name}: too many inputs");
    let after = submit(gpu, call, &images);
    let mut outputs = Vec::new();
    for ((extent, before), after) in call.extents.iter().zip(&images).zip(after) {
        let end = after.len() - GUARD;
        let kept = |range: std::ops::Range<usize>| before[range.clone()] == after[range];
        assert!(
            kept(0..GUARD) && kept(end..after.len()),
            "{name}: wrote outside `{}`",
            extent.name
        );
        if extent.access == Access::Read {
            assert!(
                kept(GUARD..end),
                "{name}: changed its input `{}`",
                extent.name
            );
        } else {
            outputs.push(half::load(call, extent, &after[GUARD..end]));
        }
    }
    outputs
}

fn submit(gpu: &Gpu, call: &Call, images: &[Vec<u8>]) -> Vec<Vec<u8>> {
    gpu.block_on(async {
        let mut buffers = Vec::new();
        for (extent, image) in call.extents.iter().zip(images) {
            let buffer = gpu.storage(extent.name, image.len() as u64).await?;
            gpu.queue.write_buffer(&buffer, 0, image);
            buffers.push(buffer);
        }
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let size = (call.params.len() as u64).next_multiple_of(16);
        let params = gpu.buffer("params", size, usage).await?;
        gpu.queue.write_buffer(&params, 0, &call.params);
        let bindings: Vec<_> = buffers
            .iter()
            .zip(&call.extents)
            .map(|(buffer, extent)| wgpu::BufferBinding {
                buffer,
                offset: GUARD as u64,
                // The band behind belongs to the binding: else the driver would drop the writes that it is to catch.
                size: (extent.bytes + GUARD as u64).try_into().ok(),
            })
            .collect();
        let bound = Bound::new(gpu, call, params.as_entire_buffer_binding(), &bindings).await?;
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        bound.record(&mut encoder.begin_compute_pass(&Default::default()));
        gpu.queue.submit([encoder.finish()]);
        let mut after = Vec::new();
        for (buffer, image) in buffers.iter().zip(images) {
            after.push(gpu.read(buffer, 0, image.len() as u64).await?);
        }
        Ok::<_, kinesic::kernels::KernelError>(after)
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

/// Compares f32 results with a reference. The tolerance of an element is `(4 √depth + 4) · 2⁻²⁴ · magnitude`: rounding errors
/// of a sum of `depth` terms add up like a random walk (Higham and Mary 2019), four standard deviations and the few roundings
/// around the sum allowed; `magnitude` is the reference's sum of absolute terms.
///
/// # Panics
/// At the worst element that is out of tolerance or NaN, with position, both values and the tolerance.
pub fn compare(what: &str, got: &[f32], want: &Reference, depth: usize) {
    assert_eq!(got.len(), want.value.len(), "{what}: number of elements");
    let k = 4.0 * (depth as f64).sqrt() + 4.0;
    let mut worst: Option<(usize, f64)> = None;
    let mut failures = 0;
    for (index, (&got, (&value, &magnitude))) in got
        .iter()
        .zip(want.value.iter().zip(&want.magnitude))
        .enumerate()
    {
        let tolerance =
            k * f64::powi(2.0, -24) * magnitude.max(value.abs()) + f64::from(f32::MIN_POSITIVE);
        let excess = (f64::from(got) - value).abs() / tolerance;
        if excess.is_nan() || excess > 1.0 {
            failures += 1;
            let excess = if excess.is_nan() {
                f64::INFINITY
            } else {
                excess
            };
            if worst.is_none_or(|(_, most)| excess > most) {
                worst = Some((index, excess));
            }
        }
    }
    if let Some((index, excess)) = worst {
        panic!(
            "{what}: {failures} of {} elements are off; the worst, element {index}: got {}, want {}, magnitude {}, {excess:.1} times the tolerance for depth {depth}",
            got.len(),
            got[index],
            want.value[index],
            want.magnitude[index]
        );
    }
}

/// Rows of `channels` values as f32 rows padded with zeros to a multiple of 4.
pub fn pad(rows: &[f64], channels: usize) -> Vec<f32> {
    let width = kinesic::kernels::padded(channels);
    let mut out = Vec::with_capacity(rows.len() / channels * width);
    for row in rows.chunks_exact(channels) {
        out.extend(row.iter().map(|&value| value as f32));
        out.resize(out.len() + width - channels, 0.0);
    }
    out
}

/// The inverse of [`pad`].
///
/// # Panics
/// When the padding is not exactly zero: kernels keep it so.
pub fn unpad(what: &str, rows: &[f32], channels: usize) -> Vec<f32> {
    let width = kinesic::kernels::padded(channels);
    let mut out = Vec::with_capacity(rows.len() / width * channels);
    for row in rows.chunks_exact(width) {
        out.extend_from_slice(&row[..channels]);
        assert!(
            row[channels..].iter().all(|&value| value == 0.0),
            "{what}: padding channels hold {:?}",
            &row[channels..]
        );
    }
    out
}
