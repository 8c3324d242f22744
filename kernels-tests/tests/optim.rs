//! Optimiser kernels against their references.

use kernels_tests::harness::{compare, execute};
use kernels_tests::optim as reference;
use kernels_tests::random::Draw;
use kinesic::kernels::KernelError;
use kinesic::kernels::optim::{
    AdamConstants, GradientCheck, INITIAL_SCALING, LossScale, Optimizer, SCALING, SCHEDULE,
};

/// 1, workgroup - 1, workgroup, workgroup + 1 and a prime, in vec4s, and a layer of ResNet-50.
const LENGTHS: [usize; 6] = [4, 252, 256, 260, 4 * 1009, 2048 * 512];

fn f32s(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// The learning rate as the kernel sees it.
fn rounded(lr: f64) -> f64 {
    f64::from(lr as f32)
}

/// One step of the kernel: the parameters, then the moments.
fn run(
    optimizer: Optimizer,
    lr: f64,
    step: u64,
    gradient: &[f32],
    state: &[Vec<f32>],
) -> Vec<Vec<f32>> {
    let call = optimizer.call(gradient.len(), false).unwrap();
    let schedule = optimizer.schedule(lr, step, 0).map(f32::from_bits);
    let mut inputs = vec![&schedule[..], gradient];
    inputs.extend(state.iter().map(|values| &values[..]));
    execute(&call, &inputs)
}

mod adam {
    use super::*;

    fn both(weight_decay: f64) -> [(Optimizer, bool); 2] {
        let constants = AdamConstants {
            weight_decay,
            ..Default::default()
        };
        [
            (Optimizer::Adam(constants), false),
            (Optimizer::AdamW(constants), true),
        ]
    }

    fn check(optimizer: Optimizer, decoupled: bool, weight_decay: f64, len: usize, seed: u64) {
        let mut draw = Draw::new("adam", seed);
        let lr = rounded(1e-3);
        let step = draw.int(0..=2000) as u64;
        let (parameter, gradient) = (draw.tensor(len, 1.0), draw.tensor(len, 0.5));
        let first = draw.tensor(len, 0.1);
        let second: Vec<f64> = f64s(&f32s(&draw.tensor(len, 0.1)))
            .iter()
            .map(|v| v.abs())
            .collect();
        let state = [&parameter, &first, &second].map(|values| f32s(values));
        let got = run(optimizer, lr, step, &f32s(&gradient), &state);
        let want = reference::Adam {
            lr,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay,
            decoupled,
        }
        .step(step as u32 + 1, &parameter, &gradient, &first, &second);
        let what = format!("{optimizer:?} len {len} step {step} seed {seed}");
        // Some ten roundings between the inputs and each output.
        compare(
            &format!("parameter of {what}"),
            &got[0],
            &want.parameter,
            10,
        );
        compare(&format!("moment1 of {what}"), &got[1], &want.first, 10);
        compare(&format!("moment2 of {what}"), &got[2], &want.second, 10);
    }

    #[test]
    fn and_adamw_match_reference() {
        for (seed, len) in (0..).zip(LENGTHS) {
            for weight_decay in [0.0, 0.05] {
                for (optimizer, decoupled) in both(weight_decay) {
                    check(optimizer, decoupled, weight_decay, len, seed);
                }
            }
        }
    }

    #[test]
    fn follows_the_reference_over_a_run_of_its_own_states() {
        let len = 64;
        let mut draw = Draw::new("adam run", 1);
        let reference = reference::Adam {
            lr: rounded(1e-2),
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
        };
        let mut state = vec![f32s(&draw.tensor(len, 1.0)), vec![0.0; len], vec![0.0; len]];
        for step in 0..5 {
            let gradient = draw.tensor(len, 1.0);
            let [p, m, v] = [0, 1, 2].map(|index| f64s(&state[index]));
            let want = reference.step(step + 1, &p, &gradient, &m, &v);
            let optimizer = Optimizer::Adam(Default::default());
            state = run(optimizer, 1e-2, step.into(), &f32s(&gradient), &state);
            compare(&format!("step {step}"), &state[0], &want.parameter, 10);
        }
    }

    #[test]
    fn leaves_padding_at_zero() {
        for (optimizer, _) in both(0.01) {
            let zeros = vec![0.0; 8];
            let got = run(
                optimizer,
                1e-3,
                0,
                &zeros,
                &[zeros.clone(), zeros.clone(), zeros.clone()],
            );
            assert_eq!(got, [&zeros[..], &zeros, &zeros]);
        }
    }

    #[test]
    fn rejects_constants_outside_their_ranges() {
        let good = AdamConstants::default();
        let broken = [
            ("beta1", AdamConstants { beta1: 1.0, ..good }),
            (
                "beta1",
                AdamConstants {
                    beta1: f64::NAN,
                    ..good
                },
            ),
            (
                "beta2",
                AdamConstants {
                    beta2: -0.1,
                    ..good
                },
            ),
            ("eps", AdamConstants { eps: 0.0, ..good }),
            ("eps", AdamConstants { eps: 1e-60, ..good }),
            (
                "weight_decay",
                AdamConstants {
                    weight_decay: -1.0,
                    ..good
                },
            ),
            (
                "weight_decay",
                AdamConstants {
                    weight_decay: f64::INFINITY,
                    ..good
                },
            ),
        ];
        for (wanted, constants) in broken {
            for optimizer in [Optimizer::Adam(constants), Optimizer::AdamW(constants)] {
                let error = optimizer.call(4, false).unwrap_err();
                let named = matches!(error, KernelError::Constant { name, .. } if name == wanted);
                assert!(named, "{error}");
            }
        }
    }

    #[test]
    fn rejects_lengths_that_are_not_whole_vectors() {
        rejects_lengths(Optimizer::Adam(Default::default()));
    }
}

mod sgd {
    use super::*;

    fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> Optimizer {
        Optimizer::Sgd {
            momentum,
            nesterov,
            weight_decay,
        }
    }

    #[test]
    fn matches_reference() {
        for (seed, len) in (0..).zip(LENGTHS) {
            for (momentum, nesterov, weight_decay) in [
                (0.0, false, 0.0),
                (0.0, false, 0.01),
                (0.9, false, 0.0),
                (0.9, false, 0.01),
                (0.9, true, 0.01),
            ] {
                let mut draw = Draw::new("sgd", seed);
                let (parameter, gradient) = (draw.tensor(len, 1.0), draw.tensor(len, 0.5));
                let direction = draw.tensor(len, 0.5);
                let lr = rounded(0.1);
                let optimizer = sgd(momentum, nesterov, weight_decay);
                let state = [f32s(&parameter), f32s(&direction)];
                let got = run(optimizer, lr, 7, &f32s(&gradient), &state);
                let want = reference::Sgd {
                    lr,
                    momentum,
                    nesterov,
                    weight_decay,
                }
                .step(&parameter, &gradient, &direction);
                let what = format!("{optimizer:?} len {len} seed {seed}");
                compare(&format!("parameter of {what}"), &got[0], &want.parameter, 4);
                compare(&format!("moment1 of {what}"), &got[1], &want.direction, 4);
            }
        }
    }

    #[test]
    fn takes_the_gradient_as_the_first_direction_whatever_the_buffer_holds() {
        let gradient = [1.0, -2.0, 3.0, 0.0];
        let state = [vec![0.0; 4], vec![f32::NAN; 4]];
        let got = run(sgd(0.5, false, 0.0), 0.25, 0, &gradient, &state);
        assert_eq!(got[1], gradient);
        assert_eq!(got[0], [-0.25, 0.5, -0.75, 0.0]);
    }

    #[test]
    fn rejects_constants_outside_their_ranges() {
        let broken = [
            ("momentum", sgd(1.0, false, 0.0)),
            ("momentum", sgd(f64::NAN, false, 0.0)),
            ("momentum", sgd(0.0, true, 0.0)),
            ("weight_decay", sgd(0.9, false, -0.1)),
        ];
        for (wanted, optimizer) in broken {
            let error = optimizer.call(4, false).unwrap_err();
            let named = matches!(error, KernelError::Constant { name, .. } if name == wanted);
            assert!(named, "{error}");
        }
    }

    #[test]
    fn rejects_lengths_that_are_not_whole_vectors() {
        rejects_lengths(sgd(0.9, false, 0.0));
    }
}

mod schedule {
    use super::*;

    #[test]
    fn holds_the_words_of_its_table() {
        let adam = Optimizer::Adam(Default::default());
        let words = adam.schedule(0.5, (1 << 32) + 2, 77);
        assert_eq!(words.len(), SCHEDULE);
        // beta1^t is 0 in f64 by then.
        assert_eq!(
            words[..4]
                .iter()
                .map(|&word| f32::from_bits(word))
                .collect::<Vec<_>>(),
            [0.5, 1.0, 1.0, 0.0]
        );
        assert_eq!(words[4..], [2, 77, 0, 0]);
    }

    #[test]
    fn corrects_the_bias_in_f64() {
        let words = Optimizer::Adam(Default::default()).schedule(1e-4, 0, 0);
        let [lr, inverse1, inverse2, first] =
            [0, 1, 2, 3].map(|index| f32::from_bits(words[index]));
        assert_eq!((lr, first), (1e-4, 1.0));
        // 1 / (1 - 0.9) and 1 / √(1 - 0.999), each rounded once.
        assert_eq!(inverse1, (1.0 / (1.0 - 0.9_f64)) as f32);
        assert_eq!(inverse2, (1.0 / (1.0 - 0.999_f64).sqrt()) as f32);
    }
}

fn rejects_lengths(optimizer: Optimizer) {
    for len in [0, 6] {
        let error = optimizer.call(len, false).unwrap_err();
        assert!(
            matches!(error, KernelError::Argument { name: "len", .. }),
            "{error}"
        );
    }
    let error = optimizer.call(1 << 33, false).unwrap_err();
    assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
}

mod gradient_check {
    use super::*;

    /// The groups' flags, from the third group on.
    fn flags(gradient: &[f32]) -> Vec<u32> {
        let check = GradientCheck {
            len: gradient.len(),
            first: 2,
        };
        let before = vec![f32::from_bits(7); 2 + check.groups()];
        let after = execute(&check.call().unwrap(), &[gradient, &before]).remove(0);
        let words: Vec<u32> = after.iter().map(|value| value.to_bits()).collect();
        assert_eq!(words[..2], [7, 7]);
        words[2..].to_vec()
    }

    #[test]
    fn finds_what_is_not_finite_wherever_it_is() {
        // A group has 4096 values.
        for len in [4, 4092, 4096, 4100, 4 * 4096 + 8] {
            let mut gradient = f32s(&Draw::new("check", len as u64).tensor(len, 1e4));
            gradient[0] = f32::MAX;
            assert!(flags(&gradient).iter().all(|&flag| flag == 0), "len {len}");
            for place in [0, 1, len / 2, len - 1] {
                for broken in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
                    let mut gradient = gradient.clone();
                    gradient[place] = broken;
                    let want =
                        (0..len.div_ceil(4096)).map(|group| u32::from(group == place / 4096));
                    assert_eq!(
                        flags(&gradient),
                        want.collect::<Vec<_>>(),
                        "{broken} at {place}"
                    );
                }
            }
        }
    }

    #[test]
    fn rejects_lengths_that_are_not_whole_vectors() {
        for len in [0, 3, 6] {
            assert!(GradientCheck { len, first: 0 }.call().is_err());
        }
    }
}

