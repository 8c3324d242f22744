//! The forward pass with cooperative matrices, on adapters that have them: `tools/install-matrices.sh` brings one.

use super::forward::{Problem, epilogues};
use super::{SEED, shapes};
use half::f16;
use kernels_tests::Reference;
use kernels_tests::conv::Conv2dShape;
use kernels_tests::harness::{execute_as_is, gpu, unpad};
use kernels_tests::layout::half_words;
use kernels_tests::random::Draw;
use kinesic::gpu::{Matrices, Precision};
use kinesic::kernels::conv::{self, Conv2dForward, ForwardEpilogue, HalfFilters};
use kinesic::kernels::conv::{Pass, Way, Ways};
use kinesic::kernels::{Access, padded};
use kinesic::nn;
use kinesic::tape::{Graph, Plan, Recording, Shape, Store, TapeError, Target};

/// Precisions and sides of the adapter's matrices.
pub(super) fn sides() -> Vec<(Precision, usize)> {
    let matrices = gpu().matrices();
    let mut sides = Vec::new();
    if matrices.half16 {
        sides.push((Precision::F16, 16));
    }
    if matrices.half8 {
        sides.push((Precision::F16, 8));
    }
    if matrices.single8 {
        sides.push((Precision::F32, 8));
    }
    if sides.is_empty() {
        let needed = std::env::var_os("KINESIC_NEEDS_MATRICES").is_some();
        assert!(
            !needed,
            "the adapter has no matrices, but was chosen for them"
        );
        eprintln!("skipped: the adapter has no cooperative matrices");
    }
    sides
}

/// A problem whose factors and residual are the same in f16.
fn drawn(index: usize, shape: Conv2dShape) -> Problem {
    let mut problem = Problem::drawn(index, shape);
    let Problem {
        x,
        weight,
        residual,
        ..
    } = &mut problem;
    for values in [x, weight, residual] {
        *values = exact(std::mem::take(values));
    }
    problem
}

/// Values that are the same in f16.
pub(super) fn exact(values: Vec<f64>) -> Vec<f64> {
    let rounded = values
        .into_iter()
        .map(|value| f16::from_f64(value).to_f64());
    rounded.collect()
}

/// What the kernel writes.
fn run(
    problem: &Problem,
    kernel: &Conv2dForward,
    precision: Precision,
    side: usize,
) -> Vec<Vec<f32>> {
    let mut inputs = problem.inputs(kernel.epilogue);
    inputs[1] = filters_of(side, std::mem::take(&mut inputs[1]));
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    execute_as_is(&kernel.call_in_matrices(precision, side).unwrap(), &inputs)
}

/// Filters as the kernel of this side binds them: two of f16 in a word for the large one.
pub(super) fn filters_of(side: usize, filters: Vec<f32>) -> Vec<f32> {
    if side < 16 {
        return filters;
    }
    half_words(&filters)
}

#[test]
fn half_filters_are_rounded_to_nearest() {
    let draw = Draw::new("half filters", SEED).tensor(3 * 1024 + 4, 2.0);
    let weight: Vec<f32> = draw.into_iter().map(|v| v as f32).collect();
    let call = HalfFilters { len: weight.len() }.call().unwrap();
    let got = execute_as_is(&call, &[&weight]).remove(0);
    for (pair, word) in weight.chunks_exact(2).zip(got) {
        for (value, shift) in pair.iter().zip([0, 16]) {
            let bits = (word.to_bits() >> shift) & 0xffff;
            let near = f16::from_bits(bits as u16).to_f32();
            // WGSL leaves the way of rounding open: within a step, and exact where f16 holds the value.
            assert!(
                (near - value).abs() <= f32::powi(2.0, -10) * value.abs() + 1e-7,
                "{value}: {near}"
            );
        }
    }
    let exact = [1.0, -0.5, 0.0, 1024.0];
    let got = execute_as_is(&HalfFilters { len: 4 }.call().unwrap(), &[&exact]).remove(0);
    let bits: Vec<u32> = got.iter().map(|v| v.to_bits()).collect();
    let want: Vec<u32> = filters_of(16, exact.to_vec())
        .iter()
        .map(|v| v.to_bits())
        .collect();
    assert_eq!(bits, want);
    assert!(HalfFilters { len: 6 }.call().is_err() && HalfFilters { len: 0 }.call().is_err());
}

fn kernel(shape: Conv2dShape, epilogue: ForwardEpilogue) -> Conv2dForward {
    Conv2dForward {
        epilogue,
        ..Conv2dForward::new(shape.into(), false)
    }
}

/// Backbone layers and drawn ones as for the base kernel, and the edges of tiles of 64 and 128 pixels and channels and of 16 products.
fn all_shapes() -> Vec<Conv2dShape> {
    let mut shapes: Vec<_> = shapes().into_iter().chain(super::tails()).collect();
    for (w, c, k) in [(63, 31, 64), (64, 33, 65), (129, 16, 63)] {
        let line = Conv2dShape { h: 1, ..shapes[0] };
        shapes.push(Conv2dShape { w, c, k, ..line });
    }
    shapes
}

