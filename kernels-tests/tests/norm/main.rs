//! Batch normalisation against its reference: training, evaluation, and the gradients of both.

mod checks;
mod fold;
mod lanes;
mod problem;

use kernels_tests::harness::execute;
use kinesic::kernels::norm::{BatchNormFinish, BatchNormStats};
use kinesic::kernels::padded;
use problem::Problem;

/// The options of the last call of a chain: residual, relu.
const VARIANTS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

mod training {
    use super::*;

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for problem in Problem::all() {
            let (rows, channels) = (problem.rows, problem.channels);
            let want = problem.layer.training(
                &problem.x,
                &problem.gamma,
                &problem.beta,
                &problem.running_mean,
                &problem.running_var,
            );
            let [running_mean, running_var, statistics, affine] = problem.finish();
            let (mean, invstd) = statistics.split_at(padded(channels));
            problem.check("mean", mean, &want.statistics.mean, rows);
            problem.check("invstd", invstd, &want.statistics.invstd, rows);
            problem.check("running_mean", &running_mean, &want.running_mean, rows);
            problem.check("running_var", &running_var, &want.running_var, rows);
            for (residual, relu) in VARIANTS {
                let y = problem.apply(&affine, residual, relu);
                let name = format!("y (residual {residual}, relu {relu})");
                let want = problem.applied(&want.y, residual, relu);
                problem.check(&name, &y, &want, rows);
            }
        }
    }

    #[test]
    fn a_mean_far_from_zero_costs_no_digits_of_the_variance() {
        // Deviations of 2⁻⁶ around 1000: the sum of squares alone has no correct digit of the variance in f32.
        let (rows, channels) = (4096, 4);
        let x: Vec<f32> = (0..rows * channels)
            .map(|i| {
                1000.0
                    + if i / channels % 2 == 0 {
                        0.015625
                    } else {
                        -0.015625
                    }
            })
            .collect();
        let partials = execute(&BatchNormStats { rows, channels }.call().unwrap(), &[&x]);
        let eps = 1e-12;
        let momentum = 1.0;
        let call = BatchNormFinish {
            rows,
            channels,
            eps,
            momentum,
            group_rows: None,
        };
        let (ones, zeros) = ([1.0; 4], [0.0; 4]);
        let inputs: [&[f32]; 5] = [&partials[0], &ones, &zeros, &zeros, &zeros];
        let outputs = execute(&call.call().unwrap(), &inputs);
        assert_eq!(outputs[0], [1000.0; 4]);
        for invstd in &outputs[2][4..] {
            assert!((invstd - 64.0).abs() < 64.0 * 1e-5, "{invstd}");
        }
    }

    #[test]
    fn repeats_bit_for_bit() {
        let problem = Problem::drawn(20, (5003, 12));
        let first = problem.finish();
        for _ in 0..3 {
            assert_eq!(problem.finish(), first);
        }
    }

    #[test]
    fn constant_and_padding_channels_stay_finite() {
        let mut problem = Problem::drawn(21, (40, 5));
        problem.x.fill(0.0);
        let [_, _, statistics, affine] = problem.finish();
        assert!(statistics.iter().all(|value| value.is_finite()));
        let y = problem.apply(&affine, false, false);
        let beta = problem.pad(&problem.beta);
        assert!(y.chunks_exact(8).all(|row| row == beta));
    }
}

mod mapped_residual {
    use super::*;
    use kernels_tests::Reference;
    use kernels_tests::harness::execute;
    use kernels_tests::random::Draw;
    use kinesic::kernels::norm::BatchNormApply;

    #[test]
    fn is_added_through_its_own_map() {
        for (seed, problem) in (0..).zip(Problem::all()) {
            let (rows, channels) = (problem.rows, problem.channels);
            let mut draw = Draw::new("mapped", seed);
            let [scale, shift, other_scale, other_shift] =
                [2.0, 1.0, 3.0, 1.0].map(|size| draw.tensor(channels, size));
            for relu in [false, true] {
                let call = BatchNormApply {
                    rows,
                    channels,
                    residual: true,
                    mapped: true,
                    relu,
                };
                let maps = [[&scale, &shift], [&other_scale, &other_shift]];
                let maps = maps.map(|map| map.map(|row| problem.pad(row)).concat());
                let (x, residual) = (problem.pad(&problem.x), problem.pad(&problem.residual));
                let y = execute(&call.call().unwrap(), &[&x, &residual, &maps[0], &maps[1]]);
                let mut want = Reference::zeros(rows * channels);
                for (index, (x, residual)) in problem.x.iter().zip(&problem.residual).enumerate() {
                    let c = index % channels;
                    want.add(index, x * scale[c]);
                    want.add(index, shift[c]);
                    want.add(index, residual * other_scale[c]);
                    want.add(index, other_shift[c]);
                    if relu {
                        want.value[index] = want.value[index].max(0.0);
                    }
                }
                problem.check("y", &y[0], &want, 4);
            }
        }
    }

