//! Pooling and its gradients, at the shapes of the backbones.

mod common;

use common::{Line, quick};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::harness::{compare, execute, pad, unpad};
use kernels_tests::pool as reference;
use kernels_tests::random::Draw;
use kinesic::kernels::pool::{
    AvgPool2d, AvgPool2dGrad, GlobalAvgPool2d, GlobalAvgPool2dGrad, MaxPool2d, MaxPool2dGrad,
    PoolShape,
};

fn line(kernel: &str, shape: String, run: impl FnOnce(&Line<'_>)) {
    run(&Line {
        kernel,
        variant: "base",
        shape,
    });
}

/// A square pooling under both of its names, and as a part of an id.
fn square(
    n: usize,
    size: usize,
    c: usize,
    [window, stride, padding]: [usize; 3],
) -> (PoolShape, reference::PoolShape, String) {
    let (h, w) = (size, size);
    let (windows, strides, paddings) = ([window; 2], [stride; 2], [padding; 2]);
    let shape = PoolShape {
        n,
        h,
        w,
        c,
        window: windows,
        stride: strides,
        padding: paddings,
    };
    let of_reference = reference::PoolShape {
        n,
        h,
        w,
        c,
        window: windows,
        stride: strides,
        padding: paddings,
    };
    let id = format!("n{n}h{h}w{w}c{c}r{window}s{stride}p{padding}");
    (shape, of_reference, id)
}

/// ResNet-50's at 112, batch 16, and VGG-16's first.
fn max(criterion: &mut Criterion) {
    let cases = if quick() {
        vec![square(1, 7, 6, [3, 2, 1])]
    } else {
        vec![square(16, 56, 64, [3, 2, 1]), square(4, 112, 64, [2, 2, 0])]
    };
    for (shape, of_reference, id) in cases {
        let c = shape.c;
        let mut draw = Draw::new("max_pool2d bench", 1);
        let x = draw.tensor(of_reference.input_len(), 1.0);
        let grad_y = draw.tensor(of_reference.output_len(), 1.0);
        let call = MaxPool2d::new(shape).call().unwrap();
        let padded = pad(&x, c);
        line("pool/max_pool2d", id.clone(), |line| {
            let want = reference::max_pool(&of_reference, &x).y;
            line.stream(criterion, &call, &[&padded], |what, y| {
                compare(what, &unpad(what, &y[0], c), &want, 1);
            });
        });
        let winner = execute(&call, &[&padded]).remove(1);
        let call = MaxPool2dGrad { shape }.call().unwrap();
        line("pool/max_pool2d_grad", id, |line| {
            let want = reference::max_pool_grad(&of_reference, &x, &grad_y);
            let inputs: [&[f32]; 2] = [&pad(&grad_y, c), &winner];
            line.stream(criterion, &call, &inputs, |what, grad_x| {
                compare(what, &unpad(what, &grad_x[0], c), &want, 9);
            });
        });
    }
}

fn avg(criterion: &mut Criterion) {
    let (shape, of_reference, id) = if quick() {
        square(1, 7, 6, [2, 2, 0])
    } else {
        square(16, 56, 64, [2, 2, 0])
    };
    let c = shape.c;
    let mut draw = Draw::new("avg_pool2d bench", 1);
    let x = draw.tensor(of_reference.input_len(), 1.0);
    let grad_y = draw.tensor(of_reference.output_len(), 1.0);
    let call = AvgPool2d { shape }.call().unwrap();
    line("pool/avg_pool2d", id.clone(), |line| {
        let want = reference::avg_pool(&of_reference, &x);
        line.stream(criterion, &call, &[&pad(&x, c)], |what, y| {
            compare(what, &unpad(what, &y[0], c), &want, 4);
        });
    });
    let call = AvgPool2dGrad { shape }.call().unwrap();
    line("pool/avg_pool2d_grad", id, |line| {
        let want = reference::avg_pool_grad(&of_reference, &grad_y);
        line.stream(criterion, &call, &[&pad(&grad_y, c)], |what, grad_x| {
            compare(what, &unpad(what, &grad_x[0], c), &want, 4);
        });
    });
}

/// The end of ResNet-50 at 112, and of `mobile` at 48.
fn global(criterion: &mut Criterion) {
    let cases = if quick() {
        vec![[2, 3, 3, 5]]
    } else {
        vec![[16, 4, 4, 2048], [64, 3, 3, 384]]
    };
    for [n, h, w, c] in cases {
        let id = format!("n{n}h{h}w{w}c{c}");
        let mut draw = Draw::new("global_avg_pool2d bench", 1);
        let x = draw.tensor(n * h * w * c, 1.0);
        let grad_y = draw.tensor(n * c, 1.0);
        let call = GlobalAvgPool2d { n, h, w, c }.call().unwrap();
        line("pool/global_avg_pool2d", id.clone(), |line| {
            let want = reference::global_avg_pool(n, h * w, c, &x);
            line.stream(criterion, &call, &[&pad(&x, c)], |what, y| {
                compare(what, &unpad(what, &y[0], c), &want, h * w);
            });
        });
        let call = GlobalAvgPool2dGrad { n, h, w, c }.call().unwrap();
        line("pool/global_avg_pool2d_grad", id, |line| {
            let want = reference::global_avg_pool_grad(n, h * w, c, &grad_y);
            line.stream(criterion, &call, &[&pad(&grad_y, c)], |what, grad_x| {
                compare(what, &unpad(what, &grad_x[0], c), &want, 1);
            });
        });
    }
}

criterion_group!(benches, max, avg, global);
criterion_main!(benches);
