//! Convolution kernels against their references.

mod forward;
mod forward_matrix;
mod grad_input;
mod grad_matrix;
mod normalised;
mod winograd;
mod winograd_grad;

use kernels_tests::Reference;
use kernels_tests::conv::{self as reference, Conv2dShape};
use kernels_tests::harness::{compare, execute, execute_as_is, gpu, pad, unpad};
use kernels_tests::layout::{depthwise_filters, depthwise_unfilters, unfilters};
use kernels_tests::random::Draw;
use kinesic::gpu::Precision;
use kinesic::kernels::{Call, KernelError, conv};

const SEED: u64 = 20;

/// Backbone layers, the edges of tiles (8 vectors of channels, 4 pixels), and drawn awkward ones.
fn shapes() -> Vec<Conv2dShape> {
    let same = |n, side, c, k, r, stride: usize| Conv2dShape {
        n,
        h: side,
        w: side,
        c,
        k,
        r,
        s: r,
        stride: [stride; 2],
        padding: [r / 2; 2],
    };
    let mut shapes = vec![
        same(1, 1, 1, 1, 1, 1),
        same(1, 28, 3, 64, 7, 2),
        same(2, 7, 128, 128, 3, 1),
        same(2, 14, 64, 31, 3, 2),
        same(3, 5, 36, 33, 1, 1),
        same(1, 9, 29, 28, 1, 2),
    ];
    // The edges of a tile of 64 pixels and 16 channels.
    for (w, c, k) in [(63, 15, 16), (64, 16, 17), (65, 17, 15)] {
        shapes.push(Conv2dShape {
            h: 1,
            w,
            ..same(1, 1, c, k, 1, 1)
        });
    }
    let mut draw = Draw::new("conv shapes", SEED);
    for _ in 0..10 {
        let (r, s) = (draw.pick(&[1, 2, 3, 5]), draw.pick(&[1, 2, 3, 7]));
        shapes.push(Conv2dShape {
            n: draw.int(1..=3),
            h: draw.int(r..=17),
            w: draw.int(s..=19),
            c: draw.pick(&[1, 3, 4, 5, 17]),
            k: draw.pick(&[1, 2, 7, 32, 37]),
            r,
            s,
            stride: [draw.int(1..=3), draw.int(1..=3)],
            padding: [draw.int(0..=r / 2), draw.int(0..=s / 2)],
        });
    }
    shapes
}

/// The edges of a tile of 128 pixels and 128 channels, both ways, and several of them.
fn tails() -> Vec<Conv2dShape> {
    let sizes = [
        (127, 127, 129),
        (128, 128, 128),
        (129, 129, 127),
        (300, 8, 260),
        (300, 260, 8),
    ];
    let tails = sizes.map(|(w, c, k)| Conv2dShape {
        n: 1,
        h: 1,
        w,
        c,
        k,
        r: 1,
        s: 1,
        stride: [1; 2],
        padding: [0; 2],
    });
    tails.to_vec()
}

/// Base kernels, and those for software adapters where the adapter runs them.
fn software() -> Vec<bool> {
    if gpu().has_software_kernels() {
        return vec![false, true];
    }
    eprintln!("skipped: the kernels for software adapters, for want of 8-lane subgroups on a CPU");
    vec![false]
}

/// The map of a batch normalisation, scale and shift of each channel, and a rectifier behind a convolution.
fn map_and_rectify(y: &mut Reference, map: Option<(&[f64], &[f64])>, relu: bool) {
    for index in 0..y.value.len() {
        if let Some((scale, shift)) = map {
            let k = index % scale.len();
            let (value, size) = (y.value[index], y.magnitude[index]);
            y.set(index, value * scale[k], size * scale[k].abs());
            y.add(index, shift[k]);
        }
        if relu {
            y.set(index, y.value[index].max(0.0), y.magnitude[index]);
        }
    }
}

/// `k1 · grad_y + k2 · z_y + k3`, the rows of coefficients those of channels.
struct MappedGradient {
    value: Vec<f64>,
    magnitude: Vec<f64>,
}

impl MappedGradient {
    fn new(grad_y: &[f64], z_y: &[f64], rows: &[Vec<f64>; 3]) -> Self {
        let terms = |index: usize| {
            let k = index % rows[0].len();
            [
                rows[0][k] * grad_y[index],
                rows[1][k] * z_y[index],
                rows[2][k],
            ]
        };
        let indices = 0..grad_y.len();
        Self {
            value: indices.clone().map(|i| terms(i).iter().sum()).collect(),
            magnitude: indices
                .map(|i| terms(i).map(f64::abs).iter().sum())
                .collect(),
        }
    }
}

