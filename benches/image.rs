//! Image input: a batch of photographs to activations.

mod common;

use common::{Line, quick};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::harness::{compare, unpad};
use kernels_tests::image::{CropShape, crop};
use kernels_tests::random::Draw;
use kinesic::kernels::image::ImageInput;

/// Images, their side, channels, and the side of the crops: ResNet at 112, batch 16, and `mobile` at 48, batch 64.
fn shapes() -> Vec<[usize; 4]> {
    if quick() {
        return vec![[2, 9, 3, 7], [2, 9, 1, 7]];
    }
    vec![[16, 128, 3, 112], [64, 48, 3, 48], [64, 48, 1, 48]]
}

fn image_input(criterion: &mut Criterion) {
    for [n, side, c, size] in shapes() {
        let shape = CropShape {
            n,
            h: side,
            w: side,
            c,
            out_h: size,
            out_w: size,
        };
        let mut draw = Draw::new("image bench", 1);
        let mut bytes: Vec<u8> = (0..n * side * side * c)
            .map(|_| draw.int(0..=255) as u8)
            .collect();
        // A little of rotation, scale and shift; every entry is exact in f32.
        let matrix = [1.0625, 0.125, -2.5, -0.125, 1.0625, 1.25];
        let want = crop(&shape, &bytes, &matrix.repeat(n));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let words: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let mut row = matrix.map(|entry| entry as f32).to_vec();
        row.resize(8, 0.0);
        let call = ImageInput {
            n,
            source: [side; 2],
            size: [size; 2],
            grey: c == 1,
        };
        let call = call.call().unwrap();
        let line = Line {
            kernel: "image/image_input",
            variant: &call.variant.to_string(),
            shape: format!("n{n}h{side}w{side}to{size}"),
        };
        line.stream(criterion, &call, &[&words, &row.repeat(n)], |what, y| {
            compare(what, &unpad(what, &y[0], 3), &want, 8);
        });
    }
}

criterion_group!(benches, image_input);
criterion_main!(benches);
