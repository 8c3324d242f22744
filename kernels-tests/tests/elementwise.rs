//! Element by element kernels against their references.

use kernels_tests::elementwise as reference;
use kernels_tests::harness::{compare, execute, execute_as_is, gpu, pad, unpad, ways};
use kernels_tests::random::Draw;
use kinesic::gpu::Precision;
use kinesic::kernels::KernelError;
use kinesic::kernels::elementwise::{Add, BiasAdd, BiasGrad, Dropout, Relu, ReluGrad};
use kinesic::kernels::optim::Optimizer;

/// 1, a prime, and one less and one more than the 64 and the 256 `vec4`s that a workgroup does.
const COUNTS: [usize; 8] = [1, 63, 64, 65, 255, 256, 257, 1009];

/// Rows and channels: single ones, 7 to 9 rows around the 8 of an invocation, 31 to 33 around the rows of a group, primes, more
/// groups than the 64 lanes of a finish, and two layers of VGG-16 at 112 (batch 1 of the first, batch 16 of the classifier).
const ROWS: [(usize, usize); 12] = [
    (1, 1),
    (7, 4),
    (8, 5),
    (9, 3),
    (31, 16),
    (32, 8),
    (33, 7),
    (997, 13),
    (2053, 12),
    (5003, 2),
    (12544, 64),
    (16, 4096),
];

fn drawn(len: usize, phase: f32) -> Vec<f32> {
    (0..len)
        .map(|i| (i as f32 * 0.731 + phase).sin() * 3.0)
        .collect()
}

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

mod relu {
    use super::*;

    #[test]
    fn equals_its_formula() {
        for len in COUNTS.map(|count| count * 4) {
            let mut x = drawn(len, 0.0);
            x[0] = -0.0;
            let y = execute(&Relu { len }.call().unwrap(), &[&x]);
            let want: Vec<f32> = x.iter().map(|&x| if x > 0.0 { x } else { 0.0 }).collect();
            assert_eq!(y[0], want, "len {len}");
        }
    }

    #[test]
    fn rejects_lengths_that_are_not_whole_vectors() {
        for len in [0, 3, 5] {
            let error = Relu { len }.call().unwrap_err();
            assert!(matches!(error, KernelError::Argument { .. }), "{error}");
        }
    }
}

mod relu_grad {
    use super::*;

    #[test]
    fn passes_the_gradient_where_the_output_is_positive() {
        for len in COUNTS.map(|count| count * 4) {
            let grad_y = drawn(len, 1.0);
            let y: Vec<f32> = drawn(len, 0.0).iter().map(|x| x.max(0.0)).collect();
            let grad_x = execute(&ReluGrad { len }.call().unwrap(), &[&grad_y, &y]);
            let want: Vec<f32> = grad_y
                .iter()
                .zip(&y)
                .map(|(&g, &y)| if y > 0.0 { g } else { 0.0 })
                .collect();
            assert_eq!(grad_x[0], want, "len {len}");
        }
    }

    #[test]
    fn rejects_lengths_that_are_not_whole_vectors() {
        assert!(ReluGrad { len: 6 }.call().is_err());
    }
}

mod add {
    use super::*;

    #[test]
    fn matches_reference_on_drawn_values() {
        for (seed, count) in COUNTS.into_iter().enumerate() {
            let len = 4 * count;
            let mut draw = Draw::new("add", seed as u64);
            let (a, b) = (draw.tensor(len, 3.0), draw.tensor(len, 3.0));
            for relu in [false, true] {
                let call = Add { len, relu }.call().unwrap();
                let y = execute(&call, &[&f32s(&a), &f32s(&b)]);
                let want = if relu {
                    reference::add_relu(&a, &b)
                } else {
                    reference::add(&a, &b)
                };
                // One rounding; the tolerance of a sum of one term is 8 of them.
                compare(
                    &format!("len {len} relu {relu} seed {seed}"),
                    &y[0],
                    &want,
                    1,
                );
            }
        }
    }

