//! Synthetic faces: the kernels keep their bounds, repeat, and every action unit shows where it should.

use kernels_tests::harness::{execute, gpu};
use kinesic::data::synthetic::Faces;
use kinesic::kernels::face::{
    ACTION_UNITS, DRAWING, Face, FaceFeatures, FaceShape, FaceSkin, PARAMETERS, render,
};
use kinesic::kernels::{Call, KernelError};
use kinesic::objective;

const SIZE: usize = 48;

fn pictures(faces: &[Face], size: usize) -> Vec<Vec<u8>> {
    let bytes = gpu()
        .block_on(render(gpu(), faces, size))
        .unwrap_or_else(|error| panic!("{error}"));
    bytes.chunks(3 * size * size).map(<[u8]>::to_vec).collect()
}

fn stream(seed: u64, people: std::ops::Range<u32>) -> Faces {
    Faces::new(seed, people).unwrap()
}

/// People at rest, facing the camera.
fn people(count: u32) -> Vec<Face> {
    let faces = stream(11, 0..count);
    (0..count).map(|person| faces.passport(person)).collect()
}

fn with_unit(mut face: Face, unit: usize, intensity: f32) -> Face {
    let mut units = face.action_units();
    units[unit] = intensity;
    face.set_action_units(&units);
    face
}

fn numbers(faces: &[Face]) -> Vec<f32> {
    bytemuck::cast_slice(faces).to_vec()
}

/// Mean absolute difference of two pictures over the rows of a range, in levels of 255.
fn difference(a: &[u8], b: &[u8], rows: std::ops::Range<usize>) -> f64 {
    let part = 3 * SIZE * rows.start..3 * SIZE * rows.end;
    if part.is_empty() {
        return 0.0;
    }
    let sum: f64 = a[part.clone()]
        .iter()
        .zip(&b[part.clone()])
        .map(|(&a, &b)| f64::from(a.abs_diff(b)))
        .sum();
    sum / part.len() as f64
}

mod declarations {
    use super::*;
    use kinesic::kernels::{Kernel, all};

    fn members(kernel: &Kernel, name: &str) -> (Vec<(String, u32)>, u32) {
        let module = naga::front::wgsl::parse_str(kernel.shader.source).unwrap();
        let found = module.types.iter().find_map(|(_, kind)| match &kind.inner {
            naga::TypeInner::Struct { members, span } if kind.name.as_deref() == Some(name) => {
                let members = members.iter().map(|m| (m.name.clone().unwrap(), m.offset));
                Some((members.collect(), *span))
            }
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{}: no struct {name}", kernel.shader.name))
    }

    fn kernels() -> Vec<Kernel> {
        let faces: Vec<_> = all().into_iter().filter(|k| k.family == "face").collect();
        assert_eq!(faces.len(), 3);
        faces
    }

    #[test]
    fn a_face_is_the_same_in_rust_and_wgsl() {
        let (members, span) = members(&kernels()[0], "Face");
        let names: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, Face::NAMES);
        assert_eq!(span as usize, 4 * PARAMETERS);
        for (number, name) in objective::ACTION_UNITS
            .iter()
            .zip(&names[PARAMETERS - ACTION_UNITS..])
        {
            assert_eq!(format!("au{number}"), *name);
        }
    }

    #[test]
    fn a_drawing_is_the_same_in_all_three_shaders() {
        let kernels = kernels();
        for name in ["Bump", "Stroke", "Look", "Drawing"] {
            let first = members(&kernels[0], name);
            for kernel in &kernels[1..] {
                assert_eq!(
                    members(kernel, name),
                    first,
                    "{}: {name}",
                    kernel.shader.name
                );
            }
        }
        assert_eq!(members(&kernels[0], "Drawing").1 as usize, 4 * DRAWING);
    }
}

mod face_shape {
    use super::*;

    #[test]
    fn leaves_guard_bands_and_repeats_bit_for_bit() {
        for count in [1, 63, 64, 65, 131] {
            let faces: Vec<Face> = (0..count as u64)
                .map(|index| stream(3, 0..9).picture(index).face)
                .collect();
            let call = FaceShape { count }.call().unwrap();
            let drawings = execute(&call, &[&numbers(&faces)]);
            let look = drawings[0].chunks(DRAWING);
            for (index, drawing) in look.enumerate() {
                let broken = drawing.iter().position(|value| !value.is_finite());
                assert_eq!(broken, None, "drawing {index} of {count}");
            }
            assert_eq!(
                bits(&execute(&call, &[&numbers(&faces)])[0]),
                bits(&drawings[0])
            );
        }
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn rejects_no_faces() {
        let error = FaceShape { count: 0 }.call().unwrap_err();
        assert!(
            matches!(error, KernelError::Argument { name: "count", .. }),
            "{error}"
        );
    }
}

mod face_skin_and_features {
    use super::*;