    #[test]
    fn rejects_a_map_without_a_residual() {
        let call = BatchNormApply {
            rows: 1,
            channels: 1,
            residual: false,
            mapped: true,
            relu: false,
        };
        assert!(call.call().is_err());
    }
}

mod evaluation {
    use super::*;

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for problem in Problem::all() {
            let want = problem.layer.eval(
                &problem.x,
                &problem.gamma,
                &problem.beta,
                &problem.running_mean,
                &problem.running_var,
            );
            let [statistics, affine] = problem.fold();
            let mean = &statistics[..padded(problem.channels)];
            assert_eq!(mean, problem.pad(&problem.running_mean));
            for (residual, relu) in VARIANTS {
                let y = problem.apply(&affine, residual, relu);
                let name = format!("y (residual {residual}, relu {relu})");
                problem.check(&name, &y, &problem.applied(&want, residual, relu), 4);
            }
        }
    }
}

mod gradients {
    use super::*;
    use kernels_tests::random::Draw;
    use kinesic::kernels::norm::{BatchNormGradInput, BatchNormGradReduce, Mask};

    #[test]
    fn of_training_match_reference_on_drawn_shapes() {
        for problem in Problem::all() {
            let [_, _, statistics, _] = problem.finish();
            for (residual, relu) in VARIANTS {
                let upstream = problem.upstream(relu);
                let want = problem
                    .layer
                    .training_gradients(&problem.x, &problem.gamma, &upstream);
                check(&problem, &statistics, true, (residual, relu), &want);
            }
        }
    }

    #[test]
    fn of_evaluation_match_reference_on_drawn_shapes() {
        for problem in Problem::all() {
            let [statistics, _] = problem.fold();
            for (residual, relu) in VARIANTS {
                let want = problem.layer.eval_gradients(
                    &problem.x,
                    &problem.gamma,
                    &problem.running_mean,
                    &problem.running_var,
                    &problem.upstream(relu),
                );
                check(&problem, &statistics, false, (residual, relu), &want);
            }
        }
    }

    fn check(
        problem: &Problem,
        statistics: &[f32],
        training: bool,
        (residual, relu): (bool, bool),
        want: &kernels_tests::norm::Gradients,
    ) {
        let rows = problem.rows;
        let name = |part| format!("{part} (training {training}, residual {residual}, relu {relu})");
        let [gamma, beta, coefficients] = problem.reduced(statistics, training, relu);
        problem.check(&name("grad_gamma"), &gamma, &want.gamma, rows);
        problem.check(&name("grad_beta"), &beta, &want.beta, rows);
        let outputs = problem.grad_input(&coefficients, residual, relu);
        problem.check(&name("grad_x"), &outputs[0], &want.x, rows);
        if residual {
            assert_eq!(outputs[1], problem.pad(&problem.upstream(relu)));
        }
    }

    #[test]
    fn behind_the_map_of_x_are_those_behind_its_rectified_output() {
        for (seed, problem) in (0..).zip(Problem::all()) {
            let (rows, channels) = (problem.rows, problem.channels);
            let mut draw = Draw::new("map mask", seed);
            let map = [draw.tensor(channels, 2.0), draw.tensor(channels, 1.0)];
            let values = problem.x.iter().enumerate();
            let y: Vec<f64> = values
                .map(|(index, x)| x * map[0][index % channels] + map[1][index % channels])
                .map(|y| y.max(0.0))
                .collect();
            let affine = map.map(|row| problem.pad(&row)).concat();
            let [grad_y, x, y] = [&problem.grad_y, &problem.x, &y].map(|v| problem.pad(v));
            let statistics = [1.0, 0.5].map(|v| problem.pad(&vec![v; channels])).concat();
            let coefficients = [&statistics[..], &statistics[..statistics.len() / 2]].concat();
            let both = [Mask::Output, Mask::Map].map(|mask| {
                let reduce = BatchNormGradReduce {
                    rows,
                    channels,
                    mask,
                };
                let input = BatchNormGradInput {
                    rows,
                    channels,
                    residual: true,
                    mask,
                };
                let (y, affine) = match mask {
                    Mask::Map => (&[][..], &affine[..]),
                    _ => (&y[..], &[][..]),
                };
                let sums = [&grad_y[..], &x, y, &statistics, affine];
                let maps = [&grad_y[..], &x, y, &coefficients, affine];
                let [sums, maps] = [(reduce.call(), sums), (input.call(), maps)]
                    .map(|(call, inputs)| execute(&call.unwrap(), &inputs));
                [sums, maps].concat()
            });
            assert_eq!(both[0], both[1], "{}", problem.what);
        }
    }

    #[test]
    fn repeat_bit_for_bit() {
        let problem = Problem::drawn(22, (5003, 12));
        let [_, _, statistics, _] = problem.finish();
        let first = problem.reduced(&statistics, true, true);
        for _ in 0..3 {
            assert_eq!(problem.reduced(&statistics, true, true), first);
        }
    }
}
