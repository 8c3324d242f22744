use crate::{SEEDS, assert_close};
use kernels_tests::elementwise::*;
use kernels_tests::random::{Draw, check_gradient};

#[test]
fn equal_hand_worked_values() {
    assert_eq!(relu(&[-1.5, -0.0, 0.0, 2.5]).value, [0.0, 0.0, 0.0, 2.5]);
    let grad = relu_grad(&[1.0, 2.0, 3.0], &[0.0, 0.5, 0.0]);
    assert_eq!(grad.value, [0.0, 2.0, 0.0]);
    let sum = add(&[1.0, -2.0], &[0.5, 0.5]);
    assert_eq!(sum.value, [1.5, -1.5]);
    assert_eq!(sum.magnitude, [1.5, 2.5]);
    let sum = add_relu(&[1.0, -2.0], &[0.5, 0.5]);
    assert_eq!((sum.value, sum.magnitude), (vec![1.5, 0.0], vec![1.5, 2.5]));
    let y = bias_add(&[1.0, 2.0, 3.0, 4.0], &[10.0, -20.0]);
    assert_close("bias", &y.value, &[11.0, -18.0, 13.0, -16.0]);
    let sums = column_sums(&[1.0, 2.0, -3.0, 4.0], 2);
    assert_eq!(sums.value, [-2.0, 6.0]);
    assert_eq!(sums.magnitude, [4.0, 6.0]);
}

#[test]
fn gradients_equal_finite_differences() {
    for seed in SEEDS {
        let mut draw = Draw::new("elementwise", seed);
        let (rows, channels) = (draw.int(1..=9), draw.int(1..=9));
        let len = rows * channels;
        let (x, g) = (draw.apart(len, 0.125), draw.tensor(len, 1.0));
        let grad = relu_grad(&g, &relu(&x).value).value;
        check_gradient(&format!("relu, seed {seed}"), &x, &grad, &g, |x| {
            relu(x).value
        });
        let bias = draw.tensor(channels, 1.0);
        let grad = column_sums(&g, channels).value;
        check_gradient(&format!("bias, seed {seed}"), &bias, &grad, &g, |bias| {
            bias_add(&x, bias).value
        });
    }
}
