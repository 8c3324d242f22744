use super::super::{ExperimentConfig, Grid};
use super::*;
use crate::objective::Task;

fn training(sets: &[&str]) -> Training {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.toml");
    std::fs::write(&path, "seeds = [1]\n[[variant]]\nname = \"a\"\n").unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let config = ExperimentConfig::read(&path, &sets).unwrap();
    Grid::new(&config, &path).unwrap().trainings.remove(0).1
}

fn stored(tasks: Tasks) -> Stored {
    Stored {
        name: "a, seed 1".to_owned(),
        training: serde_json::Value::Null,
        adapter: "none".to_owned(),
        seconds: 1.5,
        tasks,
        validation: Found::default(),
        test: Found::default(),
    }
}

#[test]
fn a_result_is_found_by_what_its_training_depends_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let one = training(&[]);
    assert_eq!(store.load(&one).unwrap(), None);
    store.save(&one, &stored(Tasks::affect())).unwrap();
    assert_eq!(store.load(&one).unwrap(), Some(stored(Tasks::affect())));
    // Texts of the report are no part of a training; everything else is.
    let renamed = training(&["title=other", "variant.0.name=b"]);
    assert!(store.load(&renamed).unwrap().is_some());
    for set in [
        "seeds=[2]",
        "au_shares=[0.5]",
        "train.steps=7",
        "train.learning_rate=0.02",
        "model.size=16",
        "faces.pictures=100",
        "faces.unlabelled=keep",
        "few_shot.shots=5",
        "objective.action_units=0.5",
    ] {
        assert_eq!(store.load(&training(&[set])).unwrap(), None, "{set}");
    }
    let path = store.path(&one).unwrap();
    std::fs::write(&path, "{\"name\": 3").unwrap();
    let error = store.load(&one).unwrap_err().to_string();
    assert!(error.contains("remove it"), "{error}");
}

/// The tasks of one network, and what it says of two faces: `on` of its outputs at 9, the others at -9.
fn part(kind: &str, on: [&[usize]; 2]) -> (Tasks, Found) {
    let mut tasks: Vec<Task> = Tasks::affect().into();
    tasks.retain(|task| task.name == kind);
    let outputs = tasks[0].outputs.len();
    let shown = ["happily surprised", "sadly angry"];
    let answer = |(on, shown): (&[usize], &str)| Answer {
        shown: shown.to_owned(),
        logits: (0..outputs)
            .map(|it| if on.contains(&it) { 9.0 } else { -9.0 })
            .collect(),
    };
    let mut found = Found {
        answers: on.into_iter().zip(shown).map(answer).collect(),
        ..Found::default()
    };
    found.evaluation.metrics.images = 5;
    (Tasks::new(tasks).unwrap(), found)
}

#[test]
fn networks_for_single_tasks_score_compound_expressions_together() {
    // Happiness and surprise with AU 1 2 12 25 at a valence of 9; sadness and anger with AU 4 15 at -9.
    let expression = part("expression", [&[4, 6], &[5, 1]]);
    let units = part("action_units", [&[0, 1, 8, 15], &[2, 10]]);
    let axes = part("valence_arousal", [&[0], &[]]);
    let joined = |parts: &[&(Tasks, Found)]| {
        let parts: Vec<_> = parts.iter().map(|(tasks, found)| (tasks, found)).collect();
        Found::joined(&parts).unwrap()
    };
    let all = joined(&[&expression, &units, &axes]);
    assert_eq!((all.compound, all.metrics.images), (Some(1.0), 5));
    // Whatever the order of the parts.
    assert_eq!(joined(&[&axes, &expression, &units]), all);
    // The second face's units say nothing of its class: half are right.
    let other = part("action_units", [&[0, 1, 8, 15], &[0, 1, 8, 15]]);
    let swapped = part("expression", [&[4, 6], &[4, 6]]);
    assert_eq!(joined(&[&swapped, &other, &axes]).compound, Some(0.5));
    assert_eq!(joined(&[&expression, &units]).compound, None);
    assert_eq!(joined(&[]), Evaluation::default());
}
