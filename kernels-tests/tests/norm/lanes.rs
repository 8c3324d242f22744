//! The terms of a workgroup's lanes combined into one, by the tree and within subgroups.

use super::problem::{EPS, MOMENTUM, Problem};
use kernels_tests::elementwise::column_sums;
use kernels_tests::harness::{execute, gpu, ways};
use kernels_tests::random::Draw;
use kinesic::gpu::{Shader, Variant};
use kinesic::kernels::norm::{BatchNormFinish, BatchNormGradFinish};
use kinesic::kernels::{Access, Call, Params, padded};
use kinesic::wgpu;

/// Partial sums: one, a few, around every number of lanes and around what each of them takes once, twice or more often.
const GROUPS: [usize; 15] = [
    1, 2, 7, 15, 16, 17, 33, 64, 128, 129, 255, 512, 513, 769, 2000,
];
const CHANNELS: usize = 5;

/// The rows of each group; the last one has a row less.
const EACH: usize = 3;

fn finish(rows: usize, group_rows: usize) -> Call {
    let finish = BatchNormFinish {
        rows,
        channels: CHANNELS,
        eps: EPS,
        momentum: MOMENTUM,
        group_rows: Some(group_rows),
    };
    finish.call().unwrap()
}

fn grad_finish(rows: usize, groups: usize, training: bool) -> Call {
    let finish = BatchNormGradFinish {
        rows,
        channels: CHANNELS,
        training,
        groups: Some(groups),
    };
    finish.call().unwrap()
}

/// Mean and centred sum of squares of each group of rows, padded, from the formula.
fn moments(problem: &Problem, each: usize) -> Vec<f32> {
    let groups = problem.x.chunks(each * CHANNELS);
    let rows = groups.flat_map(|group| {
        let count = (group.len() / CHANNELS) as f64;
        let column = |c| group.iter().skip(c).step_by(CHANNELS);
        let mean: Vec<f64> = (0..CHANNELS)
            .map(|c| column(c).sum::<f64>() / count)
            .collect();
        let m2 = (0..CHANNELS).map(|c| column(c).map(|x| (x - mean[c]).powi(2)).sum());
        let m2: Vec<f64> = m2.collect();
        [problem.pad(&mean), problem.pad(&m2)].concat()
    });
    rows.collect()
}

#[test]
fn of_statistics_match_reference_for_any_number_of_groups() {
    for (seed, groups) in GROUPS.into_iter().enumerate() {
        let rows = EACH * groups - 1;
        let problem = Problem::drawn(seed, (rows, CHANNELS));
        let want = problem.layer.training(
            &problem.x,
            &problem.gamma,
            &problem.beta,
            &problem.running_mean,
            &problem.running_var,
        );
        let vectors = [
            &problem.gamma,
            &problem.beta,
            &problem.running_mean,
            &problem.running_var,
        ];
        let [gamma, beta, mean, var] = vectors.map(|v| problem.pad(v));
        let partials = moments(&problem, EACH);
        for call in ways(&finish(rows, EACH)) {
            let run = || execute(&call, &[&partials, &gamma, &beta, &mean, &var]);
            let outputs = run();
            let name = |part| format!("{part} ({}, {groups} groups)", call.variant);
            let (mean, invstd) = outputs[2].split_at(padded(CHANNELS));
            problem.check(&name("mean"), mean, &want.statistics.mean, rows);
            problem.check(&name("invstd"), invstd, &want.statistics.invstd, rows);
            problem.check(&name("running_mean"), &outputs[0], &want.running_mean, rows);
            problem.check(&name("running_var"), &outputs[1], &want.running_var, rows);
            assert_eq!(run(), outputs, "{}", name("the same bits again"));
        }
    }
}

