//! Pooling kernels against their references.

use kernels_tests::harness::{compare, execute, pad, unpad};
use kernels_tests::pool as reference;
use kernels_tests::random::Draw;
use kinesic::kernels::pool::{
    AvgPool2d, AvgPool2dGrad, GlobalAvgPool2d, GlobalAvgPool2dGrad, MaxPool2d, MaxPool2dGrad,
    PoolShape,
};
use kinesic::kernels::{Call, KernelError, padded};

const DRAWN: u64 = 40;

/// Both names of one shape.
fn shapes(shape: PoolShape) -> (PoolShape, reference::PoolShape) {
    let PoolShape {
        n,
        h,
        w,
        c,
        window,
        stride,
        padding,
    } = shape;
    let of_reference = reference::PoolShape {
        n,
        h,
        w,
        c,
        window,
        stride,
        padding,
    };
    assert_eq!(
        shape.output(),
        Some([of_reference.out_h(), of_reference.out_w()])
    );
    (shape, of_reference)
}

/// Any window that fits, strides beyond it too, so that some elements are in no window.
fn drawn(draw: &mut Draw, padded: bool) -> PoolShape {
    let mut side = || {
        let window = draw.int(1..=4);
        let padding = if padded { draw.int(0..=window / 2) } else { 0 };
        let size = draw.int(window.saturating_sub(2 * padding).max(1)..=13);
        (size, window, draw.int(1..=5), padding)
    };
    let (vertical, horizontal) = (side(), side());
    PoolShape {
        n: draw.int(1..=3),
        h: vertical.0,
        w: horizontal.0,
        c: draw.int(1..=9),
        window: [vertical.1, horizontal.1],
        stride: [vertical.2, horizontal.2],
        padding: [vertical.3, horizontal.3],
    }
}

fn square(n: usize, size: usize, c: usize, [window, stride, padding]: [usize; 3]) -> PoolShape {
    PoolShape {
        n,
        h: size,
        w: size,
        c,
        window: [window; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    }
}

/// Drawn shapes, then: one element; 63 to 65 `vec4`s of output around a workgroup's 64; ResNet's pooling at 112.
fn all(name: &str, padding: bool) -> Vec<(String, PoolShape, Draw)> {
    let mut shapes: Vec<_> = (0..DRAWN)
        .map(|seed| {
            let mut draw = Draw::new(name, seed);
            (seed, drawn(&mut draw, padding), draw)
        })
        .collect();
    let fixed = [
        square(1, 1, 1, [1, 1, 0]),
        square(7, 6, 4, [2, 2, 0]),
        square(1, 16, 4, [2, 2, 0]),
        square(5, 2, 52, [2, 1, 0]),
        square(1, 56, 64, [3, 2, usize::from(padding)]),
    ];
    for (seed, shape) in (DRAWN..).zip(fixed) {
        shapes.push((seed, shape, Draw::new(name, seed)));
    }
    let named = |(seed, shape, draw)| (format!("{shape:?} seed {seed}"), shape, draw);
    shapes.into_iter().map(named).collect()
}

mod max_pool2d {
    use super::*;

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for (what, shape, mut draw) in all("max_pool2d", true) {
            let (shape, of_reference) = shapes(shape);
            // Multiples of ½ in a small range: many ties, of which the first must win.
            let x: Vec<f64> = (draw.tensor(of_reference.input_len(), 8.0).iter())
                .map(|x| (x / 2.0).round() / 2.0)
                .collect();
            let outputs = execute(&MaxPool2d::new(shape).call().unwrap(), &[&pad(&x, shape.c)]);
            let want = reference::max_pool(&of_reference, &x);
            let y = unpad(&what, &outputs[0], shape.c);
            let exact: Vec<f32> = want.y.value.iter().map(|&y| y as f32).collect();
            assert_eq!(y, exact, "{what}");
            assert_eq!(places(&outputs[1], shape.c), want.place, "{what}");
        }
    }

    /// The winners of the channels that are not padding.
    fn places(winner: &[f32], channels: usize) -> Vec<usize> {
        let bytes: Vec<u8> = winner
            .iter()
            .flat_map(|word| word.to_bits().to_le_bytes())
            .collect();
        let rows = bytes.chunks_exact(padded(channels));
        rows.flat_map(|row| row[..channels].iter().map(|&place| place.into()))
            .collect()
    }

    #[test]
    fn of_a_map_is_that_of_the_mapped_and_rectified() {
        for (what, shape, mut draw) in all("mapped max_pool2d", true) {
            let c = shape.c;
            let x = draw.tensor(shape.n * shape.h * shape.w * c, 1.0);
            // Powers of two and eighths: every product and sum is exact in f32, so that ties stay ties.
            let x: Vec<f64> = x.iter().map(|x| (x * 64.0).round() / 64.0).collect();
            let scale: Vec<f64> = (0..c).map(|_| draw.pick(&[-2.0, 0.5, 1.0, 4.0])).collect();
            let shift: Vec<f64> = (0..c).map(|_| draw.pick(&[-0.5, 0.0, 0.125])).collect();
            let mapped = x.iter().enumerate();
            let mapped: Vec<f64> = mapped
                .map(|(index, x)| (x * scale[index % c] + shift[index % c]).max(0.0))
                .collect();
            let want = execute(&MaxPool2d::new(shape).call().unwrap(), &[&pad(&mapped, c)]);
            let pool = MaxPool2d {
                shape,
                mapped: true,
            };
            let affine = [pad(&scale, c), pad(&shift, c)].concat();
            let got = execute(&pool.call().unwrap(), &[&pad(&x, c), &affine]);
            assert_eq!(got, want, "{what}");
        }
    }

    #[test]
    fn of_negative_numbers_ignores_the_padding() {
        let shape = square(1, 3, 4, [3, 2, 1]);
        let x = [-2.0; 36];
        let outputs = execute(&MaxPool2d::new(shape).call().unwrap(), &[&x]);
        assert_eq!(outputs[0], [-2.0; 16]);
    }

    #[test]
    fn nan_and_infinity_win_as_in_pytorch() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let shape = PoolShape {
            window: [1, 3],
            ..square(1, 1, 4, [1, 1, 0])
        };
        let shape = PoolShape { w: 3, ..shape };
        // A channel each: NaN first, NaN last, two NaN, only -∞.
        let x = [
            nan, 1.0, nan, -inf, //
            inf, 2.0, nan, -inf, //
            3.0, nan, 5.0, -inf,
        ];
        let outputs = execute(&MaxPool2d::new(shape).call().unwrap(), &[&x]);
        assert!(outputs[0][..3].iter().all(|y| y.is_nan()), "{outputs:?}");
        assert_eq!(outputs[0][3], -inf);
        assert_eq!(places(&outputs[1], 4), [0, 2, 1, 0]);
    }

    #[test]
    fn rejects_each_size_of_zero() {
        rejects_zeros(|shape| MaxPool2d::new(shape).call());
    }

    #[test]
    fn rejects_windows_whose_places_are_no_bytes() {
        let call = |side| {
            let shape = square(1, 17, 4, [side, 1, 0]);
            MaxPool2d::new(shape).call()
        };
        assert!(call(16).is_ok());
        let error = call(17).unwrap_err();
        assert!(
            matches!(error, KernelError::Argument { name: "window", .. }),
            "{error}"
        );
    }

    #[test]
    fn rejects_a_padding_above_half_the_window() {
        let error = MaxPool2d::new(square(1, 9, 4, [3, 2, 2]))
            .call()
            .unwrap_err();
        let named = matches!(
            error,
            KernelError::Argument {
                name: "padding",
                ..
            }
        );
        assert!(named, "{error}");
    }

    #[test]
    fn rejects_a_window_that_does_not_fit() {
        rejects_large_windows(|shape| MaxPool2d::new(shape).call());
    }

    #[test]
    fn rejects_shapes_beyond_the_indices() {
        rejects_large_shapes(|shape| MaxPool2d::new(shape).call());
    }
}

