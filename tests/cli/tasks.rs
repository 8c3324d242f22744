//! Tasks that are declared in the configuration.

use super::*;

const TASKS: &str = "[[validation]]\nname = \"again\"\npath = \"faces/table.csv\"\n\
    [[task]]\nname = \"expression\"\n\
    [[task]]\nname = \"identity\"\n\
    [[task]]\nname = \"attributes\"\nweight = 2.0\n\
    [[coupling]]\nof = [\"identity\", \"attributes\"]\ndistribution_matching = 0.1\nsoft_co_annotation = 0.1\n";

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn identity_and_attributes_are_a_configuration() {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", TASKS);
    let report = json(&succeeds(&["check-data", &config, "--json", "-"]));
    assert_eq!(report[0]["tasks"]["identity"]["labelled"], 48, "{report}");
    let people = report[0]["identities"].as_u64().unwrap();
    assert_eq!(report[0]["tasks"]["identity"]["outputs"], people);
    let run = faces.text("run");
    succeeds(&["train", &config, "--out", &run]);
    let log = text(&read(&faces.path("run/log.jsonl")));
    let events: Vec<serde_json::Value> = log.lines().map(json).collect();
    let steps = events.iter().filter(|event| event["kind"] == "step");
    for step in steps {
        let losses = step["losses"].as_object().unwrap();
        let names: Vec<&str> = losses.keys().map(String::as_str).collect();
        let tasks = ["expression", "identity", "attributes"];
        assert_eq!(names[..3], tasks);
        let rest = ["distribution_matching", "soft_co_annotation", "total"];
        assert_eq!(names[3..], rest);
        let value = |name: &str| losses[name].as_f64().unwrap();
        let sum = value("expression")
            + value("identity")
            + 2.0 * value("attributes")
            + 0.1 * (value("distribution_matching") + value("soft_co_annotation"));
        assert!((value("total") - sum).abs() <= 1e-5 * sum, "{step}");
        assert!(value("identity") > 0.0 && value("distribution_matching") > 0.0);
    }
    let weights = format!("{run}/best.safetensors");
    let table = faces.text("faces/table.csv");
    let report = json(&succeeds(&[
        "eval", &weights, "--data", &table, "--json", "-",
    ]));
    for (task, key) in [
        ("expression", "confusion"),
        ("identity", "accuracy"),
        ("attributes", "f1_mean"),
    ] {
        assert!(report["tasks"][task].get(key).is_some(), "{task}: {report}");
    }
    assert!(report["tasks"].get("valence_arousal").is_none());
    let shown = succeeds(&["eval", &weights, "--data", &table]);
    assert!(
        shown.contains("identity accuracy") && shown.contains("attributes F1"),
        "{shown}"
    );
    let (csv, lines) = (faces.text("out.csv"), faces.text("out.jsonl"));
    let folder = faces.text("faces");
    let shown = succeeds(&[
        "predict", &weights, &folder, "--csv", &csv, "--jsonl", &lines,
    ]);
    assert!(
        shown.lines().next().unwrap().contains("identity"),
        "{shown}"
    );
    let first = text(&read(&faces.path("out.jsonl")));
    let first = json(first.lines().next().unwrap());
    assert_eq!(
        first["identity"].as_object().unwrap().len() as u64,
        people.min(64)
    );
    assert!(
        first["attributes"].as_object().unwrap().len() > 4,
        "{first}"
    );
    let csv = text(&read(&faces.path("out.csv")));
    let cells: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(cells.iter().all(|count| *count == cells[0]), "{cells:?}");
}

/// Two blocks write the gradient of the logits, each its own columns.
#[test]
fn low_memory_changes_no_bit_of_several_blocks() {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", TASKS);
    for precision in ["f32", "f16"] {
        let weights = |memory: &str| {
            let run = format!("{precision}-{memory}");
            let sets = [
                format!("train.memory={memory}"),
                format!("train.precision={precision}"),
            ];
            let out = faces.text(&run);
            succeeds(&[
                "train", &config, "--out", &out, "--set", &sets[0], "--set", &sets[1],
            ]);
            read(&faces.path(&run).join("last.safetensors"))
        };
        assert!(weights("fast") == weights("low"), "{precision}");
    }
}

