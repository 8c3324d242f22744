use crate::{SEEDS, assert_close};
use kernels_tests::norm::BatchNorm;
use kernels_tests::random::{Draw, check_gradient};

#[test]
fn training_and_evaluation_equal_hand_worked_values() {
    let layer = BatchNorm {
        channels: 2,
        eps: 0.0,
        momentum: 0.25,
    };
    // Channel 0: 1, 3 (mean 2, variance 1); channel 1: 0, 8 (mean 4, variance 16).
    let x = [1.0, 0.0, 3.0, 8.0];
    let out = layer.training(&x, &[2.0, 4.0], &[0.5, -1.0], &[0.0, 8.0], &[1.0, 4.0]);
    assert_close("mean", &out.statistics.mean.value, &[2.0, 4.0]);
    assert_close("var", &out.statistics.var.value, &[1.0, 16.0]);
    assert_close("invstd", &out.statistics.invstd.value, &[1.0, 0.25]);
    assert_close("y", &out.y.value, &[-1.5, -5.0, 2.5, 3.0]);
    assert_close("running mean", &out.running_mean.value, &[0.5, 7.0]);
    // Unbiased variances 2 and 32.
    assert_close("running var", &out.running_var.value, &[1.25, 11.0]);
    let y = layer.eval(&x, &[2.0, 4.0], &[0.5, -1.0], &[1.0, 4.0], &[4.0, 16.0]);
    assert_close("eval", &y.value, &[0.5, -5.0, 2.5, 3.0]);
    let grad = layer.eval_gradients(&x, &[2.0, 4.0], &[1.0, 4.0], &[4.0, 16.0], &[1.0; 4]);
    assert_close("eval x", &grad.x.value, &[1.0; 4]);
    assert_close("eval gamma", &grad.gamma.value, &[1.0, 0.0]);
    assert_close("eval beta", &grad.beta.value, &[2.0, 2.0]);
    // Two rows are always ±1 after normalisation, whatever x is.
    let grad = layer.training_gradients(&x, &[2.0, 4.0], &[1.0, 2.0, 3.0, 5.0]);
    assert_close("training x", &grad.x.value, &[0.0; 4]);
    assert_close("training gamma", &grad.gamma.value, &[2.0, 3.0]);
    assert_close("training beta", &grad.beta.value, &[4.0, 7.0]);
}

#[test]
fn eps_lies_under_the_root() {
    let layer = BatchNorm {
        channels: 1,
        eps: 3.0,
        momentum: 0.1,
    };
    let statistics = layer.statistics(&[1.0, 3.0]);
    assert_close("invstd", &statistics.invstd.value, &[0.5]);
}

#[test]
fn gradients_equal_finite_differences() {
    for seed in SEEDS {
        let mut draw = Draw::new("norm", seed);
        let (rows, channels) = (draw.int(2..=12), draw.int(1..=5));
        let layer = BatchNorm {
            channels,
            eps: 0.01,
            momentum: 0.1,
        };
        // Two rows close to each other would bend the formula too much for differences: keep them apart.
        let x = draw.apart(rows * channels, 0.25);
        let g = draw.tensor(rows * channels, 1.0);
        let [gamma, beta, mean] = [1.5, 1.0, 0.5].map(|scale| draw.tensor(channels, scale));
        let var: Vec<f64> = (0..channels).map(|_| 1.1 + draw.uniform()).collect();
        let name = |of: &str| format!("{of}, seed {seed}, [{rows},{channels}]");
        let grad = layer.training_gradients(&x, &gamma, &g);
        let training = |x: &[f64], gamma: &[f64], beta: &[f64]| {
            layer.training(x, gamma, beta, &mean, &var).y.value
        };
        check_gradient(&name("training x"), &x, &grad.x.value, &g, |x| {
            training(x, &gamma, &beta)
        });
        check_gradient(&name("gamma"), &gamma, &grad.gamma.value, &g, |gamma| {
            training(&x, gamma, &beta)
        });
        check_gradient(&name("beta"), &beta, &grad.beta.value, &g, |beta| {
            training(&x, &gamma, beta)
        });
        let grad = layer.eval_gradients(&x, &gamma, &mean, &var, &g);
        let eval =
            |x: &[f64], gamma: &[f64], beta: &[f64]| layer.eval(x, gamma, beta, &mean, &var).value;
        check_gradient(&name("eval x"), &x, &grad.x.value, &g, |x| {
            eval(x, &gamma, &beta)
        });
        check_gradient(
            &name("eval gamma"),
            &gamma,
            &grad.gamma.value,
            &g,
            |gamma| eval(&x, gamma, &beta),
        );
        check_gradient(&name("eval beta"), &beta, &grad.beta.value, &g, |beta| {
            eval(&x, &gamma, beta)
        });
    }
}

#[test]
fn magnitudes_bound_the_values() {
    let mut draw = Draw::new("magnitudes", 1);
    let layer = BatchNorm {
        channels: 3,
        eps: 1e-5,
        momentum: 0.1,
    };
    let [x, g] = [2.0, 1.0].map(|scale| draw.tensor(21, scale));
    let [gamma, beta] = [1.0, 1.0].map(|scale| draw.tensor(3, scale));
    let out = layer.training(&x, &gamma, &beta, &[0.0; 3], &[1.0; 3]);
    let grad = layer.training_gradients(&x, &gamma, &g);
    let statistics = &out.statistics;
    for sums in [
        &out.y,
        &statistics.mean,
        &statistics.var,
        &statistics.invstd,
        &out.running_mean,
    ]
    .into_iter()
    .chain([&out.running_var, &grad.x, &grad.gamma, &grad.beta])
    {
        assert!(sums.value.iter().all(|value| value.is_finite()));
        for (value, magnitude) in sums.value.iter().zip(&sums.magnitude) {
            assert!(
                value.abs() <= magnitude * (1.0 + 1e-12),
                "{value}, {magnitude}"
            );
        }
    }
}
