//! Synthetic faces: the three kernels on a training batch, and at the size of a demonstration.

mod common;

use common::{Line, quick};
use criterion::{Criterion, criterion_group, criterion_main};
use kernels_tests::harness::{execute, gpu};
use kinesic::data::synthetic::Faces;
use kinesic::kernels::face::{Face, FaceFeatures, FaceShape, FaceSkin, render};

/// Faces of a batch and their size in pixels.
fn shapes() -> Vec<(usize, usize)> {
    if quick() {
        return vec![(5, 16)];
    }
    vec![(64, 48), (16, 112)]
}

/// There is no reference of the whole painter: a result is held against the pictures that [`render`] gives, bit for bit.
fn face(criterion: &mut Criterion) {
    for (count, size) in shapes() {
        let stream = Faces::new(1, 0..1000).unwrap();
        let faces: Vec<Face> = (0..count as u64).map(|i| stream.picture(i).face).collect();
        let numbers: &[f32] = bytemuck::cast_slice(&faces);
        let want = gpu().block_on(render(gpu(), &faces, size)).unwrap();
        let shape = FaceShape { count }.call().unwrap();
        let skin = FaceSkin { count, size }.call().unwrap();
        let features = FaceFeatures { count, size }.call().unwrap();
        let drawings = execute(&shape, &[numbers]).swap_remove(0);
        let painted = execute(&skin, &[&drawings]).swap_remove(0);
        let line = |kernel| Line {
            kernel,
            variant: "f32",
            shape: format!("n{count}s{size}"),
        };
        let finite = |what: &str, drawings: &[f32]| {
            assert!(drawings.iter().all(|value| value.is_finite()), "{what}");
        };
        line("face/face_shape").measure(criterion, &[shape], &[numbers], finite);
        let same = |what: &str, got: &[f32]| {
            let repeated = bytemuck::cast_slice::<f32, u8>(got);
            assert!(
                repeated == bytemuck::cast_slice::<f32, u8>(&painted),
                "{what}"
            );
        };
        line("face/face_skin").measure(criterion, &[skin], &[&drawings], same);
        let same = |what: &str, got: &[f32]| {
            assert!(bytemuck::cast_slice::<f32, u8>(got) == want, "{what}");
        };
        let inputs: [&[f32]; 2] = [&drawings, &painted];
        line("face/face_features").measure(criterion, &[features], &inputs, same);
    }
}

criterion_group!(benches, face);
criterion_main!(benches);
