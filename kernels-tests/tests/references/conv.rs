use crate::{SEEDS, assert_close};
use kernels_tests::conv::*;
use kernels_tests::random::{Draw, check_gradient};

fn square(h: usize, c: usize, k: usize, r: usize, stride: usize, padding: usize) -> Conv2dShape {
    Conv2dShape {
        n: 1,
        h,
        w: h,
        c,
        k,
        r,
        s: r,
        stride: [stride; 2],
        padding: [padding; 2],
    }
}

const NINE: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

#[test]
fn equals_hand_worked_values_without_padding() {
    let shape = square(3, 1, 1, 2, 1, 0);
    let y = conv2d(&shape, &NINE, &[1.0, 0.0, 0.0, -1.0], Some(&[0.5]));
    // x[i,j] − x[i+1,j+1] + ½
    assert_close("y", &y.value, &[-3.5; 4]);
    assert_close("|y|", &y.magnitude, &[6.5, 8.5, 12.5, 14.5]);
    let grad = conv2d_grad_input(&shape, &[1.0, 2.0, 3.0, 4.0], &[1.0, 0.0, 0.0, -1.0]);
    let want = [1.0, 2.0, 0.0, 3.0, 3.0, -2.0, 0.0, -3.0, -4.0];
    assert_close("grad x", &grad.value, &want);
    let grad = conv2d_grad_weight(&shape, &NINE, &[1.0, 2.0, 3.0, 4.0]);
    // Tap (0,0) sees 1 2 4 5, (0,1) 2 3 5 6, (1,0) 4 5 7 8, (1,1) 5 6 8 9.
    assert_close("grad weight", &grad.value, &[37.0, 47.0, 67.0, 77.0]);
    let grad = conv2d_grad_bias(&shape, &[1.0, 2.0, -3.0, 4.0]);
    assert_close("grad bias", &grad.value, &[4.0]);
}

#[test]
fn equals_hand_worked_values_with_padding_and_stride() {
    // Filter of ones over 3 x 3 pixels, padded by 1, every second position: the sums of the four 2 x 2 corners.
    let shape = square(3, 1, 1, 3, 2, 1);
    assert_eq!((shape.out_h(), shape.out_w()), (2, 2));
    let y = conv2d(&shape, &NINE, &[1.0; 9], None);
    assert_close("y", &y.value, &[12.0, 16.0, 24.0, 28.0]);
}

#[test]
fn strides_and_paddings_go_down_first_and_then_across() {
    // A column (1, 10)ᵀ over three rows of two pixels; every second row from one above the image, every column.
    let shape = Conv2dShape {
        w: 2,
        r: 2,
        stride: [2, 1],
        padding: [1, 0],
        ..square(3, 1, 1, 1, 1, 0)
    };
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let want = [10.0, 20.0, 53.0, 64.0];
    let y = conv2d(&shape, &x, &[1.0, 10.0], None);
    assert_close("down", &y.value, &want);
    let y = depthwise(&shape, &x, &[1.0, 10.0], None);
    assert_close("down, depthwise", &y.value, &want);
    // The same on its side.
    let shape = Conv2dShape {
        h: 2,
        w: 3,
        r: 1,
        s: 2,
        stride: [1, 2],
        padding: [0, 1],
        ..shape
    };
    let y = conv2d(&shape, &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0], &[1.0, 10.0], None);
    assert_close("across", &y.value, &[10.0, 53.0, 20.0, 64.0]);
}

#[test]
fn weights_are_oihw_and_activations_nhwc() {
    // One pixel of channels (1, 2), two outputs with weights (3, 4) and (5, 6).
    let y = conv2d(
        &square(1, 2, 2, 1, 1, 0),
        &[1.0, 2.0],
        &[3.0, 4.0, 5.0, 6.0],
        None,
    );
    assert_close("pointwise", &y.value, &[11.0, 17.0]);
    // Two channels side by side, filters (1, 10) across and (100, 1000).
    let shape = Conv2dShape {
        w: 2,
        s: 2,
        ..square(1, 2, 1, 1, 1, 0)
    };
    let x = [1.0, 2.0, 3.0, 4.0]; // pixel 0: (1, 2), pixel 1: (3, 4)
    let y = conv2d(&shape, &x, &[1.0, 10.0, 100.0, 1000.0], None);
    assert_close("across", &y.value, &[1.0 + 30.0 + 200.0 + 4000.0]);
    let shape = Conv2dShape { k: 2, ..shape };
    let y = depthwise(&shape, &x, &[1.0, 10.0, 100.0, 1000.0], Some(&[0.5, -0.5]));
    assert_close("depthwise", &y.value, &[31.5, 4199.5]);
    let grad = depthwise_grad_weight(&shape, &x, &[2.0, 3.0]);
    assert_close("depthwise weight", &grad.value, &[2.0, 6.0, 6.0, 12.0]);
    let grad = depthwise_grad_input(&shape, &[2.0, 3.0], &[1.0, 10.0, 100.0, 1000.0]);
    assert_close("depthwise x", &grad.value, &[2.0, 300.0, 20.0, 3000.0]);
}

fn drawn_shape(draw: &mut Draw) -> Conv2dShape {
    let [r, s] = [draw.int(1..=4), draw.int(1..=4)];
    let padding = [draw.int(0..=r / 2), draw.int(0..=s / 2)];
    Conv2dShape {
        n: draw.int(1..=2),
        h: draw.int(r..=6),
        w: draw.int(s..=6),
        c: draw.int(1..=3),
        k: draw.int(1..=3),
        r,
        s,
        stride: [draw.int(1..=3), draw.int(1..=3)],
        padding,
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for seed in SEEDS {
        let mut draw = Draw::new("conv", seed);
        let shape = drawn_shape(&mut draw);
        let x = draw.tensor(shape.input_len(), 1.0);
        let w = draw.tensor(shape.weight_len(), 1.0);
        let b = draw.tensor(shape.k, 1.0);
        let g = draw.tensor(shape.output_len(), 1.0);
        let name = |of: &str| format!("conv2d, {of}, seed {seed}, {shape:?}");
        let forward = |x: &[f64], w: &[f64], b: &[f64]| conv2d(&shape, x, w, Some(b)).value;
        let grad = conv2d_grad_input(&shape, &g, &w).value;
        check_gradient(&name("x"), &x, &grad, &g, |x| forward(x, &w, &b));
        let grad = conv2d_grad_weight(&shape, &x, &g).value;
        check_gradient(&name("weight"), &w, &grad, &g, |w| forward(&x, w, &b));
        let grad = conv2d_grad_bias(&shape, &g).value;
        check_gradient(&name("bias"), &b, &grad, &g, |b| forward(&x, &w, b));
    }
}

#[test]
fn depthwise_gradients_equal_finite_differences() {
    for seed in SEEDS {
        let mut draw = Draw::new("depthwise", seed);
        let mut shape = drawn_shape(&mut draw);
        shape.k = shape.c;
        let x = draw.tensor(shape.input_len(), 1.0);
        let w = draw.tensor(shape.depthwise_weight_len(), 1.0);
        let g = draw.tensor(shape.output_len(), 1.0);
        let name = |of: &str| format!("depthwise, {of}, seed {seed}, {shape:?}");
        let forward = |x: &[f64], w: &[f64]| depthwise(&shape, x, w, None).value;
        let grad = depthwise_grad_input(&shape, &g, &w).value;
        check_gradient(&name("x"), &x, &grad, &g, |x| forward(x, &w));
        let grad = depthwise_grad_weight(&shape, &x, &g).value;
        check_gradient(&name("weight"), &w, &grad, &g, |w| forward(&x, w));
    }
}