    /// Pixels of both kernels through the harness: poisoned outputs between guard bands.
    fn guarded(faces: &[Face], size: usize) -> Vec<u8> {
        let count = faces.len();
        let run = |call: Result<Call, KernelError>, inputs: &[&[f32]]| {
            execute(&call.unwrap(), inputs).swap_remove(0)
        };
        let drawings = run(FaceShape { count }.call(), &[&numbers(faces)]);
        let skin = run(FaceSkin { count, size }.call(), &[&drawings]);
        let all = run(FaceFeatures { count, size }.call(), &[&drawings, &skin]);
        bytemuck::cast_slice(&all).to_vec()
    }

    #[test]
    fn leave_guard_bands_and_write_every_pixel() {
        for (count, size) in [(1, 2), (2, 6), (3, 16), (5, 34), (2, 48), (1, 112)] {
            let faces = &people(5)[..count];
            // `render` starts from zeroed pixels, the harness from poison: what was not written would differ.
            assert!(
                guarded(faces, size) == pictures(faces, size).concat(),
                "{count} of {size}"
            );
        }
    }

    #[test]
    fn repeat_bit_for_bit_whatever_else_is_in_the_batch() {
        let drawn = stream(5, 0..40);
        let faces: Vec<Face> = (0..70).map(|index| drawn.picture(index).face).collect();
        let first = pictures(&faces, SIZE);
        assert!(first == pictures(&faces, SIZE));
        assert!(first[33..35] == pictures(&faces[33..35], SIZE));
    }

    #[test]
    fn reject_odd_empty_and_huge_pictures() {
        for (count, size, name) in [
            (0, 48, "count"),
            (1, 0, "size"),
            (1, 47, "size"),
            (1, 8194, "size"),
        ] {
            for call in [
                FaceSkin { count, size }.call(),
                FaceFeatures { count, size }.call(),
            ] {
                let error = call.unwrap_err();
                let named = matches!(error, KernelError::Argument { name: n, .. } if n == name);
                assert!(named, "{count} of {size}: {error}");
            }
        }
        let error = FaceSkin {
            count: 1 << 20,
            size: 112,
        }
        .call()
        .unwrap_err();
        assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn mirror_a_symmetric_face() {
        for (index, mut face) in people(12).into_iter().enumerate() {
            face.hair_part = 0.0;
            face.freckles = 0.0;
            face.hair_curl = 0.0;
            let units = std::array::from_fn(|unit| if (unit + index) % 3 == 0 { 1.0 } else { 0.1 });
            face.set_action_units(&units);
            let picture = pictures(&[face], SIZE).swap_remove(0);
            for (pixel, rgb) in picture.chunks(3).enumerate() {
                let (row, column) = (pixel / SIZE, pixel % SIZE);
                let at = 3 * (row * SIZE + SIZE - 1 - column);
                for (&a, &b) in rgb.iter().zip(&picture[at..at + 3]) {
                    // The two columns' coordinates round differently in the last bit: a level, and one more in between.
                    assert!(
                        a.abs_diff(b) <= 2,
                        "person {index}, {row}, {column}: {a} and {b}"
                    );
                }
            }
        }
    }

    /// The patches lie on either flank of the nose; without relief the head's curve alone makes them differ by 3 levels.
    #[test]
    fn let_the_nose_throw_light_back() {
        let side = |light_x| Face {
            light_x,
            light_y: 0.2,
            light_z: 0.6,
            ..Face::default()
        };
        let patch = |picture: &[u8], columns: std::ops::Range<usize>| {
            let rows = (22..28).flat_map(|row| columns.clone().map(move |column| (row, column)));
            rows.map(|(row, column)| f64::from(picture[3 * (row * SIZE + column) + 1]))
                .sum::<f64>()
                / 12.0
        };
        for (light_x, sign) in [(-1.0, 1.0), (1.0, -1.0)] {
            let picture = pictures(&[side(light_x)], SIZE).swap_remove(0);
            let (left, right) = (patch(&picture, 21..23), patch(&picture, 25..27));
            let step = sign * (left - right);
            assert!(
                step > 12.0,
                "light from {light_x}: {left:.1} and {right:.1}"
            );
        }
    }

    #[test]
    fn show_a_face_whatever_the_parameters() {
        let drawn = stream(7, 0..500);
        let faces: Vec<Face> = (0..400).map(|index| drawn.picture(index).face).collect();
        for (index, picture) in pictures(&faces, SIZE).iter().enumerate() {
            let mean = picture.iter().map(|&v| f64::from(v)).sum::<f64>() / picture.len() as f64;
            let spread = picture
                .iter()
                .map(|&v| (f64::from(v) - mean).powi(2))
                .sum::<f64>();
            let spread = (spread / picture.len() as f64).sqrt();
            assert!(
                (25.0..230.0).contains(&mean),
                "picture {index}: mean {mean}"
            );
            assert!(
                spread > 12.0,
                "picture {index}: standard deviation {spread}"
            );
        }
    }
}

mod action_units {
    use super::*;