/// What a value summed of `depth` products may be off. An error of rounding at each step of a random walk, as everywhere; and
/// as matrix units may cut digits off where others round, one that adds up over the matrices of 8 products.
pub(super) fn tolerance(depth: usize, magnitude: f64) -> f64 {
    let depth = depth as f64;
    (4.0 * depth.sqrt() + depth / 8.0 + 4.0) * f64::powi(2.0, -24) * magnitude
}

pub(super) fn check_all(what: &str, got: &[f32], want: &[f64], allowed: &[f64]) {
    assert_eq!([got.len(), allowed.len()], [want.len(); 2], "{what}");
    for (index, ((got, want), allowed)) in got.iter().zip(want).zip(allowed).enumerate() {
        let far = (f64::from(*got) - want).abs();
        let right = far <= *allowed;
        assert!(
            right,
            "{what}: element {index} is {got}, not {want} ± {allowed}"
        );
    }
}

/// Mean and centred sum of squares of each group of the values that are wanted, each known to its own tolerance.
fn check_groups(what: &str, channels: usize, want: &Reference, allowed: &[f64], partials: &[f32]) {
    let mut rest = partials.chunks_exact(2 * padded(channels));
    let rows = Conv2dForward::GROUP_ROWS * channels;
    for (values, allowed) in want.value.chunks(rows).zip(allowed.chunks(rows)) {
        let count = (values.len() / channels) as f64;
        let column = |k: usize| values.iter().skip(k).step_by(channels);
        let mut expected = [vec![], vec![]];
        let mut tolerances = [vec![], vec![]];
        for k in 0..channels {
            let mean = column(k).sum::<f64>() / count;
            let size = column(k).map(|v| v.abs()).sum::<f64>() / count;
            let off = allowed.iter().skip(k).step_by(channels);
            let of_mean = off.clone().sum::<f64>() / count + tolerance(64, size);
            let m2: f64 = column(k).map(|v| (v - mean).powi(2)).sum();
            let of_m2 = column(k).zip(off).map(|(v, off)| {
                let (far, off) = ((v - mean).abs(), off + of_mean);
                2.0 * far * off + off * off
            });
            expected[0].push(mean);
            expected[1].push(m2);
            tolerances[0].push(of_mean);
            tolerances[1].push(of_m2.sum::<f64>() + tolerance(64, m2));
        }
        let group = rest.next().unwrap();
        let parts = [
            group.split_at(padded(channels)).0,
            group.split_at(padded(channels)).1,
        ];
        for (index, name) in ["mean", "m2"].into_iter().enumerate() {
            let what = format!("{name}, {what}");
            let got = unpad(&what, parts[index], channels);
            check_all(&what, &got, &expected[index], &tolerances[index]);
        }
    }
    assert!(rest.next().is_none(), "{what}: more groups than pixels");
}

// In halves, which run side by side: compiling is most of it.
#[test]
fn matches_reference_on_even_drawn_shapes_and_every_epilogue_on_some() {
    match_reference(0);
}

#[test]
fn matches_reference_on_odd_drawn_shapes_and_every_epilogue_on_some() {
    match_reference(1);
}

fn match_reference(first: usize) {
    let sides = sides();
    let shapes = if sides.is_empty() {
        vec![]
    } else {
        all_shapes()
    };
    for (index, shape) in shapes.into_iter().enumerate().skip(first).step_by(2) {
        let problem = drawn(index, shape);
        // Two a shape, so that each epilogue meets two shapes: a software adapter takes seconds to compile one.
        for epilogue in epilogues().skip(index % 9).step_by(9) {
            let want = problem.y(epilogue);
            for &(precision, side) in &sides {
                let what = format!("seed {SEED}, {precision:?} {side}, {epilogue:?}, {shape:?}");
                let got = run(&problem, &kernel(shape, epilogue), precision, side);
                let y = unpad(&what, &got[0], shape.k);
                let depth = shape.r * shape.s * shape.c + 3;
                let sums = want.magnitude.iter().map(|size| tolerance(depth, *size));
                let sums: Vec<_> = sums.collect();
                // What is stored in f16 is rounded once more: half a step, or half of the smallest.
                let storage = if precision == Precision::F16 {
                    f64::powi(2.0, -11)
                } else {
                    0.0
                };
                let stored = sums.iter().zip(&want.value).map(|(sum, value)| {
                    (1.0 + storage) * sum + storage * value.abs() + f64::powi(2.0, -25)
                });
                check_all(&what, &y, &want.value, &stored.collect::<Vec<_>>());
                if epilogue.stats {
                    check_groups(&what, shape.k, &want, &sums, &got[1]);
                }
            }
        }
    }
}

#[test]
fn repeats_bit_for_bit() {
    let problem = drawn(3, shapes()[3]);
    let epilogue = ForwardEpilogue {
        stats: true,
        ..ForwardEpilogue::default()
    };
    for (precision, side) in sides() {
        let bits = || {
            let outputs = run(&problem, &kernel(problem.shape, epilogue), precision, side);
            let outputs = outputs.concat().into_iter();
            outputs.map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(), bits(), "{precision:?} {side}");
    }
}

