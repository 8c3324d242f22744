use crate::assert_close;
use kernels_tests::optim::*;

const ADAM: Adam = Adam {
    lr: 0.1,
    betas: [0.5, 0.75],
    eps: 1.0,
    weight_decay: 0.0,
    decoupled: false,
};

#[test]
fn adam_equals_hand_worked_steps() {
    // First step: m = ½ g and v = ¼ g², so that m / (1 − ½) = g and √v / √(1 − ¾) = |g|.
    let after = ADAM.step(1, &[1.0, -2.0], &[3.0, -1.0], &[0.0; 2], &[0.0; 2]);
    assert_close("m", &after.first.value, &[1.5, -0.5]);
    assert_close("v", &after.second.value, &[2.25, 0.25]);
    let want = [1.0 - 0.1 * 3.0 / 4.0, -2.0 + 0.1 / 2.0];
    assert_close("parameter", &after.parameter.value, &want);
    // Second step, corrections 1 − ¼ and 1 − 9/16 = 7/16.
    let after = ADAM.step(2, &[1.0], &[2.0], &[2.0], &[8.0]);
    assert_close("m", &after.first.value, &[2.0]);
    assert_close("v", &after.second.value, &[7.0]);
    assert_close(
        "parameter",
        &after.parameter.value,
        &[1.0 - 0.1 * (2.0 / 0.75) / 5.0],
    );
}

#[test]
fn weight_decay_goes_into_the_gradient_or_shrinks_the_parameter() {
    let coupled = Adam {
        weight_decay: 0.5,
        ..ADAM
    };
    // g = 1 + ½ · 4 = 3.
    let after = coupled.step(1, &[4.0], &[1.0], &[0.0], &[0.0]);
    assert_close("m", &after.first.value, &[1.5]);
    assert_close("Adam", &after.parameter.value, &[4.0 - 0.1 * 3.0 / 4.0]);
    let decoupled = Adam {
        decoupled: true,
        ..coupled
    };
    let after = decoupled.step(1, &[4.0], &[1.0], &[0.0], &[0.0]);
    assert_close("m", &after.first.value, &[0.5]);
    assert_close("AdamW", &after.parameter.value, &[4.0 * 0.95 - 0.1 / 2.0]);
}

#[test]
fn adam_stands_still_without_gradients() {
    let after = Adam { eps: 1e-8, ..ADAM }.step(1, &[3.0], &[0.0], &[0.0], &[0.0]);
    assert_eq!(after.parameter.value, [3.0]);
    assert_eq!(after.parameter.magnitude, [3.0]);
}

#[test]
fn sgd_equals_hand_worked_steps() {
    let sgd = Sgd {
        lr: 0.1,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
    };
    let after = sgd.step(&[1.0], &[2.0], &[7.0]);
    assert_close("plain", &after.parameter.value, &[0.8]);
    // g = 2 + ½ · 1 = 2.5, b = ½ · 3 + 2.5 = 4.
    let heavy = Sgd {
        momentum: 0.5,
        weight_decay: 0.5,
        ..sgd
    };
    let after = heavy.step(&[1.0], &[2.0], &[3.0]);
    assert_close("b", &after.direction.value, &[4.0]);
    assert_close("momentum", &after.parameter.value, &[0.6]);
    // Looks ahead along 2.5 + ½ · 4 = 4.5.
    let ahead = Sgd {
        nesterov: true,
        ..heavy
    };
    let after = ahead.step(&[1.0], &[2.0], &[3.0]);
    assert_close("b", &after.direction.value, &[4.0]);
    assert_close("nesterov", &after.parameter.value, &[0.55]);
}