    /// The rows of a 48-pixel picture where FACS has each unit act: brows and eyes, nose, or mouth and chin.
    const ROWS: [(u32, std::ops::Range<usize>); ACTION_UNITS] = [
        (1, 6..22),
        (2, 6..22),
        (4, 12..26),
        (5, 14..28),
        (6, 16..36),
        (7, 16..28),
        (9, 12..42),
        (10, 24..42),
        (12, 20..44),
        (14, 28..44),
        (15, 30..46),
        (17, 30..48),
        (20, 28..48),
        (23, 30..42),
        (24, 30..44),
        (25, 30..46),
        (26, 30..48),
    ];

    /// The pixels that change by more than [`LEVELS`] of 255 in some channel.
    fn changed(a: &[u8], b: &[u8]) -> usize {
        let pairs = a.chunks(3).zip(b.chunks(3));
        let far = |(a, b): &(&[u8], &[u8])| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > LEVELS);
        pairs.filter(far).count()
    }

    /// What an eye sees at once in a smooth region.
    const LEVELS: u8 = 12;
    /// Pixels of 2304 that a unit at full intensity must change in every face, beards and glasses included, ...
    const LEAST: usize = 5;
    /// ... and in the mean over faces.
    const MEAN: usize = 18;
    /// The share of a unit's change a row that may fall elsewhere on either side of its rows.
    const STRAY: f64 = 0.06;

    #[test]
    fn change_their_part_of_every_face_and_leave_the_rest_alone() {
        for (unit, (number, rows)) in ROWS.into_iter().enumerate() {
            assert_eq!(objective::ACTION_UNITS[unit], number);
            let mut seen = 0;
            for (person, face) in people(16).into_iter().enumerate() {
                let set = [0.0, 0.5, 1.0].map(|intensity| with_unit(face, unit, intensity));
                let shown = pictures(&set, SIZE);
                let half = difference(&shown[0], &shown[1], rows.clone());
                let other = difference(&shown[1], &shown[2], rows.clone());
                let full = difference(&shown[0], &shown[2], rows.clone());
                let around = [0..rows.start, rows.end..SIZE];
                let rest = around.map(|rows| difference(&shown[0], &shown[2], rows));
                let pixels = changed(&shown[0], &shown[2]);
                let what = format!(
                    "AU {number} of person {person}: {half:.2} and {other:.2} of {full:.2}, elsewhere {rest:.2?}, {pixels} pixels"
                );
                assert!(pixels >= LEAST, "{what}: not visible");
                assert!(half.min(other) > 0.2 * full, "{what}: no intensities");
                assert!(
                    rest.iter().all(|&rest| rest <= STRAY * full),
                    "{what}: moves the rest"
                );
                seen += pixels;
            }
            assert!(seen >= 16 * MEAN, "AU {number}: {seen} pixels of 16 faces");
        }
    }

    #[test]
    fn show_among_others() {
        let drawn = stream(13, 0..64);
        for unit in 0..ACTION_UNITS {
            let mut seen = 0;
            for person in 0..24 {
                let mut face = drawn.passport(person);
                let others = drawn.picture(u64::from(person)).face;
                face.set_action_units(&others.action_units());
                let set = [0.06, 0.8].map(|intensity| with_unit(face, unit, intensity));
                let shown = pictures(&set, SIZE);
                seen += changed(&shown[0], &shown[1]);
            }
            let number = objective::ACTION_UNITS[unit];
            assert!(
                seen >= 24 * MEAN / 2,
                "AU {number} among others: {seen} pixels of 24 faces"
            );
        }
    }
}

mod people_differ {
    use super::*;

    #[test]
    fn more_than_the_expressions_of_one() {
        let drawn = stream(17, 0..24);
        let faces: Vec<Vec<Face>> = (0..24)
            .map(|person| {
                (0..4_u64)
                    .map(|index| {
                        let mut face = drawn.passport(person);
                        let other = drawn.picture(4 * u64::from(person) + index).face;
                        face.set_action_units(&other.action_units());
                        face
                    })
                    .collect()
            })
            .collect();
        let shown: Vec<_> = faces.iter().map(|faces| pictures(faces, SIZE)).collect();
        let (mut same, mut other) = (Vec::new(), Vec::new());
        for (person, own) in shown.iter().enumerate() {
            for index in 1..4 {
                same.push(difference(&own[0], &own[index], 0..SIZE));
                let stranger = &shown[(person + index) % shown.len()];
                other.push(difference(&own[0], &stranger[0], 0..SIZE));
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (same, other) = (mean(&same), mean(&other));
        assert!(
            other > 2.0 * same,
            "same person {same:.2}, others {other:.2}"
        );
    }
}
