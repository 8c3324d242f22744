//! Image input against its reference.

use kernels_tests::harness::{compare, execute, unpad};
use kernels_tests::image::{CropShape, crop};
use kernels_tests::random::Draw;
use kinesic::kernels::KernelError;
use kinesic::kernels::image::{ImageInput, MATRIX};

/// Bytes packed as the kernel wants them.
fn words(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks(4)
        .map(|chunk| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            f32::from_bits(u32::from_le_bytes(word))
        })
        .collect()
}

fn drawn_bytes(draw: &mut Draw, len: usize) -> Vec<u8> {
    (0..len).map(|_| draw.int(0..=255) as u8).collect()
}

/// A crop with some rotation, scale and shift, partly beyond the border.
fn drawn_matrix(draw: &mut Draw, shape: &CropShape) -> Vec<f64> {
    let scale = [
        shape.w as f64 / shape.out_w as f64,
        shape.h as f64 / shape.out_h as f64,
    ];
    let mut entry = |base: f64, spread: f64| f64::from((base + spread * draw.uniform()) as f32);
    vec![
        entry(scale[0], 0.3 * scale[0]),
        entry(0.0, 0.3),
        entry(0.0, 3.0),
        entry(0.0, 0.3),
        entry(scale[1], 0.3 * scale[1]),
        entry(0.0, 3.0),
    ]
}

fn run(shape: &CropShape, images: &[u8], matrices: &[f64]) -> Vec<f32> {
    let call = ImageInput {
        n: shape.n,
        source: [shape.h, shape.w],
        size: [shape.out_h, shape.out_w],
        grey: shape.c == 1,
    };
    // The two floats that are not read are NaN.
    let mut rows = vec![f32::NAN; shape.n * MATRIX];
    for (row, matrix) in rows.chunks_exact_mut(MATRIX).zip(matrices.chunks_exact(6)) {
        for (entry, &value) in row.iter_mut().zip(matrix) {
            *entry = value as f32;
        }
    }
    let y = execute(&call.call().unwrap(), &[&words(images), &rows]);
    unpad(&format!("{shape:?}"), &y[0], 3)
}

fn check(seed: u64, shape: &CropShape, draw: &mut Draw) {
    let images = drawn_bytes(draw, shape.n * shape.h * shape.w * shape.c);
    let matrices: Vec<f64> = (0..shape.n)
        .flat_map(|_| drawn_matrix(draw, shape))
        .collect();
    let want = crop(shape, &images, &matrices);
    let what = format!("{shape:?} seed {seed}");
    // Four terms of the interpolation and four of the position.
    compare(&what, &run(shape, &images, &matrices), &want, 8);
}

#[test]
fn matches_reference_on_drawn_shapes() {
    for seed in 0..40 {
        let mut draw = Draw::new("image_input", seed);
        let shape = CropShape {
            n: draw.int(1..=3),
            h: draw.int(1..=20),
            w: draw.int(1..=20),
            c: draw.pick(&[1, 3]),
            out_h: draw.int(1..=20),
            out_w: draw.int(1..=20),
        };
        check(seed, &shape, &mut draw);
    }
}

#[test]
fn matches_reference_around_a_workgroup_and_on_a_batch_of_training() {
    for (seed, (n, h, w, out_h, out_w)) in (100..).zip([
        (1, 1, 1, 1, 1),
        (1, 7, 5, 7, 9),
        (1, 8, 3, 8, 8),
        (1, 5, 7, 5, 13),
        (4, 128, 128, 112, 112),
    ]) {
        for c in [1, 3] {
            let shape = CropShape {
                n,
                h,
                w,
                c,
                out_h,
                out_w,
            };
            check(seed, &shape, &mut Draw::new("image_input", seed));
        }
    }
}

#[test]
fn identity_gives_every_byte_its_value() {
    // 17 x 15 pixels: every byte value as grey, and rows that begin at each place of a word.
    let shape = CropShape {
        n: 1,
        h: 15,
        w: 17,
        c: 1,
        out_h: 15,
        out_w: 17,
    };
    let bytes: Vec<u8> = (0..=254).collect();
    let y = run(&shape, &bytes, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    for (&byte, y) in bytes.iter().zip(y.chunks_exact(3)) {
        let want = f64::from(byte) / 127.5 - 1.0;
        // A division and a subtraction: one rounding each, of numbers up to 2.
        assert!(
            y.iter().all(|&y| (f64::from(y) - want).abs() <= 3e-7),
            "{byte}: {y:?}"
        );
    }
}

#[test]
fn a_flip_reverses_the_rows() {
    let shape = CropShape {
        n: 2,
        h: 4,
        w: 6,
        c: 3,
        out_h: 4,
        out_w: 6,
    };
    let bytes = drawn_bytes(&mut Draw::new("flip", 0), 2 * 4 * 6 * 3);
    let same = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let flip = [-1.0, 0.0, 6.0, 0.0, 1.0, 0.0];
    let plain = run(&shape, &bytes, &[same, same].concat());
    let flipped = run(&shape, &bytes, &[flip, flip].concat());
    for (plain, flipped) in plain.chunks_exact(18).zip(flipped.chunks_exact(18)) {
        let reversed: Vec<f32> = flipped.chunks_exact(3).rev().flatten().copied().collect();
        assert_eq!(plain, reversed);
    }
}

#[test]
fn positions_far_beyond_the_border_or_not_a_number_stay_within_the_image() {
    let shape = CropShape {
        n: 1,
        h: 3,
        w: 3,
        c: 3,
        out_h: 2,
        out_w: 2,
    };
    let bytes: Vec<u8> = (0..27).collect();
    let far = run(&shape, &bytes, &[1.0, 0.0, 1e30, 0.0, 1.0, 1e30]);
    let corner = run(&shape, &bytes, &[1.0, 0.0, 3.0, 0.0, 1.0, 3.0]);
    assert_eq!(far, corner);
    // Whatever pixel a position takes that is not a number, it is one of the image: guard bands hold 255, the image at most 26.
    let broken = run(&shape, &bytes, &[f64::NAN; 6]);
    let within = |y: &f32| y.is_nan() || *y < -0.79;
    assert!(broken.iter().all(within), "{broken:?}");
}

#[test]
fn rejects_each_size_of_zero() {
    let whole = ImageInput {
        n: 1,
        source: [2, 2],
        size: [2, 2],
        grey: false,
    };
    assert!(whole.call().is_ok());
    for broken in [
        ImageInput { n: 0, ..whole },
        ImageInput {
            source: [0, 2],
            ..whole
        },
        ImageInput {
            source: [2, 0],
            ..whole
        },
        ImageInput {
            size: [0, 2],
            ..whole
        },
        ImageInput {
            size: [2, 0],
            ..whole
        },
    ] {
        let error = broken.call().unwrap_err();
        assert!(
            matches!(error, KernelError::Argument { asked: 0, .. }),
            "{error}"
        );
    }
}

#[test]
fn rejects_shapes_beyond_the_indices() {
    for (n, source, size) in [
        (1 << 20, [1 << 10, 1 << 10], [2, 2]),
        (1 << 20, [2, 2], [1 << 10, 1 << 10]),
    ] {
        let grey = false;
        let call = ImageInput {
            n,
            source,
            size,
            grey,
        }
        .call();
        let error = call.unwrap_err();
        assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
    }
}