mod conv2d_grad_weight {
    use super::*;

    #[test]
    fn of_a_mapped_gradient_is_that_of_the_map() {
        for (index, shape) in shapes().iter().enumerate() {
            let mut draw = Draw::new(&format!("mapped grad weight {index}"), SEED);
            let x = draw.tensor(shape.input_len(), 1.0);
            let [grad_y, z_y] = [1.0, 1.0].map(|size| draw.tensor(shape.output_len(), size));
            let rows = [1.0, 0.5, 0.25].map(|size| draw.tensor(shape.k, size));
            let mapped = MappedGradient::new(&grad_y, &z_y, &rows);
            let mut want = reference::conv2d_grad_weight(shape, &x, &mapped.value);
            let absolute: Vec<f64> = x.iter().map(|x| x.abs()).collect();
            want.magnitude =
                reference::conv2d_grad_weight(shape, &absolute, &mapped.magnitude).value;
            let kernel = conv::Conv2dGradWeight {
                mapped: true,
                ..conv::Conv2dGradWeight::new((*shape).into(), false)
            };
            let tile = conv::Tile::ALL[index % 3];
            let [first, second] = kernel.calls_in(tile).unwrap();
            let coefficients = rows.each_ref().map(|row| pad(row, shape.k)).concat();
            let [grad_y, z_y] = [&grad_y, &z_y].map(|values| pad(values, shape.k));
            let inputs: [&[f32]; 4] = [&pad(&x, shape.c), &grad_y, &z_y, &coefficients];
            let partial = execute(&first, &inputs);
            let what = format!("mapped, {tile:?}, {shape:?}");
            let got = unfilters(&what, shape, &execute(&second, &[&partial[0]])[0]);
            compare(
                &what,
                &got,
                &want,
                3 * shape.n * shape.out_h() * shape.out_w(),
            );
        }
    }

    fn run(shape: &Conv2dShape, software: bool, x: &[f64], grad_y: &[f64]) -> Vec<f32> {
        let kernel = conv::Conv2dGradWeight::new((*shape).into(), software);
        both(shape, kernel.calls().unwrap(), x, grad_y)
    }

    fn both(
        shape: &Conv2dShape,
        [first, second]: [Call; 2],
        x: &[f64],
        grad_y: &[f64],
    ) -> Vec<f32> {
        let partial = execute(&first, &[&pad(x, shape.c), &pad(grad_y, shape.k)]);
        execute(&second, &[&partial[0]]).remove(0)
    }

    #[test]
    fn larger_tiles_match_reference_on_drawn_shapes_and_tails() {
        for (index, shape) in shapes().iter().chain(&tails()).enumerate() {
            let mut draw = Draw::new(&format!("tiles of grad weight {index}"), SEED);
            let x = draw.tensor(shape.input_len(), 1.0);
            let grad_y = draw.tensor(shape.output_len(), 1.0);
            let want = reference::conv2d_grad_weight(shape, &x, &grad_y);
            let kernel = conv::Conv2dGradWeight::new((*shape).into(), false);
            for tile in [conv::Tile::ALL[0], conv::Tile::ALL[1]] {
                let what = format!("seed {SEED}, {tile:?}, {shape:?}");
                let got = both(shape, kernel.calls_in(tile).unwrap(), &x, &grad_y);
                let depth = shape.n * shape.out_h() * shape.out_w();
                compare(&what, &unfilters(&what, shape, &got), &want, depth);
            }
        }
    }

    #[test]
    fn matches_reference_on_drawn_shapes() {
        for (index, shape) in shapes().iter().enumerate() {
            let mut draw = Draw::new(&format!("grad weight {index}"), SEED);
            let x = draw.tensor(shape.input_len(), 1.0);
            let grad_y = draw.tensor(shape.output_len(), 1.0);
            let want = reference::conv2d_grad_weight(shape, &x, &grad_y);
            for software in software() {
                let what = format!("seed {SEED}, software {software}, {shape:?}");
                let got = unfilters(&what, shape, &run(shape, software, &x, &grad_y));
                let depth = shape.n * shape.out_h() * shape.out_w();
                compare(&what, &got, &want, depth);
            }
        }
    }

    #[test]
    fn repeats_bit_for_bit() {
        let shape = shapes()[3];
        let mut draw = Draw::new("repeat", SEED);
        let x = draw.tensor(shape.input_len(), 1.0);
        let grad_y = draw.tensor(shape.output_len(), 1.0);
        for software in software() {
            let bits = || {
                run(&shape, software, &x, &grad_y)
                    .iter()
                    .map(|v| v.to_bits())
                    .collect::<Vec<_>>()
            };
            assert_eq!(bits(), bits());
        }
    }
}

