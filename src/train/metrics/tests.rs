use super::*;
use crate::objective::AffectLabels;

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12, "{a} is not {b}");
}

#[test]
fn class_metrics_of_a_worked_table() {
    // Class 0: 3 of 4 right; class 1: 1 of 2 right; class 2 does not occur.
    let metrics = class_metrics(&[vec![3, 1, 0], vec![1, 1, 0], vec![0, 0, 0]]).unwrap();
    close(metrics.accuracy, 4.0 / 6.0);
    close(metrics.mean_recall, (0.75 + 0.5) / 2.0);
    close(metrics.macro_f1, (6.0 / 8.0 + 2.0 / 4.0) / 2.0);
    close(metrics.chance, 4.0 / 6.0);
    assert_eq!(metrics.recall, [Some(0.75), Some(0.5), None]);
    assert_eq!(class_metrics(&[vec![0, 0], vec![0, 0]]), None);
}

#[test]
fn auc_counts_ties_half_and_needs_both_answers() {
    close(auc(&[(0.1, false), (0.9, true)]).unwrap(), 1.0);
    close(auc(&[(0.5, false), (0.5, true)]).unwrap(), 0.5);
    close(
        auc(&[(0.1, true), (0.2, false), (0.3, true), (0.3, false)]).unwrap(),
        1.5 / 4.0,
    );
    assert_eq!(auc(&[(0.3, true)]), None);
}

#[test]
fn ccc_of_worked_pairs() {
    close(ccc(&[(1.0, 1.0), (2.0, 2.0)]), 1.0);
    close(ccc(&[(1.0, 2.0), (2.0, 1.0)]), -1.0);
    // Shifted by 1: covariance 1/4, variances 1/4 each, squared shift 1.
    close(ccc(&[(1.0, 2.0), (2.0, 3.0)]), 0.5 / 1.5);
    close(ccc(&[(1.0, 1.0), (1.0, 1.0)]), 0.0);
}

#[test]
fn tasks_are_gathered_from_logits_and_absent_images_passed_over() {
    let tasks = Tasks::affect();
    let mut accumulator = Accumulator::new(&tasks);
    let mut logits = vec![0.0; tasks.width()];
    logits[4] = 3.0; // happiness
    logits[7] = 2.0; // AU 1
    (logits[24], logits[25]) = (0.5, -0.5);
    let labels = AffectLabels {
        expression: Some(4),
        au_mask: 0b11,
        au_value: 0b01,
        valence_arousal: Some([0.5, 0.5]),
    };
    accumulator.add(&logits, &labels.into());
    accumulator.add(&logits, &Labels::ABSENT);
    let metrics = accumulator.finish();
    assert_eq!(metrics.images, 1);
    close(metrics.tasks.classes("expression").unwrap().accuracy, 1.0);
    let units = metrics.tasks.units("action_units").unwrap();
    assert_eq!(units.f1.len(), 1);
    close(units.f1_mean, 1.0);
    close(units.accuracy, 1.0);
    let axes = metrics.tasks.axes("valence_arousal").unwrap();
    close(axes.get("arousal").unwrap().rmse, 1.0);
}

#[test]
fn a_logit_that_is_no_number_is_a_wrong_answer() {
    let tasks = Tasks::affect();
    for logit in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut accumulator = Accumulator::new(&tasks);
        for (class, value, affect) in [(0, 0b01, 1.0), (3, 0b10, -1.0)] {
            let labels = AffectLabels {
                expression: Some(class),
                au_mask: 0b11,
                au_value: value,
                valence_arousal: Some([affect; 2]),
            };
            let mut logits = vec![f32::NAN; tasks.width()];
            logits[24..26].fill(logit);
            accumulator.add(&logits, &labels.into());
        }
        let tasks = accumulator.finish().tasks;
        close(tasks.classes("expression").unwrap().accuracy, 0.0);
        let units = tasks.units("action_units").unwrap();
        close(units.accuracy, 0.0);
        close(units.f1_mean, 0.0);
        close(units.auc.unwrap(), 0.0);
        let axes = tasks.axes("valence_arousal").unwrap();
        close(axes.get("valence").unwrap().ccc, -1.0);
        close(axes.get("arousal").unwrap().rmse, 2.0);
    }
}

