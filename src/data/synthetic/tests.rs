//! The model's distributions are those that its documentation states.

use super::*;
use crate::kernels::face::PARAMETERS;
use std::collections::BTreeSet;

fn faces(people: Range<u32>) -> Faces {
    Faces::new(21, people).unwrap()
}

/// Four standard deviations of a share `p` over `count` draws.
fn bound(p: f64, count: usize) -> f64 {
    4.0 * (p * (1.0 - p) / count as f64).sqrt() + 1e-9
}

#[test]
fn a_picture_is_a_function_of_seed_and_index() {
    let stream = faces(0..100);
    let late = stream.picture(1_000_000_007);
    assert_eq!(stream.clone().picture(1_000_000_007), late);
    assert_ne!(stream.picture(1_000_000_008), late);
    assert_ne!(Faces::new(22, 0..100).unwrap().picture(1_000_000_007), late);
}

#[test]
fn a_person_keeps_face_and_attributes() {
    let stream = faces(5..9);
    for index in 0..200 {
        let picture = stream.picture(index);
        assert!(stream.people.contains(&picture.truth.identity));
        let passport = stream.passport(picture.truth.identity);
        let own = |face: &Face| -> Vec<f32> {
            let all: &[f32; PARAMETERS] = bytemuck::cast_ref(face);
            let pose = Face::NAMES.iter().position(|name| *name == "yaw").unwrap();
            all[..pose].to_vec()
        };
        assert_eq!(own(&picture.face), own(&passport));
        let again = stream.portrait(picture.truth.identity, Shown::Basic(0), index);
        assert_eq!(again.truth.attributes, picture.truth.attributes);
    }
}

#[test]
fn expressions_come_in_their_shares() {
    let stream = Faces {
        neutral: 0.3,
        compound: 0.25,
        ..faces(0..50)
    };
    let count = 20_000;
    let shown: Vec<Shown> = (0..count as u64)
        .map(|i| stream.picture(i).truth.shown)
        .collect();
    let share =
        |is: &dyn Fn(Shown) -> bool| shown.iter().filter(|&&s| is(s)).count() as f64 / count as f64;
    let close = |found: f64, want: f64, what: &str| {
        assert!(
            (found - want).abs() < bound(want, count),
            "{what}: {found}, {want}"
        );
    };
    close(
        share(&|s| matches!(s, Shown::Compound(_))),
        0.25,
        "compound",
    );
    for (class, compound) in DU2014.iter().enumerate() {
        close(
            share(&|s| s == Shown::Compound(class)),
            0.25 / 15.0,
            compound.name,
        );
    }
    for (class, name) in EXPRESSIONS.iter().enumerate() {
        let want = if class == 0 {
            0.75 * 0.3
        } else {
            0.75 * 0.7 / 6.0
        };
        close(share(&|s| s == Shown::Basic(class)), want, name);
    }
}

#[test]
fn action_units_follow_the_table() {
    let stream = faces(0..50);
    let count = 4_000;
    let all = (0..7).map(Shown::Basic).chain((0..15).map(Shown::Compound));
    for shown in all {
        let want = probabilities(shown, &stream.relatedness);
        let pictures: Vec<Truth> = (0..count as u64)
            .map(|index| stream.portrait(3, shown, index).truth)
            .collect();
        for (unit, &p) in want.iter().enumerate() {
            let on = pictures
                .iter()
                .filter(|truth| truth.action_units[unit])
                .count();
            let (found, p) = (on as f64 / count as f64, f64::from(p));
            let number = ACTION_UNITS[unit];
            let what = format!("{}, AU {number}: {found}, {p}", shown.name());
            assert!((found - p).abs() < bound(p, count), "{what}");
        }
    }
    let happy = probabilities(Shown::Basic(4), &stream.relatedness);
    let named = [12, 25, 6, 1].map(|au| happy[ACTION_UNITS.iter().position(|n| *n == au).unwrap()]);
    assert_eq!(named, [PROTOTYPICAL, PROTOTYPICAL, 0.51, STRAY]);
    let hatred = probabilities(Shown::Compound(13), &stream.relatedness);
    let named =
        [4, 10, 7, 12].map(|au| hatred[ACTION_UNITS.iter().position(|n| *n == au).unwrap()]);
    assert_eq!(named, [PROTOTYPICAL, PROTOTYPICAL, OBSERVATIONAL, STRAY]);
}

#[test]
fn intensities_tell_on_from_off() {
    let stream = Faces {
        compound: 0.3,
        ..faces(0..50)
    };
    for index in 0..2000 {
        let Picture { face, truth } = stream.picture(index);
        for (on, intensity) in truth.action_units.iter().zip(face.action_units()) {
            let [low, high] = if *on { ON } else { OFF };
            assert!(
                (low..=high).contains(&intensity),
                "{index}: {on}, {intensity}"
            );
        }
        assert!(
            truth.valence_arousal.iter().all(|v| v.abs() <= 1.0),
            "{index}"
        );
    }
}

