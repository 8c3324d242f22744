//! What the adapter reaches at most, by two microbenchmarks of this process, and a sweep of its caches.

use super::device::{bind, run};
use kernels_tests::harness::gpu;
use kinesic::gpu::{Gpu, Shader, Timer, Variant};
use kinesic::kernels::{Access, Bound, Call, Params};
use std::sync::OnceLock;

const COPY: Shader = Shader {
    name: "copy",
    source: include_str!("../copy.wgsl"),
};
const MULTIPLY_ADD: Shader = Shader {
    name: "multiply_add",
    source: include_str!("../multiply_add.wgsl"),
};

/// As in `copy.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct CopyParams {
    n: u32,
}

impl Params for CopyParams {
    const FIELDS: &'static [&'static str] = &["n"];
}

/// As in `multiply_add.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct MultiplyAddParams {
    n: u32,
    rounds: u32,
}

impl Params for MultiplyAddParams {
    const FIELDS: &'static [&'static str] = &["n", "rounds"];
}

/// Peaks of an adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Bytes read and written a second by a copy of buffers larger than the caches.
    pub bytes: f64,
    /// f32 operations a second, a multiply-add counted as two.
    pub flops: f64,
}

/// The peaks, measured at the first call: the best of a few variants, each the best of a few runs.
pub fn peaks() -> Peaks {
    static PEAKS: OnceLock<Peaks> = OnceLock::new();
    *PEAKS.get_or_init(|| {
        let gpu = gpu();
        let bytes = swept_bytes(gpu);
        let best = |rates: Vec<f64>| rates.into_iter().fold(0.0, f64::max);
        let peaks = Peaks {
            bytes: best([1, 4, 16].map(|each| copy_rate(gpu, bytes, each)).into()),
            flops: best(multiply_add_variants().map(|v| flop_rate(gpu, &v)).into()),
        };
        println!(
            "measured peaks: copy {:.1} GB/s, multiply-add {:.3} TFLOP/s",
            peaks.bytes / 1e9,
            peaks.flops / 1e12
        );
        peaks
    })
}

fn multiply_add_variants() -> [Variant; 6] {
    let variant = |chains: u32, fused| Variant::new().set("CHAINS", chains).set("FUSED", fused);
    let of = |fused| [2, 4, 8].map(|chains| variant(chains, fused));
    let ([a, b, c], [d, e, f]) = (of(true), of(false));
    [a, b, c, d, e, f]
}

/// Both kernels on small problems, against what they must give.
pub fn check() {
    let gpu = gpu();
    let x: Vec<f32> = (0..4 * 1030).map(|i| i as f32).collect();
    for each in [1, 4, 16] {
        let (bound, y) = gpu
            .block_on(bind(gpu, &[copy(4 * 4 * 1030, each)], &[&x]))
            .unwrap();
        run(gpu, &bound, None, 1);
        let bytes = gpu.block_on(gpu.read(&y.unwrap(), 0, 16 * 1030)).unwrap();
        assert!(bytes == bytemuck::cast_slice::<f32, u8>(&x), "copy, {each}");
    }
    for variant in multiply_add_variants() {
        let chains = variant.constants()[0].1 as f32;
        let call = multiply_add(variant, 128, 3);
        let (bound, y) = gpu.block_on(bind(gpu, &[call], &[&[0.5, 1.0]])).unwrap();
        run(gpu, &bound, None, 1);
        let bytes = gpu.block_on(gpu.read(&y.unwrap(), 0, 4 * 128)).unwrap();
        // After 12 steps from 0 of s/2 + 1: 2 - 2^-11, exact in f32, and so is the sum of the chains.
        let want = 4.0 * chains * (2.0 - f32::powi(2.0, -11));
        let got: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        assert_eq!(got, vec![want; 128], "multiply_add, {chains} chains");
    }
}

