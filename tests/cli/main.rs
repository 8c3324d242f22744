//! The command line as scripts see it: exit codes, messages, files.

mod bench;
mod experiment;
mod parity;
mod relate;
mod tasks;
mod train;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn kinesic(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_kinesic"))
        .args(args)
        .env("KINESIC_CACHE", "none") // no test writes into the user's folder
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
            "[model]\nbackbone = \"mobile\"\nsize = 32\n[[data]]\nname = \"faces\"\npath = \"{table}\"\n[train]\nbatch = 8\nsteps = 12\ncheckpoint_every = 4\nlog_every = 1\ncache_dir = \"decoded\"\n{more}"
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
        .env("KINESIC_CACHE", "none")
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

mod eval {
    use super::*;

    /// Faces with compound expressions, `count` of them.
    fn compounds(faces: &Faces, name: &str, count: &str, seed: &str) -> String {
        let out = faces.text(name);
        let size = ["--size", "32", "--compound", "1"];
        let args = ["faces", "--count", count, "--seed", seed, "--out", &out];
        succeeds(&[&args[..], &size].concat());
        faces.text(&format!("{name}/table.csv"))
    }

    #[test]
    fn compound_expressions_are_scored_zero_shot_and_few_shot() {
        let faces = Faces::new();
        let config = faces.config("faces/table.csv", "");
        let run = faces.text("run");
        succeeds(&["train", &config, "--out", &run]);
        let weights = format!("{run}/last.safetensors");
        let shots = compounds(&faces, "shots", "60", "2");
        let data = compounds(&faces, "data", "40", "3");
        let eval = |more: &[&str]| -> serde_json::Value {
            let args = [
                "eval",
                &weights,
                "--data",
                &data,
                "--json",
                "-",
                "--compound",
            ];
            serde_json::from_str(&succeeds(&[&args[..], more].concat())).unwrap()
        };
        let counted = |report: &serde_json::Value| -> u64 {
            let rows = report["compound"]["confusion"].as_array().unwrap().iter();
            let cells = rows.flat_map(|row| row.as_array().unwrap());
            cells.map(|count| count.as_u64().unwrap()).sum()
        };
        let zero = eval(&["zero"]);
        let few = eval(&["few", "--shots", &shots]);
        let tuned = eval(&["few", "--shots", &shots, "--tune", "3"]);
        for report in [&zero, &few, &tuned] {
            assert_eq!(counted(report), 40);
        }
        assert_ne!(few["compound"], zero["compound"]);
        assert_ne!(few["compound"], tuned["compound"]);
        // What it learns from, it knows.
        let args = ["eval", &weights, "--data", &shots, "--json", "-"];
        let known = ["--compound", "few", "--shots", &shots];
        let known = succeeds(&[&args[..], &known].concat());
        let known: serde_json::Value = serde_json::from_str(&known).unwrap();
        assert!(
            known["compound"]["accuracy"].as_f64() > Some(0.5),
            "{known}"
        );

        let plain = faces.text("faces/table.csv");
        let args = ["eval", &weights, "--data", &data, "--compound", "few"];
        refuses(&args, &["required arguments"]);
        refuses(
            &[&args[..], &["--shots", &plain]].concat(),
            &["no row has a compound expression"],
        );
        refuses(
            &[&args[..], &["--shots", "none.csv"]].concat(),
            &["none.csv"],
        );
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
fn the_input_of_training_is_measured_and_reported_as_json() {
    let faces = Faces::new();
    let (table, folder) = (faces.text("faces/table.csv"), faces.text("faces"));
    for images in [&table, &folder] {
        let args = [
            "bench",
            "--mode",
            "input",
            "--images",
            images,
            "--size",
            "16",
            "--batch",
            "8",
            "--seconds",
            "0.3",
            "--json",
            "-",
        ];
        let json: serde_json::Value = serde_json::from_str(&succeeds(&args)).unwrap();
        assert_eq!(json["images"], 48, "{json}");
        assert_eq!(json["formats"], "48 png", "{json}");
        let upload = ["ring", "write_buffer", "write_buffer_with"].map(|way| &json["upload"][way]);
        for rate in [&json["cold"], &json["warm"]].into_iter().chain(upload) {
            assert!(rate["images_per_second"].as_f64() > Some(0.0), "{json}");
        }
        // Linux counts processor time in hundredths of a second, of which the few images of the first pass may not take one.
        for rate in [&json["warm"]].into_iter().chain(upload) {
            let told = rate["busy_cores"].is_number();
            assert!(told || !cfg!(target_os = "linux"), "{json}");
        }
        assert_eq!(json["images_per_second"], json["warm"]["images_per_second"]);
    }
    let help = succeeds(&["bench", "--help"]);
    for key in ["images_per_second_per_core", "fill_s", "write_buffer_with"] {
        assert!(help.contains(key), "{key}");
    }
    refuses(&["plan", "--mode", "input"], &["'input'", "--mode"]);
    let empty = faces.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let empty = empty.display().to_string();
    refuses(
        &["bench", "--mode", "input", "--images", &empty],
        &["no picture"],
    );
}

#[test]
fn the_plan_of_a_gpu_with_matrices_needs_none() {
    let plan = |matrices: &str, precision: &str| {
        let model = ["plan", "--backbone", "resnet18", "--batch", "4"];
        let target = ["--matrices", matrices, "--precision", precision];
        let report = succeeds(&[&model[..], &target, &["--json", "-"]].concat());
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let kernels = report["by_kernel"].as_array().unwrap().clone();
        let names = kernels.iter().map(|it| it["kernel"].as_str().unwrap());
        let with = names.filter(|name| name.ends_with("_matrix")).count();
        (report["flops"].as_f64().unwrap(), with)
    };
    let (flops, kernels) = plan("16", "f16");
    assert_eq!(kernels, 3, "forward and both gradients");
    let (without, kernels) = plan("none", "f16");
    assert_eq!(kernels, 0);
    // The products are the same; groups of sums and what is computed on load differ by little.
    assert!((flops / without - 1.0).abs() < 1e-3, "{flops} {without}");
    // Those of side 16 are of f16 alone.
    assert_eq!(plan("16", "f32").1, 0);
    refuses(&["plan", "--matrices", "4"], &["'4'", "--matrices"]);
    let both = ["plan", "--matrices", "16", "--software"];
    refuses(&both, &["--software", "--matrices"]);
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
