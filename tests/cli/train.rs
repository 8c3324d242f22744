//! `kinesic train`: its runs, their end in order or not, and what it refuses.

use super::*;

#[cfg(unix)]
#[test]
fn a_run_that_is_asked_to_stop_checkpoints_its_step_and_exits_with_130() {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", "");
    for (signal, run) in [("-INT", faces.text("i")), ("-TERM", faces.text("t"))] {
        let set = format!("{config}.long.toml");
        let long = text(&read(Path::new(&config))).replace("steps = 12", "steps = 100000");
        std::fs::write(&set, long).unwrap();
        let mut child = start(&set, &run);
        let reached = reaches_checkpoint(&run);
        let id = child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        let ended = child.wait().unwrap();
        assert!(reached && sent.unwrap().success(), "{signal}");
        assert_eq!(ended.code(), Some(130), "{signal}");
        let log = text(&read(&Path::new(&run).join("log.jsonl")));
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains("\"outcome\":\"interrupted\""), "{last}");
        let steps = log.lines().filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["step"].as_u64()
        });
        let name = format!("checkpoints/step-{:08}.safetensors", steps.max().unwrap());
        assert!(Path::new(&run).join(&name).exists(), "{signal}: {name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_a_killed_run_resumes_to_them() {
    same_bits("f32");
}

/// The loss's scale and the steps that it counts are part of a checkpoint.
#[test]
fn so_does_a_run_in_f16() {
    same_bits("f16");
}

fn same_bits(precision: &str) {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", "");
    let plain = text(&read(Path::new(&config)));
    let stored = plain.replace("[train]", &format!("[train]\nprecision = \"{precision}\""));
    assert_ne!(plain, stored);
    std::fs::write(&config, stored).unwrap();
    let (a, b, c) = (faces.text("a"), faces.text("b"), faces.text("c"));
    succeeds(&["train", &config, "--out", &a]);
    succeeds(&["train", &config, "--out", &b]);
    let weights = |run: &str| read(&Path::new(run).join("last.safetensors"));
    assert!(weights(&a) == weights(&b), "two runs of one seed differ");
    // Killed as soon as its first checkpoint is there, wherever it is then.
    let mut child = start(&config, &c);
    let reached = reaches_checkpoint(&c);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(reached, "no checkpoint within 30 s");
    succeeds(&["train", &config, "--out", &c, "--resume"]);
    assert!(
        weights(&a) == weights(&c),
        "a resumed run differs from an uninterrupted one"
    );
    let log = text(&read(&Path::new(&c).join("log.jsonl")));
    let steps = log
        .lines()
        .filter(|line| line.contains("\"kind\":\"step\""))
        .count();
    assert_eq!(steps, 12, "the log has each step once");
    let other = succeeds(&[
        "train",
        &config,
        "--set",
        "train.seed=2",
        "--out",
        &faces.text("d"),
    ]);
    assert!(other.contains("12 steps"), "{other}");
    assert!(
        weights(&a) != weights(&faces.text("d")),
        "another seed gives other weights"
    );
}

#[test]
fn low_memory_changes_no_bit_of_a_run() {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", "");
    let weights = |memory: &str| {
        let set = format!("train.memory={memory}");
        let out = faces.text(memory);
        succeeds(&["train", &config, "--out", &out, "--set", &set]);
        read(&faces.path(memory).join("last.safetensors"))
    };
    assert!(weights("fast") == weights("low"));
}

