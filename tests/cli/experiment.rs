//! `kinesic experiment`: grids that end, are killed and go on, and what is refused.

use super::*;
use std::process::Stdio;
use std::time::Duration;

/// Two variants, one of them single-task, two budgets, two seeds: 2 · (2 + 2 + 2) trainings.
const GRID: &str = "seeds = [1, 2]
au_shares = [1.0, 0.25]
[model]
size = 16
[faces]
pictures = 48
people = 30
validation = 16
test = 16
[train]
steps = 4
batch = 12
[[variant]]
name = \"multi-task\"
[[variant]]
name = \"single-task\"
single_task = true
";
const TRAININGS: usize = 12;

struct Grid {
    folder: tempfile::TempDir,
}

impl Grid {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("grid.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The arguments of a run into a folder.
    fn args(&self, out: &str) -> [String; 4] {
        let config = self.text("grid.toml");
        [
            "experiment".to_owned(),
            config,
            "--out".to_owned(),
            self.text(out),
        ]
    }

    fn run(&self, out: &str, more: &[&str]) -> Output {
        let args = self.args(out);
        let args = args.iter().map(String::as_str).chain(more.iter().copied());
        kinesic(&args.collect::<Vec<_>>())
    }

    /// Starts a run and waits until `count` results are there, at most half a minute.
    fn start(&self, out: &str, more: &[&str], count: usize) -> std::process::Child {
        let child = Command::new(env!("CARGO_BIN_EXE_kinesic"))
            .env("KINESIC_CACHE", "none")
            .args(self.args(out))
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let reached = (0..3000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.results(out) >= count
        });
        assert!(reached, "no {count} results within 30 s");
        child
    }

    fn results(&self, out: &str) -> usize {
        let entries = std::fs::read_dir(self.path(out).join("results"));
        let names = entries
            .into_iter()
            .flatten()
            .map(|it| it.unwrap().file_name());
        // What is being written has another name.
        names
            .filter(|name| name.to_str().is_some_and(|name| name.ends_with(".json")))
            .count()
    }

    /// The cells without their seconds.
    fn cells(&self, out: &str) -> Vec<String> {
        let text = text(&read(&self.path(out).join("runs.csv")));
        let without = |line: &str| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.remove(3);
            cells.join(",")
        };
        text.lines().map(without).collect()
    }
}