#[test]
fn touches_what_the_base_kernel_touches() {
    for epilogue in epilogues() {
        let kernel = kernel(shapes()[2], epilogue);
        let base = kernel.call().unwrap().stored(Precision::F16);
        for side in [8, 16] {
            let call = kernel.call_in_matrices(Precision::F16, side).unwrap();
            let mut extents = call.extents.clone();
            extents[1].bytes *= if side == 16 { 2 } else { 1 };
            assert_eq!(extents, base.extents, "{epilogue:?}");
            assert_eq!(call.flops, base.flops);
            let last = call.extents.last().unwrap();
            assert_eq!(last.access == Access::Write, epilogue.stats);
        }
    }
}

#[test]
fn is_offered_where_the_device_has_the_matrices_and_the_convolution_fills_them() {
    let large = conv::Conv2dShape::from(shapes()[2]);
    let matrices = Matrices {
        half16: true,
        ..Matrices::NONE
    };
    let half = Precision::F16;
    for pass in [Pass::Forward, Pass::GradInput, Pass::GradWeight] {
        assert_eq!(large.matrices(pass, half, matrices), Some(16));
        assert_eq!(large.matrices(pass, Precision::F32, matrices), None);
        assert_eq!(large.matrices(pass, half, Matrices::NONE), None);
        let small = conv::Conv2dShape::linear(64, 16, 64);
        assert_eq!(small.matrices(pass, half, matrices), None);
        let few = conv::Conv2dShape::linear(64, 64, 16);
        assert_eq!(few.matrices(pass, half, matrices), None);
    }
}

#[test]
fn rejects_sides_that_there_are_not() {
    let kernel = kernel(shapes()[2], ForwardEpilogue::default());
    for (precision, side) in [(Precision::F32, 16), (Precision::F16, 4)] {
        assert!(kernel.call_in_matrices(precision, side).is_err());
    }
}

/// The outputs and kernels of a plan of a convolution, its batch normalisation and rectifier, and a convolution that applies these on
/// load, on factors that are the same in f16.
fn planned(target: &Target) -> (Vec<f32>, Vec<&'static str>) {
    let mut graph = Graph::new();
    let x = graph.input("x", Shape::rows(&[2, 9, 9, 48]));
    let y = nn::Conv2d::same(64, 3, 1).record(&mut graph, "conv", x);
    let y = nn::batch_norm(&mut graph, "bn", y.unwrap(), true).unwrap();
    let y = nn::relu(&mut graph, y).unwrap();
    let y = nn::Conv2d::same(64, 3, 1).record(&mut graph, "conv1", y);
    let y = y.unwrap();
    let exact = |values: Vec<f64>| values.into_iter().map(|v| f16::from_f64(v).to_f32());
    let mut weights = nn::Weights::zeroed(&graph);
    weights.fill(|name, shape| {
        let drawn = Draw::new(name, SEED).tensor(shape.iter().product(), 0.5);
        exact(drawn).collect()
    });
    let x_values = Draw::new("planned", SEED).tensor(graph.shape(x).len(), 1.0);
    let x_values: Vec<f32> = exact(x_values).collect();
    let gpu = gpu();
    gpu.block_on(async {
        let recording = Recording::new(graph, &[y], target)?;
        let kernels = recording.steps.iter().map(|step| step.call.shader.name);
        let kernels = kernels.collect();
        let store = Store::new(gpu, &recording, false).await?;
        let plan = Plan::new(gpu, recording, &store).await?;
        let flat = bytemuck::cast_slice(&weights.parameters);
        gpu.queue.write_buffer(&store.parameters, 0, flat);
        plan.write(x, bytemuck::cast_slice(&x_values))?;
        plan.submit();
        Ok::<_, TapeError>((plan.read(y).await?, kernels))
    })
    .unwrap()
}

#[test]
fn plans_with_matrices_agree_with_those_of_the_base_kernels() {
    for (precision, _) in sides() {
        let base = Target {
            software: false,
            matrices: Matrices::NONE,
            ..Target::of(gpu()).stored(precision)
        };
        let (want, without) = planned(&base);
        let ways = Ways::everywhere(Way::Matrices);
        let target = Target {
            matrices: gpu().matrices(),
            ..base.in_ways(ways)
        };
        let (got, with) = planned(&target);
        assert!(without.contains(&"conv2d_forward"), "{without:?}");
        assert!(with.contains(&"conv2d_forward_matrix"), "{with:?}");
        assert!(!with.contains(&"batch_norm_apply"), "{with:?}");
        let most = want.iter().fold(0_f32, |most, v| most.max(v.abs()));
        assert!(most > 0.5, "{most}");
        // Two roundings to f16, or the sums' own in f32, and twice that for a sum which rounds to the other side.
        let unit = match precision {
            Precision::F16 => f32::powi(2.0, -11),
            Precision::F32 => 576.0 * f32::powi(2.0, -24),
        };
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() <= 4.0 * unit * most, "{got}, {want}");
        }
    }
}
