use super::*;
use crate::data::relatedness::{load, parse};
use std::path::PathBuf;

/// Images of (expression, annotated units, units that are on).
fn table(images: &[(Option<u32>, u64, u64)]) -> Table {
    let rows = images.iter().map(|(expression, mask, value)| {
        let mut row = Row::unlabelled(PathBuf::from("a.png"));
        row.affect.expression = *expression;
        row.affect.au_mask = *mask;
        row.affect.au_value = *value;
        row
    });
    Table {
        rows: rows.collect(),
        ..Table::default()
    }
}

fn of(tables: &[Table], smoothing: f64) -> Estimate {
    Estimate::new(
        tables,
        Classes::Expression,
        Detections::ActionUnits,
        smoothing,
    )
    .unwrap()
}

#[test]
fn wilsons_interval_equals_hand_worked_values() {
    // p = 0.5, n = 10: (0.5 + 0.19207 ± 1.95996 √(0.025 + 0.0096036)) / 1.384146 = (0.69207 ± 0.36459) / 1.384146.
    let [low, high] = Count { images: 10, on: 5 }.interval().unwrap();
    assert!((low - 0.236_593).abs() < 1e-5, "{low}");
    assert!((high - 0.763_407).abs() < 1e-5, "{high}");
    // p = 0, n = 10: from 0 to z²/n / (1 + z²/n) = 0.384146 / 1.384146.
    let [low, high] = Count { images: 10, on: 0 }.interval().unwrap();
    assert!(low.abs() < 1e-12, "{low}");
    assert!((high - 0.277_533).abs() < 1e-5, "{high}");
    assert_eq!(Count::default().interval(), None);
}

#[test]
fn weights_are_smoothed_towards_the_mean_over_all_images() {
    // AU 1 (bit 0): anger 3 of 4, fear 0 of 1; AU 2 (bit 1): fear 1 of 1, not annotated elsewhere.
    let first = table(&[
        (Some(1), 1, 1),
        (Some(1), 1, 1),
        (Some(1), 1, 0),
        (None, 1, 1),
        (Some(2), 0, 0),
    ]);
    let second = table(&[(Some(1), 1, 1), (Some(3), 3, 2)]);
    let estimate = of(&[first, second], 2.0);
    assert_eq!(estimate.images, 5);
    assert_eq!(estimate.row_images, [0, 4, 0, 1, 0, 0, 0]);
    let cell = |class: usize, unit: usize| estimate.row(class).nth(unit).unwrap();
    assert_eq!(cell(1, 0).1, Count { images: 4, on: 3 });
    // m = 3/5: (3 + 1.2) / 6, (0 + 1.2) / 3, and m itself without images.
    assert!((cell(1, 0).2 - 0.7).abs() < 1e-12);
    assert!((cell(3, 0).2 - 0.4).abs() < 1e-12);
    assert!((cell(6, 0).2 - 0.6).abs() < 1e-12);
    // AU 2 is on in its one image, so m = 1 everywhere; AU 4 is nowhere annotated.
    assert!((cell(0, 1).2 - 1.0).abs() < 1e-12);
    assert_eq!(cell(0, 2).2, 0.0);
    // 5 expressions and 15 units without an image.
    assert_eq!(estimate.warnings.len(), 5 + 15, "{:?}", estimate.warnings);
    let raw = of(&[table(&[(Some(1), 1, 1), (Some(2), 1, 0)])], 0.0);
    assert_eq!(raw.row(1).next().unwrap().2, 1.0);
    assert_eq!(raw.row(3).next().unwrap().2, 0.5);
}

#[test]
fn the_objective_takes_the_text() {
    let images = [(Some(4), 0x1ffff, 1 << 8), (Some(0), 0x1ffff, 0)];
    let estimate = of(&[table(&images)], 1.0);
    let loaded = parse("estimated", &estimate.toml(1.0)).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    for (weight, wanted) in loaded.table.weights().iter().zip(&estimate.weights) {
        // Four decimals.
        let apart = (f64::from(*weight) - wanted).abs();
        assert!(apart <= 0.5e-4 + 1e-7, "{weight} {wanted}");
    }
    assert!(loaded.table.row(4)[8] > 0.7, "happiness, AU 12");
}

#[test]
fn the_distance_to_a_table_is_over_cells_with_images() {
    let du = load("du2014").unwrap().table;
    // Happiness as Du has it, but for AU 6 at 1 (0.51 there); 17 cells.
    let units = 1 << 4 | 1 << 8 | 1 << 15;
    let estimate = of(&[table(&[(Some(4), 0x1ffff, units)])], 0.0);
    let distance = estimate.distance(&du).unwrap();
    assert_eq!((distance.cells, distance.within_interval), (17, 17));
    assert!((distance.mean_absolute - 0.49 / 17.0).abs() < 1e-7);
    assert!((distance.root_mean_square - 0.49 / 17.0_f64.sqrt()).abs() < 1e-7);
    assert!(distance.correlation.is_some_and(|r| r > 0.9 && r < 1.0));
    let small = Relatedness::new(&[[0.0, 1.0]]).unwrap();
    assert_eq!(estimate.distance(&small), None);
}

#[test]
fn identities_and_attributes_of_several_tables_are_joined_by_name() {
    let person = |name: u32, on: u64| {
        let mut row = Row::unlabelled(PathBuf::from("a.png"));
        row.identity = Some(name);
        row.attributes = [0b11, on];
        row
    };
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let first = Table {
        rows: vec![person(0, 0b01), person(1, 0b11)],
        identities: names(["Ann", "Bo [\"1\"]"]),
        attributes: names(["Young", "Bald"]),
        ..Table::default()
    };
    let second = Table {
        rows: vec![person(1, 0b10)],
        identities: names(["Cy", "Ann"]),
        attributes: names(["Bald", "Young"]),
        ..Table::default()
    };
    let tables = [first, second];
    let estimate = Estimate::new(&tables, Classes::Identity, Detections::Attributes, 0.0).unwrap();
    assert_eq!(estimate.rows, ["Ann", "Bo [\"1\"]"]);
    assert_eq!(estimate.columns, ["Young", "Bald"]);
    let counts = |images, on| Count { images, on };
    assert_eq!(
        estimate.counts,
        [counts(2, 2), counts(2, 0), counts(1, 1), counts(1, 1)]
    );
    let text = estimate.toml(0.0);
    let toml: toml::Table = text.parse().unwrap();
    assert_eq!(
        toml["Bo [\"1\"]"]["observational"]["Bald"].as_float(),
        Some(1.0)
    );
}

#[test]
fn refuses_what_cannot_be_estimated() {
    let tables = [table(&[(Some(1), 0, 0), (None, 1, 1), (None, 1, 0)])];
    let estimate = |smoothing| {
        Estimate::new(
            &tables,
            Classes::default(),
            Detections::default(),
            smoothing,
        )
    };
    let error = estimate(2.0).unwrap_err().to_string();
    assert!(error.contains("1 with an expression"), "{error}");
    assert!(error.contains("2 with an action unit"), "{error}");
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let error = estimate(bad).unwrap_err();
        assert!(matches!(error, DataError::Smoothing { .. }), "{error}");
    }
}
