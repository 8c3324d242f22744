//! Options, tables and labels on their way to the kernels.

use super::*;
use crate::kernels::loss::{NO_CLASS, PRESENT, VALENCE_AROUSAL};

fn table() -> Relatedness {
    let mut rows = [[0.0; 17]; 7];
    rows[4][8] = 1.0;
    rows[4][5] = 0.5;
    Relatedness::new(&rows).unwrap()
}

fn affect(config: &ObjectiveConfig) -> Result<Objective, ObjectiveError> {
    Objective::new(&Tasks::affect(), config, Some(&table()))
}

fn only(kinds: &[TaskKind]) -> Tasks {
    let tasks = Tasks::affect();
    let kept = tasks.iter().filter(|task| kinds.contains(&task.kind));
    Tasks::new(kept.cloned().collect()).unwrap()
}

#[test]
fn tables_lie_in_the_order_that_the_kernels_read() {
    let config = ObjectiveConfig {
        class_weights: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
        ..Default::default()
    };
    let objective = affect(&config).unwrap();
    let tables = objective.tables();
    let cells = 7 * 17;
    assert_eq!(tables.len(), objective.kernel(3).tables_len());
    assert_eq!(tables[4 * 17 + 5], 1.0, "R is binary by default");
    assert_eq!(tables[cells + 4 * 17 + 5], 0.5, "W holds the weights");
    assert_eq!(tables[2 * cells + 4], 1.5, "the sum of a row of W");
    assert_eq!(tables[2 * cells + 7..][..7], config.class_weights);
    assert_eq!(tables[2 * cells + 14..][..17], [1.0; 17]);
}

