//! The command line as scripts see it: exit codes, messages, files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn kinesic(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_kinesic"))
        .args(args)
        .output();
    output.unwrap_or_else(|error| panic!("{error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn succeeds(args: &[&str]) -> String {
    let output = kinesic(args);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Bad input: exit code 2, one error line that holds all of `parts`.
#[track_caller]
fn refuses(args: &[&str], parts: &[&str]) {
    let output = kinesic(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    let error = message
        .lines()
        .find(|line| line.starts_with("error"))
        .unwrap_or_default();
    for part in parts {
        assert!(
            error.contains(part),
            "{args:?}: `{part}` is not in: {error}"
        );
    }
}

/// A folder with a dozen synthetic faces and their table.
struct Faces {
    folder: tempfile::TempDir,
}

impl Faces {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("faces");
        succeeds(&[
            "faces",
            "--count",
            "48",
            "--size",
            "32",
            "--out",
            out.to_str().unwrap(),
        ]);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A configuration of a tiny run on a table.
    fn config(&self, table: &str, more: &str) -> String {
        let text = format!(
            "[model]\nbackbone = \"mobile\"\nsize = 32\n[[data]]\nname = \"faces\"\npath = \"{table}\"\n[train]\nbatch = 8\nsteps = 12\ncheckpoint_every = 4\nlog_every = 1\n{more}"
        );
        std::fs::write(self.path("config.toml"), text).unwrap();
        self.text("config.toml")
    }

    /// A table with one row of these cells on the first face.
    fn table(&self, header: &str, cells: &str) -> String {
        std::fs::write(self.path("faces/small.csv"), format!("{header}\n{cells}\n")).unwrap();
        "faces/small.csv".to_owned()
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Starts training into `run`.
fn start(config: &str, run: &str) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_kinesic"))
        .args(["train", config, "--out", run])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for the first checkpoint of a run, at most half a minute.
fn reaches_checkpoint(run: &str) -> bool {
    let checkpoint = Path::new(run).join("checkpoints/step-00000004.safetensors");
    (0..3000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        checkpoint.exists()
    })
}

mod train {
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
        let faces = Faces::new();
        let config = faces.config("faces/table.csv", "");
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
}

mod check_data {
    use super::*;

    #[test]
    fn counts_labels_and_names_what_is_missing_with_its_line() {
        let faces = Faces::new();
        let config = faces.config("faces/table.csv", "");
        let report = succeeds(&["check-data", &config, "--json", "-"]);
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let counts = report[0]["expression"].as_object().unwrap().values();
        let known: u64 = counts.map(|count| count.as_u64().unwrap()).sum();
        assert_eq!((&report[0]["images"], known), (&48.into(), 48));
        let units = report[0]["action_units"].as_object().unwrap();
        assert_eq!(units.len(), 17);
        for counts in units.values() {
            let [off, on] = [0, 1].map(|which| counts[which].as_u64().unwrap());
            assert_eq!(off + on, 48);
        }
        assert_eq!(report[0]["broken"].as_array().unwrap().len(), 0);
        let shown = succeeds(&["check-data", &config]);
        assert!(
            shown.contains("48 images") && shown.contains("action units on   1 "),
            "{shown}"
        );

        let rows = "image,expression,x,y,w,h\nface-000000.png,fear,,,,\nabsent.png,fear,,,,\nface-000001.png,,900,0,9,9\n";
        std::fs::write(faces.path("faces/bad.csv"), rows).unwrap();
        let config = faces.config("faces/bad.csv", "");
        refuses(&["check-data", &config], &["2 of 3", "1 %"]);
        let output = kinesic(&["check-data", &config]);
        let shown = text(&output.stdout);
        for part in ["line 3", "absent.png", "line 4", "without labels    1"] {
            assert!(shown.contains(part), "`{part}` is not in: {shown}");
        }
    }
}

mod predict {
    use super::*;

    #[test]
    fn files_that_are_no_whole_pictures_are_named_and_nothing_is_written() {
        let faces = Faces::new();
        let config = faces.config("faces/table.csv", "");
        let run = faces.text("run");
        succeeds(&["train", &config, "--set", "train.steps=1", "--out", &run]);
        let weights = format!("{run}/last.safetensors");
        let whole = read(&faces.path("faces/face-000000.png"));
        std::fs::write(faces.path("cut.png"), &whole[..whole.len() / 2]).unwrap();
        std::fs::write(faces.path("words.png"), "words").unwrap();
        let csv = faces.text("out.csv");
        for name in ["absent.png", "cut.png", "words.png"] {
            refuses(
                &["predict", &weights, &faces.text(name), "--csv", &csv],
                &[name],
            );
        }
        assert!(!Path::new(&csv).exists(), "nothing half written");
        refuses(
            &["predict", &faces.text("words.png"), &faces.text("faces")],
            &["words.png", "safetensors"],
        );
    }
}

#[test]
fn wrong_command_lines_exit_with_2() {
    for args in [
        vec!["trian"],
        vec!["plan", "--batch", "0"],
        vec!["plan", "--backbone", "resnet51"],
        vec![],
    ] {
        assert_eq!(kinesic(&args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn an_unknown_adapter_is_refused_with_the_list_of_those_there_are() {
    refuses(
        &["bench", "--adapter", "no such adapter", "--seconds", "1"],
        &["no such adapter", "0: "],
    );
}

#[test]
fn the_plan_reports_its_accounts_as_json() {
    let args = [
        "plan",
        "--backbone",
        "resnet18",
        "--size",
        "64",
        "--batch",
        "4",
        "--mode",
        "infer",
        "--json",
        "-",
    ];
    let json: serde_json::Value = serde_json::from_str(&succeeds(&args)).unwrap();
    for key in [
        "dispatches",
        "bytes_read",
        "bytes_written",
        "bytes_per_image",
        "flops",
        "arena_bytes",
        "parameter_bytes",
        "by_kernel",
    ] {
        assert!(!json[key].is_null(), "{key}");
    }
    // 18 layers at 64: 0.15 GMAC an image.
    let flops = json["flops"].as_f64().unwrap() / 4.0;
    assert!((0.28e9..0.36e9).contains(&flops), "{flops}");
}
