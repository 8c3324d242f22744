//! The gradients with cooperative matrices, on adapters that have them.

use super::forward_matrix::{check_all, exact, filters_of, sides, tolerance};
use super::grad_input::{Problem, epilogues};
use super::{MappedGradient, SEED, shapes, tails};
use kernels_tests::Reference;
use kernels_tests::conv::{self as reference, Conv2dShape};
use kernels_tests::harness::{execute_as_is, pad, unpad};
use kernels_tests::layout::{filters, unfilters};
use kernels_tests::random::Draw;
use kinesic::gpu::Precision;
use kinesic::kernels::conv::{Conv2dGradInput, Conv2dGradWeight, GradInputEpilogue};
use kinesic::kernels::padded;

/// Half a step of what is stored or multiplied in this precision.
fn rounding(precision: Precision) -> f64 {
    match precision {
        Precision::F16 => f64::powi(2.0, -11),
        Precision::F32 => 0.0,
    }
}

/// What sums of so many products may be off.
pub(super) fn allowed(want: &Reference, depth: usize) -> Vec<f64> {
    let sizes = want.magnitude.iter();
    sizes.map(|size| tolerance(depth, *size)).collect()
}

/// The same where the values are stored: half a step more, or half of the smallest.
pub(super) fn stored(want: &Reference, sums: &[f64], precision: Precision) -> Vec<f64> {
    let half = rounding(precision);
    let each = sums.iter().zip(&want.value);
    each.map(|(sum, value)| (1.0 + half) * sum + half * value.abs() + f64::powi(2.0, -25))
        .collect()
}

/// The same where one factor is rounded as it is multiplied, too.
pub(super) fn rounded(want: &Reference, sums: Vec<f64>, precision: Precision) -> Vec<f64> {
    let each = sums.into_iter().zip(&want.magnitude);
    // Below the smallest of f16 the step is absolute; no product here has a factor above 8.
    each.map(|(sum, size)| sum + rounding(precision) * (size + f64::powi(2.0, -11)))
        .collect()
}

/// Shapes and tails; none where there are no matrices, as references take their time.
pub(super) fn problems() -> Vec<Conv2dShape> {
    if sides().is_empty() {
        return Vec::new();
    }
    shapes().into_iter().chain(tails()).collect()
}

fn grad_input_of(shape: Conv2dShape, epilogue: GradInputEpilogue) -> Conv2dGradInput {
    Conv2dGradInput {
        epilogue,
        ..Conv2dGradInput::new(shape.into(), false)
    }
}

/// The totals of the groups' column sums, each known to what its terms are.
fn check_column_sums(
    what: &str,
    problem: &Problem,
    (want, sums): (&Reference, &[f64]),
    groups: usize,
    partials: &[f32],
) {
    let channels = problem.shape.c;
    assert_eq!(partials.len(), groups * 2 * padded(channels), "{what}");
    let total = |part: usize, c: usize| -> f64 {
        let rows = partials
            .chunks_exact(padded(channels))
            .skip(part)
            .step_by(2);
        rows.map(|row| f64::from(row[c])).sum()
    };
    let expected = problem.column_sums(want);
    for (part, expected) in expected.iter().enumerate() {
        for c in 0..channels {
            let terms = (c..want.value.len()).step_by(channels);
            let off: f64 = terms
                .clone()
                .map(|i| sums[i] * if part == 0 { 1.0 } else { problem.far(i) })
                .sum();
            let allowed = off + tolerance(64 + terms.len(), expected.magnitude[c]);
            let got = total(part, c);
            let right = (got - expected.value[c]).abs() <= allowed;
            assert!(
                right,
                "{what}: sum {part} of channel {c} is {got}, not {} ± {allowed}",
                expected.value[c]
            );
        }
    }
}

