//! `kinesic bench`: the way to the first step, kept pipelines, profile and trace.

use super::{refuses, succeeds};
use serde_json::Value;

/// A network that is measured in no time, and where its JSON goes.
const TINY: [&str; 13] = [
    "bench",
    "--backbone",
    "mobile",
    "--width",
    "0.25",
    "--size",
    "16",
    "--batch",
    "2",
    "--seconds",
    "0",
    "--json",
    "-",
];

fn measure(more: &[&str]) -> Value {
    let text = succeeds(&[&TINY, more].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("not a number: {value}"))
}

#[test]
fn the_parts_of_the_start_up_add_up_to_the_first_step() {
    let report = measure(&[]);
    let start_up = &report["start_up"];
    let parts = [
        "device_s",
        "planning_s",
        "uploading_s",
        "compiling_s",
        "step_s",
    ];
    let sum: f64 = parts.iter().map(|part| number(&start_up[*part])).sum();
    let whole = number(&report["first_step_s"]);
    assert!((sum - whole).abs() <= 1e-3, "{sum} of {whole}: {report}");
    assert!(number(&start_up["pipelines"]) > 10.0, "{report}");
    assert_eq!(start_up["pipelines_kept"], false, "{report}");
}

#[test]
fn kept_pipelines_are_written_whole_and_damaged_ones_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let run = || measure(&["--cache", cache.to_str().unwrap()]);
    if run()["start_up"]["pipelines_kept"] == false {
        println!("skipped: the adapter has no pipeline cache");
        return;
    }
    let file = || {
        let mut files = std::fs::read_dir(&cache).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none(), "one file, no temporary ones");
        file
    };
    let whole = std::fs::read(file()).unwrap();
    for damaged in [&[][..], b"not pipelines", &whole[..whole.len() / 2]] {
        std::fs::write(file(), damaged).unwrap();
        assert_eq!(run()["start_up"]["pipelines_kept"], true);
        let again = std::fs::read(file()).unwrap();
        assert_eq!(again[..8], whole[..8], "written anew");
        assert!(again.len() > damaged.len());
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "no folder").unwrap();
    let below = file.join("cache");
    assert!(number(&measure(&["--cache", below.to_str().unwrap()])["images_per_second"]) > 0.0);
}

/// The trace's events of one thread with a duration.
fn events<'a>(trace: &'a Value, thread: &str) -> Vec<&'a Value> {
    let all = trace["traceEvents"].as_array().unwrap();
    let named = |event: &&Value| event["ph"] == "M" && event["name"] == "thread_name";
    let name = all
        .iter()
        .filter(named)
        .find(|event| event["args"]["name"].as_str().unwrap().starts_with(thread))
        .unwrap_or_else(|| panic!("no thread {thread}"));
    let of = |event: &&Value| event["ph"] == "X" && event["tid"] == name["tid"];
    all.iter().filter(of).collect()
}

fn assert_follow_each_other(events: &[&Value]) {
    let mut end = 0.0;
    for event in events {
        let (begin, duration) = (number(&event["ts"]), number(&event["dur"]));
        // A nanosecond for the rounding of sums in µs.
        assert!(
            begin >= end - 1e-3 && duration >= 0.0,
            "{event} after {end}"
        );
        end = begin + duration;
    }
}

