//! Matrix products: a square one, and the shapes that linear layers and 1 × 1 convolutions have.

mod common;

use common::{Line, quick, variants};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::gemm::{self as reference, GemmShape};
use kernels_tests::harness::{compare, pad, unpad};
use kernels_tests::random::Draw;
use kinesic::kernels::gemm::MatMul;

/// All sizes are multiples of 4, so that matrices have no padding rows.
fn shapes() -> Vec<GemmShape> {
    let shape = |m, n, k| GemmShape { m, n, k };
    if quick() {
        return vec![shape(68, 36, 20)];
    }
    vec![
        shape(768, 768, 768),
        shape(36864, 32, 16),
        shape(2304, 128, 64),
        shape(64, 28, 512),
    ]
}

fn matmul(criterion: &mut Criterion) {
    for shape in shapes() {
        let GemmShape { m, n, k } = shape;
        let mut draw = Draw::new("gemm bench", 1);
        let (a, b) = (draw.tensor(m * k, 1.0), draw.tensor(k * n, 1.0));
        let want = reference::matmul(shape, &a, &b);
        let want_a_bt = reference::matmul_a_bt(shape, &a, &b);
        // The gradient of b: the long side is summed over.
        let turned = GemmShape { m: k, n, k: m };
        let grad = draw.tensor(m * n, 1.0);
        let want_at_b = reference::matmul_at_b(turned, &a, &grad);
        for (variant, software) in variants() {
            let twin = MatMul { m, n, k, software };
            let line = |kernel| Line {
                kernel,
                variant,
                shape: format!("m{m}n{n}k{k}"),
            };
            let check = |want, depth| {
                move |what: &str, y: &[f32]| compare(what, &unpad(what, y, n), want, depth)
            };
            let (a_b, a_bt) = (twin.a_b().unwrap(), twin.a_bt().unwrap());
            let at_b = MatMul { m: k, k: m, ..twin };
            line("gemm/matmul_a_b").measure(
                criterion,
                &[a_b],
                &[&pad(&a, k), &pad(&b, n), &[]],
                check(&want, k),
            );
            line("gemm/matmul_a_bt").measure(
                criterion,
                &[a_bt],
                &[&pad(&a, k), &pad(&b, k)],
                check(&want_a_bt, k),
            );
            line("gemm/matmul_at_b").measure(
                criterion,
                &at_b.at_b().unwrap(),
                &[&pad(&a, k), &pad(&grad, n)],
                check(&want_at_b, m),
            );
        }
    }
}

criterion_group!(benches, matmul);
criterion_main!(benches);
