//! Matrix products and the linear layer against their references.

use kernels_tests::gemm::{self as reference, GemmShape, LinearShape};
use kernels_tests::harness::{compare, execute, gpu, pad, unpad};
use kernels_tests::random::Draw;
use kinesic::kernels::conv::{Conv2dForward, Conv2dGradInput, Conv2dGradWeight, Conv2dShape};
use kinesic::kernels::elementwise::BiasGrad;
use kinesic::kernels::gemm::MatMul;
use kinesic::kernels::{KernelError, padded};

const SEED: u64 = 21;

/// 1, the edges of tiles (4 and 64 rows, 16 and 32 columns), primes, a backbone's head, and drawn ones.
fn shapes() -> Vec<GemmShape> {
    let shape = |m, n, k| GemmShape { m, n, k };
    let mut shapes = vec![
        shape(1, 1, 1),
        shape(3, 31, 15),
        shape(4, 32, 16),
        shape(5, 33, 17),
        shape(63, 15, 64),
        shape(64, 16, 63),
        shape(65, 17, 65),
        shape(61, 37, 101),
        shape(16, 26, 512),
    ];
    let mut draw = Draw::new("gemm shapes", SEED);
    for _ in 0..6 {
        let mut size = || draw.int(1..=90);
        shapes.push(shape(size(), size(), size()));
    }
    shapes
}

/// Base kernels, and those for software adapters where the adapter runs them.
fn software() -> Vec<bool> {
    if gpu().has_software_kernels() {
        return vec![false, true];
    }
    eprintln!("skipped: the kernels for software adapters, for want of 8-lane subgroups on a CPU");
    vec![false]
}

/// Rows of columns as the kernels take them, the number of rows padded, too.
fn pad_rows(rows: &[f64], columns: usize) -> Vec<f32> {
    let mut out = pad(rows, columns);
    let count = rows.len() / columns;
    out.resize(padded(count) * padded(columns), 0.0);
    out
}

/// The inverse of [`pad_rows`]; the padding must be zero.
fn unpad_rows(what: &str, stored: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let (kept, padding) = stored.split_at(rows * padded(columns));
    assert!(padding.iter().all(|&v| v == 0.0), "{what}: padding rows");
    unpad(what, kept, columns)
}

/// For every shape and variant: its name, the twin, and factors of m · k and k · n elements.
fn problems(name: &str) -> impl Iterator<Item = (String, GemmShape, MatMul, Vec<f64>, Vec<f64>)> {
    shapes()
        .into_iter()
        .enumerate()
        .flat_map(move |(index, shape)| {
            let mut draw = Draw::new(&format!("{name} {index}"), SEED);
            let GemmShape { m, n, k } = shape;
            let (a, b) = (draw.tensor(m * k, 1.0), draw.tensor(k * n, 1.0));
            software().into_iter().map(move |software| {
                let what = format!("seed {SEED}, software {software}, {shape:?}");
                let twin = MatMul { m, n, k, software };
                (what, shape, twin, a.clone(), b.clone())
            })
        })
}

mod matmul {
    use super::*;

    #[test]
    fn a_b_matches_reference_on_drawn_shapes() {
        for (what, shape, twin, a, b) in problems("a b") {
            let inputs = [pad(&a, shape.k), pad_rows(&b, shape.n)];
            let y = execute(&twin.a_b().unwrap(), &[&inputs[0], &inputs[1], &[]]);
            let want = reference::matmul(shape, &a, &b);
            compare(&what, &unpad(&what, &y[0], shape.n), &want, shape.k);
        }
    }

    #[test]
    fn a_bt_matches_reference_on_drawn_shapes() {
        for (what, shape, twin, a, b) in problems("a bt") {
            let inputs = [pad(&a, shape.k), pad_rows(&b, shape.k)];
            let y = execute(&twin.a_bt().unwrap(), &[&inputs[0], &inputs[1]]);
            let want = reference::matmul_a_bt(shape, &a, &b);
            compare(&what, &unpad(&what, &y[0], shape.n), &want, shape.k);
        }
    }

    #[test]
    fn at_b_matches_reference_on_drawn_shapes() {
        for (what, shape, twin, a, b) in problems("at b") {
            let [first, second] = twin.at_b().unwrap();
            let inputs = [pad(&a, shape.m), pad(&b, shape.n)];
            let partial = execute(&first, &[&inputs[0], &inputs[1]]);
            let y = execute(&second, &[&partial[0]]);
            let want = reference::matmul_at_b(shape, &a, &b);
            let got = unpad_rows(&what, &y[0], shape.m, shape.n);
            compare(&what, &got, &want, shape.k);
        }
    }