#[test]
fn grad_input_matches_reference_with_every_epilogue() {
    for (index, shape) in problems().into_iter().enumerate() {
        let mut problem = Problem::drawn(index, shape);
        problem.exact();
        for epilogue in epilogues().skip(index % 3).step_by(3) {
            let want = problem.grad_x(epilogue);
            for (precision, side) in sides() {
                let what = format!("seed {SEED}, {precision:?} {side}, {epilogue:?}, {shape:?}");
                let kernel = grad_input_of(shape, epilogue);
                let mut inputs = problem.inputs(epilogue);
                inputs[1] = filters_of(side, std::mem::take(&mut inputs[1]));
                let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
                let got =
                    execute_as_is(&kernel.call_in_matrices(precision, side).unwrap(), &inputs);
                let sums = allowed(&want, shape.r * shape.s * shape.k + 1);
                let grad_x = unpad(&what, &got[0], shape.c);
                check_all(
                    &what,
                    &grad_x,
                    &want.value,
                    &stored(&want, &sums, precision),
                );
                if epilogue.reduce {
                    let groups = kernel.groups_in_matrices();
                    check_column_sums(&what, &problem, (&want, &sums), groups, &got[1]);
                }
            }
        }
    }
}

#[test]
fn a_mask_from_the_map_is_that_of_the_rectified_output() {
    for (index, shape) in problems().into_iter().enumerate().skip(2).take(4) {
        let mut problem = Problem::drawn(index, shape);
        problem.exact();
        let mut draw = Draw::new("mask map", index as u64);
        let (map, statistics) = problem.map(&mut draw);
        problem.rectify(&map);
        for (precision, side) in sides() {
            let run = |mask_map: bool| {
                let epilogue = GradInputEpilogue {
                    add: index % 2 > 0,
                    mask: !mask_map,
                    mask_map,
                    reduce: true,
                };
                let mut inputs = problem.inputs(GradInputEpilogue {
                    mask: !mask_map,
                    ..epilogue
                });
                *inputs.last_mut().unwrap() = statistics.clone();
                inputs[1] = filters_of(side, std::mem::take(&mut inputs[1]));
                if !mask_map {
                    inputs.last_mut().unwrap().truncate(2 * padded(shape.c));
                }
                let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
                let kernel = grad_input_of(shape, epilogue);
                execute_as_is(&kernel.call_in_matrices(precision, side).unwrap(), &inputs)
            };
            assert_eq!(run(true), run(false), "{precision:?} {side}, {shape:?}");
        }
    }
}

#[test]
fn mapped_gradients_are_those_of_the_map() {
    for (index, shape) in problems().into_iter().enumerate() {
        let mut problem = Problem::drawn(index, shape);
        problem.exact();
        let mut draw = Draw::new("mapped", index as u64);
        let z_y = exact(draw.tensor(shape.output_len(), 1.0));
        let rows = [1.0, 0.5, 0.25].map(|size| draw.tensor(shape.k, size));
        let x = exact(draw.tensor(shape.input_len(), 1.0));
        let mapped = MappedGradient::new(&problem.grad_y, &z_y, &rows);
        let absolute = |values: &[f64]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
        let mut grad_x = reference::conv2d_grad_input(&shape, &mapped.value, &problem.weight);
        grad_x.magnitude =
            reference::conv2d_grad_input(&shape, &mapped.magnitude, &absolute(&problem.weight))
                .value;
        let mut grad_weight = reference::conv2d_grad_weight(&shape, &x, &mapped.value);
        grad_weight.magnitude =
            reference::conv2d_grad_weight(&shape, &absolute(&x), &mapped.magnitude).value;
        let coefficients = rows.each_ref().map(|row| pad(row, shape.k)).concat();
        let (grad_y, z_y) = (pad(&problem.grad_y, shape.k), pad(&z_y, shape.k));
        for (precision, side) in sides() {
            let what = format!("mapped, {precision:?} {side}, {shape:?}");
            let kernel = Conv2dGradInput {
                mapped: true,
                ..Conv2dGradInput::new(shape.into(), false)
            };
            let weight = filters_of(side, filters(&shape, &problem.weight));
            let inputs: [&[f32]; 4] = [&grad_y, &weight, &z_y, &coefficients];
            let got = execute_as_is(&kernel.call_in_matrices(precision, side).unwrap(), &inputs);
            let sums = allowed(&grad_x, 3 * shape.r * shape.s * shape.k);
            let sums = rounded(&grad_x, sums, precision);
            let values = unpad(&what, &got[0], shape.c);
            check_all(
                &what,
                &values,
                &grad_x.value,
                &stored(&grad_x, &sums, precision),
            );

            let kernel = Conv2dGradWeight {
                mapped: true,
                ..Conv2dGradWeight::new(shape.into(), false)
            };
            let inputs: [&[f32]; 4] = [&pad(&x, shape.c), &grad_y, &z_y, &coefficients];
            let got = both(&shape, &what, &kernel, (precision, side), &inputs);
            let sums = allowed(&grad_weight, 3 * shape.n * shape.out_h() * shape.out_w());
            let sums = rounded(&grad_weight, sums, precision);
            check_all(&what, &got, &grad_weight.value, &sums);
        }
    }
}

