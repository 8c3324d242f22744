//! What every bench shares: one check against the float64 reference, timing that ends with the work, and a record of each line.
//!
//! Ids are `family/kernel/variant/shape`. Time is the adapter's own (timestamps around a pass) where it has timestamps, and
//! that from submission to completion elsewhere; criterion's throughput is operations, each multiply-add counted as two, or
//! the bytes that a kernel reads and writes where moving them is its whole work. See README.md beside this folder.

#![allow(dead_code)] // each bench is a crate of its own and uses a part

mod device;
mod peaks;
pub mod report;

use criterion::{BenchmarkId, Criterion, Throughput};
use device::CHUNK;
use kernels_tests::harness::{execute, execute_as_is, gpu};
use kinesic::gpu::{Precision, Timer};
use kinesic::kernels::{Access, Call};
use report::{Conditions, Lines, Measured};
use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::Duration;

pub use peaks::Peaks;

/// Samples of a line.
const SAMPLES: usize = 10;
/// Runs with swept caches.
const COLD: usize = 5;

/// Whether this is `cargo bench -- --test`: everything runs once, nothing is measured.
pub fn is_test() -> bool {
    std::env::args().any(|arg| arg == "--test")
}

/// Whether shapes are small: in tests and with `KINESIC_BENCH_QUICK`.
pub fn quick() -> bool {
    is_test() || std::env::var_os("KINESIC_BENCH_QUICK").is_some_and(|value| !value.is_empty())
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
    /// The variant's part of the id; `f16_` comes before it where activations are stored so.
    pub variant: &'a str,
    /// The shape's part of the id.
    pub shape: String,
}

/// What a line does, as it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Bytes read and written.
    pub bytes: u64,
    /// Operations, a multiply-add counted as two.
    pub flops: u64,
    /// Seconds that the arithmetic bounds at the measured peaks.
    arithmetic: f64,
    /// Seconds that the memory bounds.
    memory: f64,
}

impl Work {
    /// The work of calls one after the other, each bounded by the slower of its arithmetic and its traffic.
    pub fn new<'a>(calls: impl IntoIterator<Item = &'a Call>, peaks: Peaks) -> Self {
        calls.into_iter().fold(Self::default(), |work, call| {
            let bytes = call.bytes_read() + call.bytes_written();
            let arithmetic = call.flops as f64 / peaks.flops;
            let memory = bytes as f64 / peaks.bytes;
            let is_arithmetic = arithmetic > memory;
            Self {
                bytes: work.bytes + bytes,
                flops: work.flops + call.flops,
                arithmetic: work.arithmetic + if is_arithmetic { arithmetic } else { 0.0 },
                memory: work.memory + if is_arithmetic { 0.0 } else { memory },
            }
        })
    }
}

impl Line<'_> {
    /// Runs `calls` one after the other, `inputs` the contents of their `Read` bindings, less the first of each but
    /// the first, which is the output of the one before, hands the last output to `check`, which panics where it is wrong, and measures. The variant that
    /// stores f16, where calls have one and the adapter can, is held against the first and measured too.
    pub fn measure(
        &self,
        criterion: &mut Criterion,
        calls: &[Call],
        inputs: &[&[f32]],
        check: impl Fn(&str, &[f32]),
    ) {
        let mut rest = inputs.iter().copied().filter(|input| !input.is_empty());
        let mut outputs: Vec<Vec<f32>> = Vec::new();
        for call in calls {
            let read = call.extents.iter();
            let read = read.filter(|e| e.access != Access::Write && e.bytes > 0);
            let new = read.count() - usize::from(!outputs.is_empty());
            let more: Vec<&[f32]> = rest.by_ref().take(new).collect();
            let handed = outputs.first().map(Vec::as_slice);
            let given: Vec<&[f32]> = handed.into_iter().chain(more).collect();
            outputs = execute(call, &given);
        }
        check(&self.id(self.variant), &outputs[0]);
        let flops = calls.iter().map(|call| call.flops).sum();
        self.each_precision(criterion, calls, inputs, |_| Throughput::Elements(flops));
    }

    /// Runs one call whose time goes into moving bytes, `inputs` the contents of its `Read` and `Update` bindings, hands its
    /// outputs to `check`, which panics where they are wrong, and measures; f16 as [`Line::measure`].
    pub fn stream(
        &self,
        criterion: &mut Criterion,
        call: &Call,
        inputs: &[&[f32]],
        check: impl Fn(&str, &[Vec<f32>]),
    ) {
        check(&self.id(self.variant), &execute(call, inputs));
        let calls = std::slice::from_ref(call);
        self.each_precision(criterion, calls, inputs, |calls| {
            Throughput::Bytes(calls[0].bytes_read() + calls[0].bytes_written())
        });
    }

    /// Runs one call of a sequence that another line checks as a whole, hands on its first output, and measures it under its
    /// shader's name.
    pub fn shader(&self, criterion: &mut Criterion, call: &Call, inputs: &[&[f32]]) -> Vec<f32> {
        let line = Line {
            kernel: &format!("{}/{}", self.kernel, call.shader.name),
            variant: self.variant,
            shape: self.shape.clone(),
        };
        let output = execute(call, inputs).remove(0);
        line.each_precision(criterion, std::slice::from_ref(call), inputs, |calls| {
            Throughput::Elements(calls[0].flops)
        });
        output
    }

    /// Runs one call in its own precision alone, hands its first output to `check`, which panics where it is wrong, and measures.
    pub fn measure_as_is(
        &self,
        criterion: &mut Criterion,
        call: &Call,
        inputs: &[&[f32]],
        check: impl Fn(&str, &[f32]),
    ) {
        check(&self.id(self.variant), &execute_as_is(call, inputs)[0]);
        let throughput = Throughput::Elements(call.flops);
        let calls = std::slice::from_ref(call);
        self.time(criterion, self.variant, calls, inputs, throughput);
    }

    fn id(&self, variant: &str) -> String {
        format!("{}/{variant}/{}", self.kernel, self.shape)
    }

    /// `execute` has held each f16 variant against its f32 one.
    fn each_precision(
        &self,
        criterion: &mut Criterion,
        calls: &[Call],
        inputs: &[&[f32]],
        throughput: impl Fn(&[Call]) -> Throughput,
    ) {
        self.time(criterion, self.variant, calls, inputs, throughput(calls));
        let half = calls.iter().map(|call| call.clone().stored(Precision::F16));
        let half: Vec<_> = half.collect();
        if half != calls && gpu().can_store(Precision::F16) {
            let variant = match self.variant.strip_prefix("f32") {
                Some(rest) => format!("f16{rest}"),
                None => format!("f16_{}", self.variant),
            };
            self.time(criterion, &variant, &half, inputs, throughput(&half));
        }
    }

    fn time(
        &self,
        criterion: &mut Criterion,
        variant: &str,
        calls: &[Call],
        inputs: &[&[f32]],
        throughput: Throughput,
    ) {
        let gpu = gpu();
        let (bound, _) = gpu.block_on(device::bind(gpu, calls, inputs)).unwrap();
        let timer = gpu.block_on(Timer::new(gpu, 1)).unwrap();
        let run = |times: u64| device::run(gpu, &bound, timer.as_ref(), times);
        let samples = sample(
            criterion,
            [self.kernel, variant, &self.shape],
            throughput,
            |times| {
                let chunks = (0..times).step_by(CHUNK as usize);
                chunks.map(|done| run(CHUNK.min(times - done))).sum()
            },
        );
        if samples.is_empty() {
            return;
        }
        let cold = (0..COLD).map(|_| {
            peaks::sweep(gpu);
            run(1).as_secs_f64()
        });
        let cold = report::median_and_spread(cold.collect()).0;
        let work = Work::new(calls, peaks());
        record(self.id(variant), work, samples, Some(cold), timer.is_some());
    }
}