    /// What training in f16 finds an overflow by.
    #[test]
    fn overflows_to_infinity_in_f16() {
        if !gpu().can_store(Precision::F16) {
            eprintln!("skipped: the adapter has no shader-f16");
            return;
        }
        let call = Add {
            len: 4,
            relu: false,
        };
        let call = call.call().unwrap().stored(Precision::F16);
        let a = [60000.0, -60000.0, 60000.0, 1.0];
        let y = execute_as_is(&call, &[&a, &[60000.0, -60000.0, 1.0, 1.0]]);
        assert_eq!(y[0], [f32::INFINITY, f32::NEG_INFINITY, 60000.0, 2.0]);
    }

    #[test]
    fn rejects_lengths_that_are_not_whole_vectors() {
        for len in [0, 2] {
            let error = Add { len, relu: false }.call().unwrap_err();
            assert!(matches!(error, KernelError::Argument { .. }), "{error}");
        }
    }
}

mod bias_add {
    use super::*;

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for (seed, (rows, channels)) in ROWS.into_iter().enumerate() {
            let mut draw = Draw::new("bias_add", seed as u64);
            let x = draw.tensor(rows * channels, 3.0);
            let bias = draw.tensor(channels, 3.0);
            let mut want = reference::bias_add(&x, &bias);
            for relu in [false, true] {
                let what = format!("{rows} x {channels} relu {relu} seed {seed}");
                let call = BiasAdd {
                    rows,
                    channels,
                    relu,
                };
                let inputs = [pad(&x, channels), pad(&bias, channels)];
                let y = execute(&call.call().unwrap(), &[&inputs[0], &inputs[1]]);
                if relu {
                    want.value.iter_mut().for_each(|y| *y = y.max(0.0));
                }
                compare(&what, &unpad(&what, &y[0], channels), &want, 1);
            }
        }
    }

    #[test]
    fn rejects_empty_and_too_large_shapes() {
        let call = |rows, channels| {
            let relu = false;
            BiasAdd {
                rows,
                channels,
                relu,
            }
            .call()
        };
        for (rows, channels, name) in [(0, 4, "rows"), (4, 0, "channels")] {
            let error = call(rows, channels).unwrap_err();
            let named = matches!(error, KernelError::Argument { name: found, .. } if found == name);
            assert!(named, "{error}");
        }
        for (rows, channels) in [(1 << 20, 4097), (1, usize::MAX), (usize::MAX, 8)] {
            let error = call(rows, channels).unwrap_err();
            assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
        }
    }
}

mod bias_grad {
    use super::*;

    fn run(rows: usize, channels: usize, grad_y: &[f32]) -> Vec<f32> {
        let kernel = BiasGrad { rows, channels };
        let partials = execute(&kernel.reduce().unwrap(), &[grad_y]);
        assert_eq!(partials[0].len(), kernel.partials_len());
        execute(&kernel.finish().unwrap(), &[&partials[0]]).remove(0)
    }

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for (seed, (rows, channels)) in ROWS.into_iter().enumerate() {
            let mut draw = Draw::new("bias_grad", seed as u64);
            let grad_y = draw.tensor(rows * channels, 3.0);
            let got = run(rows, channels, &pad(&grad_y, channels));
            let what = format!("{rows} x {channels} seed {seed}");
            let want = reference::column_sums(&grad_y, channels);
            compare(&what, &unpad(&what, &got, channels), &want, rows);
        }
    }

    #[test]
    fn is_finished_alike_in_each_way_for_any_number_of_groups() {
        // Of 32 rows each; around the lanes that finish them.
        for groups in [1, 2, 7, 16, 17, 64, 128, 129, 255, 512, 513, 2000] {
            let kernel = BiasGrad {
                rows: 32 * groups,
                channels: 4,
            };
            let mut draw = Draw::new("bias_grad finish", groups as u64);
            let partials = draw.tensor(kernel.partials_len(), 3.0);
            let want = reference::column_sums(&partials, 4);
            for call in ways(&kernel.finish().unwrap()) {
                let run = || execute(&call, &[&pad(&partials, 4)]).remove(0);
                let got = run();
                compare(
                    &format!("{groups} groups, {}", call.variant),
                    &got,
                    &want,
                    groups,
                );
                assert_eq!(run(), got, "{groups} groups, {}: other bits", call.variant);
            }
        }
    }

    #[test]
    fn repeats_bit_for_bit() {
        let grad_y = drawn(10007 * 8, 0.5);
        let first = run(10007, 8, &grad_y);
        for _ in 0..3 {
            assert_eq!(run(10007, 8, &grad_y), first);
        }
    }

    #[test]
    fn rejects_empty_and_too_large_shapes() {
        for (rows, channels) in [(0, 4), (4, 0), (1 << 30, 8)] {
            let kernel = BiasGrad { rows, channels };
            assert!(kernel.reduce().is_err(), "{kernel:?}");
            assert!(kernel.finish().is_err(), "{kernel:?}");
        }
    }
}

