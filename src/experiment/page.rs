//! The report of an experiment.

use super::run::{People, duration};
use super::statistics::Spread;
use super::summary::{Difference, Summary};
use super::{Comparison, ExperimentConfig, MEASURES, Unlabelled, share_name};
use crate::train::report::{
    Cell, IntervalSeries, Intervals, Layout, Panel, Report, Row, Shading, Table,
};
use std::fmt::Write as _;

/// The measures that the findings name: the mean over tasks, the action units, compound expressions, attributes, verification.
const HEADLINES: [usize; 5] = [0, 3, 7, 8, 10];
/// Names short enough for the axes of plots, in the order of [`MEASURES`].
const SHORT: [&str; MEASURES.len()] = [
    "mean over tasks",
    "expression accuracy",
    "expression recall",
    "AU F1",
    "AU AUC",
    "CCC valence",
    "CCC arousal",
    "compound accuracy",
    "attribute F1",
    "attribute AUC",
    "verification",
    "verification AUC",
];

/// Puts the report together.
pub fn page(config: &ExperimentConfig, summary: &Summary, command: &str) -> Report {
    let mut panels = vec![gains(config, summary)];
    if config.au_shares.len() > 1 {
        panels.push(budgets(config, summary));
    }
    let shares = config.au_shares.iter();
    let means = shares.map(|&share| mean_table(config, summary, share));
    let differences = difference_tables(config, summary);
    // With one budget the means fit into one table, which says most.
    let tables = match config.au_shares.len() {
        1 => means.chain(differences).collect(),
        _ => differences.into_iter().chain(means).collect(),
    };
    Report {
        title: summary.title.clone(),
        summary: config.text.trim().to_owned(),
        findings: findings(config, summary),
        facts: facts(config, summary, command),
        panels,
        tables,
        notes: notes(config, summary),
        metrics: serde_json::to_value(summary).unwrap_or_default(),
        ..Report::default()
    }
}

fn whom(people: People) -> &'static str {
    match people {
        People::Test => "test people, by whom nothing was chosen",
        People::Validation => "validation people, by whom options may be chosen",
    }
}