mod max_pool2d_grad {
    use super::*;

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for (what, shape, mut draw) in all("max_pool2d_grad", true) {
            let (shape, of_reference) = shapes(shape);
            let x = draw.tensor(of_reference.input_len(), 1.0);
            let grad_y = draw.tensor(of_reference.output_len(), 1.0);
            let forward = execute(&MaxPool2d::new(shape).call().unwrap(), &[&pad(&x, shape.c)]);
            let inputs = [&pad(&grad_y, shape.c)[..], &forward[1]];
            let grad_x = execute(&MaxPool2dGrad { shape }.call().unwrap(), &inputs);
            let want = reference::max_pool_grad(&of_reference, &x, &grad_y);
            let depth = shape.window[0] * shape.window[1];
            compare(&what, &unpad(&what, &grad_x[0], shape.c), &want, depth);
        }
    }

    #[test]
    fn rejects_what_the_forward_pass_rejects() {
        rejects_zeros(|shape| MaxPool2dGrad { shape }.call());
        rejects_large_windows(|shape| MaxPool2dGrad { shape }.call());
        rejects_large_shapes(|shape| MaxPool2dGrad { shape }.call());
    }
}

mod avg_pool2d {
    use super::*;

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for (what, shape, mut draw) in all("avg_pool2d", false) {
            let (shape, of_reference) = shapes(shape);
            let x = draw.tensor(of_reference.input_len(), 3.0);
            let y = execute(&AvgPool2d { shape }.call().unwrap(), &[&pad(&x, shape.c)]);
            let want = reference::avg_pool(&of_reference, &x);
            let depth = shape.window[0] * shape.window[1];
            compare(&what, &unpad(&what, &y[0], shape.c), &want, depth);
        }
    }

    #[test]
    fn rejects_padding() {
        let shape = square(1, 9, 4, [3, 2, 1]);
        for result in [AvgPool2d { shape }.call(), AvgPool2dGrad { shape }.call()] {
            let error = result.unwrap_err();
            let named = matches!(
                error,
                KernelError::Argument {
                    name: "padding",
                    ..
                }
            );
            assert!(named, "{error}");
        }
    }

    #[test]
    fn rejects_what_max_pooling_rejects() {
        rejects_zeros(|shape| AvgPool2d { shape }.call());
        rejects_large_windows(|shape| AvgPool2d { shape }.call());
        rejects_large_shapes(|shape| AvgPool2d { shape }.call());
    }
}