#[test]
fn units_without_annotation_have_no_metrics() {
    let tasks = Tasks::affect();
    let mut accumulator = Accumulator::new(&tasks);
    let mut logits = vec![-1.0; tasks.width()];
    logits[7] = 1.0; // AU 1: detected in all three images
    for value in [0b001, 0b000, 0b001] {
        let labels = AffectLabels {
            au_mask: 0b101,
            au_value: value,
            ..AffectLabels::default()
        };
        accumulator.add(&logits, &labels.into());
    }
    let metrics = accumulator.finish();
    let tasks: Vec<_> = metrics.tasks.iter().map(|(name, _)| name).collect();
    assert_eq!(tasks, ["action_units"]);
    let units = metrics.tasks.units("action_units").unwrap();
    // AU 1: 2 hits, 1 alarm. AU 2 is not annotated; AU 4 is never on and never detected.
    assert_eq!(units.f1.keys().collect::<Vec<_>>(), ["au1"]);
    close(units.f1_mean, 4.0 / 5.0);
    // Always on: share 2/3 of AU 1.
    close(units.chance, 2.0 * (2.0 / 3.0) / (5.0 / 3.0));
    close(units.accuracy, 5.0 / 6.0);
    close(units.auc.unwrap(), 0.5);
}

#[test]
fn a_class_that_the_task_lacks_is_passed_over() {
    let tasks = Tasks::affect();
    let mut accumulator = Accumulator::new(&tasks);
    let labels = AffectLabels {
        expression: Some(7),
        ..AffectLabels::default()
    };
    accumulator.add(&vec![0.0; tasks.width()], &labels.into());
    assert_eq!(accumulator.finish().tasks.get("expression"), None);
}

#[test]
fn constants_and_nothing_have_no_concordance() {
    // 0.1 is no binary fraction: the mean of three is not 0.1, and every deviation is rounding.
    for pairs in [vec![], vec![(0.1, 0.1); 3], vec![(0.1, 0.2), (0.1, 0.9)]] {
        close(ccc(&pairs), 0.0);
        close(pcc(&pairs), 0.0);
    }
    close(ccc(&[(0.3, -0.5)]), 0.0);
}

#[test]
fn correlation_of_worked_pairs() {
    // Deviations (-1, 0, 1) and (-1, 1, 0): covariance 1/3, variances 2/3.
    let pairs = [(1.0, 5.0), (2.0, 7.0), (3.0, 6.0)];
    close(pcc(&pairs), 0.5);
    close(ccc(&pairs), (2.0 / 3.0) / (4.0 / 3.0 + 16.0));
    // Scale and shift do not matter to Pearson's.
    close(pcc(&[(1.0, -3.0), (2.0, -5.0)]), -1.0);
}

#[test]
fn cosines_worked_by_hand() {
    for (a, b, wanted) in [
        ([3.0, 4.0], [6.0, 8.0], 1.0),
        ([1.0, 0.0], [0.0, 2.0], 0.0),
        ([1.0, 1.0], [-1.0, -1.0], -1.0),
        ([1.0, 0.0], [1.0, 1.0], 0.5_f32.sqrt()),
        ([1e-30, 0.0], [1e30, 1e30], 0.5_f32.sqrt()),
    ] {
        assert!((cosine(&a, &b) - wanted).abs() < 1e-6, "{a:?} {b:?}");
    }
    assert!(cosine(&[0.0; 2], &[1.0; 2]).is_nan());
    assert!(cosine(&[f32::NAN, 0.0], &[1.0; 2]).is_nan());
}