#[test]
fn decoded_images_outlive_a_run_and_change_no_bit_of_it() {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", "");
    let run = |name: &str, set: &str| {
        let out = faces.text(name);
        let output = kinesic(&["train", &config, "--out", &out, "--set", set]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{set}: {message}");
        read(&faces.path(name).join("last.safetensors"))
    };
    let files = |folder: &str| {
        let entries = std::fs::read_dir(faces.path(folder));
        entries.map_or(0, |entries| entries.count())
    };
    let plain = run("plain", "train.cache_mib=0");
    assert_eq!(files("decoded"), 0);
    let made = run("made", "train.cache_mib=1");
    assert_eq!(files("decoded"), 1);
    let found = run("found", "train.cache_mib=1");
    assert_eq!(files("decoded"), 1, "nothing new was decoded");
    assert!(plain == made && plain == found);
    let file = format!("train.cache_dir={}", faces.text("faces/table.csv"));
    refuses(
        &["train", &config, "--out", &faces.text("x"), "--set", &file],
        &["table.csv: the folder of decoded images cannot be used"],
    );
}

#[test]
fn trained_weights_evaluate_and_predict() {
    let faces = Faces::new();
    let config = faces.config(
        "faces/table.csv",
        "[[validation]]\nname = \"same\"\npath = \"faces/table.csv\"\n",
    );
    let run = faces.text("run");
    succeeds(&["train", &config, "--out", &run]);
    for file in [
        "config.toml",
        "log.jsonl",
        "last.safetensors",
        "best.safetensors",
        "curves.png",
    ] {
        assert!(Path::new(&run).join(file).exists(), "{file}");
    }
    let weights = format!("{run}/best.safetensors");
    let table = faces.text("faces/table.csv");
    let json: serde_json::Value = serde_json::from_str(&succeeds(&[
        "eval", &weights, "--data", &table, "--json", "-",
    ]))
    .unwrap();
    assert_eq!(json["images"], 48);
    assert!(
        json["tasks"]["expression"]["accuracy"].is_number(),
        "{json}"
    );
    assert!(
        json["tasks"]["action_units"]["f1_mean"].is_number(),
        "{json}"
    );
    assert!(
        json["tasks"]["valence_arousal"]["ccc_valence"].is_number(),
        "{json}"
    );
    let csv = faces.text("out.csv");
    let shown = succeeds(&["predict", &weights, &faces.text("faces"), "--csv", &csv]);
    assert_eq!(shown.lines().count(), 49, "{shown}");
    assert_eq!(text(&read(Path::new(&csv))).lines().count(), 49);
}

#[test]
fn a_split_is_taken_by_name_and_time_is_kept() {
    let faces = Faces::new();
    let rows = "image,expression,split\nface-000000.png,fear,train\nabsent.png,fear,test\n";
    std::fs::write(faces.path("faces/splits.csv"), rows).unwrap();
    let config = faces.config("faces/splits.csv", "max_seconds = 1e-6\n");
    let run = faces.text("run");
    let set = |split: &str| format!("data.0.split={split}");
    let shown = succeeds(&["train", &config, "--set", &set("train"), "--out", &run]);
    assert!(shown.starts_with("1 steps"), "{shown}");
    let weights = format!("{run}/best.safetensors");
    let table = faces.text("faces/splits.csv");
    succeeds(&["eval", &weights, "--data", &table, "--split", "train"]);
    refuses(
        &["eval", &weights, "--data", &table, "--split", "val"],
        &["splits.csv", "`val`", "train, test"],
    );
    // The other row's image is absent: more than a hundredth.
    refuses(&["eval", &weights, "--data", &table], &["absent.png"]);
    refuses(
        &[
            "train",
            &config,
            "--set",
            &set("val"),
            "--out",
            &faces.text("no"),
        ],
        &["splits.csv", "`val`", "train, test"],
    );
    // The configuration that lies in the run's folder trains too.
    let again = format!("{run}/config.toml");
    succeeds(&["train", &again, "--out", &faces.text("again")]);
    let last = |run: &str| read(&Path::new(run).join("last.safetensors"));
    assert!(last(&run) == last(&faces.text("again")));
}

#[test]
fn a_folder_with_a_run_is_not_overwritten() {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", "");
    let run = faces.text("run");
    succeeds(&["train", &config, "--out", &run]);
    let before = read(&Path::new(&run).join("last.safetensors"));
    refuses(&["train", &config, "--out", &run], &["--resume"]);
    assert!(before == read(&Path::new(&run).join("last.safetensors")));
}

#[test]
fn few_broken_images_are_named_and_skipped_and_many_stop_the_run() {
    let faces = Faces::new();
    // 1 of 101 rows is broken: within 1 %; then 2 of 102.
    let good = "face-000000.png,neutral\n".repeat(100);
    std::fs::write(faces.path("faces/broken.png"), b"not an image").unwrap();
    let table = |broken: usize| {
        let rows = format!(
            "image,expression\n{}{good}",
            "broken.png,fear\n".repeat(broken)
        );
        std::fs::write(faces.path("faces/mixed.csv"), rows).unwrap();
    };
    let config = faces.config("faces/mixed.csv", "");
    table(1);
    let run = faces.text("run");
    succeeds(&["train", &config, "--set", "train.steps=14", "--out", &run]);
    let log = text(&read(&Path::new(&run).join("log.jsonl")));
    assert!(
        log.contains("broken_image") && log.contains("broken.png"),
        "{log}"
    );
    table(2);
    refuses(
        &[
            "train",
            &config,
            "--set",
            "train.steps=14",
            "--out",
            &faces.text("more"),
        ],
        &["broken", "1 %", "broken.png"],
    );
}

#[test]
fn bad_configurations_are_refused_with_file_and_key() {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", "[optimiser]\nlearning_rate = 1.0\n");
    refuses(
        &["train", &config, "--out", &faces.text("run")],
        &["config.toml", "optimiser", "`optimizer`"],
    );
    refuses(&["train", &faces.text("absent.toml")], &["absent.toml"]);
    let config = faces.config("faces/absent.csv", "");
    refuses(
        &["train", &config, "--out", &faces.text("run")],
        &["absent.csv"],
    );
    assert!(!faces.path("run").exists(), "nothing half written");
}

#[test]
fn bad_tables_are_refused_with_file_and_line() {
    let faces = Faces::new();
    let cases = [
        (
            "image,expression",
            "face-000000.png,hapiness",
            vec!["small.csv:2", "hapiness", "happiness"],
        ),
        (
            "image,valence,arousal",
            "face-000000.png,nan,0.1",
            vec!["small.csv:2", "valence", "-1 to 1"],
        ),
        (
            "image,au1",
            "face-000000.png,2",
            vec!["small.csv:2", "au1", "0, 1"],
        ),
        (
            "image,expression",
            "face-000000.png",
            vec!["small.csv:2", "cells"],
        ),
        (
            "picture,expression",
            "face-000000.png,fear",
            vec!["small.csv:1", "image"],
        ),
        ("image,image", "a.png,b.png", vec!["small.csv:1", "twice"]),
        ("image,expression", "", vec!["small.csv", "no rows"]),
    ];
    for (header, cells, parts) in cases {
        let table = faces.table(header, cells);
        let config = faces.config(&table, "");
        refuses(&["train", &config, "--out", &faces.text("run")], &parts);
    }
}

#[test]
fn weights_of_another_shape_and_damaged_checkpoints_are_refused() {
    let faces = Faces::new();
    let config = faces.config("faces/table.csv", "");
    let run = faces.text("run");
    succeeds(&["train", &config, "--set", "train.steps=4", "--out", &run]);
    let pretrained = format!("model.pretrained={run}/last.safetensors");
    refuses(
        &[
            "train",
            &config,
            "--set",
            &pretrained,
            "--set",
            "model.width=2.0",
            "--out",
            &faces.text("wide"),
        ],
        &[
            "last.safetensors",
            "stem.conv.weight",
            "[16, 3, 3, 3]",
            "[32, 3, 3, 3]",
        ],
    );
    let checkpoint = Path::new(&run).join("checkpoints/step-00000004.safetensors");
    let bytes = read(&checkpoint);
    std::fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    refuses(
        &["train", &config, "--out", &run, "--resume"],
        &["step-00000004.safetensors", "safetensors"],
    );
}