mod avg_pool2d_grad {
    use super::*;

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for (what, shape, mut draw) in all("avg_pool2d_grad", false) {
            let (shape, of_reference) = shapes(shape);
            let grad_y = draw.tensor(of_reference.output_len(), 3.0);
            let call = AvgPool2dGrad { shape }.call().unwrap();
            let grad_x = execute(&call, &[&pad(&grad_y, shape.c)]);
            let want = reference::avg_pool_grad(&of_reference, &grad_y);
            let depth = shape.window[0] * shape.window[1];
            compare(&what, &unpad(&what, &grad_x[0], shape.c), &want, depth);
        }
    }

    #[test]
    fn rejects_what_the_forward_pass_rejects() {
        rejects_zeros(|shape| AvgPool2dGrad { shape }.call());
        rejects_large_windows(|shape| AvgPool2dGrad { shape }.call());
        rejects_large_shapes(|shape| AvgPool2dGrad { shape }.call());
    }
}

mod global_avg_pool2d {
    use super::*;

    /// One element, 63 to 65 `vec4`s around a workgroup's 64, primes, and the ends of ResNet-50 at 112 and of `mobile` at 48.
    const SHAPES: [[usize; 4]; 8] = [
        [1, 1, 1, 1],
        [7, 2, 3, 36],
        [4, 5, 1, 64],
        [5, 3, 3, 52],
        [3, 13, 11, 7],
        [2, 48, 48, 5],
        [16, 4, 4, 2048],
        [16, 3, 3, 384],
    ];

    #[test]
    fn matches_reference() {
        for (seed, [n, h, w, c]) in (0..).zip(SHAPES) {
            let x = Draw::new("global_avg_pool2d", seed).tensor(n * h * w * c, 3.0);
            let y = execute(
                &GlobalAvgPool2d { n, h, w, c }.call().unwrap(),
                &[&pad(&x, c)],
            );
            let what = format!("{n} x {h} x {w} x {c} seed {seed}");
            let want = reference::global_avg_pool(n, h * w, c, &x);
            compare(&what, &unpad(&what, &y[0], c), &want, h * w);
        }
    }

    #[test]
    fn gradient_matches_reference() {
        for (seed, [n, h, w, c]) in (0..).zip(SHAPES) {
            let grad_y = Draw::new("global_avg_pool2d_grad", seed).tensor(n * c, 3.0);
            let call = GlobalAvgPool2dGrad { n, h, w, c }.call().unwrap();
            let grad_x = execute(&call, &[&pad(&grad_y, c)]);
            let what = format!("{n} x {h} x {w} x {c} seed {seed}");
            let want = reference::global_avg_pool_grad(n, h * w, c, &grad_y);
            compare(&what, &unpad(&what, &grad_x[0], c), &want, 1);
        }
    }

    #[test]
    fn rejects_empty_and_too_large_shapes() {
        for [n, h, w, c] in [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]] {
            for result in [
                GlobalAvgPool2d { n, h, w, c }.call(),
                GlobalAvgPool2dGrad { n, h, w, c }.call(),
            ] {
                let error = result.unwrap_err();
                assert!(matches!(error, KernelError::Argument { .. }), "{error}");
            }
        }
        let [n, h, w, c] = [1 << 10, 1 << 10, 1 << 10, 4];
        for result in [
            GlobalAvgPool2d { n, h, w, c }.call(),
            GlobalAvgPool2dGrad { n, h, w, c }.call(),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
        }
    }
}

fn rejects_zeros(call: impl Fn(PoolShape) -> Result<Call, KernelError>) {
    let whole = square(1, 4, 4, [2, 2, 0]);
    assert!(call(whole).is_ok());
    let broken = [
        PoolShape { n: 0, ..whole },
        PoolShape { h: 0, ..whole },
        PoolShape { w: 0, ..whole },
        PoolShape { c: 0, ..whole },
        PoolShape {
            window: [2, 0],
            ..whole
        },
        PoolShape {
            stride: [0, 2],
            ..whole
        },
    ];
    for shape in broken {
        let error = call(shape).unwrap_err();
        assert!(
            matches!(error, KernelError::Argument { asked: 0, .. }),
            "{error}"
        );
    }
}

fn rejects_large_windows(call: impl Fn(PoolShape) -> Result<Call, KernelError>) {
    let error = call(square(1, 2, 4, [3, 1, 0])).unwrap_err();
    let named = matches!(error, KernelError::Argument { name: "window", .. });
    assert!(named, "{error}");
}

fn rejects_large_shapes(call: impl Fn(PoolShape) -> Result<Call, KernelError>) {
    for (n, c) in [(1 << 20, 256), (1, usize::MAX)] {
        let error = call(square(n, 4, c, [2, 2, 0])).unwrap_err();
        assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
    }
}
