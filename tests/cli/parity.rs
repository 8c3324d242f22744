//! `kinesic parity`, on what PyTorch computes in float64 (tools/parity-reference.py, seed 1).

use super::{kinesic, refuses, succeeds, text};
use serde_json::{Value, json};

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/seed1.json");

/// Some of the reference values, changed.
fn changed(change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, String) {
    let whole = std::fs::read_to_string(REFERENCE).unwrap();
    let mut golden: Value = serde_json::from_str(&whole).unwrap();
    let cases = |key: &str, kept: &dyn Fn(&Value) -> bool| {
        let cases = golden[key].as_array().unwrap().iter();
        cases.filter(|case| kept(case)).cloned().collect::<Vec<_>>()
    };
    let linear = cases("ops", &|case| case["op"] == "linear");
    let resnet18 = cases("network", &|case| case["arch"] == "resnet18");
    golden["ops"] = linear.into();
    golden["loss"] = json!([]);
    golden["network"] = resnet18.into();
    change(&mut golden);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.json");
    std::fs::write(&path, golden.to_string()).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn kernels_objective_and_ten_steps_agree_with_pytorch() {
    assert_eq!(succeeds(&["parity", REFERENCE]), "2110 passed, 0 failed\n");
}

#[test]
fn a_value_that_differs_fails() {
    let (_folder, path) = changed(|golden| {
        golden["network"] = json!([]);
        let norm = &mut golden["ops"][0]["grad_w"]["norm"];
        *norm = (norm.as_f64().unwrap() * 1.0001).into();
    });
    let output = kinesic(&["parity", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).ends_with(" passed, 1 failed\n"));
    assert!(text(&output.stderr).contains("FAILED op49 linear grad_w norm"));
}

/// Images moved by a rounding are tried where a network fails; they must not excuse one that computes something else.
#[test]
fn another_network_fails_however_its_image_is_rounded() {
    let (_folder, path) = changed(|golden| {
        golden["ops"] = json!([]);
        for record in golden["network"].as_array_mut().unwrap() {
            record["batch"] = 2.into();
            record["hw"] = 32.into();
        }
    });
    let output = kinesic(&["parity", &path]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("FAILED resnet18 step 0 loss"), "{errors}");
    assert!(
        errors.contains("FAILED resnet18 gradient of fc.weight"),
        "{errors}"
    );
    assert!(!errors.contains("note:"), "{errors}");
}

#[test]
fn refuses_what_is_no_reference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.json");
    std::fs::write(&path, "{}").unwrap();
    refuses(
        &["parity", path.to_str().unwrap()],
        &["golden.json", "not a file of reference values"],
    );
    refuses(&["parity", "nowhere.json"], &["nowhere.json"]);
}
