//! Convolutions of `mobile` at 48 × 48 and of ResNet at 112 × 112 and 224 × 224, forward and both gradients.

mod common;

use common::{Line, quick, variants};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::Reference;
use kernels_tests::conv::{self as reference, Conv2dShape};
use kernels_tests::harness::{compare, execute, pad, unpad};
use kernels_tests::layout::{depthwise_filters, depthwise_unfilters, filters, unfilters};
use kernels_tests::random::Draw;
use kernels_tests::winograd as magnitudes;
use kinesic::kernels::conv;

/// Images, side, input and output channels, filter, stride; padded so that stride 1 keeps the side.
fn shape([n, side, c, k, r, stride]: [usize; 6]) -> Conv2dShape {
    Conv2dShape {
        n: if quick() { 1 } else { n },
        h: if quick() { side.min(9) } else { side },
        w: if quick() { side.min(9) } else { side },
        c,
        k,
        r,
        s: r,
        stride: [stride; 2],
        padding: [r / 2; 2],
    }
}

fn name(shape: &Conv2dShape) -> String {
    let Conv2dShape {
        n, h, w, c, k, r, ..
    } = shape;
    format!("n{n}h{h}w{w}c{c}k{k}r{r}s{}", shape.stride[0])
}

/// A problem with random values and its twin.
struct Problem {
    shape: Conv2dShape,
    twin: conv::Conv2dShape,
    x: Vec<f64>,
    weight: Vec<f64>,
    grad_y: Vec<f64>,
}

impl Problem {
    fn new(sizes: [usize; 6], weight_len: fn(&Conv2dShape) -> usize) -> Self {
        let shape = shape(sizes);
        let mut draw = Draw::new("conv bench", 1);
        Self {
            shape,
            twin: shape.into(),
            x: draw.tensor(shape.input_len(), 1.0),
            weight: draw.tensor(weight_len(&shape), 1.0),
            grad_y: draw.tensor(shape.output_len(), 1.0),
        }
    }

    /// The terms of a sum of the output, of the input's gradient, and of the weight's.
    fn depths(&self) -> [usize; 3] {
        let Conv2dShape { c, k, r, s, .. } = self.shape;
        let pixels = self.shape.n * self.shape.out_h() * self.shape.out_w();
        [r * s * c, r * s * k, pixels]
    }
}

/// Holds rows of channels against a reference.
fn rows(want: &Reference, channels: usize, depth: usize) -> impl Fn(&str, &[f32]) {
    move |what, got| compare(what, &unpad(what, got, channels), want, depth)
}

fn conv2d(criterion: &mut Criterion) {
    for sizes in [
        [64, 24, 16, 32, 1, 1],
        [64, 12, 32, 64, 1, 1],
        [64, 6, 64, 128, 1, 1],
        [2, 112, 3, 64, 7, 2],
        [2, 56, 64, 64, 3, 1],
        [2, 14, 256, 256, 3, 1],
        [2, 28, 128, 256, 1, 2],
    ] {
        let problem = Problem::new(sizes, Conv2dShape::weight_len);
        let (s, shape) = (&problem.shape, problem.twin);
        let [forward, grad_input, grad_weight] = problem.depths();
        let y = reference::conv2d(s, &problem.x, &problem.weight, None);
        let grad_x = reference::conv2d_grad_input(s, &problem.grad_y, &problem.weight);
        let grad_w = reference::conv2d_grad_weight(s, &problem.x, &problem.grad_y);
        let (x, w) = (pad(&problem.x, s.c), filters(s, &problem.weight));
        let g = pad(&problem.grad_y, s.k);
        for (variant, software) in variants() {
            let line = |kernel| Line {
                kernel,
                variant,
                shape: name(s),
            };
            let call = conv::Conv2dForward::new(shape, software).call().unwrap();
            line("conv/conv2d_forward").measure(
                criterion,
                &[call],
                &[&x, &w, &[]],
                rows(&y, s.k, forward),
            );
            let call = conv::Conv2dGradInput::new(shape, software).call().unwrap();
            line("conv/conv2d_grad_input").measure(
                criterion,
                &[call],
                &[&g, &w],
                rows(&grad_x, s.c, grad_input),
            );
            let calls = conv::Conv2dGradWeight::new(shape, software)
                .calls()
                .unwrap();
            line("conv/conv2d_grad_weight").measure(criterion, &calls, &[&x, &g], |what, got| {
                compare(what, &unfilters(what, s, got), &grad_w, grad_weight);
            });
            if software {
                winograd(criterion, variant, &problem, [&y, &grad_x, &grad_w]);
            }
        }
    }
}