/// The adapter's peaks, measured once a process; checked but not measured in tests.
pub fn peaks() -> Peaks {
    peaks::peaks()
}

/// Checks the microbenchmarks that the peaks come from.
pub fn check_peaks() {
    peaks::check();
}

/// Lets criterion measure `run`, which takes how often and gives how long; the seconds of its samples, none in tests or where
/// the command line chooses other lines.
pub fn sample(
    criterion: &mut Criterion,
    [kernel, variant, shape]: [&str; 3],
    throughput: Throughput,
    run: impl Fn(u64) -> Duration,
) -> Vec<f64> {
    let milliseconds = |full, short| Duration::from_millis(if quick() { short } else { full });
    let samples = RefCell::new(Vec::new());
    let mut group = criterion.benchmark_group(kernel);
    group.sample_size(SAMPLES);
    group.warm_up_time(milliseconds(300, 50));
    group.measurement_time(milliseconds(1000, 200));
    group.throughput(throughput);
    group.bench_function(BenchmarkId::new(variant, shape), |bencher| {
        bencher.iter_custom(|times| {
            let time = run(times);
            samples.borrow_mut().push(time.as_secs_f64() / times as f64);
            time
        });
    });
    group.finish();
    // What comes before the last samples is criterion's warming up.
    let mut samples = samples.into_inner();
    if is_test() || samples.len() < SAMPLES {
        return Vec::new();
    }
    samples.split_off(samples.len() - SAMPLES)
}

/// Puts a line into the summary and says what it reached.
pub fn record(
    id: String,
    work: Work,
    samples: Vec<f64>,
    cold_seconds: Option<f64>,
    timestamps: bool,
) {
    let (seconds, spread) = report::median_and_spread(samples);
    let line = Measured {
        id,
        seconds,
        spread,
        cold_seconds,
        bytes: work.bytes,
        flops: work.flops,
        bound: if work.arithmetic > work.memory {
            "arithmetic"
        } else {
            "memory"
        }
        .to_owned(),
        bound_seconds: work.arithmetic + work.memory,
        peak_bytes_per_second: peaks().bytes,
        peak_flops_per_second: peaks().flops,
    };
    let cold = line.cold_percent();
    println!(
        "{:24}{} GFLOP/s, {} GB/s, {:.0} % of the {}'s measured peak{}",
        "",
        report::giga(line.flops as f64 / seconds),
        report::giga(line.bytes as f64 / seconds),
        line.percent(),
        line.bound,
        cold.map_or(String::new(), |percent| format!(
            ", {percent:.0} % with cold caches"
        )),
    );
    Lines::add(&file(), conditions(timestamps), line);
}

/// The file of this bench: its name without the hash that cargo gives it.
fn file() -> std::path::PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let stem = exe.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.rsplit_once('-').map_or(&*stem, |(name, _)| name);
    report::folder().join("lines").join(format!("{name}.json"))
}

fn conditions(timestamps: bool) -> &'static Conditions {
    static CONDITIONS: OnceLock<Conditions> = OnceLock::new();
    CONDITIONS.get_or_init(|| {
        let info = gpu().info();
        let driver = format!("{} {}", info.driver, info.driver_info);
        Conditions {
            adapter: info.name.clone(),
            driver: driver.trim().to_owned(),
            backend: info.backend.to_string(),
            commit: report::commit(),
            quick: quick(),
            timestamps,
        }
    })
}
