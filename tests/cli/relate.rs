//! `kinesic relate`.

use super::{read, refuses, succeeds};

/// A table of `count` rows of each of these cells.
fn table(folder: &tempfile::TempDir, header: &str, rows: &[(&str, usize)]) -> String {
    let path = folder.path().join("table.csv");
    let mut lines = format!("image,{header}\n");
    for (cells, count) in rows {
        lines += &format!("a.png,{cells}\n").repeat(*count);
    }
    std::fs::write(&path, lines).unwrap();
    path.display().to_string()
}

const HEADER: &str = "expression,au1,au12,split,Young,identity";
const ROWS: [(&str, usize); 5] = [
    ("happiness,0,1,a,1,Ann", 30),
    ("happiness,1,,b,,Ann", 10),
    ("fear,1,0,a,0,Bo", 6),
    (",1,1,a,1,Cy", 5),
    ("anger,,,a,1,Bo", 4),
];

#[test]
fn estimates_a_table_that_training_takes() {
    let folder = tempfile::tempdir().unwrap();
    let faces = table(&folder, HEADER, &ROWS);
    let out = folder.path().join("new/relatedness.toml");
    let out = out.to_str().unwrap();
    let report = succeeds(&["relate", &faces, "--out", out, "--json", "-"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["images"], 46);
    let cell = |row: &str, column: &str| {
        let cells = report["cells"].as_array().unwrap().iter();
        let mut found = cells.filter(|cell| cell["row"] == row && cell["column"] == column);
        found.next().unwrap().clone()
    };
    let smile = cell("happiness", "12");
    assert_eq!((&smile["images"], &smile["on"]), (&30.into(), &30.into()));
    // m = 30/36 over all classes, and two images of it.
    let weight = (30.0 + 2.0 * 30.0 / 36.0) / 32.0;
    assert!((smile["weight"].as_f64().unwrap() - weight).abs() < 1e-9);
    // n / (n + z²) where all of n are on.
    let low = 30.0 / (30.0 + 1.959_964_f64.powi(2));
    assert!((smile["interval"][0].as_f64().unwrap() - low).abs() < 1e-6);
    assert!(cell("anger", "12")["interval"].is_null());
    assert_eq!(report["du2014"]["cells"], 4);
    let picture = image::load_from_memory(&read(&folder.path().join("new/relatedness.png")));
    assert!(picture.unwrap().width() >= 900);

    let loaded = kinesic::data::relatedness::load(out).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert!((f64::from(loaded.table.row(4)[8]) - weight).abs() < 1e-4);
    let shown = succeeds(&["relate", &faces]);
    for part in [
        "happiness, 40 images",
        "30 of 30, 95 % 0.89 to 1.00",
        "Du et al. 2014",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn relates_persons_and_attributes_of_a_split() {
    let folder = tempfile::tempdir().unwrap();
    let faces = table(&folder, HEADER, &ROWS);
    let args = [
        "--rows",
        "identity",
        "--columns",
        "attributes",
        "--split",
        "a",
    ];
    let report = succeeds(&[&["relate", &faces, "--json", "-"][..], &args].concat());
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["images"], 45);
    assert_eq!(report["cells"][1]["row"], "Bo");
    assert_eq!(report["cells"][1]["on"], 4);
    assert!(report["du2014"].is_null());
}

#[test]
fn bad_input_is_one_error_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let faces = table(&folder, "expression,au1", &[("fear,", 3), (",1", 2)]);
    let out = folder.path().join("relatedness.toml");
    let out = out.to_str().unwrap();
    let both = [
        "no image carries both an expression and an action unit",
        "3 with",
        "2 with",
    ];
    refuses(&["relate", &faces, "--out", out], &both);
    refuses(&["relate"], &["required arguments"]);
    refuses(&["relate", "none.csv", "--out", out], &["none.csv"]);
    refuses(
        &["relate", &faces, "--out", "table.json"],
        &["ends in .toml"],
    );
    let fine = table(&folder, "expression,au1", &[("fear,1", 3)]);
    let negative = ["relate", &fine, "--out", out, "--smoothing=-1"];
    refuses(&negative, &["smoothing is -1"]);
    let names = std::fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["table.csv"]);
}