/// The gradient of the filters, both dispatches.
pub(super) fn both(
    shape: &Conv2dShape,
    what: &str,
    kernel: &Conv2dGradWeight,
    (precision, side): (Precision, usize),
    inputs: &[&[f32]],
) -> Vec<f32> {
    let [first, second] = kernel.calls_in_matrices(precision, side).unwrap();
    let partial = execute_as_is(&first, inputs);
    unfilters(what, shape, &execute_as_is(&second, &[&partial[0]])[0])
}

#[test]
fn grad_weight_matches_reference_and_repeats_bit_for_bit() {
    for (index, shape) in problems().into_iter().enumerate() {
        let mut draw = Draw::new(&format!("grad weight {index}"), SEED);
        let x = exact(draw.tensor(shape.input_len(), 1.0));
        let grad_y = exact(draw.tensor(shape.output_len(), 1.0));
        let want = reference::conv2d_grad_weight(&shape, &x, &grad_y);
        let kernel = Conv2dGradWeight::new(shape.into(), false);
        for side in sides() {
            let what = format!("seed {SEED}, {side:?}, {shape:?}");
            let inputs: [&[f32]; 2] = [&pad(&x, shape.c), &pad(&grad_y, shape.k)];
            let got = both(&shape, &what, &kernel, side, &inputs);
            let sums = allowed(&want, shape.n * shape.out_h() * shape.out_w());
            check_all(&what, &got, &want.value, &sums);
            let again = both(&shape, &what, &kernel, side, &inputs);
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(&again), "{what}");
        }
    }
}

#[test]
fn touch_what_the_base_kernels_touch() {
    let shape = shapes()[3];
    for epilogue in epilogues() {
        let kernel = grad_input_of(shape, epilogue);
        let base = kernel.call().unwrap().stored(Precision::F16);
        for side in [8, 16] {
            let call = kernel.call_in_matrices(Precision::F16, side).unwrap();
            let all_but_groups = call.extents.len() - 1;
            let mut extents = call.extents.clone();
            extents[1].bytes *= if side == 16 { 2 } else { 1 };
            assert_eq!(extents[..all_but_groups], base.extents[..all_but_groups]);
            let groups = u64::from(epilogue.reduce) * kernel.groups_in_matrices() as u64;
            assert_eq!(
                call.extents[all_but_groups].bytes,
                groups * 8 * padded(shape.c) as u64
            );
            assert_eq!(call.flops, base.flops);
        }
    }
    let kernel = Conv2dGradWeight::new(shape.into(), false);
    let [base, _] = kernel.calls().unwrap();
    let [call, sum] = kernel.calls_in_matrices(Precision::F16, 16).unwrap();
    let base = base.stored(Precision::F16);
    for name in ["x", "grad_y", "z_y", "coefficients"] {
        let of = |call: &kinesic::kernels::Call| {
            let extent = call.extents.iter().find(|extent| extent.name == name);
            *extent.unwrap()
        };
        assert_eq!(of(&call), of(&base));
    }
    assert_eq!(sum.extents[0].bytes, call.extents[2].bytes);
}

#[test]
fn reject_sides_that_there_are_not() {
    let shape = shapes()[3].into();
    for (precision, side) in [(Precision::F32, 16), (Precision::F16, 4)] {
        let kernel = Conv2dGradInput::new(shape, false);
        assert!(kernel.call_in_matrices(precision, side).is_err());
        let kernel = Conv2dGradWeight::new(shape, false);
        assert!(kernel.calls_in_matrices(precision, side).is_err());
    }
}
