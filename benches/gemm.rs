//! Matrix products: a square one, and the shapes that linear layers and 1 × 1 convolutions have.

mod common;

use common::{Line, quick, variants};
use criterion::{Criterion, criterion_group, criterion_main};
use half::f16;
use kernels_tests::gemm::{self as reference, GemmShape};
use kernels_tests::harness::{compare, gpu, pad, unpad};
use kernels_tests::layout::half_words;
use kernels_tests::random::Draw;
use kinesic::gpu::Precision;
use kinesic::kernels::conv::{Conv2dForward, Conv2dShape, Tile};
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

/// A product that fills a GPU, by the base kernel in its largest tile and with the adapter's cooperative matrices. 64 rows are
/// held against the reference: all would take the processor minutes.
fn large(criterion: &mut Criterion) {
    let sides: &[usize] = match (quick(), gpu().is_software()) {
        (true, _) => &[160],
        (false, true) => &[],
        (false, false) => &[4096, 8192],
    };
    for &side in sides {
        product(criterion, side);
    }
}

fn product(criterion: &mut Criterion, side: usize) {
    let (shape, rows) = (Conv2dShape::linear(side, side, side), 64);
    let mut draw = Draw::new("large gemm bench", 1);
    let exact = |values: Vec<f64>| -> Vec<f64> {
        let rounded = values.into_iter().map(|v| f16::from_f64(v).to_f64());
        rounded.collect()
    };
    let a = exact(draw.tensor(side * side, 1.0));
    let b = exact(draw.tensor(side * side, 1.0));
    let few = GemmShape {
        m: rows,
        n: side,
        k: side,
    };
    let last = (side - rows) * side;
    let want = reference::matmul(few, &a[last..], &b);
    let (a, b) = (pad(&a, side), pad(&b, side));
    let kernel = Conv2dForward::new(shape, false);
    let line = |variant| Line {
        kernel: "gemm/matmul_a_b",
        variant,
        shape: format!("m{side}n{side}k{side}"),
    };
    // Roundings as a random walk, what matrix units cut off, and that of storage.
    let check = |stored: f64| {
        let want = &want;
        move |what: &str, y: &[f32]| {
            let depth = side as f64;
            let sums = (4.0 * depth.sqrt() + depth / 8.0 + 4.0) * f64::powi(2.0, -24);
            let wanted = want.value.iter().zip(&want.magnitude);
            for (got, (value, size)) in y[last..].iter().zip(wanted) {
                let far = (f64::from(*got) - value).abs();
                let right = far <= sums * size + stored * value.abs();
                assert!(right, "{what}: {got}, not {value}");
            }
        }
    };
    let call = kernel.call_in(Tile::ALL[0]).unwrap();
    line("f32").measure_as_is(criterion, &call, &[&a, &b], check(0.0));
    let halves = half_words(&b);
    for precision in [Precision::F32, Precision::F16] {
        let Some(side) = gpu().matrices().side(precision) else {
            continue;
        };
        let call = kernel.call_in_matrices(precision, side).unwrap();
        let filters = if side == 16 { &halves } else { &b };
        let (variant, stored) = match precision {
            Precision::F32 => ("f32_matrices", 0.0),
            Precision::F16 => ("f16_matrices", f64::powi(2.0, -11)),
        };
        line(variant).measure_as_is(criterion, &call, &[&a, filters], check(stored));
    }
}

criterion_group!(benches, matmul, large);
criterion_main!(benches);