/// `count` pairs with similarities `from`, `from + 0.001`, ...
fn pairs(count: u32, from: f32, same: bool) -> Vec<(f32, bool)> {
    (0..count)
        .map(|i| (from + 0.001 * i as f32, same))
        .collect()
}

#[test]
fn verification_of_what_is_apart_is_perfect_in_any_order() {
    // The table lists all pairs of one person first.
    let mut table = pairs(50, 0.5, true);
    table.extend(pairs(30, 0.1, false));
    for _ in 0..2 {
        let metrics = verification(&table).unwrap();
        close(metrics.accuracy, 1.0);
        close(metrics.auc, 1.0);
        close(metrics.tar_at_far, 1.0);
        close(metrics.chance, 5.0 / 8.0);
        assert_eq!(metrics.pairs, 80);
        table.reverse();
    }
}

#[test]
fn verification_worked_by_hand() {
    // 20 of each; two of one person look like strangers, one stranger like the same person.
    let mut table = pairs(18, 0.5, true);
    table.extend([(0.01, true), (0.02, true)]);
    table.extend(pairs(19, 0.1, false));
    table.push((0.9, false));
    let metrics = verification(&table).unwrap();
    close(metrics.accuracy, 37.0 / 40.0);
    // 18 beat 19 of 20, 2 beat none.
    close(metrics.auc, 18.0 * 19.0 / 400.0);
    // Not one of 20 strangers may pass, and the first is the stranger.
    close(metrics.tar_at_far, 0.0);
    // One of 100 may.
    table.extend(pairs(80, 0.1, false));
    close(verification(&table).unwrap().tar_at_far, 18.0 / 20.0);
}

#[test]
fn no_threshold_sees_its_own_fold() {
    // 2 of one person and 2 strangers, all in folds of their own kind: fold 0 has 0.9 (same) and 0.8 (not), fold 1 has 0.3
    // (same) and 0.1 (not). From fold 1 the threshold is 0.2: 0.9 right, 0.8 wrong. From fold 0 it is 0.85: 0.3 wrong, 0.1
    // right. A threshold from all pairs would be right three times.
    let table = [(0.9, true), (0.3, true), (0.8, false), (0.1, false)];
    close(verification(&table).unwrap().accuracy, 0.5);
}

#[test]
fn verification_needs_both_answers_and_counts_no_number_as_wrong() {
    assert_eq!(verification(&[]), None);
    assert_eq!(verification(&pairs(5, 0.0, true)), None);
    assert_eq!(verification(&pairs(5, 0.0, false)), None);
    let table: Vec<_> = (0..40).map(|i| (f32::NAN, i % 2 == 0)).collect();
    let metrics = verification(&table).unwrap();
    close(metrics.auc, 0.0);
    close(metrics.tar_at_far, 0.0);
    assert!(metrics.accuracy <= 0.5, "{}", metrics.accuracy);
    // Equal similarities tell nothing.
    let table: Vec<_> = (0..40).map(|i| (0.5, i % 2 == 0)).collect();
    let metrics = verification(&table).unwrap();
    close(metrics.auc, 0.5);
    close(metrics.accuracy, 0.5);
}

