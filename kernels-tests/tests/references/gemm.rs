use crate::{SEEDS, assert_close};
use kernels_tests::gemm::*;
use kernels_tests::random::{Draw, check_gradient};

const A: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
const B: [f64; 6] = [7.0, -8.0, 9.0, 10.0, -11.0, 12.0];

#[test]
fn products_equal_hand_worked_ones() {
    // [1 2 3; 4 5 6] · [7 -8; 9 10; -11 12]
    let y = matmul(GemmShape { m: 2, n: 2, k: 3 }, &A, &B);
    assert_close("a·b", &y.value, &[-8.0, 48.0, 7.0, 90.0]);
    assert_close("|a·b|", &y.magnitude, &[58.0, 64.0, 139.0, 154.0]);
    // [1 3 5; 2 4 6] · [7 -8; 9 10; -11 12]
    let y = matmul_at_b(GemmShape { m: 2, n: 2, k: 3 }, &A, &B);
    assert_close("aᵀ·b", &y.value, &[-21.0, 82.0, -16.0, 96.0]);
    // [1 2 3; 4 5 6] · [7 10; -8 -11; 9 12]
    let y = matmul_a_bt(GemmShape { m: 2, n: 2, k: 3 }, &A, &B);
    assert_close("a·bᵀ", &y.value, &[18.0, 24.0, 42.0, 57.0]);
}

#[test]
fn products_of_one_row_and_column_keep_their_shape() {
    let y = matmul(GemmShape { m: 1, n: 3, k: 2 }, &[2.0, 3.0], &A);
    assert_close("row", &y.value, &[14.0, 19.0, 24.0]);
    let y = matmul_at_b(
        GemmShape { m: 3, n: 2, k: 1 },
        &[1.0, 2.0, 3.0],
        &[4.0, 5.0],
    );
    assert_close("outer", &y.value, &[4.0, 5.0, 8.0, 10.0, 12.0, 15.0]);
}

#[test]
fn linear_adds_its_bias_to_the_product_with_the_transposed_weight() {
    let shape = LinearShape { n: 2, c: 3, k: 2 };
    let y = linear(shape, &A, &B, Some(&[0.5, -1.0]));
    // Weight rows (7, -8, 9) and (10, -11, 12).
    assert_close("linear", &y.value, &[18.5, 23.0, 42.5, 56.0]);
}

#[test]
fn linear_gradients_equal_finite_differences() {
    for seed in SEEDS {
        let mut draw = Draw::new("linear", seed);
        let shape = LinearShape {
            n: draw.int(1..=5),
            c: draw.int(1..=6),
            k: draw.int(1..=7),
        };
        let LinearShape { n, c, k } = shape;
        let [x, w, b, g] = [n * c, k * c, k, n * k].map(|len| draw.tensor(len, 1.0));
        let name = |of: &str| format!("linear, {of}, seed {seed}, {shape:?}");
        let grad = linear_grad_input(shape, &g, &w).value;
        check_gradient(&name("x"), &x, &grad, &g, |x| {
            linear(shape, x, &w, Some(&b)).value
        });
        let grad = linear_grad_weight(shape, &x, &g).value;
        check_gradient(&name("weight"), &w, &grad, &g, |w| {
            linear(shape, &x, w, Some(&b)).value
        });
        let grad = linear_grad_bias(shape, &g).value;
        check_gradient(&name("bias"), &b, &grad, &g, |b| {
            linear(shape, &x, &w, Some(b)).value
        });
    }
}