mod dropout {
    use super::*;

    fn schedule(step: u64, seed: u32) -> Vec<f32> {
        let words = Optimizer::Adam(Default::default()).schedule(1e-3, step, seed);
        words.map(f32::from_bits).to_vec()
    }

    fn run(rate: f64, stream: u32, step: u64, seed: u32, x: &[f32]) -> Vec<f32> {
        let len = x.len();
        let call = Dropout { len, rate, stream }.call().unwrap();
        execute(&call, &[&schedule(step, seed), x]).remove(0)
    }

    /// MurmurHash3's finaliser over index, stream, step and seed, added one after the other.
    fn keeps(rate: f64, stream: u32, step: u32, seed: u32, index: u32) -> bool {
        let hash = [stream, step, seed, 0].into_iter().fold(index, |h, word| {
            let h = (h ^ (h >> 16)).wrapping_mul(0x85EB_CA6B);
            let h = (h ^ (h >> 13)).wrapping_mul(0xC2B2_AE35);
            (h ^ (h >> 16)).wrapping_add(word)
        });
        f64::from(hash) >= (rate * f64::powi(2.0, 32)).floor()
    }

    #[test]
    fn equals_its_formula() {
        for (draw, len) in COUNTS.map(|count| 4 * count).into_iter().enumerate() {
            let (rate, stream, seed) = ([0.5, 0.1, 0.9, 0.0, 0.25][draw % 5], 3, 0xDEAD_BEEF);
            let step = 0xFFFF_FFF0 + draw as u64;
            let x = drawn(len, 2.0);
            let y = run(rate, stream, step, seed, &x);
            let scale = (1.0 / (1.0 - rate)) as f32;
            let want: Vec<f32> = x
                .iter()
                .zip(0..)
                .map(
                    |(&x, index)| match keeps(rate, stream, step as u32, seed, index) {
                        true => x * scale,
                        false => 0.0,
                    },
                )
                .collect();
            assert_eq!(y, want, "len {len} rate {rate}");
        }
    }

    #[test]
    fn keeps_its_share_and_draws_anew_for_each_step_seed_and_stream() {
        let len = 1 << 16;
        let ones = vec![1.0; len];
        let mask = |stream, step, seed| -> Vec<bool> {
            let y = run(0.5, stream, step, seed, &ones);
            assert!(y.iter().all(|&y| y == 0.0 || y == 2.0));
            y.iter().map(|&y| y > 0.0).collect()
        };
        let masks = [mask(1, 7, 9), mask(2, 7, 9), mask(1, 8, 9), mask(1, 7, 10)];
        assert_eq!(masks[0], mask(1, 7, 9));
        // Counts of fair coins: six standard deviations are 6 √len / 2.
        let fair =
            |count: usize| (count as f64 - len as f64 / 2.0).abs() < 3.0 * (len as f64).sqrt();
        for (index, mask) in masks.iter().enumerate() {
            assert!(fair(mask.iter().filter(|&&kept| kept).count()), "{index}");
            for other in &masks[..index] {
                let agree = mask.iter().zip(other).filter(|(a, b)| a == b).count();
                assert!(fair(agree), "{agree} of {len} agree");
            }
        }
    }

    #[test]
    fn rejects_rates_outside_its_range_and_broken_lengths() {
        let call = |len, rate| {
            let stream = 0;
            Dropout { len, rate, stream }.call()
        };
        for rate in [-0.1, 1.0, f64::NAN] {
            let error = call(4, rate).unwrap_err();
            assert!(matches!(error, KernelError::Constant { .. }), "{error}");
        }
        for len in [0, 6] {
            let error = call(len, 0.5).unwrap_err();
            assert!(matches!(error, KernelError::Argument { .. }), "{error}");
        }
    }
}