#[test]
fn affect_lies_where_its_expression_does() {
    let stream = faces(0..50);
    let mean = |shown, axis: usize| {
        let value = |index| f64::from(stream.portrait(1, shown, index).truth.valence_arousal[axis]);
        (0..500).map(value).sum::<f64>() / 500.0
    };
    let [neutral, anger, disgust, fear, happiness, sadness, surprise] =
        [0, 1, 2, 3, 4, 5, 6].map(|class| [0, 1].map(|axis| mean(Shown::Basic(class), axis)));
    assert!(happiness[0] > 0.5 && neutral[0].abs() < 0.1);
    for unpleasant in [anger, disgust, fear, sadness] {
        assert!(unpleasant[0] < -0.4, "{unpleasant:?}");
    }
    assert!(sadness[1] < -0.1 && neutral[1] < 0.0);
    for aroused in [anger, fear, surprise] {
        assert!(aroused[1] > 0.45, "{aroused:?}");
    }
    assert!(
        mean(Shown::Compound(0), 0) > 0.25,
        "happily surprised is pleasant"
    );
    assert!(mean(Shown::Compound(13), 0) < -0.4, "hatred is not");
}

#[test]
fn a_sheet_puts_every_face_in_its_place() {
    let sheet = Sheet::new(&faces(0..200));
    let count = 24 * 9;
    let all = sheet.faces();
    assert_eq!(all.len(), count);
    let [rest, half, full] = [0, 1, 2].map(|column| all[9 * 16 + column].au26);
    assert_eq!([rest, half, full], [0.0, 0.5, 1.0]);
    let size = 40_u32;
    let pixels: Vec<u8> = (0..count)
        .flat_map(|face| [face as u8, 100, 200].repeat((size * size) as usize))
        .collect();
    let picture = sheet.draw(&pixels, size).unwrap();
    let mut seen = vec![0; count];
    let mut ink = 0;
    for pixel in picture.pixels() {
        match pixel.0 {
            [face, 100, 200] => seen[usize::from(face)] += 1,
            [r, _, _] if r < 128 => ink += 1,
            _ => {}
        }
    }
    assert!(seen.iter().all(|&seen| seen == size * size), "{seen:?}");
    assert!(ink > 24 * 10, "the rows have names: {ink} dark pixels");
}

#[test]
fn labels_carry_what_is_known() {
    let stream = faces(0..50);
    let truth = stream.portrait(7, Shown::Basic(4), 3).truth;
    let labels = truth.labels();
    assert_eq!(labels.expression, Some(4));
    assert_eq!(labels.valence_arousal, Some(truth.valence_arousal));
    assert_eq!(labels.au_mask.count_ones() as usize, ACTION_UNITS.len());
    for (unit, &on) in truth.action_units.iter().enumerate() {
        assert_eq!(labels.au_value >> unit & 1 == 1, on);
    }
    for (place, &on) in truth.attributes.iter().enumerate() {
        assert_eq!(truth.attribute_bits() >> place & 1 == 1, on);
    }
    let compound = stream.portrait(7, Shown::Compound(2), 3).truth;
    assert_eq!(compound.labels().expression, None);
    assert_eq!(compound.shown.name(), "sadly fearful");
}

#[test]
fn attributes_vary_and_agree_with_the_face() {
    let stream = faces(0..400);
    let people: Vec<Picture> = (0..400)
        .map(|person| stream.portrait(person, Shown::Basic(0), 0))
        .collect();
    for (place, name) in ATTRIBUTES.iter().enumerate() {
        let on = people.iter().filter(|p| p.truth.attributes[place]).count();
        assert!((8..=392).contains(&on), "{name}: {on} of 400");
    }
    let place = |name: &str| ATTRIBUTES.iter().position(|a| *a == name).unwrap();
    let colours = [
        "Black_Hair",
        "Blond_Hair",
        "Brown_Hair",
        "Gray_Hair",
        "Bald",
    ]
    .map(place);
    for Picture { face, truth } in &people {
        assert_eq!(truth.attributes[place("Eyeglasses")], face.glasses > 0.0);
        let held = colours.iter().filter(|&&c| truth.attributes[c]).count();
        assert_eq!(held, 1, "one colour of hair or none");
    }
    let looks: BTreeSet<u32> = people.iter().map(|p| p.face.skin_r.to_bits()).collect();
    assert!(
        looks.len() > 390,
        "people share their skin: {}",
        looks.len()
    );
}
