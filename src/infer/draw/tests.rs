use super::*;
use crate::infer::Answer;

fn prediction() -> Prediction {
    let named = |names: &[&str], first: f32| {
        let value = |index: usize| first / (1 + index) as f32;
        names
            .iter()
            .enumerate()
            .map(|(at, name)| ((*name).to_owned(), value(at)))
            .collect()
    };
    let classes: Vec<(String, f32)> = named(
        &[
            "happiness",
            "surprise",
            "neutral",
            "anger",
            "disgust",
            "fear",
            "sadness",
        ],
        0.87,
    );
    let units = named(
        &[
            "au12", "au25", "au6", "au1", "au2", "au4", "au5", "au7", "au9", "au10", "au14",
            "au15", "au17", "au20", "au23", "au24", "au26",
        ],
        0.96,
    );
    let axes = vec![("valence".to_owned(), 0.62), ("arousal".to_owned(), -0.35)];
    Prediction {
        tasks: vec![
            ("expression".to_owned(), Answer::Classes(classes)),
            ("action_units".to_owned(), Answer::Detections(units)),
            ("valence_arousal".to_owned(), Answer::Values(axes)),
        ],
        compound: Some("happily surprised"),
    }
}

fn axes(valence: f32, arousal: f32) -> (String, Answer) {
    let values = vec![
        ("valence".to_owned(), valence),
        ("arousal".to_owned(), arousal),
    ];
    ("valence_arousal".to_owned(), Answer::Values(values))
}

fn photo(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x % 200) as u8 + 20, (y % 180) as u8 + 30, 90])
    })
}

fn keep(name: &str, picture: &RgbImage) {
    if let Some(folder) = std::env::var_os("KINESIC_KEEP_PICTURES") {
        picture
            .save(std::path::Path::new(&folder).join(name))
            .unwrap();
    }
}

fn color(index: usize) -> Rgb<u8> {
    Rgb([PALETTE[index].0, PALETTE[index].1, PALETTE[index].2])
}

fn count(picture: &RgbImage, color: Rgb<u8>, columns: std::ops::Range<u32>) -> usize {
    picture
        .enumerate_pixels()
        .filter(|(x, _, pixel)| columns.contains(x) && **pixel == color)
        .count()
}

#[test]
fn frames_faces_and_sets_a_panel_for_each_beside_the_photo() {
    let prediction = prediction();
    let photo = photo(640, 480);
    let face = |bounds| Face {
        bounds: Some(bounds),
        prediction: &prediction,
    };
    let faces = [
        face([60.0, 80.0, 180.0, 200.0]),
        face([400.0, 60.0, 150.0, 170.0]),
        face([300.0, 400.0, 900.0, 900.0]),
    ];
    let drawn = overlay(&photo, &faces).unwrap();
    keep("overlay.png", &drawn);
    assert_eq!(drawn.width(), 640 + 3 * 270);
    assert!(drawn.height() >= 480);
    for (index, outside) in [(0, (60, 80)), (1, (400, 60)), (2, (300, 400))] {
        assert_eq!(*drawn.get_pixel(outside.0, outside.1), color(index));
        let panel = 640 + 270 * index as u32;
        assert!(
            count(&drawn, color(index), panel..panel + 270) > 1000,
            "panel {index}"
        );
    }
    // Two units of frame on each side, the rest of the first face untouched.
    assert_eq!(*drawn.get_pixel(239, 279), color(0));
    assert_eq!(*drawn.get_pixel(240, 280), *photo.get_pixel(240, 280));
    assert_eq!(*drawn.get_pixel(150, 180), *photo.get_pixel(150, 180));
}

#[test]
fn enlarges_a_small_photo_and_grows_with_a_large_one() {
    let prediction = prediction();
    let faces = [Face {
        bounds: None,
        prediction: &prediction,
    }];
    let small = overlay(&photo(48, 48), &faces).unwrap();
    keep("overlay-small.png", &small);
    assert_eq!(small.width(), 48 * 7 + 270);
    let large = overlay(&photo(2100, 1400), &faces).unwrap();
    assert_eq!(large.dimensions(), (2100 + 2 * 270, 1400));
}