#[test]
fn people_who_were_not_trained_on_are_no_labels() {
    let faces = Faces::new();
    let config = faces.config(
        "faces/table.csv",
        "[[task]]\nname = \"identity\"\n[[task]]\nname = \"expression\"\n",
    );
    let run = faces.text("run");
    succeeds(&["train", &config, "--out", &run]);
    // Strangers alone choose no best weights: the last are kept.
    let rows = "image,identity\nface-000000.png,stranger\n";
    std::fs::write(faces.path("faces/strangers.csv"), rows).unwrap();
    let alone = "[[task]]\nname = \"identity\"\n[[validation]]\npath = \"faces/strangers.csv\"\n";
    let config = faces.config("faces/table.csv", alone);
    let shown = succeeds(&["train", &config, "--out", &faces.text("alone")]);
    assert!(!shown.contains("score"), "{shown}");
    let weights = |name: &str| read(&faces.path("alone").join(name));
    assert!(weights("best.safetensors") == weights("last.safetensors"));
    let rows = "image,identity,expression\nface-000000.png,stranger,fear\nface-000001.png,another,neutral\n";
    std::fs::write(faces.path("faces/others.csv"), rows).unwrap();
    let pairs = "image_a,image_b,same\nface-000000.png,face-000001.png,0\nface-000002.png,face-000002.png,1\n";
    std::fs::write(faces.path("faces/pairs.csv"), pairs).unwrap();
    let (others, pairs, roc) = (
        faces.text("faces/others.csv"),
        faces.text("faces/pairs.csv"),
        faces.text("roc.png"),
    );
    let weights = format!("{run}/best.safetensors");
    let report = json(&succeeds(&[
        "eval", &weights, "--data", &others, "--pairs", &pairs, "--roc", &roc, "--json", "-",
    ]));
    assert!(report["tasks"].get("identity").is_none(), "{report}");
    assert!(report["tasks"].get("expression").is_some(), "{report}");
    // A picture and itself have the cosine 1, above that of two people.
    assert_eq!(report["verification"]["auc"], 1.0, "{report}");
    assert!(image::open(&roc).unwrap().width() > 400);
    refuses(
        &["eval", &weights, "--data", &others, "--roc", &roc],
        &["required arguments"],
    );
}

#[test]
fn pairs_of_a_validation_table_count_in_the_choice_of_the_best_weights() {
    let faces = Faces::new();
    let rows = "image,identity\nface-000000.png,stranger\n";
    std::fs::write(faces.path("faces/strangers.csv"), rows).unwrap();
    let pairs = "image_a,image_b,same\nface-000000.png,face-000001.png,0\nface-000002.png,face-000002.png,1\n";
    std::fs::write(faces.path("faces/pairs.csv"), pairs).unwrap();
    let alone = "[[task]]\nname = \"identity\"\n[[validation]]\npath = \"faces/strangers.csv\"\npairs = \"faces/pairs.csv\"\n";
    let config = faces.config("faces/table.csv", alone);
    let report = json(&succeeds(&["check-data", &config, "--json", "-"]));
    assert_eq!(report[1]["pairs"], 2, "{report}");
    let output = kinesic(&["train", &config, "--out", &faces.text("run")]);
    let said = text(&output.stderr);
    assert!(said.contains(": verification accuracy "), "{said}");
    let log = text(&read(&faces.path("run/log.jsonl")));
    let events = log.lines().map(json);
    let validations: Vec<_> = events.filter(|it| it["kind"] == "validation").collect();
    assert!(!validations.is_empty());
    for event in &validations {
        let verified = &event["metrics"]["verification"];
        assert_eq!(verified["pairs"], 2, "{event}");
        assert_eq!(event["score"], verified["accuracy"], "{event}");
    }
    let weights = faces.text("run/last.safetensors");
    let (strangers, pairs) = (
        faces.text("faces/strangers.csv"),
        faces.text("faces/pairs.csv"),
    );
    let report = json(&succeeds(&[
        "eval", &weights, "--data", &strangers, "--pairs", &pairs, "--json", "-",
    ]));
    let last = &validations.last().unwrap()["metrics"]["verification"];
    assert_eq!(&report["verification"], last);

    // The pairs are read before anything is trained.
    for (table, parts) in [
        ("image_a,image_b\n", &["pairs.csv:1", "`same`"][..]),
        (
            "image_a,image_b,same\na.png,b.png,1\n",
            &["pairs.csv", "`same` is 1 in every row"],
        ),
    ] {
        std::fs::write(faces.path("faces/pairs.csv"), table).unwrap();
        refuses(&["train", &config, "--out", &faces.text("no")], parts);
        refuses(&["check-data", &config], parts);
        assert!(!faces.path("no").exists());
    }
    let config = faces.config(
        "faces/table.csv",
        "[[data]]\npath = \"faces/table.csv\"\npairs = \"faces/pairs.csv\"\n",
    );
    refuses(
        &["train", &config, "--out", &faces.text("no")],
        &["unknown key `data.1.pairs`"],
    );
}

#[test]
fn what_cannot_be_is_refused_before_training() {
    let faces = Faces::new();
    for (more, parts) in [
        ("[[task]]\nname = \"gaze\"\n", &["task.0.kind"][..]),
        (
            "[[task]]\nname = \"identity\"\nmin_images = 1000\n",
            &["task `identity`", "1000 or more images"],
        ),
        (
            "[[task]]\nname = \"identity\"\n[[task]]\nname = \"attributes\"\n[[task]]\nname = \"action_units\"\n\
             [[coupling]]\nof = [\"identity\", \"attributes\"]\n[[coupling]]\nof = [\"identity\", \"action_units\"]\n",
            &["`identity` is coupled twice"],
        ),
        (
            "[[task]]\nname = \"identity\"\nclass_weights = [1.0, 2.0]\n",
            &["task `identity`: class_weights has 2 entries"],
        ),
        (
            "[[task]]\nname = \"identity\"\n[objective]\nexpression = 2.0\n",
            &["objective.expression"],
        ),
    ] {
        let config = faces.config("faces/table.csv", more);
        refuses(&["train", &config, "--out", &faces.text("no")], parts);
        assert!(!faces.path("no/log.jsonl").exists());
    }
}