#[test]
fn the_trace_is_the_profile_event_by_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let args = [&TINY[..], &["--profile", "--trace", path.to_str().unwrap()]].concat();
    let output = super::kinesic(&args);
    if super::text(&output.stderr).contains("no timestamps") {
        println!("skipped: the adapter has no timestamps");
        return;
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let profile = &report["profile"];
    let trace: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let dispatches = events(&trace, "GPU");
    assert_eq!(dispatches.len() as f64, number(&profile["dispatches"]));
    assert_follow_each_other(&dispatches);
    let host = events(&trace, "host");
    assert_eq!(
        host.iter().map(|event| &event["name"]).collect::<Vec<_>>(),
        ["record", "submit", "wait"]
    );
    assert_follow_each_other(&host);
    let submit = number(&host[1]["ts"]);
    assert!(number(&dispatches[0]["ts"]) >= submit, "before its submit");
    let by = |table: &str, key: &str, of: &dyn Fn(&Value) -> Value| {
        let rows = profile[table].as_array().unwrap();
        let mut seen = 0;
        for row in rows {
            let mine: Vec<_> = dispatches.iter().filter(|e| of(e) == row[key]).collect();
            seen += mine.len();
            assert_eq!(mine.len() as f64, number(&row["dispatches"]), "{row}");
            let ms = mine.iter().map(|e| number(&e["dur"])).sum::<f64>() / 1e3;
            assert!(
                (ms - number(&row["ms"])).abs() <= 1e-6 * (1.0 + ms),
                "{row}: {ms}"
            );
            let bytes: f64 = mine.iter().map(|e| number(&e["args"]["bytes"])).sum();
            assert_eq!(bytes, number(&row["bytes"]), "{row}");
            let flops: f64 = mine.iter().map(|e| number(&e["args"]["flops"])).sum();
            assert_eq!(flops, number(&row["flops"]), "{row}");
        }
        assert_eq!(seen, dispatches.len(), "{table}");
    };
    by("by_kernel", "kernel", &|event| event["name"].clone());
    by("by_layer", "layer", &|event| event["args"]["layer"].clone());
}

#[test]
fn a_trace_wants_a_profile() {
    refuses(
        &["bench", "--mode", "input", "--profile"],
        &["--profile", "--mode input"],
    );
}

#[test]
fn what_is_tuned_is_kept_and_taken_by_later_runs() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ["--cache", folder.path().to_str().unwrap()];
    let model = [
        "--backbone",
        "resnet18",
        "--size",
        "32",
        "--batch",
        "1",
        "--mode",
        "infer",
    ];
    let bench = || {
        let measured = ["bench", "--seconds", "0", "--profile", "--json", "-"];
        let text = succeeds(&[&measured[..], &model, &cache].concat());
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let kernels = |report: &Value| {
        let kernels = report["profile"]["by_kernel"].as_array().unwrap().iter();
        let names = kernels.map(|it| it["kernel"].as_str().unwrap().to_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let before = bench();
    assert_eq!(before["tuned"], false, "{before}");
    let tune = ["tune", "--rounds", "1", "--json", "-"];
    let report = succeeds(&[&tune[..], &model, &cache].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    let file = report["file"].as_str().unwrap();
    let lines = report["convolutions"].as_array().unwrap();
    assert!(!lines.is_empty(), "{report}");
    assert!(number(&report["ms"]) <= number(&report["own_ms"]));
    let kept = std::fs::read_to_string(file).unwrap();
    let mut kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(&kept["convolutions"], &report["convolutions"]);
    // Another way for all of them, so that it shows in what is dispatched.
    let winograd = |name: &String| name.contains("winograd");
    let had = kernels(&before).iter().any(winograd);
    for line in kept["convolutions"].as_array_mut().unwrap() {
        line["way"] = if had { "direct" } else { "winograd" }.into();
    }
    std::fs::write(file, kept.to_string()).unwrap();
    let after = bench();
    assert_eq!(after["tuned"], true, "{after}");
    if lines.iter().all(|line| line["pass"] == "forward") {
        assert_eq!(kernels(&after).iter().any(winograd), !had);
    }
    // Damaged, it is told and left alone.
    std::fs::write(file, "{").unwrap();
    let damaged = bench();
    assert_eq!(damaged["tuned"], false, "{damaged}");
    assert_eq!(kernels(&damaged), kernels(&before));
}

#[test]
fn tuning_needs_a_place_to_keep_it() {
    refuses(&["tune", "--cache", "none"], &["--cache none"]);
}