fn facts(config: &ExperimentConfig, summary: &Summary, command: &str) -> Vec<(String, String)> {
    let (model, train, faces) = (&config.model, &config.train, &config.faces);
    let seeds: Vec<String> = summary.seeds.iter().map(u64::to_string).collect();
    let size = model.size;
    [
        ("People", whom(summary.people).to_owned()),
        ("Seeds", seeds.join(", ")),
        (
            "Network",
            format!("{}, {size} x {size} pixels", model.backbone),
        ),
        (
            "Trainings",
            format!(
                "{} of {} steps, {} pictures a step; {} in all",
                summary.trainings,
                train.steps,
                train.batch,
                duration(summary.seconds)
            ),
        ),
        (
            "Pictures",
            format!(
                "{} for each training database; {} of unseen people with basic and as many with compound expressions",
                faces.pictures,
                match summary.people {
                    People::Test => faces.test,
                    People::Validation => faces.validation,
                }
            ),
        ),
        ("Adapter", summary.adapters.join("; ")),
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Command", command.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// " with 1/16 of the action unit labels", where there are several budgets.
fn with_share(config: &ExperimentConfig, share: f64) -> String {
    match config.au_shares.len() {
        1 => String::new(),
        _ => {
            let [noun, _] = config.faces.thinned.noun();
            format!(" with {} of the {noun} labels", share_name(share))
        }
    }
}

/// A sentence for each comparison: what is shown, then what is not.
fn findings(config: &ExperimentConfig, summary: &Summary) -> Vec<String> {
    let mut findings = Vec::new();
    for comparison in &config.comparison {
        let (mut said, mut open) = (Vec::new(), Vec::new());
        for index in HEADLINES {
            match headline(config, summary, comparison, index) {
                Some(shown) if shown.is_empty() => open.push(MEASURES[index].1),
                Some(shown) => said.push(format!("{} {}", MEASURES[index].1, shown.join(", "))),
                None => {}
            }
        }
        if !open.is_empty() {
            said.push(format!("no difference shown in {}", open.join(", ")));
        }
        if !said.is_empty() {
            let (of, to) = (&comparison.of, &comparison.to);
            findings.push(format!("{of} against {to}: {}.", said.join("; ")));
        }
    }
    findings
}

/// The differences that are shown in one measure, by budget; `None` where nothing was measured.
fn headline(
    config: &ExperimentConfig,
    summary: &Summary,
    comparison: &Comparison,
    index: usize,
) -> Option<Vec<String>> {
    let key = MEASURES[index].0;
    let (of, to) = (&comparison.of, &comparison.to);
    let shares = config.au_shares.iter();
    let found = shares.filter_map(|&share| Some((share, summary.difference(of, to, share, key)?)));
    let found: Vec<(f64, &Difference)> = found.collect();
    if found.is_empty() {
        return None;
    }
    let shown = found.iter().filter_map(|(share, it)| {
        let verdict = it.verdict.word()?;
        let mean = it.spread.mean;
        let interval = interval(&it.spread).map_or(String::new(), |it| format!(" ({it})"));
        let with = with_share(config, *share);
        Some(format!("{verdict}{with}, {mean:+.3}{interval}"))
    });
    Some(shown.collect())
}

/// The interval of a difference in words.
fn interval(spread: &Spread) -> Option<String> {
    let [low, high] = spread.interval?;
    Some(format!("{low:+.3} to {high:+.3}"))
}

fn ends(spread: &Spread) -> [f64; 3] {
    let [low, high] = spread.interval.unwrap_or([spread.mean; 2]);
    [low, spread.mean, high]
}

/// For each comparison the differences of all measures that have one, a colour a budget.
fn gains(config: &ExperimentConfig, summary: &Summary) -> Panel {
    let plot = |comparison: &Comparison| {
        let (of, to) = (&comparison.of, &comparison.to);
        let found = |share, index: usize| summary.difference(of, to, share, MEASURES[index].0);
        let shares = &config.au_shares;
        let measured = |index: &usize| shares.iter().any(|&share| found(share, *index).is_some());
        let measures: Vec<usize> = (0..MEASURES.len()).filter(measured).collect();
        let series = |&share: &f64| IntervalSeries {
            name: match config.au_shares.len() {
                1 => String::new(),
                _ => {
                    let [_, noun] = config.faces.thinned.noun();
                    format!("{} of the {noun} labels", share_name(share))
                }
            },
            values: measures
                .iter()
                .map(|&index| Some(ends(&found(share, index)?.spread)))
                .collect(),
        };
        Intervals {
            title: minus(comparison),
            label: "difference".to_owned(),
            places: measures
                .iter()
                .map(|&index| SHORT[index].to_owned())
                .collect(),
            series: config.au_shares.iter().map(series).collect(),
            layout: Layout::Rows,
        }
    };
    Panel {
        title: "Differences".to_owned(),
        text: "Paired by seed: means and 95 % intervals. Right of zero the first is better."
            .to_owned(),
        plots: config.comparison.iter().map(plot).collect(),
    }
}

/// The measures that some variant has.
fn measured(summary: &Summary) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let has = |key: &str| summary.means.iter().any(|mean| mean.measure == key);
    MEASURES.iter().filter(move |(key, _)| has(key))
}

/// For each measure the means against the budget, a colour a variant.
fn budgets(config: &ExperimentConfig, summary: &Summary) -> Panel {
    let mut shares = config.au_shares.clone();
    shares.sort_by(f64::total_cmp);
    let plot = |(key, name): &(&str, &str)| Intervals {
        title: (*name).to_owned(),
        label: String::new(),
        places: shares.iter().map(|&share| share_name(share)).collect(),
        series: config
            .variant
            .iter()
            .map(|variant| IntervalSeries {
                name: variant.name.clone(),
                values: shares
                    .iter()
                    .map(|&share| summary.mean(&variant.name, share, key).map(ends))
                    .collect(),
            })
            .collect(),
        layout: Layout::Columns,
    };
    Panel {
        title: "Label budgets".to_owned(),
        text: format!(
            "Means over the seeds against the share of the {} labels. The bars are 95 % intervals of each mean by itself; that two of them overlap does not say that a paired difference holds zero.",
            config.faces.thinned.noun()[0]
        ),
        plots: measured(summary).map(plot).collect(),
    }
}

/// A table of all comparisons with one budget; with several a table for each comparison with a column for each budget.
fn difference_tables(config: &ExperimentConfig, summary: &Summary) -> Vec<Table> {
    let text = "Mean of the differences by seed and its 95 % interval; in colour where it does not hold zero.";
    if let [share] = config.au_shares.as_slice() {
        let columns = config.comparison.iter().map(|it| (it, *share));
        let columns = columns.map(|column| (minus(column.0), column)).collect();
        return vec![difference_table(
            "Paired differences",
            text,
            columns,
            summary,
        )];
    }
    let [noun, _] = config.faces.thinned.noun();
    let text = format!("{text} A column for each share of the {noun} labels.");
    let table = |comparison| {
        let shares = config.au_shares.iter();
        let columns = shares.map(|&share| (share_name(share), (comparison, share)));
        difference_table(&minus(comparison), &text, columns.collect(), summary)
    };
    config.comparison.iter().map(table).collect()
}

fn minus(comparison: &Comparison) -> String {
    format!("{} minus {}", comparison.of, comparison.to)
}

/// A row for each measure, a column for each named comparison with a budget.
fn difference_table(
    title: &str,
    text: &str,
    columns: Vec<(String, (&Comparison, f64))>,
    summary: &Summary,
) -> Table {
    let cell = |(comparison, share): (&Comparison, f64), key: &str| {
        let found = summary.difference(&comparison.of, &comparison.to, share, key);
        found.map_or(Cell::Missing, |found| Cell::Difference {
            mean: found.spread.mean,
            interval: found.spread.interval,
        })
    };
    let row = |(key, name): &(&str, &str)| Row {
        name: (*name).to_owned(),
        cells: columns
            .iter()
            .map(|(_, column)| cell(*column, key))
            .collect(),
    };
    let there = |row: &Row| row.cells.iter().any(|cell| *cell != Cell::Missing);
    Table {
        title: title.to_owned(),
        text: text.to_owned(),
        corner: "measure".to_owned(),
        rows: MEASURES.iter().map(row).filter(there).collect(),
        columns: columns.iter().map(|(name, _)| name.clone()).collect(),
        shading: Shading::Plain,
        decimals: 3,
    }
}

fn mean_table(config: &ExperimentConfig, summary: &Summary, share: f64) -> Table {
    let names = config.variant.iter().map(|it| it.name.clone());
    let row = |(key, name): &(&str, &str)| {
        let chance = summary.chance.get(key).copied().unwrap_or(f64::NAN);
        let means = config.variant.iter().map(|variant| {
            let spread = summary.mean(&variant.name, share, key);
            spread.map_or(Cell::Missing, |spread| Cell::Spread {
                mean: spread.mean,
                deviation: spread.deviation,
            })
        });
        Row {
            name: (*name).to_owned(),
            cells: [Cell::from(chance)].into_iter().chain(means).collect(),
        }
    };
    Table {
        title: format!("All variants{}", with_share(config, share)),
        text: format!(
            "Mean and standard deviation over the seeds, on {}. Larger is better in every row.",
            whom(summary.people)
        ),
        corner: "measure".to_owned(),
        columns: ["chance".to_owned()].into_iter().chain(names).collect(),
        rows: measured(summary).map(row).collect(),
        shading: Shading::Best,
        decimals: 3,
    }
}

fn notes(config: &ExperimentConfig, summary: &Summary) -> Vec<String> {
    let has = |any: fn(&super::Variant) -> bool| config.variant.iter().any(any);
    let mut notes = vec![
        format!(
            "A seed draws other people, other weights and another order. Intervals are Student's t over {} seeds and are not corrected for the number of comparisons: of twenty differences that are none, one is expected to look like one.",
            summary.seeds.len()
        ),
        "The mean over tasks is that of expression accuracy, action unit F1, and the mean of both CCC, and of attribute F1 and verification accuracy. Chance is the share of the most frequent expression, the F1 of always answering yes, 0 for the CCC, 1/15 for compound expressions, and 1/2 for verification.".to_owned(),
        "The people of the report are in no training database. Options are to be chosen by the validation people (--validation), who are others.".to_owned(),
    ];
    if has(|it| it.single_task) {
        notes.push("A single-task variant is a network for each task, trained on the same pictures in the same order with that task's loss alone; what they say is joined.".to_owned());
    }
    let few = &config.few_shot;
    let compounds = measured(summary).any(|(key, _)| *key == "compound_accuracy");
    notes.extend(compounds.then(|| match few.shots {
        0 => "Compound accuracy is zero-shot: nothing was trained on compound expressions.".to_owned(),
        shots => format!(
            "Compound accuracy is zero-shot unless the variant says few-shot: then a new head is learned from {shots} faces of each of the 15 compound expressions, of people who are in no other database; tuned, with the trunk in {} steps.",
            few.steps
        ),
    }));
    if has(|it| it.shuffled) {
        notes.push("A shuffled table has its rows dealt to other expressions, by the seed, so that none keeps its own.".to_owned());
    }
    if config.au_shares.iter().any(|share| *share < 1.0) {
        notes.push(match config.faces.unlabelled {
            Unlabelled::Drop => "Pictures that lose their only label leave the database, so that each step has as many annotated pictures, drawn from fewer.".to_owned(),
            Unlabelled::Keep => "Pictures that lose their only label stay without a label, so that a step has fewer annotated pictures.".to_owned(),
        });
    }
    if summary.adapters.len() > 1 {
        notes.push(
            "The results come from several adapters, whose sums are rounded differently."
                .to_owned(),
        );
    }
    notes
}

/// The report's differences as text.
pub fn text(config: &ExperimentConfig, summary: &Summary) -> String {
    let mut text = String::new();
    for comparison in &config.comparison {
        for &share in &config.au_shares {
            text += &comparison_text(config, summary, comparison, share);
        }
    }
    text
}

fn comparison_text(
    config: &ExperimentConfig,
    summary: &Summary,
    comparison: &Comparison,
    share: f64,
) -> String {
    let (of, to) = (&comparison.of, &comparison.to);
    let mut rows = String::new();
    for (key, name) in MEASURES {
        let mean = |variant| Some(summary.mean(variant, share, key)?.mean);
        let (Some(found), Some(before), Some(after)) =
            (summary.difference(of, to, share, key), mean(to), mean(of))
        else {
            continue;
        };
        let interval = interval(&found.spread).map_or(String::new(), |it| format!("  95 % {it}"));
        let mark = found.verdict.word();
        let mark = mark.map_or(String::new(), |word| format!("  {word}"));
        let mean = found.spread.mean;
        // Writing to a string does not fail.
        let _ = writeln!(
            rows,
            "  {name:<30}{before:>7.3} {after:>7.3} {mean:>+8.3}{interval}{mark}"
        );
    }
    match rows.is_empty() {
        true => rows,
        false => {
            let with = with_share(config, share);
            format!("\n{to}, {of} and their difference{with}\n{rows}")
        }
    }
}
