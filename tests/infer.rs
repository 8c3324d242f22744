//! `kinesic eval` and `kinesic predict` as scripts see them, on weights that were never trained.

use kinesic::infer::Model;
use kinesic::nn::{Backbone, Network, Weights};
use kinesic::objective::Tasks;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

fn kinesic(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_kinesic"))
        .env("KINESIC_CACHE", "none")
        .args(args)
        .output();
    output.unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn succeeds(args: &[&str]) -> String {
    let output = kinesic(args);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

/// Bad input: exit code 2, nothing on standard output, one error line that holds all of `parts`.
#[track_caller]
fn refuses(args: &[&str], parts: &[&str]) {
    let output = kinesic(args);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(output.stdout.is_empty(), "{args:?}");
    let error = message.lines().find(|line| line.starts_with("error"));
    let error = error.unwrap_or_default();
    for part in parts {
        assert!(
            error.contains(part),
            "{args:?}: `{part}` is not in: {error}"
        );
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn model() -> Model {
    let tasks = Tasks::affect();
    let network = Network {
        backbone: Backbone::Mobile,
        width: 0.5,
        depth: 1.0,
        outputs: tasks.logits(),
    };
    let weights = Weights::initialised(&network.declare(32).unwrap(), 11);
    Model {
        network,
        size: 32,
        tasks,
        weights,
    }
}

/// A folder with a weight file and a dozen faces of compound expressions.
struct Work {
    folder: tempfile::TempDir,
}

impl Work {
    fn new() -> Self {
        let work = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(
            work.path("w.safetensors"),
            model().to_safetensors().unwrap(),
        )
        .unwrap();
        let faces = work.text("faces");
        let args = "faces --count 12 --size 32 --compound 1 --out";
        let mut args: Vec<&str> = args.split(' ').collect();
        args.push(&faces);
        succeeds(&args);
        work
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.text(name)
    }
}

#[test]
fn eval_measures_compounds_and_every_task_whatever_the_batch() {
    let work = Work::new();
    let (weights, table) = (work.text("w.safetensors"), work.text("faces/table.csv"));
    let report = |batch: &str| {
        let args = ["eval", &weights, "--data", &table, "--compound", "zero"];
        let more = ["--batch", batch, "--json", "-"];
        json(&succeeds(&[&args[..], &more[..]].concat()))
    };
    let found = report("5");
    assert_eq!(found["images"], 12);
    let confusion = found["compound"]["confusion"].as_array().unwrap();
    let counts = confusion.iter().flat_map(|row| row.as_array().unwrap());
    let total: u64 = counts.map(|count| count.as_u64().unwrap()).sum();
    assert_eq!((confusion.len(), total), (15, 12));
    for (group, key) in [
        ("action_units", "f1_mean"),
        ("action_units", "accuracy"),
        ("valence_arousal", "ccc_valence"),
        ("valence_arousal", "rmse_arousal"),
    ] {
        assert!(found["tasks"][group][key].is_number(), "{group}.{key}");
    }
    let accuracy = |report: &Value| report["compound"]["accuracy"].clone();
    assert_eq!(accuracy(&found), accuracy(&report("12")));
    let shown = succeeds(&["eval", &weights, "--data", &table, "--compound", "zero"]);
    assert!(shown.contains("compound mean recall"), "{shown}");
}

#[test]
fn eval_verifies_pairs() {
    let work = Work::new();
    let (weights, table) = (work.text("w.safetensors"), work.text("faces/table.csv"));
    let mut pairs = "image_a,image_b,same\n".to_owned();
    for index in 0..11 {
        // A picture is the same as itself, to any network.
        pairs += &format!("faces/face-{index:06}.png,faces/face-{index:06}.png,1\n");
        pairs += &format!(
            "faces/face-{index:06}.png,faces/face-{:06}.png,0\n",
            index + 1
        );
    }
    let evaluate = |pairs: &str| {
        let args = [
            "eval", &weights, "--data", &table, "--pairs", pairs, "--json",
        ];
        json(&succeeds(&[&args[..], &["-"]].concat()))["verification"].clone()
    };
    let found = evaluate(&work.write("pairs.csv", &pairs));
    assert_eq!(found["auc"], 1.0, "{found}");
    assert_eq!(found["tar_at_far_1e-2"], 1.0, "{found}");
    assert!(found["accuracy"].as_f64().unwrap() > 0.5, "{found}");
    let alike: String = pairs
        .lines()
        .filter(|line| !line.ends_with('0'))
        .map(|line| format!("{line}\n"))
        .collect();
    for (text, part) in [
        (alike.as_str(), "`same` is 1 in every row"),
        ("image_a,image_b\na,b\n", "same"),
        ("image_a,image_b,same\na,b,yes\n", "bad.csv:2"),
    ] {
        let bad = work.write("bad.csv", text);
        refuses(
            &["eval", &weights, "--data", &table, "--pairs", &bad],
            &[part],
        );
    }
}

#[test]
fn eval_refuses_what_it_cannot_use_and_names_it() {
    let work = Work::new();
    let (weights, table) = (work.text("w.safetensors"), work.text("faces/table.csv"));
    let absent = work.text("absent.safetensors");
    refuses(
        &["eval", &absent, "--data", &table],
        &["absent.safetensors"],
    );
    refuses(
        &["eval", &table, "--data", &table],
        &["table.csv", "safetensors"],
    );
    refuses(&["eval", &weights, "--data", "absent.csv"], &["absent.csv"]);
    // The metadata of a network twice as wide.
    let model = model();
    let mut metadata = Weights::metadata(&model.to_safetensors().unwrap()).unwrap();
    metadata.insert("width".to_owned(), "1".to_owned());
    let wide = model.weights.to_safetensors(metadata).unwrap();
    std::fs::write(work.path("wide.safetensors"), wide).unwrap();
    refuses(
        &["eval", &work.text("wide.safetensors"), "--data", &table],
        &[
            "wide.safetensors",
            "stem.conv.weight",
            "[8, 3, 3, 3]",
            "[16, 3, 3, 3]",
        ],
    );
    let strange = work.write(
        "strange.csv",
        "image,compound\nfaces/face-000000.png,sadly happy\n",
    );
    refuses(
        &["eval", &weights, "--data", &strange, "--compound", "zero"],
        &["strange.csv:2", "sadly happy", "sadly angry"],
    );
    let broken = work.write("broken.csv", "image,expression\nstrange.csv,fear\n");
    refuses(
        &["eval", &weights, "--data", &broken],
        &["broken.csv", "strange.csv"],
    );
}

#[test]
fn predict_writes_one_record_a_face() {
    let work = Work::new();
    let weights = work.text("w.safetensors");
    let table = work.write(
        "boxes.csv",
        "image,x,y,w,h\nfaces/face-000000.png,,,,\nfaces/face-000000.png,0,0,32,32\nfaces/face-000000.png,4,6,20,22\n",
    );
    let out = work.text("out");
    let args = ["predict", &weights, &table, "--out", &out, "--batch", "2"];
    let shown = succeeds(&[&args[..], &["--overlay"]].concat());
    assert_eq!(shown.lines().count(), 4, "{shown}");
    let lines = std::fs::read_to_string(work.path("out/predictions.jsonl")).unwrap();
    let records: Vec<Value> = lines.lines().map(json).collect();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0]["box"], Value::Null);
    assert_eq!(records[2]["box"], json("[4.0, 6.0, 20.0, 22.0]"));
    let probabilities = |record: &Value| -> Vec<f64> {
        let map = record["expression"].as_object().unwrap();
        map.values().map(|p| p.as_f64().unwrap()).collect()
    };
    for record in &records {
        assert_eq!(record["action_units"].as_object().unwrap().len(), 17);
        let sum: f64 = probabilities(record).iter().sum();
        // Seven terms of a softmax in f32.
        assert!((sum - 1.0).abs() < 8.0 * f64::from(f32::EPSILON), "{sum}");
    }
    // A box around everything is the whole picture; a smaller one is another face.
    assert_eq!(probabilities(&records[0]), probabilities(&records[1]));
    assert_ne!(probabilities(&records[0]), probabilities(&records[2]));
    let csv = std::fs::read_to_string(work.path("out/predictions.csv")).unwrap();
    assert!(
        csv.starts_with("image,x,y,w,h,expression,neutral,"),
        "{csv}"
    );
    let cells: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(cells, [6 + 7 + 17 + 3; 4]);
    // One photo with three faces: one picture, three panels beside it.
    let drawn: Vec<_> = std::fs::read_dir(work.path("out/overlays"))
        .unwrap()
        .collect();
    assert_eq!(drawn.len(), 1);
    let drawn = image::open(work.path("out/overlays/1-face-000000.png")).unwrap();
    assert!(drawn.width() > 320 && drawn.height() >= 320, "enlarged");
    let same = succeeds(&["predict", &weights, &table, "--json", "-"]);
    assert_eq!(json(&same)[2]["box"], records[2]["box"]);
}

#[test]
fn predict_refuses_what_it_cannot_use_and_writes_nothing() {
    let work = Work::new();
    let (weights, out) = (work.text("w.safetensors"), work.text("out.jsonl"));
    let face = work.text("faces/face-000000.png");
    let outside = work.write(
        "outside.csv",
        "image,x,y,w,h\nfaces/face-000001.png,40,0,9,9\n",
    );
    std::fs::create_dir(work.path("empty")).unwrap();
    let cases = [
        (outside, "face-000001.png"),
        (work.text("empty"), "empty"),
        (work.text("absent.png"), "absent.png"),
        (work.write("words.png", "words"), "words.png"),
    ];
    for (input, named) in &cases {
        // After a good picture, so that something would have been there to write.
        refuses(
            &["predict", &weights, &face, input, "--jsonl", &out],
            &[named],
        );
    }
    refuses(
        &[
            "predict", &weights, &face, "--crop", "detect", "--jsonl", &out,
        ],
        &["detect"],
    );
    assert!(!work.path("out.jsonl").exists(), "nothing half written");
}