#[test]
fn the_json_has_the_contracts_keys() {
    let tasks = Tasks::affect();
    let mut accumulator = Accumulator::new(&tasks);
    let labels = AffectLabels {
        expression: Some(4),
        au_mask: 1,
        au_value: 1,
        valence_arousal: Some([0.1, 0.2]),
    };
    accumulator.add(&vec![1.0; tasks.width()], &labels.into());
    let metrics = accumulator.finish();
    let json = serde_json::to_value(&metrics).unwrap();
    assert_eq!(json["images"], 1);
    let confusion = json.pointer("/tasks/expression/confusion").unwrap();
    assert_eq!(confusion.as_array().unwrap().len(), 7);
    assert_eq!(
        serde_json::from_value::<Metrics>(json.clone()).unwrap(),
        metrics
    );
    let verified = verification(&[(0.1, false), (0.9, true)]);
    let whole = serde_json::json!({ "tasks": json["tasks"], "verification": verified });
    for pointer in [
        "/tasks/expression/accuracy",
        "/tasks/expression/mean_recall",
        "/tasks/expression/macro_f1",
        "/tasks/action_units/f1_mean",
        "/tasks/action_units/f1/au1",
        "/tasks/valence_arousal/ccc_valence",
        "/tasks/valence_arousal/ccc_arousal",
        "/verification/accuracy",
        "/verification/auc",
        "/verification/tar_at_far_1e-2",
    ] {
        let number = whole.pointer(pointer).is_some_and(|value| value.is_f64());
        assert!(number, "{pointer} in {whole}");
    }
    // What was not asked is left out.
    let json = serde_json::to_value(Accumulator::new(&tasks).finish()).unwrap();
    assert_eq!(json, serde_json::json!({"images": 0, "tasks": {}}));
}

#[test]
fn a_roc_goes_through_hand_worked_points() {
    // From the top: one person, two, one; the last two tie.
    let table = [
        (0.9, true),
        (0.7, false),
        (0.5, true),
        (0.2, true),
        (0.2, false),
    ];
    let third = 1.0 / 3.0;
    let want = [
        (0.0, 0.0),
        (0.0, third),
        (0.5, third),
        (0.5, 2.0 * third),
        (1.0, 1.0),
    ];
    for (got, want) in roc(&table).iter().zip(want) {
        close(got.0, want.0);
        close(got.1, want.1);
    }
    assert_eq!(roc(&table).len(), want.len());
    assert!(roc(&table[..1]).is_empty());
    let verified = verification(&table).unwrap();
    assert_eq!(verified.tar_at_low_far, None);
    let many: Vec<_> = (0..2000).map(|i| (i as f32, i % 2 == 0)).collect();
    assert!(verification(&many).unwrap().tar_at_low_far.is_some());
}

#[test]
fn thousands_of_classes_are_counted_without_a_table_of_pairs() {
    let tasks = Tasks::new(vec![crate::objective::Task {
        name: "identity".to_owned(),
        kind: TaskKind::Softmax,
        outputs: (0..5000).map(|it| it.to_string()).collect(),
    }])
    .unwrap();
    let mut accumulator = Accumulator::new(&tasks);
    let mut logits = vec![0.0; tasks.width()];
    logits[4000] = 1.0;
    for class in [4000, 17, 4000] {
        let labels = Labels {
            tasks: vec![Label::Class(class)],
            absent: false,
        };
        accumulator.add(&logits, &labels);
    }
    // A person who was not trained on is no label.
    accumulator.add(&logits, &Labels::default());
    let metrics = accumulator.finish();
    assert_eq!(metrics.images, 4);
    let task = metrics.tasks.classes("identity").unwrap();
    close(task.accuracy, 2.0 / 3.0);
    close(task.mean_recall, 0.5);
    let scores = metrics.scores(None);
    assert_eq!(scores.len(), 1);
    assert_eq!(scores[0].0, "identity accuracy");
    close(scores[0].1, 2.0 / 3.0);
    let verified = verification(&[(0.9, true), (0.1, false)]).unwrap();
    let scores = metrics.scores(Some(&verified));
    let counted = ("verification accuracy".to_owned(), verified.accuracy);
    assert_eq!(scores[1..], [counted]);
    assert!(Metrics::default().scores(None).is_empty());
    let json = serde_json::to_value(&metrics).unwrap();
    let task = json.pointer("/tasks/identity").unwrap();
    assert!(
        task.get("confusion").is_none() && task.get("recall").is_none(),
        "{task}"
    );
    assert_eq!(serde_json::from_value::<Metrics>(json).unwrap(), metrics);
}