/// What training in f16 finds an overflow by: the base kernel converts, the one for software adapters packs.
#[test]
fn sums_overflow_to_infinity_in_f16() {
    if !gpu().can_store(Precision::F16) {
        eprintln!("skipped: the adapter has no shader-f16");
        return;
    }
    let shape = conv::Conv2dShape::linear(1, 4, 4);
    let weight = [2.0, -2.0, 1.0, 0.0].repeat(4);
    for software in software() {
        let call = conv::Conv2dForward::new(shape, software).call().unwrap();
        let x = [30000.0, 30000.0, -1.0, 0.0];
        let y = execute_as_is(&call.stored(Precision::F16), &[&x, &weight]);
        let want = [f32::INFINITY, f32::NEG_INFINITY, 60000.0, 0.0];
        assert_eq!(y[0], want, "software {software}");
    }
}

mod sum_groups {
    use super::*;

    #[test]
    fn sums_in_order() {
        let partial: Vec<f32> = (0..3 * 260).map(|i| (i as f32).sin()).collect();
        let call = conv::SumGroups { len: 260, parts: 3 }.call().unwrap();
        let total = execute(&call, &[&partial]);
        let want: Vec<f32> = (0..260)
            .map(|i| partial[i] + partial[260 + i] + partial[520 + i])
            .collect();
        assert_eq!(total[0], want);
    }

    #[test]
    fn rejects_partial_vectors_and_no_groups() {
        assert!(conv::SumGroups { len: 6, parts: 1 }.call().is_err());
        assert!(conv::SumGroups { len: 8, parts: 0 }.call().is_err());
    }
}

mod depthwise {
    use super::*;

    fn depthwise_shapes() -> Vec<Conv2dShape> {
        let mut shapes = shapes();
        // The strips of 3 × 3 filters: 4 columns and their edges, every padding, stride 1 and 2, even and odd images.
        let mut draw = Draw::new("depthwise shapes", SEED);
        for (w, padding) in [
            (1, [1, 1]),
            (3, [1, 1]),
            (4, [0, 1]),
            (5, [2, 0]),
            (8, [1, 2]),
        ] {
            for stride in [1, 2] {
                shapes.push(Conv2dShape {
                    n: draw.int(1..=3),
                    h: draw.int(3..=11),
                    w,
                    c: draw.pick(&[1, 4, 13]),
                    k: 0,
                    r: 3,
                    s: 3,
                    stride: [stride; 2],
                    padding,
                });
            }
        }
        // More strips than groups, and the last group shorter than the others.
        shapes.push(Conv2dShape {
            n: 65,
            h: 3,
            w: 4,
            c: 128,
            r: 3,
            s: 3,
            padding: [1; 2],
            ..shapes[0]
        });
        let layer = Conv2dShape {
            n: 64,
            h: 12,
            w: 12,
            c: 32,
            r: 3,
            s: 3,
            padding: [1; 2],
            ..shapes[0]
        };
        shapes.push(layer);
        shapes
            .into_iter()
            .map(|shape| Conv2dShape {
                k: shape.c,
                ..shape
            })
            .collect()
    }

    mod forward {
        use super::*;

        fn epilogues() -> impl Iterator<Item = conv::DepthwiseEpilogue> {
            (0..8).map(|bits| conv::DepthwiseEpilogue {
                bias: bits & 1 > 0,
                affine: bits & 2 > 0,
                relu: bits & 4 > 0,
            })
        }

        #[test]
        fn matches_reference_on_drawn_shapes_with_every_epilogue() {
            for (index, shape) in depthwise_shapes().iter().enumerate() {
                let mut draw = Draw::new(&format!("depthwise forward {index}"), SEED);
                let x = draw.tensor(shape.input_len(), 1.0);
                let w = draw.tensor(shape.depthwise_weight_len(), 1.0);
                let rows = [1.0, 2.0, 3.0].map(|scale| draw.tensor(shape.c, scale));
                for epilogue in epilogues() {
                    let [bias, scale, shift] = &rows;
                    let bias = epilogue.bias.then_some(&bias[..]);
                    let map = epilogue.affine.then_some((&scale[..], &shift[..]));
                    let mut want = reference::depthwise(shape, &x, &w, bias);
                    map_and_rectify(&mut want, map, epilogue.relu);
                    let affine = map.map(|(scale, shift)| [scale, shift].map(|v| pad(v, shape.c)));
                    let affine = affine.unwrap_or_default().concat();
                    let bias = bias.map(|bias| pad(bias, shape.c)).unwrap_or_default();
                    let (x, w) = (pad(&x, shape.c), depthwise_filters(shape, &w));
                    for software in software() {
                        let kernel = conv::DepthwiseForward {
                            shape: (*shape).into(),
                            epilogue,
                            software,
                        };
                        let y = execute(&kernel.call().unwrap(), &[&x, &w, &bias, &affine]);
                        let what =
                            format!("seed {SEED}, software {software}, {epilogue:?}, {shape:?}");
                        let depth = shape.r * shape.s + 2;
                        compare(&what, &unpad(&what, &y[0], shape.c), &want, depth);
                    }
                }
            }
        }

