//! The objective against the values that PyTorch gives in float64, where the golden file lies beside the checkout.

use crate::case::execute_all;
use kernels_tests::harness::unpad;
use kernels_tests::random::{uniform, uniforms};
use kinesic::objective::{
    ACTION_UNITS, AffectLabels, EXPRESSIONS, Form, Labels, MatchingTable, Objective,
    ObjectiveConfig, Relatedness, Tasks,
};
use serde_json::Value;
use std::path::Path;

/// The stated bound of golden/README.md: of a value, and of a gradient relative to the largest of its head.
const BOUND: f64 = 1e-5;

fn golden() -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = "../shared/golden/golden_seed1.json";
    let Ok(text) = std::fs::read_to_string(root.join(path)) else {
        println!("skipped: there is no {path} beside the workspace");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The labels of reference.py's `batch`.
fn labels(batch: usize, seed: u64) -> Vec<Labels> {
    let label = |image: usize| -> Labels {
        let at = image as u64;
        let kind = image % 4;
        let mut label = AffectLabels::default();
        if kind == 0 || kind == 3 {
            let u = uniform("label.expression", at, seed);
            label.expression = Some(((u + 1.0) / 2.0 * 7.0) as u32);
        }
        if kind == 1 {
            for unit in 0..17 {
                let index = at * 17 + unit;
                let annotated = uniform("label.au_mask", index, seed) > -0.6;
                let on = uniform("label.au", index, seed) > 0.2;
                label.au_mask |= u64::from(annotated) << unit;
                label.au_value |= u64::from(annotated && on) << unit;
            }
        }
        if kind >= 2 {
            let y = |axis| uniform("label.va", 2 * at + axis, seed) as f32;
            label.valence_arousal = Some([y(0), y(1)]);
        }
        label.into()
    };
    (0..batch).map(label).collect()
}

/// The matrix of logits [N, 28] from the three heads.
fn logits(batch: usize, seed: u64) -> Vec<f32> {
    let head = |name: &str, outputs: usize| uniforms(name, batch * outputs, seed);
    let heads = [
        (head("head.expression", 7), 7),
        (head("head.au", 17), 17),
        (head("head.va", 2), 2),
    ];
    let mut matrix = Vec::new();
    for image in 0..batch {
        for (values, outputs) in &heads {
            let row = &values[image * outputs..][..*outputs];
            matrix.extend(row.iter().map(|value| (3.0 * value) as f32));
        }
        matrix.extend([0.0; 2]);
    }
    matrix
}

fn objective(file: &Value, config: &str) -> Objective {
    assert_eq!(file["expressions"], serde_json::json!(EXPRESSIONS));
    assert_eq!(file["action_units"], serde_json::json!(ACTION_UNITS));
    let table = file["table_weighted"].as_array().unwrap().iter();
    let rows: Vec<Vec<f32>> = table
        .map(|row| numbers(row).iter().map(|&w| w as f32).collect())
        .collect();
    let options = &file["configs"][config];
    let config = ObjectiveConfig {
        distribution_matching: 1.0,
        soft_co_annotation: 1.0,
        form: serde_json::from_value::<Form>(options["form"].clone()).unwrap(),
        matching_table: match options["weighted"].as_bool().unwrap() {
            true => MatchingTable::Weighted,
            false => MatchingTable::Binary,
        },
        ..Default::default()
    };
    let relatedness = Relatedness::new(&rows).unwrap();
    Objective::new(&Tasks::affect(), &config, Some(&relatedness)).unwrap()
}

#[test]
fn objective_agrees_with_pytorch_in_float64() {
    let Some(file) = golden() else { return };
    let seed = file["seed"].as_u64().unwrap();
    let cases = file["loss"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let batch = case["batch"].as_u64().unwrap() as usize;
        let config = case["config"].as_str().unwrap();
        let objective = objective(&file, config);
        let what = format!("batch {batch}, {config}");
        let words = objective.pack(&labels(batch, seed), batch).unwrap();
        let problem = objective.kernel(batch);
        let logits = logits(batch, seed);
        let (losses, grad) = execute_all(&problem, &logits, &words, objective.tables());
        let grad = unpad(&what, &grad, 26);
        for (index, key) in [
            (0, "expression"),
            (1, "au"),
            (2, "va"),
            (3, "dm"),
            (4, "sca"),
            (6, "total"),
        ] {
            let (got, want) = (
                f64::from(losses[index]),
                case["values"][key].as_f64().unwrap(),
            );
            let close = (got - want).abs() <= BOUND * want.abs();
            assert!(close, "{what}: {key} is {got}, PyTorch has {want}");
        }
        for (key, columns) in [
            ("grad_expression", 0..7),
            ("grad_au", 7..24),
            ("grad_va", 24..26),
        ] {
            let want = numbers(&case[key]);
            let rows = grad.chunks_exact(26).flat_map(|row| &row[columns.clone()]);
            let got: Vec<_> = rows.map(|&value| f64::from(value)).collect();
            assert_eq!(got.len(), want.len(), "{what}: {key}");
            let largest = want
                .iter()
                .fold(0.0_f64, |most, value| most.max(value.abs()));
            for (index, (got, want)) in got.iter().zip(&want).enumerate() {
                let close = (got - want).abs() <= BOUND * largest;
                assert!(
                    close,
                    "{what}: {key}[{index}] is {got}, PyTorch has {want}, the largest is {largest}"
                );
            }
        }
    }
}