#[test]
fn a_killed_grid_goes_on_to_the_numbers_of_one_that_was_not() {
    let grid = Grid::new(GRID);
    assert_eq!(grid.run("whole", &[]).status.code(), Some(0));
    assert_eq!(grid.results("whole"), TRAININGS);
    let mut child = grid.start("killed", &[], 3);
    child.kill().unwrap();
    child.wait().unwrap();
    let there = grid.results("killed");
    assert!((3..TRAININGS).contains(&there), "{there}");
    assert!(!grid.path("killed/report.html").exists());
    let output = grid.run("killed", &[]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    let left = TRAININGS - there;
    assert!(said.contains(&format!("{left} are left, about ")), "{said}");
    assert_eq!(grid.cells("killed"), grid.cells("whole"));
    assert_eq!(grid.cells("whole").len(), 1 + 2 * 2 * 2);

    // What is there is not trained again, and a changed grid trains what is new.
    let said = text(&grid.run("whole", &[]).stderr);
    assert!(said.contains("all have their results"), "{said}");
    let said = text(&grid.run("whole", &["--set", "seeds=[1, 2, 3]"]).stderr);
    assert!(
        said.contains("18 trainings of 4 steps; 6 are left"),
        "{said}"
    );
}

#[test]
fn grids_share_the_trainings_that_they_have_in_common() {
    let grid = Grid::new(GRID);
    let shared = grid.text("one/results");
    let share = ["--results", shared.as_str()];
    assert_eq!(grid.run("one", &share).status.code(), Some(0));
    assert_eq!(grid.results("one"), TRAININGS);
    let more = [
        "--set",
        "variant.1.single_task=false",
        "--set",
        "variant.1.objective.action_units=0.5",
    ];
    let output = grid.run("two", &[share.as_slice(), &more].concat());
    let said = text(&output.stderr);
    assert!(
        said.contains("8 trainings of 4 steps; 4 are left"),
        "{said}"
    );
    assert_eq!(grid.results("one"), TRAININGS + 4);
    assert!(grid.path("two/report.html").exists());
    assert!(!grid.path("two/results").exists());
}

#[test]
fn the_report_is_a_page_tables_and_numbers() {
    let grid = Grid::new(GRID);
    let output = grid.run("out", &["--json", "-", "--set", "title=What is asked"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(json["people"], "test");
    assert_eq!(json["runs"].as_array().unwrap().len(), 8);
    for run in json["runs"].as_array().unwrap() {
        // The single-task networks have all tasks together, compound expressions too.
        assert_eq!(run["values"].as_object().unwrap().len(), 8, "{run}");
    }
    let difference = &json["differences"][0];
    assert_eq!(
        (&difference["of"], &difference["to"]),
        (&"single-task".into(), &"multi-task".into())
    );
    assert_eq!(difference["count"], 2);
    assert!(difference["interval"][0].as_f64() <= difference["mean"].as_f64());
    let html = text(&read(&grid.path("out/report.html")));
    for part in ["What is asked", "single-task minus multi-task", "<svg "] {
        assert!(html.contains(part), "{part}");
    }
    let report: serde_json::Value =
        serde_json::from_slice(&read(&grid.path("out/report.json"))).unwrap();
    assert_eq!(report["metrics"], json);
    assert!(text(&read(&grid.path("out/report.csv"))).starts_with("variant,to,au_share,measure,"));
    assert!(text(&read(&grid.path("out/config.toml"))).contains("single_task = true"));

    // Options are chosen by other people than those of the report.
    let output = grid.run(
        "out",
        &[
            "--json",
            "-",
            "--set",
            "title=What is asked",
            "--validation",
        ],
    );
    let other: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(other["people"], "validation");
    assert_ne!(other["runs"][0]["values"], json["runs"][0]["values"]);
}

#[test]
fn an_estimate_says_how_long_and_writes_nothing() {
    let grid = Grid::new(GRID);
    let output = grid.run("out", &["--estimate", "--json", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(
        (&json["trainings"], &json["done"]),
        (&TRAININGS.into(), &0.into())
    );
    assert!(json["seconds"].as_f64() > Some(0.0));
    let longer = grid.run(
        "out",
        &["--estimate", "--json", "-", "--set", "train.steps=100000"],
    );
    let longer: serde_json::Value = serde_json::from_str(&text(&longer.stdout)).unwrap();
    assert!(longer["seconds"].as_f64().unwrap() > 100.0 * json["seconds"].as_f64().unwrap());
    assert!(!grid.path("out").exists());
}

#[cfg(unix)]
#[test]
fn a_grid_that_is_asked_to_stop_keeps_its_results_and_exits_with_130() {
    let grid = Grid::new(GRID);
    // Long enough that some are left when the signal comes.
    let mut child = grid.start("out", &["--set", "train.steps=100"], 2);
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!((2..TRAININGS).contains(&grid.results("out")));
    assert!(!grid.path("out/report.html").exists());
}

#[test]
fn bad_grids_are_one_error_and_no_file() {
    for (more, parts) in [
        (
            "[trian]\nsteps = 1\n",
            &["grid.toml:18: unknown key `trian`", "`train`"][..],
        ),
        (
            "objective.form = \"positiv\"\n",
            &[
                "grid.toml:18",
                "variant `single-task`",
                "`positiv`",
                "bernoulli",
            ],
        ),
        (
            "objective.relatedness = \"du2015\"\n",
            &["variant `single-task`", "du2014"],
        ),
        (
            "objective.expression = -1.0\n",
            &["variant `single-task`", "objective.expression = -1"],
        ),
        (
            "[[comparison]]\nof = \"multi\"\nto = \"multi-task\"\n",
            &["comparison.0.of", "the nearest is \"multi-task\""],
        ),
        ("[[variant\n", &["grid.toml:18"]),
    ] {
        let grid = Grid::new(&format!("{GRID}{more}"));
        let args = grid.args("out");
        refuses(&args.iter().map(String::as_str).collect::<Vec<_>>(), parts);
        assert!(!grid.path("out").exists(), "{more}");
    }
    let grid = Grid::new(GRID);
    refuses(&["experiment", &grid.text("none.toml")], &["none.toml"]);
    refuses(&["experiment"], &["required arguments"]);
    // A file among the results that is none is named, not overwritten.
    assert_eq!(grid.run("out", &[]).status.code(), Some(0));
    let results = std::fs::read_dir(grid.path("out/results")).unwrap();
    let broken = results.into_iter().next().unwrap().unwrap().path();
    std::fs::write(&broken, "{").unwrap();
    let args = grid.args("out");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let name = broken.file_name().unwrap().to_str().unwrap();
    refuses(&args, &[name, "remove it"]);
    assert_eq!(read(&broken), b"{");
}

#[test]
fn help_has_an_example() {
    let help = succeeds(&["experiment", "--help"]);
    for part in [
        "Example: kinesic experiment configs/experiments/",
        "--estimate",
        "--validation",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}