    #[test]
    fn counts_the_operations_of_the_product() {
        let (m, n, k, software) = (3, 5, 7, false);
        let twin = MatMul { m, n, k, software };
        for call in [twin.a_b(), twin.a_bt(), twin.at_b().map(|[first, _]| first)] {
            assert_eq!(call.unwrap().flops, 2 * 3 * 5 * 7);
        }
    }

    #[test]
    fn rejects_sizes_of_zero() {
        for (m, n, k) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
            let software = false;
            let twin = MatMul { m, n, k, software };
            for call in [twin.a_b(), twin.a_bt(), twin.at_b().map(|[first, _]| first)] {
                let error = call.unwrap_err();
                assert!(matches!(error, KernelError::Argument { .. }), "{error}");
            }
        }
    }
}

/// The four calls of a linear layer, as the documentation of `kernels::gemm` names them.
mod linear {
    use super::*;

    const SHAPE: LinearShape = LinearShape {
        n: 19,
        c: 35,
        k: 26,
    };

    struct Problem {
        x: Vec<f64>,
        weight: Vec<f64>,
        bias: Vec<f64>,
        grad_y: Vec<f64>,
        shape: Conv2dShape,
    }

    fn problem() -> Problem {
        let LinearShape { n, c, k } = SHAPE;
        let mut draw = Draw::new("linear", SEED);
        Problem {
            x: draw.tensor(n * c, 1.0),
            weight: draw.tensor(k * c, 1.0),
            bias: draw.tensor(k, 1.0),
            grad_y: draw.tensor(n * k, 1.0),
            shape: Conv2dShape::linear(n, c, k),
        }
    }

    /// [K,C] to the kernels' [C,K].
    fn stored(weight: &[f64]) -> Vec<f32> {
        let LinearShape { c, k, .. } = SHAPE;
        let turned: Vec<f64> = (0..c * k).map(|i| weight[i % k * c + i / k]).collect();
        pad_rows(&turned, k)
    }

    #[test]
    fn forward_matches_reference() {
        let p = problem();
        let want = reference::linear(SHAPE, &p.x, &p.weight, Some(&p.bias));
        for software in software() {
            let mut forward = Conv2dForward::new(p.shape, software);
            forward.epilogue.bias = true;
            let inputs = [pad(&p.x, SHAPE.c), stored(&p.weight), pad(&p.bias, SHAPE.k)];
            let inputs = inputs.each_ref().map(Vec::as_slice);
            let y = execute(&forward.call().unwrap(), &inputs);
            compare("linear", &unpad("linear", &y[0], SHAPE.k), &want, SHAPE.c);
        }
    }

    #[test]
    fn gradients_match_references() {
        let p = problem();
        let shape = p.shape;
        let grad_y = pad(&p.grad_y, SHAPE.k);
        for software in software() {
            let call = Conv2dGradInput::new(shape, software).call().unwrap();
            let got = execute(&call, &[&grad_y, &stored(&p.weight)]);
            let want = reference::linear_grad_input(SHAPE, &p.grad_y, &p.weight);
            compare("grad_x", &unpad("grad_x", &got[0], SHAPE.c), &want, SHAPE.k);

            let kernel = Conv2dGradWeight::new(shape, software);
            let [first, second] = kernel.calls().unwrap();
            let partial = execute(&first, &[&pad(&p.x, SHAPE.c), &grad_y]);
            let got = execute(&second, &[&partial[0]]);
            let got = unpad_rows("grad_weight", &got[0], SHAPE.c, SHAPE.k);
            let LinearShape { c, k, n } = SHAPE;
            let got: Vec<f32> = (0..k * c).map(|i| got[i % c * k + i / c]).collect();
            let want = reference::linear_grad_weight(SHAPE, &p.x, &p.grad_y);
            compare("grad_weight", &got, &want, n);
        }
        let (rows, channels) = (SHAPE.n, SHAPE.k);
        let kernel = BiasGrad { rows, channels };
        let partials = execute(&kernel.reduce().unwrap(), &[&grad_y]);
        let got = execute(&kernel.finish().unwrap(), &[&partials[0]]);
        let want = reference::linear_grad_bias(SHAPE, &p.grad_y);
        compare(
            "grad_bias",
            &unpad("grad_bias", &got[0], SHAPE.k),
            &want,
            SHAPE.n,
        );
    }
}
