//! Both gradients by Winograd's method.

use super::winograd::shapes;
use super::{SEED, grad_input, software};
use kernels_tests::conv::{self as reference, Conv2dShape};
use kernels_tests::harness::{compare, execute, pad, unpad};
use kernels_tests::layout::{filters, unfilters};
use kernels_tests::random::Draw;
use kernels_tests::winograd;
use kinesic::kernels::conv::{self, GradInputEpilogue, WinogradGradInput, WinogradGradWeight};
use kinesic::kernels::padded;

/// Those of the forward pass, and what the filters' gradient has edges at: 8 tiles, 16 and 32 channels in, 32 out, and several groups of
/// tiles.
fn weight_shapes() -> Vec<Conv2dShape> {
    let base = shapes()[0];
    let more = [
        (1, 4, 28, 16, 32),
        (1, 4, 32, 17, 33),
        (1, 5, 32, 32, 36),
        (3, 5, 5, 33, 31),
        (5, 29, 21, 5, 7),
        (9, 16, 30, 31, 3),
    ];
    let more = more.map(|(n, h, w, c, k)| Conv2dShape {
        n,
        h,
        w,
        c,
        k,
        ..base
    });
    [shapes(), more.to_vec()].concat()
}

/// The four dispatches of the input's gradient.
fn grad_x(problem: &grad_input::Problem, shape: &Conv2dShape, it: GradInputEpilogue) -> Vec<f32> {
    let kernel = WinogradGradInput::new((*shape).into(), it).unwrap();
    let [transform, product, output] = kernel.calls().unwrap();
    let u = execute(
        &kernel.filter().unwrap(),
        &[&filters(shape, &problem.weight)],
    );
    let w = execute(&transform, &[&pad(&problem.grad_y, shape.k)]);
    let m = execute(&product, &[&w[0], &u[0]]);
    let lens = [&u, &w, &m].map(|values| values[0].len());
    assert_eq!(lens, kernel.scratch_lens().unwrap());
    let mut inputs = m;
    let used = [(it.add, &problem.other), (it.mask, &problem.x)];
    let used = used.iter().filter(|(used, _)| *used);
    inputs.extend(used.map(|(_, values)| pad(values, shape.c)));
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    execute(&output, &inputs).remove(0)
}

/// Those with a border of zeros.
fn bordered() -> impl Iterator<Item = Conv2dShape> {
    let all = shapes().into_iter();
    all.filter(|shape| shape.padding.iter().all(|&zeros| zeros > 0))
}

#[test]
fn grad_input_matches_reference_with_every_epilogue() {
    if !software().contains(&true) {
        return;
    }
    assert!(bordered().any(|shape| shape.padding == [2, 1] || shape.padding == [2, 2]));
    for (index, shape) in bordered().enumerate() {
        let problem = grad_input::Problem::drawn(index, shape);
        let magnitude = winograd::grad_input_magnitude(&shape, &problem.grad_y, &problem.weight);
        let epilogues = grad_input::epilogues().filter(|it| !it.reduce);
        for epilogue in epilogues.chain([GradInputEpilogue::default()]) {
            let what = format!("seed {SEED}, {epilogue:?}, {shape:?}");
            let mut sums = problem.sums();
            sums.magnitude.clone_from(&magnitude);
            let want = problem.finished(sums, epilogue);
            let got = grad_x(&problem, &shape, epilogue);
            // The products' sum over k; transforms of 4, 3 and 6 terms and up to two windows, along rows and then columns.
            let depth = shape.k + 2 * (4 + 3 + 6 + 2) + 1;
            compare(&what, &unpad(&what, &got, shape.c), &want, depth);
        }
    }
}

/// What the filters' gradient is made of.
struct Problem {
    shape: Conv2dShape,
    x: Vec<f64>,
    grad_y: Vec<f64>,
}

impl Problem {
    fn drawn(index: usize, shape: Conv2dShape) -> Self {
        let mut draw = Draw::new(&format!("winograd grad weight {index}"), SEED);
        Self {
            shape,
            x: draw.tensor(shape.input_len(), 1.0),
            grad_y: draw.tensor(shape.output_len(), 1.0),
        }
    }

    /// The four dispatches.
    fn run(&self) -> Vec<f32> {
        let kernel = WinogradGradWeight::new(self.shape.into()).unwrap();
        let [input, transform, product, filter] = kernel.calls().unwrap();
        let v = execute(&input, &[&pad(&self.x, self.shape.c)]);
        let w = execute(&transform, &[&pad(&self.grad_y, self.shape.k)]);
        let partial = execute(&product, &[&v[0], &w[0]]);
        let lens = [&v, &w, &partial].map(|values| values[0].len());
        assert_eq!(lens, kernel.scratch_lens().unwrap());
        execute(&filter, &[&partial[0]]).remove(0)
    }
}

#[test]
fn grad_weight_matches_reference_on_drawn_shapes() {
    if !software().contains(&true) {
        return;
    }
    for (index, shape) in weight_shapes().into_iter().enumerate() {
        let problem = Problem::drawn(index, shape);
        let Problem { x, grad_y, .. } = &problem;
        let mut want = reference::conv2d_grad_weight(&shape, x, grad_y);
        want.magnitude = winograd::grad_weight_magnitude(&shape, x, grad_y);
        let what = format!("seed {SEED}, {shape:?}");
        let got = unfilters(&what, &shape, &problem.run());
        let tiles = shape.n * shape.out_h().div_ceil(4) * shape.out_w().div_ceil(4);
        // The products' sum over tiles; transforms of 6, 4 and 6 terms along rows and then columns.
        compare(&what, &got, &want, tiles + 2 * (6 + 4 + 6));
    }
}