mod loss_scale {
    use super::*;

    const ADAM: Optimizer = Optimizer::Adam(AdamConstants {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
    });

    fn after(scaling: &[f32], broken: &[u32], interval: u32) -> Vec<f32> {
        let call = LossScale {
            groups: broken.len(),
            interval,
            optimizer: ADAM,
        };
        let broken: Vec<f32> = broken.iter().map(|&word| f32::from_bits(word)).collect();
        execute(&call.call().unwrap(), &[&broken, scaling]).remove(0)
    }

    #[test]
    fn follows_the_reference_over_good_and_bad_steps() {
        let mut draw = Draw::new("loss scale", 3);
        let mut scaling = INITIAL_SCALING.to_vec();
        let mut want = reference::LossScale {
            scale: 65536.0,
            streak: 0,
            taken: 0,
        };
        for step in 0..60 {
            // 1, 63 to 65 and more groups than a workgroup has lanes; the bad one anywhere.
            let groups = draw.pick(&[1, 63, 64, 65, 130, 1000]);
            let mut broken = vec![0; groups];
            let finite = draw.chance(0.8);
            if !finite {
                broken[draw.int(0..=groups - 1)] = 1;
            }
            let before = scaling[0];
            scaling = after(&scaling, &broken, 3);
            want = want.after(finite, 3);
            assert_eq!(f64::from(scaling[0]), want.scale, "step {step}");
            assert_eq!(scaling[1], 1.0 / before, "step {step}");
            assert_eq!(scaling[2], f32::from(u8::from(!finite)), "step {step}");
            assert_eq!(scaling[3], want.streak as f32, "step {step}");
            if want.taken > 0 {
                // A product and a sum of positive terms a step.
                let slack = 4.0 * f64::from(want.taken) * f64::powi(2.0, -24);
                let corrections = [0.9, 0.999].map(|beta| want.correction(beta));
                let factors = [1.0 / corrections[0], 1.0 / corrections[1].sqrt()];
                let pairs = scaling[4..]
                    .iter()
                    .zip(corrections.into_iter().chain(factors));
                for (&got, want) in pairs {
                    let off = (f64::from(got) - want).abs() / want;
                    assert!(off <= slack, "step {step}: {got}, want {want}");
                }
            }
        }
        assert!(want.taken > 30 && want.taken < 60);
    }

