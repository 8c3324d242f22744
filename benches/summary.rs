//! Not a bench: the last target of `cargo bench`, which renders what the others measured into
//! `target/kinesic-bench/summary.{md,json}`. `cargo bench --bench summary` does it again.

#[path = "common/report.rs"]
#[allow(dead_code)] // what gathers the lines
mod report;

use report::{Conditions, Lines, Measured};

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return check();
    }
    let folder = report::folder();
    let files = std::fs::read_dir(folder.join("lines"))
        .into_iter()
        .flatten();
    let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
    paths.sort();
    let benches: Vec<_> = paths.iter().map(|path| Lines::read(path)).collect();
    if benches.iter().all(|bench| bench.lines.is_empty()) {
        println!("no bench was measured yet: no summary");
        return;
    }
    let text = report::markdown(&benches);
    let json = serde_json::to_string_pretty(&benches).unwrap();
    for (name, contents) in [("summary.md", &text), ("summary.json", &json)] {
        let path = folder.join(name);
        std::fs::write(&path, contents)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    println!(
        "{text}\nwritten: {0}/summary.md, {0}/summary.json",
        folder.display()
    );
}

/// What `cargo bench -- --test` runs.
fn check() {
    assert_eq!(
        report::median_and_spread(vec![3.0, 1.0, 2.0, 5.0, 4.0]),
        (3.0, 1.0 / 3.0)
    );
    let folder = report::folder();
    let path = folder.join(format!("test-{}.json", std::process::id()));
    let conditions = |commit: &str| Conditions {
        adapter: "an adapter".to_owned(),
        commit: commit.to_owned(),
        ..Default::default()
    };
    let line = |id: &str, seconds| Measured {
        id: id.to_owned(),
        seconds,
        cold_seconds: Some(4.0 * seconds),
        flops: 6_000_000_000,
        bound: "arithmetic".to_owned(),
        bound_seconds: 1.0,
        ..Default::default()
    };
    Lines::add(&path, &conditions("older"), line("a/b/c/d", 1.0));
    Lines::add(&path, &conditions("newer"), line("a/b/c/e", 3.0));
    Lines::add(&path, &conditions("newer"), line("a/b/c/f", 1.0));
    Lines::add(&path, &conditions("newer"), line("a/b/c/e", 2.0));
    let lines = Lines::read(&path);
    std::fs::remove_file(&path).unwrap();
    let ids: Vec<_> = lines
        .lines
        .iter()
        .map(|line| (&*line.id, line.seconds))
        .collect();
    assert_eq!(ids, [("a/b/c/e", 2.0), ("a/b/c/f", 1.0)]);
    let text = report::markdown(&[lines.clone(), lines]);
    assert_eq!(text.matches("## an adapter").count(), 1, "{text}");
    let row = "| a/b/c/e | 2.00 s | 0 % | 3.00 | 0.00 | arithmetic | 50 % | 12 % |";
    assert_eq!(text.matches(row).count(), 2, "{text}");
    println!("summary: ok");
}