#[test]
fn without_faces_the_photo_comes_back() {
    let photo = photo(20, 10);
    assert_eq!(overlay(&photo, &[]).unwrap(), photo);
    let prediction = prediction();
    let face = Face {
        bounds: None,
        prediction: &prediction,
    };
    let empty = RgbImage::new(0, 7);
    assert_eq!(overlay(&empty, &[face]).unwrap(), empty);
    // A strip of one pixel is not blown up to a gigabyte.
    assert!(overlay(&RgbImage::new(1, 2000), &[face]).unwrap().height() <= 2048);
}

#[test]
fn bars_and_columns_are_as_long_as_their_values() {
    let lone = |p: f32| {
        let prediction = Prediction {
            tasks: vec![(
                "expression".to_owned(),
                Answer::Classes(vec![("a".to_owned(), p)]),
            )],
            compound: None,
        };
        let drawn = overlay(
            &photo(400, 400),
            &[Face {
                bounds: None,
                prediction: &prediction,
            }],
        )
        .unwrap();
        // The bar's row, below the headline: 14 + 26 + 9.
        (400..670)
            .filter(|&x| *drawn.get_pixel(x, 49) == color(0))
            .count()
    };
    assert_eq!(lone(1.0), 106);
    assert_eq!(lone(0.5), 53);
    assert_eq!(lone(0.0), 0);
    assert_eq!(lone(f32::NAN), 0);
    assert_eq!(lone(7.0), 106);
}

#[test]
fn the_dial_puts_valence_right_and_arousal_up() {
    let at = |valence: f32, arousal: f32| {
        let prediction = Prediction {
            tasks: vec![axes(valence, arousal)],
            compound: None,
        };
        let drawn = overlay(
            &photo(400, 400),
            &[Face {
                bounds: None,
                prediction: &prediction,
            }],
        )
        .unwrap();
        // The dial's middle: 14 + 46 to the right of the photo, 14 + 26 + 12 + 46 down.
        let center = (400 + 60, 98);
        let (mut x, mut y, mut n) = (0, 0, 0);
        for (px, py, pixel) in drawn.enumerate_pixels().filter(|(_, py, _)| *py > 45) {
            if *pixel == color(0) {
                (x, y, n) = (
                    x + i64::from(px) - center.0,
                    y + i64::from(py) - center.1,
                    n + 1,
                );
            }
        }
        assert!(n > 30, "{n} pixels");
        ((x as f64 / n as f64), (y as f64 / n as f64))
    };
    for (valence, arousal) in [(0.5, 0.5), (-0.5, 0.5), (0.5, -0.5), (0.0, 0.0), (1.0, 0.0)] {
        let (x, y) = at(valence, arousal);
        let wanted = (f64::from(valence) * 46.0, f64::from(arousal) * -46.0);
        // A pixel each: places and radii are rounded to whole ones.
        assert!(
            (x - wanted.0).abs() <= 1.0 && (y - wanted.1).abs() <= 1.0,
            "{x} {y} for {wanted:?}"
        );
    }
}

#[test]
fn odd_predictions_are_drawn() {
    let attributes = (0..40)
        .map(|at| {
            (
                format!("wearing a very long attribute {at}"),
                at as f32 / 40.0,
            )
        })
        .collect();
    let prediction = Prediction {
        tasks: vec![
            ("attributes".to_owned(), Answer::Detections(attributes)),
            axes(f32::NAN, 0.5),
        ],
        compound: None,
    };
    let bounds = [
        [f32::NAN; 4],
        [f32::INFINITY; 4],
        [-1e30, -1e30, 2e30, 2e30],
        [50.0, 50.0, -4.0, 0.0],
    ];
    let faces = bounds.map(|bounds| Face {
        bounds: Some(bounds),
        prediction: &prediction,
    });
    let drawn = overlay(&photo(330, 500), &faces).unwrap();
    keep("overlay-odd.png", &drawn);
    // The third box covers the photo, so its frame lies on the photo's corner.
    assert_eq!(*drawn.get_pixel(329, 499), color(2));
}
