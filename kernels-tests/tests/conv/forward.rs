//! The forward pass, alone and with everything that its epilogue does.

use super::{SEED, map_and_rectify, shapes, software, tails};
use kernels_tests::Reference;
use kernels_tests::conv::{self as reference, Conv2dShape};
use kernels_tests::harness::{compare, execute, execute_as_is, pad, unpad};
use kernels_tests::layout::filters;
use kernels_tests::random::Draw;
use kinesic::kernels::conv::{self, Conv2dForward, ForwardEpilogue, Tile};
use kinesic::kernels::norm::BatchNormFinish;
use kinesic::kernels::{Access, KernelError, padded};

/// All that an epilogue reads.
pub(super) struct Problem {
    pub(super) shape: Conv2dShape,
    pub(super) x: Vec<f64>,
    pub(super) weight: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
    pub(super) residual: Vec<f64>,
}

impl Problem {
    pub(super) fn drawn(index: usize, shape: Conv2dShape) -> Self {
        let mut draw = Draw::new(&format!("forward {index}"), SEED);
        Self {
            shape,
            x: draw.tensor(shape.input_len(), 1.0),
            weight: draw.tensor(shape.weight_len(), 1.0),
            bias: draw.tensor(shape.k, 1.0),
            scale: draw.tensor(shape.k, 2.0),
            shift: draw.tensor(shape.k, 3.0),
            residual: draw.tensor(shape.output_len(), 3.0),
        }
    }

    pub(super) fn y(&self, epilogue: ForwardEpilogue) -> Reference {
        let y = reference::conv2d(&self.shape, &self.x, &self.weight, None);
        self.finished(y, epilogue)
    }

    /// What the epilogue makes of the sums.
    pub(super) fn finished(&self, mut y: Reference, epilogue: ForwardEpilogue) -> Reference {
        for index in 0..y.value.len() {
            if epilogue.bias {
                y.add(index, self.bias[index % self.shape.k]);
            }
        }
        let map = epilogue
            .affine
            .then_some((&self.scale[..], &self.shift[..]));
        map_and_rectify(&mut y, map, false);
        for (index, residual) in self.residual.iter().enumerate() {
            if epilogue.residual {
                y.add(index, *residual);
            }
        }
        map_and_rectify(&mut y, None, epilogue.relu);
        y
    }

    /// `y` and, where asked for, `partials`.
    fn run(&self, kernel: &Conv2dForward) -> Vec<Vec<f32>> {
        let inputs = self.inputs(kernel.epilogue);
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        execute(&kernel.call().unwrap(), &inputs)
    }

    /// What the kernel reads, in order of its bindings.
    pub(super) fn inputs(&self, epilogue: ForwardEpilogue) -> Vec<Vec<f32>> {
        let shape = &self.shape;
        let mut inputs = vec![pad(&self.x, shape.c), filters(shape, &self.weight)];
        inputs.extend(self.read_behind(epilogue));
        inputs
    }

    /// What the epilogue reads, in order of its bindings.
    pub(super) fn read_behind(&self, epilogue: ForwardEpilogue) -> Vec<Vec<f32>> {
        let k = self.shape.k;
        let mut inputs = Vec::new();
        if epilogue.bias {
            inputs.push(pad(&self.bias, k));
        }
        if epilogue.affine {
            inputs.push([&self.scale, &self.shift].map(|row| pad(row, k)).concat());
        }
        if epilogue.residual {
            inputs.push(pad(&self.residual, k));
        }
        inputs
    }
}

/// Those that plans choose: 16, and statistics with a bias or without.
pub(super) fn epilogues() -> impl Iterator<Item = ForwardEpilogue> {
    (0..18).map(|bits| ForwardEpilogue {
        bias: bits & 1 > 0,
        affine: bits & 2 > 0,
        residual: bits & 4 > 0,
        relu: bits & 8 > 0,
        stats: bits & 16 > 0,
    })
}

