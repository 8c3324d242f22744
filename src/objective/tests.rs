//! Options, tables and labels on their way to the kernels.

use super::*;
use crate::kernels::loss::{NO_CLASS, PRESENT, VALENCE_AROUSAL};

fn table() -> Relatedness {
    let mut rows = [[0.0; 17]; 7];
    rows[4][8] = 1.0;
    rows[4][5] = 0.5;
    Relatedness::new(&rows).unwrap()
}

/// A label of the first task alone.
fn of(label: Label) -> Labels {
    Labels {
        tasks: vec![label],
        absent: false,
    }
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
    let labels = Labels::from(AffectLabels {
        expression: Some(6),
        au_mask: 0x1_0003,
        au_value: 0x1_0001,
        valence_arousal: Some([0.5, -0.25]),
    });
    let broken = Labels {
        absent: true,
        ..labels.clone()
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
    let label = of(Label::Bits {
        mask: u64::MAX,
        on: 0x8000_0000_0000_0001,
    });
    let words = objective.pack(&[label], 1).unwrap();
    assert_eq!(words[2..6], [u32::MAX, u32::MAX, 1, 0x8000_0000]);
}

#[test]
fn rejects_labels_that_the_tasks_have_no_place_for() {
    let objective = affect(&ObjectiveConfig::default()).unwrap();
    let bits = |mask, on| Label::Bits { mask, on };
    let bad = [
        [Label::Class(7), Label::Missing, Label::Missing],
        [bits(1, 1), Label::Missing, Label::Missing],
        [Label::Missing, bits(1 << 17, 0), Label::Missing],
        [Label::Missing, bits(1, 2), Label::Missing],
        [Label::Missing, Label::Class(1), Label::Missing],
        [
            Label::Missing,
            Label::Missing,
            Label::Values([0.0, f32::NAN]),
        ],
        [Label::Missing, Label::Missing, Label::Class(0)],
    ];
    let bad = bad.map(|tasks| Labels {
        tasks: tasks.into(),
        absent: false,
    });
    for label in bad {
        let error = objective.pack(&[Labels::default(), label], 2).unwrap_err();
        let is_second = matches!(error, ObjectiveError::Label { image: 1, .. });
        assert!(is_second, "{error}");
    }
    let error = objective.pack(&vec![Labels::default(); 3], 2).unwrap_err();
    let sizes = (3, 2);
    assert!(matches!(error, ObjectiveError::Batch { asked, allowed } if (asked, allowed) == sizes));
}

#[test]
fn rejects_labels_of_tasks_that_are_not_declared() {
    let config = ObjectiveConfig::default();
    let objective = Objective::new(&only(&[TaskKind::Softmax]), &config, None).unwrap();
    let more = |label| Labels {
        tasks: vec![Label::Class(0), label],
        absent: false,
    };
    assert!(objective.pack(&[more(Label::Missing)], 1).is_ok());
    for label in [Label::Bits { mask: 1, on: 0 }, Label::Values([0.0, 0.0])] {
        let error = objective.pack(&[more(label)], 1).unwrap_err();
        assert!(error.to_string().contains("not declared"), "{error}");
    }
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

/// Two softmax, two sigmoid and a continuous task.
fn many() -> Tasks {
    let task = |name: &str, kind, outputs: usize| Task {
        name: name.to_owned(),
        kind,
        outputs: (0..outputs).map(|it| format!("{name}{it}")).collect(),
    };
    Tasks::new(vec![
        task("expression", TaskKind::Softmax, 3),
        task("identity", TaskKind::Softmax, 5),
        task("action_units", TaskKind::Sigmoid, 2),
        task("attributes", TaskKind::Sigmoid, 4),
        task("pose", TaskKind::Tanh, 2),
    ])
    .unwrap()
}

fn couple(of: [&str; 2], rows: usize, columns: usize) -> Coupling {
    Coupling {
        of: of.map(str::to_owned),
        table: Relatedness::new(&vec![vec![0.5; columns]; rows]).unwrap(),
        options: CouplingOptions {
            distribution_matching: 2.0,
            matching_table: MatchingTable::Weighted,
            ..CouplingOptions::default()
        },
    }
}

fn declared(couplings: &[Coupling]) -> Result<Objective, ObjectiveError> {
    let options = [2.0, 3.0, 4.0, 5.0, 6.0].map(|weight| TaskOptions {
        weight,
        ..TaskOptions::default()
    });
    Objective::declare(&many(), &options, couplings, TaskWeighting::Fixed)
}

#[test]
fn coupled_tasks_share_a_block_and_the_others_fill_what_is_free() {
    // Either order of the names.
    let objective = declared(&[couple(["attributes", "identity"], 5, 4)]).unwrap();
    let kernel = objective.kernel(7);
    assert!(kernel.calls(false, false).is_ok());
    let [coupled, other] = &kernel.blocks[..] else {
        panic!("{} blocks", kernel.blocks.len());
    };
    assert_eq!((coupled.expression.start, coupled.expression.len), (3, 5));
    assert_eq!(
        (coupled.action_units.start, coupled.action_units.len),
        (10, 4)
    );
    assert_eq!((other.expression.start, other.expression.len), (0, 3));
    assert_eq!((other.action_units.start, other.action_units.len), (8, 2));
    let axes = coupled.valence_arousal.unwrap();
    assert_eq!((axes.column, axes.tanh), (14, true));
    assert_eq!((coupled.coupled, other.coupled), (true, false));
    assert_eq!(
        (
            coupled.padding.start,
            coupled.padding.len,
            other.padding.len
        ),
        (16, 0, 0)
    );
    let weights = [coupled.weights.expression, coupled.weights.action_units];
    assert_eq!(weights, [3.0, 5.0]);
    assert_eq!(coupled.weights.distribution_matching, 2.0);
    assert_eq!(
        (other.weights.expression, other.weights.valence_arousal),
        (2.0, 0.0)
    );
    // R, W, sums and weights of the one; sums and weights of the other, behind a whole binding.
    let tables = objective.tables();
    assert_eq!(tables[..40], [0.5; 40]);
    assert_eq!(tables[40..45], [2.0; 5]);
    assert_eq!(tables[45..54], [1.0; 9]);
    assert_eq!(kernel.tables_at(1), 64..72);
    assert_eq!(tables[64..72], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(tables.len(), kernel.tables_len());
    // The names of the terms, and where they stand.
    let losses: Vec<f32> = (0..kernel.losses_len()).map(|it| it as f32).collect();
    let terms = [
        ("expression", 64.0),
        ("identity", 0.0),
        ("action_units", 65.0),
        ("attributes", 1.0),
        ("pose", 2.0),
        ("distribution_matching", 3.0),
        ("soft_co_annotation", 4.0),
    ];
    let named = terms.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(objective.terms(&losses), named);
    assert_eq!(crate::kernels::loss::total(&losses), 6.0 + 70.0);
}

#[test]
fn each_block_has_the_labels_of_its_tasks() {
    let objective = declared(&[couple(["identity", "attributes"], 5, 4)]).unwrap();
    let labels = Labels {
        tasks: vec![
            Label::Class(2),
            Label::Class(4),
            Label::Missing,
            Label::Bits { mask: 7, on: 5 },
            Label::Values([0.5, 1.0]),
        ],
        absent: false,
    };
    let words = objective.pack(&[labels], 2).unwrap();
    let kernel = objective.kernel(2);
    assert_eq!(kernel.labels_at(1), 64..80);
    assert_eq!(words.len(), kernel.labels_len());
    let bits = [0.5_f32.to_bits(), 1.0_f32.to_bits()];
    let flags = PRESENT | VALENCE_AROUSAL;
    assert_eq!(words[..8], [flags, 4, 7, 0, 5, 0, bits[0], bits[1]]);
    assert_eq!(words[64..72], [PRESENT, 2, 0, 0, 0, 0, 0, 0]);
    for absent in [&words[8..16], &words[72..80]] {
        assert_eq!(absent, [0, NO_CLASS, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn several_couplings_have_terms_of_their_own() {
    let both = [
        couple(["expression", "action_units"], 3, 2),
        couple(["identity", "attributes"], 5, 4),
    ];
    let objective = declared(&both).unwrap();
    let losses = vec![0.0; objective.kernel(2).losses_len()];
    let terms = objective.terms(&losses);
    let names: Vec<_> = terms.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[5], "distribution_matching_expression_action_units");
    assert_eq!(names[8], "soft_co_annotation_identity_attributes");
}

#[test]
fn rejects_couplings_that_cannot_be() {
    let message = |couplings: &[Coupling]| declared(couplings).unwrap_err().to_string();
    let unknown = message(&[couple(["identity", "attribute"], 5, 4)]);
    assert!(unknown.contains("needs a task `attribute`"), "{unknown}");
    let kinds = message(&[couple(["identity", "expression"], 5, 3)]);
    assert!(
        kinds.contains("a softmax task and a sigmoid task"),
        "{kinds}"
    );
    let kinds = message(&[couple(["identity", "pose"], 5, 2)]);
    assert!(
        kinds.contains("a softmax task and a sigmoid task"),
        "{kinds}"
    );
    let twice = [
        couple(["identity", "attributes"], 5, 4),
        couple(["identity", "action_units"], 5, 2),
    ];
    assert!(message(&twice).contains("`identity` is coupled twice"));
    let same = message(&[couple(["identity", "identity"], 5, 5)]);
    assert!(same.contains("`identity` is coupled twice"), "{same}");
    let shape = message(&[couple(["identity", "attributes"], 4, 5)]);
    assert!(
        shape.contains("[4, 5]") && shape.contains("[5, 4]"),
        "{shape}"
    );
    let mut negative = couple(["identity", "attributes"], 5, 4);
    negative.options.soft_co_annotation = -1.0;
    let text = message(&[negative]);
    assert!(text.contains("coupling of `identity` and `attributes`: soft_co_annotation = -1"));
}

#[test]
fn rejects_options_of_tasks_out_of_range() {
    let of = |task: usize, options: TaskOptions| {
        let mut all = vec![TaskOptions::default(); 5];
        all[task] = options;
        let objective = Objective::declare(&many(), &all, &[], TaskWeighting::Fixed);
        objective.unwrap_err().to_string()
    };
    let weight = TaskOptions {
        weight: f32::NAN,
        ..TaskOptions::default()
    };
    assert!(of(4, weight).starts_with("task `pose`: weight = NaN"));
    let short = TaskOptions {
        class_weights: vec![1.0; 2],
        ..TaskOptions::default()
    };
    let text = of(1, short);
    assert!(
        text.starts_with("task `identity`: class_weights has 2 entries"),
        "{text}"
    );
    let mut wide: Vec<Task> = many().into();
    wide[4].outputs.push("third".to_owned());
    let tasks = Tasks::new(wide.clone()).unwrap();
    let error = Objective::declare(&tasks, &[], &[], TaskWeighting::Fixed).unwrap_err();
    assert!(
        matches!(error, ObjectiveError::Axes { asked: 3, .. }),
        "{error}"
    );
    wide.truncate(4);
    wide[3].outputs = (0..65).map(|it| it.to_string()).collect();
    let tasks = Tasks::new(wide).unwrap();
    let error = Objective::declare(&tasks, &[], &[], TaskWeighting::Fixed).unwrap_err();
    assert!(
        matches!(error, ObjectiveError::TooManyUnits { asked: 65, .. }),
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

    let labels = Labels::from(AffectLabels {
        expression: Some(3),
        au_mask: 0b101,
        au_value: 0b100,
        valence_arousal: Some([0.5, -0.5]),
    });
    assert_eq!(labels.of(&Tasks::affect(), &Tasks::affect()), labels);
    let kept = labels.of(&Tasks::affect(), &alone.tasks().unwrap());
    assert_eq!(kept.tasks, [Label::Class(3)]);
    // By name, whatever the order, and missing where there was none.
    let others = many();
    let back = kept.of(&alone.tasks().unwrap(), &others);
    assert_eq!(back.tasks[0], Label::Class(3));
    assert_eq!(back.tasks[1..], [Label::Missing; 4]);
}
