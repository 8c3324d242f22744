use crate::assert_close;
use kernels_tests::image::{CropShape, crop};

const IDENTITY: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

fn shape(h: usize, w: usize, c: usize, out_h: usize, out_w: usize) -> CropShape {
    CropShape {
        n: 1,
        h,
        w,
        c,
        out_h,
        out_w,
    }
}

fn scaled(byte: f64) -> f64 {
    byte / 127.5 - 1.0
}

#[test]
fn the_identity_keeps_every_pixel() {
    let bytes: Vec<u8> = (0..18).map(|i| i * 15).collect();
    let y = crop(&shape(2, 3, 3, 2, 3), &bytes, &IDENTITY);
    let want: Vec<f64> = bytes.iter().map(|&b| scaled(f64::from(b))).collect();
    assert_close("rgb", &y.value, &want);
    assert_eq!((y.value[0], y.value[17]), (-1.0, 1.0));
    let y = crop(&shape(1, 2, 1, 1, 2), &[0, 255], &IDENTITY);
    assert_close("grey", &y.value, &[-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn pixels_are_areas_with_their_centres_at_halves() {
    // Half the size: every output pixel lies amid four.
    let bytes = [0, 10, 20, 30, 40, 50, 60, 70];
    let y = crop(
        &shape(2, 4, 1, 1, 2),
        &bytes,
        &[2.0, 0.0, 0.0, 0.0, 2.0, 0.0],
    );
    assert_close(
        "halved",
        &[y.value[0], y.value[3]],
        &[scaled(25.0), scaled(45.0)],
    );
    // Twice the size: quarters between the centres, the border repeated outside.
    let y = crop(
        &shape(1, 2, 1, 1, 4),
        &[0, 100],
        &[0.5, 0.0, 0.0, 0.0, 1.0, 0.0],
    );
    let grey: Vec<f64> = y.value.chunks_exact(3).map(|rgb| rgb[0]).collect();
    assert_close("doubled", &grey, &[0.0, 25.0, 75.0, 100.0].map(scaled));
}

#[test]
fn matrices_map_output_to_source_x_first() {
    let bytes = [1, 2, 3, 4, 5, 6];
    // Mirror: source x = 3 − x.
    let y = crop(
        &shape(2, 3, 1, 2, 3),
        &bytes,
        &[-1.0, 0.0, 3.0, 0.0, 1.0, 0.0],
    );
    let grey: Vec<f64> = y.value.chunks_exact(3).map(|rgb| rgb[2]).collect();
    assert_close("mirror", &grey, &[3.0, 2.0, 1.0, 6.0, 5.0, 4.0].map(scaled));
    // Transpose: source x = y, source y = x.
    let y = crop(
        &shape(2, 3, 1, 3, 2),
        &bytes,
        &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
    );
    let grey: Vec<f64> = y.value.chunks_exact(3).map(|rgb| rgb[1]).collect();
    assert_close(
        "transpose",
        &grey,
        &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0].map(scaled),
    );
}

#[test]
fn every_image_has_its_own_matrix_and_far_outside_is_the_border() {
    let shape = CropShape {
        n: 2,
        ..shape(1, 2, 1, 1, 1)
    };
    let matrices = [
        1.0, 0.0, -100.0, 0.0, 1.0, 50.0, 1.0, 0.0, 0.5, 0.0, 1.0, 0.0,
    ];
    let y = crop(&shape, &[10, 20, 30, 50], &matrices);
    assert_close(
        "images",
        &[y.value[0], y.value[3]],
        &[scaled(10.0), scaled(40.0)],
    );
    // Rounding of the position counts where the image has a slope.
    assert!(y.magnitude[3] > scaled(40.0) + 2.0);
}