#[test]
fn matches_reference_on_drawn_shapes_and_every_epilogue_on_some() {
    for (index, shape) in shapes().into_iter().enumerate() {
        let problem = Problem::drawn(index, shape);
        // Six a shape: each epilogue meets six shapes.
        for epilogue in epilogues().skip(index % 3).step_by(3) {
            let want = problem.y(epilogue);
            for software in software() {
                let kernel = Conv2dForward {
                    epilogue,
                    ..Conv2dForward::new(shape.into(), software)
                };
                let what = format!("seed {SEED}, software {software}, {epilogue:?}, {shape:?}");
                let got = problem.run(&kernel);
                let y = unpad(&what, &got[0], shape.k);
                compare(&what, &y, &want, shape.r * shape.s * shape.c + 3);
                if epilogue.stats {
                    check_groups(&what, shape.k, &y, &got[1]);
                }
            }
        }
    }
}

#[test]
fn larger_tiles_match_reference_on_drawn_shapes_and_tails() {
    let (stats, all) = (
        ForwardEpilogue {
            bias: true,
            stats: true,
            ..ForwardEpilogue::default()
        },
        ForwardEpilogue {
            affine: true,
            residual: true,
            relu: true,
            ..ForwardEpilogue::default()
        },
    );
    for (index, shape) in shapes().into_iter().chain(tails()).enumerate() {
        let problem = Problem::drawn(index, shape);
        for (epilogue, tile) in [stats, all].into_iter().zip([Tile::ALL[0], Tile::ALL[1]]) {
            let kernel = Conv2dForward {
                epilogue,
                ..Conv2dForward::new(shape.into(), false)
            };
            let call = kernel.call_in(tile).unwrap();
            let got = execute_as_is(
                &call,
                &problem
                    .inputs(epilogue)
                    .iter()
                    .map(Vec::as_slice)
                    .collect::<Vec<_>>(),
            );
            let what = format!("seed {SEED}, {tile:?}, {epilogue:?}, {shape:?}");
            let y = unpad(&what, &got[0], shape.k);
            let depth = shape.r * shape.s * shape.c + 3;
            compare(&what, &y, &problem.y(epilogue), depth);
            if epilogue.stats {
                check_groups(&what, shape.k, &y, &got[1]);
            }
        }
    }
}

/// Mean and centred sum of squares of each group, against those of the y that was written.
pub(super) fn check_groups(what: &str, channels: usize, y: &[f32], partials: &[f32]) {
    let mut rest = partials.chunks_exact(2 * padded(channels));
    for rows in y.chunks(Conv2dForward::GROUP_ROWS * channels) {
        let count = (rows.len() / channels) as f64;
        let mut mean = Reference::zeros(channels);
        for (index, v) in rows.iter().enumerate() {
            mean.add(index % channels, f64::from(*v));
        }
        mean.scale(1.0 / count);
        let mut m2 = Reference::zeros(channels);
        for (index, v) in rows.iter().enumerate() {
            let (k, v) = (index % channels, f64::from(*v));
            let far = v - mean.value[k];
            // Values and mean are rounded to 24 bits each before their difference is squared.
            let size = far.abs() + 0.25 * (v.abs() + mean.magnitude[k]);
            m2.accumulate(k, far * far, size * size);
        }
        let group = rest.next().unwrap();
        let (first, second) = group.split_at(padded(channels));
        let depth = Conv2dForward::GROUP_ROWS;
        compare(
            &format!("mean, {what}"),
            &unpad(what, first, channels),
            &mean,
            depth,
        );
        compare(
            &format!("m2, {what}"),
            &unpad(what, second, channels),
            &m2,
            depth,
        );
    }
    assert!(rest.next().is_none(), "{what}: more groups than pixels");
}