#[test]
fn labels_are_packed_and_a_short_batch_is_filled_with_absent_images() {
    let labels = Labels {
        expression: Some(6),
        au_mask: 0x1_0003,
        au_value: 0x1_0001,
        valence_arousal: Some([0.5, -0.25]),
        absent: false,
    };
    let broken = Labels {
        absent: true,
        ..labels
    };
    let objective = affect(&ObjectiveConfig::default()).unwrap();
    let words = objective
        .pack(&[Labels::default(), labels, broken], 4)
        .unwrap();
    assert_eq!(words[..8], [PRESENT, NO_CLASS, 0, 0, 0, 0, 0, 0]);
    let flags = PRESENT | VALENCE_AROUSAL;
    let bits = [0.5_f32.to_bits(), (-0.25_f32).to_bits()];
    assert_eq!(
        words[8..16],
        [flags, 6, 0x1_0003, 0, 0x1_0001, 0, bits[0], bits[1]]
    );
    for absent in words[16..].chunks(LABEL_WORDS) {
        assert_eq!(absent, [0, NO_CLASS, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(words.len(), 4 * LABEL_WORDS);
}

#[test]
fn all_64_units_of_a_label_travel() {
    let units = Task {
        name: "attributes".to_owned(),
        kind: TaskKind::Sigmoid,
        outputs: (0..64).map(|unit| format!("a{unit}")).collect(),
    };
    let tasks = Tasks::new(vec![units]).unwrap();
    let objective = Objective::new(&tasks, &ObjectiveConfig::default(), None).unwrap();
    let label = Labels {
        au_mask: u64::MAX,
        au_value: 0x8000_0000_0000_0001,
        ..Default::default()
    };
    let words = objective.pack(&[label], 1).unwrap();
    assert_eq!(words[2..6], [u32::MAX, u32::MAX, 1, 0x8000_0000]);
}

#[test]
fn rejects_labels_that_the_tasks_have_no_place_for() {
    let objective = affect(&ObjectiveConfig::default()).unwrap();
    let bad = [
        Labels {
            expression: Some(7),
            ..Default::default()
        },
        Labels {
            au_mask: 1 << 17,
            ..Default::default()
        },
        Labels {
            au_mask: 1,
            au_value: 2,
            ..Default::default()
        },
        Labels {
            valence_arousal: Some([0.0, f32::NAN]),
            ..Default::default()
        },
    ];
    for label in bad {
        let error = objective.pack(&[Labels::default(), label], 2).unwrap_err();
        let is_second = matches!(error, ObjectiveError::Label { image: 1, .. });
        assert!(is_second, "{error}");
    }
    let error = objective.pack(&[Labels::default(); 3], 2).unwrap_err();
    let sizes = (3, 2);
    assert!(matches!(error, ObjectiveError::Batch { asked, allowed } if (asked, allowed) == sizes));
}

#[test]
fn rejects_labels_of_tasks_that_are_not_declared() {
    let config = ObjectiveConfig::default();
    let objective = Objective::new(&only(&[TaskKind::Softmax]), &config, None).unwrap();
    let unit = Labels {
        au_mask: 1,
        ..Default::default()
    };
    let axes = Labels {
        valence_arousal: Some([0.0, 0.0]),
        ..Default::default()
    };
    assert!(objective.pack(&[unit], 1).is_err());
    assert!(objective.pack(&[axes], 1).is_err());
}

#[test]
fn rejects_options_out_of_range() {
    let default = ObjectiveConfig::default;
    let bad = [
        ObjectiveConfig {
            expression: -1.0,
            ..default()
        },
        ObjectiveConfig {
            soft_co_annotation: f32::INFINITY,
            ..default()
        },
        ObjectiveConfig {
            label_smoothing: 1.0,
            ..default()
        },
        ObjectiveConfig {
            class_weights: vec![0.0; 7],
            ..default()
        },
        ObjectiveConfig {
            positive_weights: vec![f32::NAN; 17],
            ..default()
        },
    ];
    for config in bad {
        let error = affect(&config).unwrap_err();
        assert!(matches!(error, ObjectiveError::Option { .. }), "{error}");
    }
    let short = ObjectiveConfig {
        class_weights: vec![1.0; 6],
        ..default()
    };
    let error = affect(&short).unwrap_err();
    assert!(
        matches!(
            error,
            ObjectiveError::Length {
                asked: 6,
                allowed: 7,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn rejects_coupling_without_a_table_or_a_task_and_tables_of_another_shape() {
    let config = ObjectiveConfig {
        distribution_matching: 1.0,
        ..Default::default()
    };
    let error = Objective::new(&Tasks::affect(), &config, None).unwrap_err();
    assert!(matches!(error, ObjectiveError::Uncoupled { .. }), "{error}");
    let error = Objective::new(&only(&[TaskKind::Softmax]), &config, Some(&table())).unwrap_err();
    assert!(matches!(error, ObjectiveError::Uncoupled { .. }), "{error}");
    let other = Relatedness::new(&[[0.0; 17]; 8]).unwrap();
    let error = Objective::new(&Tasks::affect(), &config, Some(&other)).unwrap_err();
    assert!(
        matches!(error, ObjectiveError::TableShape { .. }),
        "{error}"
    );
}

#[test]
fn rejects_two_tasks_of_a_kind() {
    let mut tasks: Vec<_> = Tasks::affect().into();
    tasks[1].kind = TaskKind::Softmax;
    let tasks = Tasks::new(tasks).unwrap();
    let error = Objective::new(&tasks, &ObjectiveConfig::default(), None).unwrap_err();
    assert!(
        matches!(error, ObjectiveError::TwoOfAKind { .. }),
        "{error}"
    );
}

#[test]
fn configuration_reads_the_contracts_keys_and_names_unknown_ones() {
    let text = "distribution_matching = 1.0\nsoft_co_annotation = 1.0\nrelatedness = \"du2014\"\nform = \"positive\"\n\
                stop_gradient = \"q\"\nsca_on = \"all_with_aus\"\nco_annotate_aus = true\nmatching_table = \"weighted\"";
    let config: ObjectiveConfig = toml::from_str(text).unwrap();
    let want = ObjectiveConfig {
        distribution_matching: 1.0,
        soft_co_annotation: 1.0,
        form: Form::Positive,
        stop_gradient: StopGradient::Q,
        sca_on: ScaOn::AllWithAus,
        co_annotate_aus: true,
        matching_table: MatchingTable::Weighted,
        ..Default::default()
    };
    assert_eq!(config, want);
    let error = toml::from_str::<ObjectiveConfig>("distribution_match = 1.0").unwrap_err();
    assert!(error.to_string().contains("distribution_match"), "{error}");
}

#[test]
fn tasks_without_weight_or_coupling_are_left_out_with_their_labels() {
    let names = |config: &ObjectiveConfig| -> Vec<String> {
        let tasks = config.tasks().unwrap();
        tasks.iter().map(|task| task.name.clone()).collect()
    };
    let all = ObjectiveConfig::default();
    assert_eq!(all.tasks().unwrap(), Tasks::affect());
    let alone = ObjectiveConfig {
        action_units: 0.0,
        valence_arousal: 0.0,
        ..all.clone()
    };
    assert_eq!(names(&alone), ["expression"]);
    let coupled = ObjectiveConfig {
        soft_co_annotation: 0.5,
        ..alone.clone()
    };
    assert_eq!(names(&coupled), ["expression", "action_units"]);
    let nothing = ObjectiveConfig {
        expression: 0.0,
        ..alone.clone()
    };
    assert!(matches!(nothing.tasks(), Err(ObjectiveError::NoTask)));

    let labels = Labels {
        expression: Some(3),
        au_mask: 0b101,
        au_value: 0b100,
        valence_arousal: Some([0.5, -0.5]),
        absent: false,
    };
    assert_eq!(labels.of(&Tasks::affect()), labels);
    let kept = labels.of(&alone.tasks().unwrap());
    let want = Labels {
        expression: Some(3),
        ..Labels::default()
    };
    assert_eq!(kept, want);
}