fn copy(bytes: u64, each: u32) -> Call {
    let n = bytes / 16;
    let groups = n.div_ceil(256 * u64::from(each));
    let variant = Variant::new().set("EACH", each);
    let params = CopyParams { n: n as u32 };
    let call = Call::new(COPY, variant, &params, groups).unwrap();
    let elements = (bytes / 4) as usize;
    call.bind("x", Access::Read, elements)
        .bind("y", Access::Write, elements)
}

fn multiply_add(variant: Variant, n: u32, rounds: u32) -> Call {
    let params = MultiplyAddParams { n, rounds };
    let chains = variant.constants()[0].1 as u64;
    let call = Call::new(MULTIPLY_ADD, variant, &params, u64::from(n / 64)).unwrap();
    call.bind("x", Access::Read, 2)
        .bind("y", Access::Write, n as usize)
        .flops(u64::from(n) * u64::from(rounds) * 4 * chains * 4 * 2)
}

/// Bytes that are more than the adapter's caches: four times a software adapter's (the processor's last level), else 256 MiB,
/// within what a binding may have.
fn swept_bytes(gpu: &Gpu) -> u64 {
    let wanted = if gpu.is_software() {
        4 * processor_cache().unwrap_or(32 << 20)
    } else {
        256 << 20
    };
    let limits = gpu.limits();
    let allowed = limits.max_storage_buffer_binding_size;
    wanted.min(allowed).min(limits.max_buffer_size) / 16 * 16
}

/// The size of this processor's largest cache, where Linux tells.
fn processor_cache() -> Option<u64> {
    let folder = std::fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?;
    let sizes = folder.flatten().filter_map(|entry| {
        let text = std::fs::read_to_string(entry.path().join("size")).ok()?;
        let (number, unit) = text.trim().split_at_checked(text.trim().len() - 1)?;
        let unit = match unit {
            "K" => 1 << 10,
            "M" => 1 << 20,
            _ => return None,
        };
        Some(number.parse::<u64>().ok()? * unit)
    });
    sizes.max()
}

fn timer(gpu: &Gpu) -> Option<Timer> {
    gpu.block_on(Timer::new(gpu, 1)).unwrap()
}

fn copy_rate(gpu: &Gpu, bytes: u64, each: u32) -> f64 {
    let (bound, _) = gpu.block_on(bind(gpu, &[copy(bytes, each)], &[])).unwrap();
    2.0 * bytes as f64 / fastest(gpu, &bound)
}

/// Doubles the work until it takes 20 ms: launches and clocks in power saving count no more.
fn flop_rate(gpu: &Gpu, variant: &Variant) -> f64 {
    let invocations = if gpu.is_software() { 1 << 10 } else { 1 << 18 };
    let mut rounds = 64;
    loop {
        let call = multiply_add(variant.clone(), invocations, rounds);
        let inputs: [&[f32]; 1] = [&[0.5, 1.0]];
        let (bound, _) = gpu
            .block_on(bind(gpu, std::slice::from_ref(&call), &inputs))
            .unwrap();
        let seconds = fastest(gpu, &bound);
        if seconds > 0.02 || rounds >= 1 << 24 {
            return call.flops as f64 / seconds;
        }
        rounds *= 2;
    }
}

/// The fastest of a few runs, in seconds.
fn fastest(gpu: &Gpu, bound: &[Bound]) -> f64 {
    let timer = timer(gpu);
    run(gpu, bound, timer.as_ref(), 1);
    let runs = (0..5).map(|_| run(gpu, bound, timer.as_ref(), 1).as_secs_f64());
    runs.fold(f64::INFINITY, f64::min)
}

/// Puts something else into the adapter's caches.
pub fn sweep(gpu: &Gpu) {
    static SWEEP: OnceLock<Vec<Bound>> = OnceLock::new();
    let bound = SWEEP.get_or_init(|| {
        let call = copy(swept_bytes(gpu), 1);
        gpu.block_on(bind(gpu, &[call], &[])).unwrap().0
    });
    run(gpu, bound, None, 1);
}