#[test]
fn the_groups_of_tiles_are_several_and_uneven_somewhere() {
    let groups = |shape: Conv2dShape| {
        let kernel = WinogradGradWeight::new(shape.into()).unwrap();
        let [.., partial] = kernel.scratch_lens().unwrap();
        partial / (36 * padded(shape.c) * padded(shape.k))
    };
    let groups: Vec<_> = weight_shapes().into_iter().map(groups).collect();
    assert!(
        groups.contains(&1) && groups.iter().any(|&it| it > 2),
        "{groups:?}"
    );
}

#[test]
fn repeat_bit_for_bit() {
    if !software().contains(&true) {
        return;
    }
    let bits = |values: Vec<f32>| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let shape = weight_shapes().pop().unwrap();
    let filters = || bits(Problem::drawn(0, shape).run());
    assert_eq!(filters(), filters());
    let problem = grad_input::Problem::drawn(0, shape);
    let input = || bits(grad_x(&problem, &shape, GradInputEpilogue::default()));
    assert_eq!(input(), input());
}

#[test]
fn state_what_they_touch() {
    let shape: conv::Conv2dShape = shapes()[2].into();
    let (c, k, tiles) = (padded(5), padded(17), 2);
    let pixels = 20;
    let (u, v, w) = (36 * c * k, 36 * tiles * c, 36 * tiles * k);
    let bytes = |elements: usize| 4 * elements as u64;
    let epilogue = GradInputEpilogue {
        add: true,
        mask: true,
        ..GradInputEpilogue::default()
    };
    let kernel = WinogradGradInput::new(shape, epilogue).unwrap();
    let [transform, product, output] = kernel.calls().unwrap();
    assert_eq!(transform.bytes_read(), bytes(pixels * k));
    assert_eq!(transform.bytes_written(), bytes(w));
    assert_eq!(product.bytes_read(), bytes(w + u));
    assert_eq!(product.bytes_written(), bytes(v));
    assert_eq!(output.bytes_read(), bytes(v + 2 * pixels * c));
    assert_eq!(output.bytes_written(), bytes(pixels * c));
    let kernel = WinogradGradWeight::new(shape).unwrap();
    let [input, transform, product, filter] = kernel.calls().unwrap();
    assert_eq!(input.bytes_written(), bytes(v));
    assert_eq!(transform.bytes_written(), bytes(w));
    assert_eq!(product.bytes_read(), bytes(v + w));
    assert_eq!(product.bytes_written(), bytes(u));
    assert_eq!(filter.bytes_read(), bytes(u));
    assert_eq!(filter.bytes_written(), bytes(9 * c * k));
}

#[test]
fn rejects_column_sums_no_border_and_other_windows_and_strides() {
    let plain = GradInputEpilogue::default();
    let shape: conv::Conv2dShape = shapes()[3].into();
    let input = |shape| WinogradGradInput::new(shape, plain).is_some();
    let filters = |shape| WinogradGradWeight::new(shape).is_some();
    assert!(input(shape) && filters(shape));
    let reduce = GradInputEpilogue {
        reduce: true,
        ..plain
    };
    assert!(WinogradGradInput::new(shape, reduce).is_none());
    let padding = [1, 0];
    let bare = conv::Conv2dShape { padding, ..shape };
    assert!(!input(bare) && filters(bare));
    let strided = conv::Conv2dShape {
        stride: [2, 2],
        ..shape
    };
    let wide = conv::Conv2dShape { s: 5, ..shape };
    let empty = conv::Conv2dShape { n: 0, ..shape };
    for other in [strided, wide, empty] {
        assert!(!input(other) && !filters(other), "{other:?}");
    }
}

/// As for the forward pass: what the method allows is no licence.
#[test]
fn amplify_roundings_a_hundredfold_at_most_on_average() {
    let shape = shapes()[5];
    let Problem { x, grad_y, .. } = Problem::drawn(5, shape);
    let weight = Draw::new("winograd weight", SEED).tensor(shape.weight_len(), 1.0);
    let sum = |magnitudes: &[f64]| magnitudes.iter().sum::<f64>();
    let input = reference::conv2d_grad_input(&shape, &grad_y, &weight).magnitude;
    let filters = reference::conv2d_grad_weight(&shape, &x, &grad_y).magnitude;
    for (method, direct) in [
        (
            winograd::grad_input_magnitude(&shape, &grad_y, &weight),
            input,
        ),
        (
            winograd::grad_weight_magnitude(&shape, &x, &grad_y),
            filters,
        ),
    ] {
        let ratio = sum(&method) / sum(&direct);
        assert!((2.0..100.0).contains(&ratio), "{ratio}");
    }
}

/// Layers that were measured (benches/README.md): images, side, channels, and whether the filters' gradient won clearly.
#[test]
fn grad_weight_pays_where_it_was_measured_to() {
    for (n, side, c, k, wins) in [
        (64, 24, 16, 16, true),
        (16, 28, 32, 16, true),
        (16, 28, 64, 64, true),
        (1, 28, 64, 64, true),
        (16, 4, 512, 512, true),
        (4, 8, 64, 64, false),
        (1, 14, 128, 128, false),
    ] {
        let shape = conv::Conv2dShape {
            n,
            h: side,
            w: side,
            c,
            k,
            ..shapes()[0].into()
        };
        let kernel = WinogradGradWeight::new(shape).unwrap();
        assert_eq!(kernel.pays(), wins, "{shape:?}");
    }
}
