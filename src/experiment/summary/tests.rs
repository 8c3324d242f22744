use super::super::{Cell, MEASURES, Values};
use super::*;
use std::path::Path;

/// Two variants, two budgets, three seeds; `b` is not trained with the smaller budget under the third seed.
fn sample() -> (ExperimentConfig, Finished) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.toml");
    let text = "seeds = [1, 2, 3]\nau_shares = [1.0, 0.25]\n[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b, \\\"both\\\"\"\n";
    std::fs::write(&path, text).unwrap();
    let config = ExperimentConfig::read(Path::new(&path), &[]).unwrap();
    let mut measured = Vec::new();
    for (variant, au_share, seed, f1) in [
        (0, 1.0, 1, 0.50),
        (0, 1.0, 2, 0.40),
        (0, 1.0, 3, 0.60),
        (1, 1.0, 3, 0.72),
        (1, 1.0, 2, 0.51),
        (1, 1.0, 1, 0.60),
        (0, 0.25, 1, 0.30),
        (0, 0.25, 2, 0.20),
        (0, 0.25, 3, 0.90),
        (1, 0.25, 1, 0.20),
        (1, 0.25, 2, 0.40),
    ] {
        let mut values: Values = [None; MEASURES.len()];
        values[3] = Some(f1);
        let mut chances: Values = [None; MEASURES.len()];
        chances[3] = Some(0.35);
        measured.push(Measured {
            cell: Cell {
                variant,
                au_share,
                seed,
                parts: vec![variant],
            },
            values,
            chances,
            seconds: 2.0,
        });
    }
    let finished = Finished {
        measured,
        adapters: vec!["one".to_owned()],
        trainings: 11,
        seconds: 22.0,
    };
    (config, finished)
}

fn close(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 1e-9
}

#[test]
fn pairs_are_of_one_seed_whatever_their_order() {
    let (config, finished) = sample();
    let summary = Summary::new(&config, &finished, People::Test);
    let mean = summary.mean("a", 1.0, "action_units_f1").unwrap();
    assert!(close(mean.mean, 0.5) && close(mean.deviation.unwrap(), 0.1));
    let of = "b, \"both\"";
    let found = summary.difference(of, "a", 1.0, "action_units_f1").unwrap();
    // 0.10, 0.11, 0.12: mean 0.11, deviation 0.01, interval ± 4.302653 · 0.01 / √3.
    assert_eq!(found.spread.count, 3);
    assert!(close(found.spread.mean, 0.11) && close(found.spread.deviation.unwrap(), 0.01));
    let [low, high] = found.spread.interval.unwrap();
    assert!(
        (high - low - 2.0 * 0.024_841_4).abs() < 1e-6,
        "{low} {high}"
    );
    assert_eq!(found.verdict, Verdict::Better);
    // The seed that only one of them has is in no pair: -0.1 and 0.2.
    let found = summary
        .difference(of, "a", 0.25, "action_units_f1")
        .unwrap();
    assert_eq!(found.spread.count, 2);
    assert!(close(found.spread.mean, 0.05));
    assert_eq!(found.verdict, Verdict::Open);
    assert!(summary.difference(of, "a", 1.0, "ccc_valence").is_none());
    assert!(close(summary.chance["action_units_f1"], 0.35));
}

#[test]
fn tables_for_other_programs_have_a_line_a_cell_and_a_line_a_mean() {
    let (config, finished) = sample();
    let summary = Summary::new(&config, &finished, People::Test);
    let read = |text: String| -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let records = reader.records().map(|record| record.unwrap());
        records
            .map(|record| record.iter().map(str::to_owned).collect())
            .collect()
    };
    let runs = read(summary.runs_csv());
    assert_eq!(runs.len(), 11);
    assert_eq!(runs[3][..4], ["b, \"both\"", "1", "3", "2.0"]);
    assert_eq!(runs[3][7], "0.72");
    assert_eq!(runs[3][4], "");
    let means = read(summary.csv());
    assert_eq!(means.len(), 4 + 2);
    assert_eq!(
        means[4][..5],
        ["b, \"both\"", "a", "1", "action_units_f1", "3"]
    );
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["people"], "test");
    assert_eq!(json["differences"][0]["verdict"], "better");
    assert_eq!(json["runs"][3]["values"]["action_units_f1"], 0.72);
}

#[test]
fn the_report_says_what_is_shown_and_what_is_not() {
    let (config, finished) = sample();
    let whole = Summary::new(&config, &finished, People::Test);
    let report = super::super::page(&config, &whole, "kinesic experiment grid.toml");
    // With a quarter of the labels the interval holds zero, so that only all of them are named.
    assert_eq!(
        report.findings,
        [
            "b, \"both\" against a: action unit F1 better with all of the action unit labels, +0.110 (+0.085 to +0.135)."
        ]
    );
    let mut finished = finished;
    finished.measured.retain(|it| it.cell.seed != 2);
    let summary = Summary::new(&config, &finished, People::Test);
    let open = super::super::page(&config, &summary, "");
    assert_eq!(
        open.findings,
        ["b, \"both\" against a: no difference shown in action unit F1."]
    );
    let html = report.html();
    assert!(html.contains("<td class=\"above\">+0.110 <small>+0.085 to +0.135</small></td>"));
    // Differences, and a plot for each measure that there is.
    assert_eq!(html.matches("<svg ").count(), 1 + 1);
    assert!(!html.contains("NaN"));
    let text = super::super::text(&config, &whole);
    assert!(
        text.contains("0.500   0.610   +0.110  95 % +0.085 to +0.135  better"),
        "{text}"
    );
}

#[test]
fn one_network_in_two_variants_is_compared_only_where_it_answers_differently() {
    let (config, mut finished) = sample();
    for it in &mut finished.measured {
        it.cell.parts = vec![0];
        it.values[0] = Some(0.5);
    }
    let summary = Summary::new(&config, &finished, People::Test);
    assert!(summary.mean("a", 1.0, "mean_over_tasks").is_some());
    let keys: Vec<_> = summary.differences.iter().map(|it| it.measure).collect();
    assert_eq!(keys, ["action_units_f1"; 2]);
    // A tie under one seed is a pair as any other.
    finished.measured[3].values[3] = finished.measured[2].values[3];
    let summary = Summary::new(&config, &finished, People::Test);
    assert_eq!(summary.differences[0].spread.count, 3);
}