        #[test]
        fn states_what_the_epilogue_touches() {
            let shape = depthwise_shapes()[2].into();
            let plain = conv::DepthwiseForward::new(shape, false).call().unwrap();
            for epilogue in epilogues() {
                let kernel = conv::DepthwiseForward {
                    epilogue,
                    ..conv::DepthwiseForward::new(shape, false)
                };
                let rows = u64::from(epilogue.bias) + 2 * u64::from(epilogue.affine);
                let read = plain.bytes_read() + rows * 4 * shape.c as u64;
                assert_eq!(shape.c % 4, 0);
                assert_eq!(kernel.call().unwrap().bytes_read(), read);
            }
        }

        #[test]
        fn rejects_other_numbers_of_outputs() {
            let shape = conv::Conv2dShape::linear(1, 4, 8);
            let call = conv::DepthwiseForward::new(shape, false).call();
            let error = call.unwrap_err();
            assert!(
                matches!(error, KernelError::Argument { name: "k", .. }),
                "{error}"
            );
        }
    }

    mod grad_input {
        use super::*;

        #[test]
        fn matches_reference_on_drawn_shapes() {
            for (index, shape) in depthwise_shapes().iter().enumerate() {
                let mut draw = Draw::new(&format!("depthwise grad input {index}"), SEED);
                let grad_y = draw.tensor(shape.output_len(), 1.0);
                let w = draw.tensor(shape.depthwise_weight_len(), 1.0);
                let want = reference::depthwise_grad_input(shape, &grad_y, &w);
                for software in software() {
                    let call = conv::DepthwiseGradInput {
                        shape: (*shape).into(),
                        software,
                    }
                    .call()
                    .unwrap();
                    let grad_x = execute(
                        &call,
                        &[&pad(&grad_y, shape.c), &depthwise_filters(shape, &w)],
                    );
                    let what = format!("seed {SEED}, software {software}, {shape:?}");
                    let depth = shape.r * shape.s;
                    compare(&what, &unpad(&what, &grad_x[0], shape.c), &want, depth);
                }
            }
        }
    }

    mod grad_weight {
        use super::*;

        fn run(shape: &Conv2dShape, software: bool, x: &[f64], grad_y: &[f64]) -> Vec<f32> {
            let kernel = conv::DepthwiseGradWeight {
                shape: (*shape).into(),
                software,
            };
            let [first, second] = kernel.calls().unwrap();
            let partial = execute(&first, &[&pad(x, shape.c), &pad(grad_y, shape.c)]);
            execute(&second, &[&partial[0]]).remove(0)
        }

        #[test]
        fn matches_reference_on_drawn_shapes() {
            for (index, shape) in depthwise_shapes().iter().enumerate() {
                let mut draw = Draw::new(&format!("depthwise grad weight {index}"), SEED);
                let x = draw.tensor(shape.input_len(), 1.0);
                let grad_y = draw.tensor(shape.output_len(), 1.0);
                let want = reference::depthwise_grad_weight(shape, &x, &grad_y);
                for software in software() {
                    let what = format!("seed {SEED}, software {software}, {shape:?}");
                    let got = run(shape, software, &x, &grad_y);
                    let got = depthwise_unfilters(&what, shape, &got);
                    compare(&what, &got, &want, shape.n * shape.out_h() * shape.out_w());
                }
            }
        }

        #[test]
        fn repeats_bit_for_bit() {
            let shape = depthwise_shapes()[3];
            let mut draw = Draw::new("repeat", SEED);
            let x = draw.tensor(shape.input_len(), 1.0);
            let grad_y = draw.tensor(shape.output_len(), 1.0);
            for software in software() {
                let bits = || {
                    run(&shape, software, &x, &grad_y)
                        .iter()
                        .map(|v| v.to_bits())
                        .collect::<Vec<_>>()
                };
                assert_eq!(bits(), bits());
            }
        }
    }
}