/// Winograd's method where it pays (and on small shapes, to be checked), forward and the input's gradient on filters that were
/// transformed before, the filters' gradient on both of its operands, as the other passes of a step leave them; and each of its shaders
/// alone. The references are the convolutions', the terms of which roundings are shares the method's.
fn winograd(
    criterion: &mut Criterion,
    variant: &'static str,
    problem: &Problem,
    [y, grad_x, grad_w]: [&Reference; 3],
) {
    let Problem {
        shape: s,
        twin: shape,
        x,
        weight,
        grad_y,
    } = problem;
    let line = |kernel| Line {
        kernel,
        variant,
        shape: name(s),
    };
    let of = |sums: &Reference, magnitude| Reference {
        value: sums.value.clone(),
        magnitude,
    };
    let (x_rows, w, g) = (pad(x, s.c), filters(s, weight), pad(grad_y, s.k));
    let kernel = conv::Winograd::forward(*shape, Default::default());
    if let Some(kernel) = kernel.filter(|it| quick() || it.pays()) {
        let want = of(y, magnitudes::magnitude(s, x, weight));
        let filter = kernel.filter().unwrap();
        let u = execute(&filter, &[&w]).remove(0);
        let check = rows(&want, s.k, s.c + 33);
        let calls = kernel.calls().unwrap();
        line("conv/conv2d_forward_winograd").measure(criterion, &calls, &[&x_rows, &u], check);
        let [input, product, output] = &calls;
        line("conv").shader(criterion, &filter, &[&w]);
        let v = line("conv").shader(criterion, input, &[&x_rows]);
        let m = line("conv").shader(criterion, product, &[&v, &u]);
        line("conv").shader(criterion, output, &[&m]);
    }
    let kernel = conv::WinogradGradInput::new(*shape, Default::default());
    if let Some(kernel) = kernel.filter(|it| quick() || it.pays()) {
        let want = of(grad_x, magnitudes::grad_input_magnitude(s, grad_y, weight));
        let u = execute(&kernel.filter().unwrap(), &[&w]).remove(0);
        let check = rows(&want, s.c, s.k + 31);
        let calls = kernel.calls().unwrap();
        line("conv/conv2d_grad_input_winograd").measure(criterion, &calls, &[&g, &u], check);
        let [transform, product, output] = &calls;
        let w = execute(transform, &[&g]).remove(0);
        let m = execute(product, &[&w, &u]).remove(0);
        line("conv").shader(criterion, output, &[&m]);
    }
    let kernel = conv::WinogradGradWeight::new(*shape);
    if let Some(kernel) = kernel.filter(|it| quick() || it.pays()) {
        let want = of(grad_w, magnitudes::grad_weight_magnitude(s, x, grad_y));
        let pixels = problem.depths()[2];
        let check = |what: &str, got: &[f32]| {
            compare(what, &unfilters(what, s, got), &want, pixels / 16 + 32);
        };
        let calls = kernel.calls().unwrap();
        let [input, transform, product, filter] = &calls;
        let v = execute(input, &[&x_rows]).remove(0);
        let w = execute(transform, &[&g]).remove(0);
        line("conv/conv2d_grad_weight_winograd").measure(criterion, &calls[2..], &[&v, &w], check);
        line("conv").shader(criterion, transform, &[&g]);
        let partial = line("conv").shader(criterion, product, &[&v, &w]);
        line("conv").shader(criterion, filter, &[&partial]);
    }
}

fn depthwise(criterion: &mut Criterion) {
    for sizes in [
        [64, 24, 16, 16, 3, 1],
        [64, 24, 32, 32, 3, 2],
        [64, 12, 64, 64, 3, 1],
        [64, 24, 96, 96, 3, 1],
    ] {
        let problem = Problem::new(sizes, Conv2dShape::depthwise_weight_len);
        let (s, shape) = (&problem.shape, problem.twin);
        let window = s.r * s.s;
        let pixels = problem.depths()[2];
        let y = reference::depthwise(s, &problem.x, &problem.weight, None);
        let grad_x = reference::depthwise_grad_input(s, &problem.grad_y, &problem.weight);
        let grad_w = reference::depthwise_grad_weight(s, &problem.x, &problem.grad_y);
        let (x, w) = (pad(&problem.x, s.c), depthwise_filters(s, &problem.weight));
        let g = pad(&problem.grad_y, s.c);
        for (variant, software) in variants() {
            let line = |kernel| Line {
                kernel,
                variant,
                shape: name(s),
            };
            let call = conv::DepthwiseForward::new(shape, software).call().unwrap();
            line("conv/depthwise_forward").measure(
                criterion,
                &[call],
                &[&x, &w],
                rows(&y, s.c, window),
            );
            let call = conv::DepthwiseGradInput { shape, software }.call().unwrap();
            line("conv/depthwise_grad_input").measure(
                criterion,
                &[call],
                &[&g, &w],
                rows(&grad_x, s.c, window),
            );
            let calls = conv::DepthwiseGradWeight { shape, software }
                .calls()
                .unwrap();
            line("conv/depthwise_grad_weight").measure(
                criterion,
                &calls,
                &[&x, &g],
                |what, got| {
                    compare(what, &depthwise_unfilters(what, s, got), &grad_w, pixels);
                },
            );
        }
    }
}

criterion_group!(benches, conv2d, depthwise);
criterion_main!(benches);
