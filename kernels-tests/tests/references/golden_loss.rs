//! PyTorch's recorded values of the objective, where the file is at hand.

use crate::golden::{golden, number, numbers};
use crate::loss::{logits, unlabelled};
use kernels_tests::loss::*;
use kernels_tests::random::uniforms;

/// The labels that the golden file's `reference.py` draws.
fn golden_labels(batch: usize, seed: u64) -> Labels {
    let kind = |image: usize| image % 4;
    let classes = uniforms("label.expression", batch, seed);
    let (mask, on) = (
        uniforms("label.au_mask", batch * 17, seed),
        uniforms("label.au", batch * 17, seed),
    );
    let va = uniforms("label.va", batch * 2, seed);
    let mut labels = unlabelled(batch, 17);
    for image in 0..batch {
        if matches!(kind(image), 0 | 3) {
            labels.expression[image] = Some(((classes[image] + 1.0) / 2.0 * 7.0) as usize);
        }
        if kind(image) == 1 {
            for index in image * 17..(image + 1) * 17 {
                labels.action_units[index] = (mask[index] > -0.6).then_some(on[index] > 0.2);
            }
        }
        if kind(image) >= 2 {
            labels.valence_arousal[image] = Some([va[image * 2], va[image * 2 + 1]]);
        }
    }
    labels
}

#[test]
fn the_objective_equals_pytorch() {
    let Some(golden) = golden("the objective") else {
        return;
    };
    let seed = golden["seed"].as_u64().unwrap();
    let rows = golden["table_weighted"].as_array().unwrap().iter();
    let weighted: Vec<f64> = rows.flat_map(numbers).collect();
    let names = ["expression", "au", "va", "dm", "sca"];
    let records = golden["loss"].as_array().unwrap();
    assert_eq!(records.len(), 15);
    for record in records {
        let batch = number(&record["batch"]) as usize;
        let config = &golden["configs"][record["config"].as_str().unwrap()];
        let name = format!("batch {batch}, {}", record["config"]);
        let relatedness = if config["weighted"] == true {
            weighted.clone()
        } else {
            weighted.iter().map(|w| w.ceil()).collect()
        };
        let tables = Tables {
            relatedness,
            co_annotation: weighted.clone(),
        };
        let mut objective = Objective::plain(7, 17, Some(tables));
        if config["form"] == "positive" {
            objective.form = Form::Positive;
        }
        let head = |name: &str, columns: usize| -> Vec<f64> {
            let values = uniforms(&format!("head.{name}"), batch * columns, seed);
            values.iter().map(|value| 3.0 * value).collect()
        };
        let (expression, units, va) = (head("expression", 7), head("au", 17), head("va", 2));
        let labels = golden_labels(batch, seed);
        let out = objective.evaluate(logits(&expression, &units, &va), &labels);
        let values = &record["values"];
        let close = |what: &str, got: f64, want: f64| {
            assert!(
                (got - want).abs() <= 1e-9,
                "{name}, {what}: {got}, not {want}"
            );
        };
        for (position, term) in names.into_iter().enumerate() {
            close(term, out.losses.value[position], number(&values[term]));
        }
        close("total", out.losses.value[TOTAL], number(&values["total"]));
        for (what, got) in [
            ("grad_expression", &out.grad.expression),
            ("grad_au", &out.grad.action_units),
            ("grad_va", &out.grad.valence_arousal),
        ] {
            let want = numbers(&record[what]);
            assert_eq!(got.value.len(), want.len(), "{name}, {what}");
            for (got, want) in got.value.iter().zip(want) {
                close(what, *got, want);
            }
        }
    }
}
