use crate::{SEEDS, assert_close};
use kernels_tests::pool::*;
use kernels_tests::random::{Draw, check_gradient};

fn square(h: usize, window: usize, stride: usize, padding: usize) -> PoolShape {
    PoolShape {
        n: 1,
        h,
        w: h,
        c: 1,
        window: [window; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    }
}

#[test]
fn max_pool_equals_hand_worked_values() {
    // Padding must not win over negative elements.
    let x = [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0];
    let shape = square(3, 3, 2, 1);
    let pool = max_pool(&shape, &x);
    assert_eq!(pool.y.value, [-1.0, -2.0, -4.0, -5.0]);
    // The first window begins one row and column before the image.
    assert_eq!(pool.place, [4, 3, 1, 0]);
    let grad = max_pool_grad(&shape, &x, &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(grad.value, [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn windows_strides_and_paddings_go_down_first_and_then_across() {
    // Windows of two rows, every second row from one above the image, of three rows of two pixels.
    let shape = PoolShape {
        w: 2,
        window: [2, 1],
        stride: [2, 1],
        padding: [1, 0],
        ..square(3, 1, 1, 0)
    };
    let pool = max_pool(&shape, &[1.0, 2.0, 3.0, 6.0, 5.0, 4.0]);
    assert_eq!(pool.y.value, [1.0, 2.0, 5.0, 6.0]);
    assert_eq!(pool.place, [1, 1, 1, 0]);
    let shape = PoolShape {
        padding: [0, 0],
        stride: [1, 2],
        ..shape
    };
    let y = avg_pool(&shape, &[1.0, 2.0, 3.0, 6.0, 5.0, 4.0]);
    assert_close("avg", &y.value, &[2.0, 4.0]);
}

#[test]
fn max_pool_chooses_the_first_of_equals() {
    let shape = square(3, 2, 1, 0);
    let x = [0.0, 5.0, 5.0, 5.0, 5.0, 0.0, 1.0, 5.0, 0.0];
    let pool = max_pool(&shape, &x);
    assert_eq!(pool.y.value, [5.0; 4]);
    assert_eq!(pool.place, [1, 0, 0, 0]);
    let grad = max_pool_grad(&shape, &x, &[1.0, 2.0, 4.0, 8.0]);
    assert_eq!(grad.value, [0.0, 3.0, 0.0, 4.0, 8.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn averages_equal_hand_worked_values() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, -9.0];
    let y = avg_pool(&square(3, 2, 1, 0), &x);
    assert_close("avg", &y.value, &[3.0, 4.0, 6.0, 2.5]);
    assert_close("|avg|", &y.magnitude, &[3.0, 4.0, 6.0, 7.0]);
    let grad = avg_pool_grad(&square(3, 2, 1, 0), &[4.0, 8.0, 12.0, 16.0]);
    let want = [1.0, 3.0, 2.0, 4.0, 10.0, 6.0, 3.0, 7.0, 4.0];
    assert_close("avg gradient", &grad.value, &want);
    // Two images of two pixels with two channels.
    let x = [1.0, 10.0, 3.0, 20.0, 5.0, 30.0, 7.0, 50.0];
    let y = global_avg_pool(2, 2, 2, &x);
    assert_close("global", &y.value, &[2.0, 15.0, 6.0, 40.0]);
    let grad = global_avg_pool_grad(2, 2, 2, &[2.0, 4.0, 6.0, 8.0]);
    let want = [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0];
    assert_close("global gradient", &grad.value, &want);
}

#[test]
fn gradients_equal_finite_differences() {
    for seed in SEEDS {
        let mut draw = Draw::new("pool", seed);
        let window = [draw.int(1..=3), draw.int(1..=3)];
        let mut shape = PoolShape {
            n: draw.int(1..=2),
            h: draw.int(window[0]..=6),
            w: draw.int(window[1]..=6),
            c: draw.int(1..=3),
            window,
            stride: [draw.int(1..=3), draw.int(1..=3)],
            padding: [draw.int(0..=window[0] / 2), draw.int(0..=window[1] / 2)],
        };
        let x = draw.apart(shape.input_len(), 0.125);
        let name = |of: &str, shape: &PoolShape| format!("{of}, seed {seed}, {shape:?}");
        let g = draw.tensor(shape.output_len(), 1.0);
        let grad = max_pool_grad(&shape, &x, &g).value;
        check_gradient(&name("max", &shape), &x, &grad, &g, |x| {
            max_pool(&shape, x).y.value
        });
        shape.padding = [0, 0];
        let g = draw.tensor(shape.output_len(), 1.0);
        let grad = avg_pool_grad(&shape, &g).value;
        check_gradient(&name("average", &shape), &x, &grad, &g, |x| {
            avg_pool(&shape, x).value
        });
        let (n, pixels, c) = (shape.n, shape.h * shape.w, shape.c);
        let g = draw.tensor(n * c, 1.0);
        let grad = global_avg_pool_grad(n, pixels, c, &g).value;
        check_gradient(&name("global", &shape), &x, &grad, &g, |x| {
            global_avg_pool(n, pixels, c, x).value
        });
    }
}