    #[test]
    fn stays_between_1_and_2_to_the_24() {
        let mut scaling = INITIAL_SCALING.to_vec();
        for _ in 0..20 {
            scaling = after(&scaling, &[1], 1);
        }
        assert_eq!(scaling[0], 1.0);
        for _ in 0..30 {
            scaling = after(&scaling, &[0], 1);
        }
        assert_eq!(scaling[0], 16_777_216.0);
    }

    #[test]
    fn rejects_nothing_to_look_at() {
        let call = |groups, interval| LossScale {
            groups,
            interval,
            optimizer: ADAM,
        };
        assert!(call(0, 1).call().is_err());
        assert!(call(1, 0).call().is_err());
    }

    /// One step of a scaled optimiser on scaled gradients.
    fn scaled(
        optimizer: Optimizer,
        gradient: &[f32],
        scaling: &[f32],
        state: &[Vec<f32>],
    ) -> Vec<Vec<f32>> {
        let call = optimizer.call(gradient.len(), true).unwrap();
        // The host's corrections must not be used.
        let mut schedule = optimizer.schedule(rounded(1e-2), 5, 0).map(f32::from_bits);
        schedule[1..3].fill(f32::NAN);
        let mut inputs = vec![&schedule[..], gradient];
        inputs.extend(state.iter().map(|values| &values[..]));
        inputs.push(scaling);
        execute(&call, &inputs)
    }

