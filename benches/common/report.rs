//! The lines of all benches, gathered in `target/kinesic-bench`, and the table made of them.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// On what, and of which code, lines were measured. Lines of different conditions are not put beside each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    pub adapter: String,
    pub driver: String,
    pub backend: String,
    /// With `+` behind it where files differ from it.
    pub commit: String,
    /// `KINESIC_BENCH_QUICK`: small shapes, few samples; to see that all works.
    pub quick: bool,
    /// Whether times are the adapter's own.
    pub timestamps: bool,
}

/// What was measured of one line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub id: String,
    /// Of the median sample.
    pub seconds: f64,
    /// The middle half of the samples lies within this share of the median.
    pub spread: f64,
    /// The median with the caches swept before each run; none of whole steps, which sweep them themselves.
    pub cold_seconds: Option<f64>,
    pub bytes: u64,
    pub flops: u64,
    /// The peak that bounds it: `memory` or `arithmetic`.
    pub bound: String,
    /// The time at the measured peaks.
    pub bound_seconds: f64,
    /// The peaks of the bench's process.
    pub peak_bytes_per_second: f64,
    pub peak_flops_per_second: f64,
}

/// A bench's file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    pub conditions: Conditions,
    pub lines: Vec<Measured>,
}

/// `target/kinesic-bench`.
pub fn folder() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join("kinesic-bench")
}

/// The commit that is checked out.
pub fn commit() -> String {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        let output = command
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(args)
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let mark = if changed.is_some_and(|files| !files.is_empty()) {
        "+"
    } else {
        ""
    };
    git(&["rev-parse", "--short", "HEAD"]).map_or("unknown".to_owned(), |hash| hash + mark)
}

/// Middle value and the half width of the middle half as a share of it.
pub fn median_and_spread(mut samples: Vec<f64>) -> (f64, f64) {
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize];
    let median = at(0.5);
    (median, (at(0.75) - at(0.25)) / 2.0 / median)
}

impl Measured {
    /// The share of the bounding peak that was reached, in percent.
    pub fn percent(&self) -> f64 {
        1e2 * self.bound_seconds / self.seconds
    }

    /// The same with swept caches.
    pub fn cold_percent(&self) -> Option<f64> {
        self.cold_seconds
            .map(|cold| 1e2 * self.bound_seconds / cold)
    }
}

impl Lines {
    /// The file of a bench, empty where there is none.
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Adds a line to a bench's file, in place of the one of its id; lines of other conditions go.
    pub fn add(path: &Path, conditions: &Conditions, line: Measured) {
        let mut lines = Self::read(path);
        if lines.conditions != *conditions {
            lines = Self {
                conditions: conditions.clone(),
                lines: Vec::new(),
            };
        }
        match lines.lines.iter_mut().find(|known| known.id == line.id) {
            Some(known) => *known = line,
            None => lines.lines.push(line),
        }
        let text = serde_json::to_string_pretty(&lines).unwrap();
        let written = std::fs::create_dir_all(path.parent().unwrap())
            .and_then(|()| std::fs::write(path, text));
        if let Err(error) = written {
            eprintln!(
                "{}: {error}: the line is not in the summary",
                path.display()
            );
        }
    }
}

/// Seconds in a unit that suits them.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", 1e3 * s),
        s => format!("{:.1} µs", 1e6 * s),
    }
}

/// In thousands of millions, three digits.
pub fn giga(rate: f64) -> String {
    match rate / 1e9 {
        giga if giga >= 99.95 => format!("{giga:.0}"),
        giga if giga >= 9.995 => format!("{giga:.1}"),
        giga => format!("{giga:.2}"),
    }
}

/// The Markdown of all benches: a table for each set of conditions.
pub fn markdown(benches: &[Lines]) -> String {
    let mut text = "# kinesic's benches\n\nbenches/README.md says what each line stands for and how to read it.\n".to_owned();
    let mut conditions: Vec<&Conditions> = Vec::new();
    for bench in benches {
        if !conditions.contains(&&bench.conditions) {
            conditions.push(&bench.conditions);
        }
    }
    for conditions in conditions {
        let lines = benches
            .iter()
            .filter(|bench| bench.conditions == *conditions);
        let lines: Vec<&Measured> = lines.flat_map(|bench| &bench.lines).collect();
        table(&mut text, conditions, &lines);
    }
    text
}

fn table(text: &mut String, conditions: &Conditions, lines: &[&Measured]) {
    let Conditions {
        adapter,
        driver,
        backend,
        commit,
        quick,
        timestamps,
    } = conditions;
    let most = |of: fn(&Measured) -> f64| lines.iter().map(|line| of(line)).fold(0.0, f64::max);
    let clock = if *timestamps {
        "the adapter's timestamps"
    } else {
        "submission to completion"
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n## {adapter}\n\nDriver {driver}, {backend}; commit {commit}; time: {clock}."
    );
    if *quick {
        let _ = writeln!(
            text,
            "**Quick: small shapes and few samples. These figures say that it works, not how fast it is.**"
        );
    }
    let _ = writeln!(
        text,
        "Measured peaks, the best of all benches: copy {:.1} GB/s, multiply-add {:.3} TFLOP/s; each line is held against those of its own bench.\n",
        most(|line| line.peak_bytes_per_second) / 1e9,
        most(|line| line.peak_flops_per_second) / 1e12,
    );
    let _ = writeln!(
        text,
        "| line | median | ± | GFLOP/s | GB/s | bound by | of its peak | caches cold |\n| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |"
    );
    for line in lines {
        let cold = line
            .cold_percent()
            .map_or("-".to_owned(), |percent| format!("{percent:.0} %"));
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} % | {} | {} | {} | {:.0} % | {cold} |",
            line.id,
            time(line.seconds),
            1e2 * line.spread,
            giga(line.flops as f64 / line.seconds),
            giga(line.bytes as f64 / line.seconds),
            line.bound,
            line.percent(),
        );
    }
}