#[test]
fn of_gradients_match_reference_for_any_number_of_groups() {
    for (seed, groups) in GROUPS.into_iter().enumerate() {
        let rows = 8 * groups;
        let mut draw = Draw::new("finish", seed as u64);
        let problem = Problem::drawn(seed, (2, CHANNELS));
        let [sums, products] = [0.5, 2.0].map(|size| draw.tensor(groups * CHANNELS, size));
        let pairs = sums.chunks(CHANNELS).zip(products.chunks(CHANNELS));
        let partials: Vec<f32> = pairs
            .flat_map(|(sum, product)| [problem.pad(sum), problem.pad(product)].concat())
            .collect();
        let statistics = [draw.tensor(CHANNELS, 1.0), draw.tensor(CHANNELS, 1.0)];
        let statistics = statistics.map(|row| problem.pad(&row)).concat();
        let gamma = problem.pad(&problem.gamma);
        let [beta, gamma_sums] = [&sums, &products].map(|rows| column_sums(rows, CHANNELS));
        for training in [false, true] {
            for call in ways(&grad_finish(rows, groups, training)) {
                let run = || execute(&call, &[&partials, &gamma, &statistics]);
                let outputs = run();
                let name = |part| format!("{part} ({}, {groups} groups)", call.variant);
                problem.check(&name("grad_gamma"), &outputs[0], &gamma_sums, groups);
                problem.check(&name("grad_beta"), &outputs[1], &beta, groups);
                assert_eq!(run(), outputs, "{}", name("the same bits again"));
                // The coefficients are made of these sums alone, each in a few roundings.
                let width = padded(CHANNELS);
                for c in 0..CHANNELS {
                    let at = |values: &[f32], row: usize| f64::from(values[row * width + c]);
                    let (mean, invstd) = (at(&statistics, 0), at(&statistics, 1));
                    let k1 = at(&gamma, 0) * invstd;
                    let per_row = if training { k1 / rows as f64 } else { 0.0 };
                    let k2 = -per_row * invstd * at(&outputs[0], 0);
                    let terms = [-per_row * at(&outputs[1], 0), -k2 * mean];
                    let sizes = [k1.abs(), k2.abs(), terms[0].abs() + terms[1].abs()];
                    for (row, want) in [k1, k2, terms[0] + terms[1]].into_iter().enumerate() {
                        let off = (at(&outputs[2], row) - want).abs();
                        let slack = 8.0 * f64::powi(2.0, -24) * sizes[row];
                        assert!(off <= slack, "{}: k{}", name("coefficients"), row + 1);
                    }
                }
            }
        }
    }
}

/// Sums of the lanes of each subgroup that take part: all, those before a number, or all but every third.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct TakingPart {
    before: u32,
    but_each: u32,
}

impl Params for TakingPart {
    const FIELDS: &'static [&'static str] = &["before", "but_each"];
}

const SUBGROUPS: Shader = Shader {
    name: "fold_some_lanes",
    source: concat!(
        "
override LANES: u32 = 64u;
override SUBGROUP: bool = false;
const MOST = 256u;
struct Params { before: u32, but_each: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> terms_of: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec2f>;
alias Term = f32;
fn combine(a: f32, b: f32) -> f32 { return a + b; }
fn exchanged(t: f32, distance: u32) -> f32 { return subgroupShuffleXor(t, distance); }
fn alone(t: f32, here: bool) -> f32 { return subgroupAdd(select(0.0, t, here)); }
@compute @workgroup_size(LANES)
fn fold_some_lanes(
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) size: u32,
) {
    sums[lane] = vec2f(0.0, f32(subgroup));
    if lane < params.before && lane % params.but_each != 1u {
        sums[lane].x = fold_subgroup(terms_of[lane].x, size);
    }
}
",
        include_str!("../../../shaders/shared/fold_lanes.wgsl")
    ),
};

/// What a driver may do with a workgroup that does not fill its subgroups, asked of one by lanes that take no part.
#[test]
fn subgroups_of_any_lanes_are_summed_whole() {
    if !gpu().device.features().contains(wgpu::Features::SUBGROUP) {
        eprintln!("not checked: the adapter has no subgroups");
        return;
    }
    let mut packed_otherwise = 0;
    for lanes in [1, 2, 4, 16, 64, 256] {
        for before in [lanes, lanes / 2 + 1, 3] {
            for but_each in [1024, 3, 2] {
                let params = TakingPart {
                    before: before as u32,
                    but_each,
                };
                let variant = Variant::new().set("LANES", lanes as i64).set("SUBGROUP", 1);
                let call = Call::new(SUBGROUPS, variant, &params, 1).unwrap();
                let call = call.bind("terms_of", Access::Read, 2 * lanes);
                let call = call.bind("sums", Access::Write, 2 * lanes);
                // Whole numbers, so that the sums are exact.
                let terms: Vec<f32> = (0..2 * lanes).map(|i| (i * i % 251 + 1) as f32).collect();
                let sums = execute(&call, &[&terms]).remove(0);
                let takes_part = |lane: usize| lane < before && lane % but_each as usize != 1;
                for lane in 0..lanes {
                    let together = |other: &usize| {
                        takes_part(*other) && sums[2 * other + 1] == sums[2 * lane + 1]
                    };
                    let want: f32 = (0..lanes).filter(together).map(|it| terms[2 * it]).sum();
                    let want = if takes_part(lane) { want } else { 0.0 };
                    let what = format!("lane {lane} of {lanes}, {before}, {but_each}");
                    assert_eq!(sums[2 * lane], want, "{what}");
                    packed_otherwise += usize::from(!takes_part(lane));
                }
            }
        }
    }
    assert!(packed_otherwise > 0);
}