    #[test]
    fn scaled_optimisers_divide_by_it_and_skip() {
        let sgd = Optimizer::Sgd {
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.01,
        };
        for optimizer in [ADAM, Optimizer::AdamW(AdamConstants::default()), sgd] {
            let len = 260;
            let mut draw = Draw::new("scaled", 1);
            let gradient = f32s(&draw.tensor(len, 1.0));
            let state: Vec<_> = (0..=optimizer.moments())
                .map(|_| {
                    f32s(&draw.tensor(len, 1.0))
                        .iter()
                        .map(|v| v.abs())
                        .collect()
                })
                .collect::<Vec<Vec<f32>>>();
            let words = optimizer.schedule(0.0, 5, 0).map(f32::from_bits);
            let mut scaling = [1024.0, 1.0 / 1024.0, 0.0, 6.0, 0.0, 0.0, words[1], words[2]];
            let large: Vec<f32> = gradient.iter().map(|g| g * 1024.0).collect();
            let want = run(optimizer, rounded(1e-2), 5, &gradient, &state);
            let got = scaled(optimizer, &large, &scaling, &state);
            for (got, want) in got.concat().iter().zip(want.concat()) {
                // The scale is a power of two, so only products that a driver fuses with sums in one shader and not in the
                // other round otherwise, each by half a step of values below 4.
                let near = (got - want).abs() <= 4.0 * f32::EPSILON;
                assert!(near, "{optimizer:?}: {got}, not {want}");
            }
            scaling[2] = 1.0;
            assert_eq!(
                scaled(optimizer, &large, &scaling, &state),
                state,
                "{optimizer:?}"
            );
        }
        assert_eq!(INITIAL_SCALING.len(), SCALING);
    }
}