/// Values of 1000 ± 1/64, whose squares have no bits left for the deviation: sums of squares would lose it.
#[test]
fn statistics_keep_a_small_deviation_about_a_large_mean() {
    let shape = Conv2dShape {
        n: 3,
        h: 9,
        w: 7,
        c: 4,
        k: 4,
        ..shapes()[0]
    };
    for software in software() {
        let kernel = Conv2dForward {
            epilogue: ForwardEpilogue {
                stats: true,
                ..ForwardEpilogue::default()
            },
            ..Conv2dForward::new(shape.into(), software)
        };
        let deviation = |pixel: usize| {
            if pixel.is_multiple_of(2) {
                0.015_625
            } else {
                -0.015_625
            }
        };
        let x: Vec<f64> = (0..3 * 63 * 4).map(|i| 1000.0 + deviation(i / 4)).collect();
        let mut identity = vec![0.0; 16];
        identity.iter_mut().step_by(5).for_each(|one| *one = 1.0);
        let got = execute(
            &kernel.call().unwrap(),
            &[&pad(&x, 4), &filters(&shape, &identity)],
        );
        let (rows, channels) = (3 * 63, 4);
        let finish = BatchNormFinish {
            rows,
            channels,
            eps: 1e-12,
            momentum: 1.0,
            group_rows: Some(Conv2dForward::GROUP_ROWS),
        };
        let (ones, zeros) = ([1.0; 4], [0.0; 4]);
        let inputs: [&[f32]; 5] = [&got[1], &ones, &zeros, &zeros, &zeros];
        let outputs = execute(&finish.call().unwrap(), &inputs);
        for (mean, invstd) in outputs[2][..4].iter().zip(&outputs[2][4..]) {
            assert!((mean - 1000.0).abs() < 1e-3, "software {software}: {mean}");
            assert!(
                (invstd - 64.0).abs() < 64.0 * 1e-3,
                "software {software}: {invstd}"
            );
        }
    }
}

#[test]
fn statistics_repeat_bit_for_bit() {
    let problem = Problem::drawn(3, shapes()[3]);
    for software in software() {
        for epilogue in epilogues().filter(|epilogue| epilogue.stats) {
            let kernel = Conv2dForward {
                epilogue,
                ..Conv2dForward::new(problem.shape.into(), software)
            };
            let bits = || {
                let outputs = problem.run(&kernel).concat();
                outputs.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            assert_eq!(bits(), bits(), "{epilogue:?}");
        }
    }
}

#[test]
fn states_what_the_epilogue_touches() {
    let shape = shapes()[2];
    // The channels of this shape need no padding.
    assert_eq!(shape.k % 4, 0);
    let (len, width) = (4 * shape.output_len() as u64, 4 * shape.k as u64);
    let plain = Conv2dForward::new(shape.into(), false).call().unwrap();
    for epilogue in epilogues() {
        let kernel = Conv2dForward {
            epilogue,
            ..Conv2dForward::new(shape.into(), false)
        };
        let call = kernel.call().unwrap();
        let ForwardEpilogue {
            bias,
            affine,
            residual,
            stats,
            ..
        } = epilogue;
        let vectors = (u64::from(bias) + 2 * u64::from(affine)) * width;
        let read = plain.bytes_read() + vectors + u64::from(residual) * len;
        assert_eq!(call.bytes_read(), read, "{epilogue:?}");
        let pixels = shape.n * shape.out_h() * shape.out_w();
        let groups = pixels.div_ceil(Conv2dForward::GROUP_ROWS);
        assert_eq!(kernel.groups().unwrap(), groups);
        let partials = u64::from(stats) * groups as u64 * 2 * width;
        assert_eq!(
            call.bytes_written(),
            plain.bytes_written() + partials,
            "{epilogue:?}"
        );
        let last = call.extents.last().unwrap();
        assert_eq!(last.access == Access::Write, stats);
    }
}

#[test]
fn rejects_windows_beyond_the_padded_input() {
    let shape = conv::Conv2dShape {
        r: 3,
        s: 3,
        ..conv::Conv2dShape::linear(1, 1, 1)
    };
    let error = Conv2dForward::new(shape, false).call().unwrap_err();
    assert!(
        matches!(error, KernelError::Argument { name: "r", .. }),
        "{error}"
    );
}

#[test]
fn rejects_empty_shapes_and_strides() {
    let linear = conv::Conv2dShape::linear(1, 1, 1);
    for shape in [
        conv::Conv2dShape { n: 0, ..linear },
        conv::Conv2dShape { c: 0, ..linear },
        conv::Conv2dShape { k: 0, ..linear },
        conv::Conv2dShape {
            stride: [1, 0],
            ..linear
        },
    ] {
        assert!(
            Conv2dForward::new(shape, false).call().is_err(),
            "{shape:?}"
        );
    }
}

#[test]
fn rejects_more_elements_than_32_bits_count() {
    let shape = conv::Conv2dShape::linear(1 << 20, 1 << 14, 4);
    let error = Conv2dForward::new(shape, false).call().unwrap_err();
    assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
}
