//! The numbers of a report: by cell, by variant, and by pairs of variants.

use super::run::{Finished, Measured, People};
use super::statistics::{Spread, Verdict};
use super::{ExperimentConfig, MEASURES};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Everything that a report says in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The experiment's title.
    pub title: String,
    /// Whom the networks were asked about.
    pub people: People,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The shares of the action unit labels.
    pub au_shares: Vec<f64>,
    /// Trainings that the grid took.
    pub trainings: usize,
    /// Seconds of all trainings together.
    pub seconds: f64,
    /// The adapters that the results come from.
    pub adapters: Vec<String>,
    /// What answers that ignore the picture reach, by measure: the mean over the seeds.
    pub chance: BTreeMap<&'static str, f64>,
    /// The mean over the seeds, by variant, share and measure.
    pub means: Vec<Mean>,
    /// Paired by seed, by comparison, share and measure.
    pub differences: Vec<Difference>,
    /// Each cell.
    pub runs: Vec<Run>,
}

/// One cell's numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The variant.
    pub variant: String,
    /// The share of the action unit labels.
    pub au_share: f64,
    /// The seed.
    pub seed: u64,
    /// Seconds of its trainings; one that several cells share counts in each.
    pub seconds: f64,
    /// The value of each measure, where there is one.
    pub values: BTreeMap<&'static str, f64>,
}

/// A variant over the seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Mean {
    /// The variant.
    pub variant: String,
    /// The share of the action unit labels.
    pub au_share: f64,
    /// The measure's key.
    pub measure: &'static str,
    /// Over the seeds.
    #[serde(flatten)]
    pub spread: Spread,
}

/// A variant minus another over the seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The variant.
    pub of: String,
    /// What it is held against.
    pub to: String,
    /// The share of the action unit labels.
    pub au_share: f64,
    /// The measure's key.
    pub measure: &'static str,
    /// Over the seeds that both have.
    #[serde(flatten)]
    pub spread: Spread,
    /// What the interval says.
    pub verdict: Verdict,
}

impl Summary {
    /// Puts the numbers together.
    pub fn new(config: &ExperimentConfig, finished: &Finished, people: People) -> Self {
        Self {
            title: config.title.clone(),
            people,
            seeds: config.seeds.clone(),
            au_shares: config.au_shares.clone(),
            trainings: finished.trainings,
            seconds: finished.seconds,
            adapters: finished.adapters.clone(),
            chance: chance(&finished.measured),
            means: means(config, &finished.measured),
            differences: differences(config, &finished.measured),
            runs: runs(config, &finished.measured),
        }
    }

    /// The spread of a variant.
    pub fn mean(&self, variant: &str, au_share: f64, measure: &str) -> Option<&Spread> {
        let found = self
            .means
            .iter()
            .find(|it| it.variant == variant && it.au_share == au_share && it.measure == measure);
        found.map(|it| &it.spread)
    }

    /// The difference of a comparison.
    pub fn difference(
        &self,
        of: &str,
        to: &str,
        au_share: f64,
        measure: &str,
    ) -> Option<&Difference> {
        let mut all = self.differences.iter();
        all.find(|it| {
            (it.of.as_str(), it.to.as_str(), it.au_share, it.measure) == (of, to, au_share, measure)
        })
    }

    /// A line a cell: variant, share, seed, seconds and the value of each measure.
    pub fn runs_csv(&self) -> String {
        let keys = MEASURES.map(|(key, _)| key);
        let mut text = format!("variant,au_share,seed,seconds,{}\n", keys.join(","));
        for run in &self.runs {
            let variant = quoted(&run.variant);
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{variant},{},{},{:.1}",
                run.au_share, run.seed, run.seconds
            );
            for key in keys {
                let value = run.values.get(key).map(f64::to_string);
                let _ = write!(text, ",{}", value.unwrap_or_default());
            }
            text.push('\n');
        }
        text
    }

    /// A line a mean, with `to` empty, and a line a difference.
    pub fn csv(&self) -> String {
        let mut text = "variant,to,au_share,measure,count,mean,deviation,low,high\n".to_owned();
        let means = self.means.iter();
        let means = means.map(|it| (&it.variant, "", it.au_share, it.measure, it.spread));
        let differences = self.differences.iter();
        let differences =
            differences.map(|it| (&it.of, it.to.as_str(), it.au_share, it.measure, it.spread));
        for (variant, to, au_share, measure, spread) in means.chain(differences) {
            let number = |value: Option<f64>| value.map(|it| it.to_string()).unwrap_or_default();
            let _ = writeln!(
                text,
                "{},{},{au_share},{measure},{},{},{},{},{}",
                quoted(variant),
                quoted(to),
                spread.count,
                spread.mean,
                number(spread.deviation),
                number(spread.interval.map(|it| it[0])),
                number(spread.interval.map(|it| it[1])),
            );
        }
        text
    }
}

/// A cell of a CSV file (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn chance(measured: &[Measured]) -> BTreeMap<&'static str, f64> {
    let mut chance = BTreeMap::new();
    for (index, (key, _)) in MEASURES.iter().enumerate() {
        let values: Vec<f64> = measured.iter().filter_map(|it| it.chances[index]).collect();
        if let Some(spread) = Spread::of(&values) {
            chance.insert(*key, spread.mean);
        }
    }
    chance
}

/// A cell with what came out.
fn cell(measured: &[Measured], variant: usize, au_share: f64, seed: u64) -> Option<&Measured> {
    measured
        .iter()
        .find(|it| (it.cell.variant, it.cell.au_share, it.cell.seed) == (variant, au_share, seed))
}

/// The values of a measure in two variants under each seed that both have. None at all where one network stands in both and
/// gives the same: such a difference says nothing.
fn pairs(
    config: &ExperimentConfig,
    measured: &[Measured],
    [of, to]: [usize; 2],
    au_share: f64,
    measure: usize,
) -> Vec<(f64, f64)> {
    let both = |&seed: &u64| {
        let at = |variant| cell(measured, variant, au_share, seed);
        let (of, to) = (at(of)?, at(to)?);
        let pair = of.values[measure].zip(to.values[measure])?;
        Some((pair, of.cell.parts == to.cell.parts && pair.0 == pair.1))
    };
    let pairs: Vec<_> = config.seeds.iter().filter_map(both).collect();
    match pairs.iter().all(|(_, same)| *same) {
        true => Vec::new(),
        false => pairs.into_iter().map(|(pair, _)| pair).collect(),
    }
}

fn means(config: &ExperimentConfig, measured: &[Measured]) -> Vec<Mean> {
    let mut means = Vec::new();
    for (place, variant) in config.variant.iter().enumerate() {
        for &au_share in &config.au_shares {
            for (index, (measure, _)) in MEASURES.iter().enumerate() {
                let seeds = config.seeds.iter();
                let cells = seeds.filter_map(|&seed| cell(measured, place, au_share, seed));
                let values = cells.filter_map(|it| it.values[index]);
                if let Some(spread) = Spread::of(&values.collect::<Vec<_>>()) {
                    means.push(Mean {
                        variant: variant.name.clone(),
                        au_share,
                        measure,
                        spread,
                    });
                }
            }
        }
    }
    means
}

fn differences(config: &ExperimentConfig, measured: &[Measured]) -> Vec<Difference> {
    let place = |name: &str| config.variant.iter().position(|it| it.name == name);
    let mut differences = Vec::new();
    for comparison in &config.comparison {
        let (Some(of), Some(to)) = (place(&comparison.of), place(&comparison.to)) else {
            continue;
        };
        for &au_share in &config.au_shares {
            for (index, (measure, _)) in MEASURES.iter().enumerate() {
                let pairs = pairs(config, measured, [of, to], au_share, index);
                if let Some(spread) = Spread::of_differences(pairs) {
                    differences.push(Difference {
                        of: comparison.of.clone(),
                        to: comparison.to.clone(),
                        au_share,
                        measure,
                        verdict: spread.verdict(),
                        spread,
                    });
                }
            }
        }
    }
    differences
}

fn runs(config: &ExperimentConfig, measured: &[Measured]) -> Vec<Run> {
    let run = |it: &Measured| {
        let values = MEASURES.iter().zip(it.values);
        Run {
            variant: config.variant[it.cell.variant].name.clone(),
            au_share: it.cell.au_share,
            seed: it.cell.seed,
            seconds: it.seconds,
            values: values
                .filter_map(|((key, _), value)| Some((*key, value?)))
                .collect(),
        }
    };
    measured.iter().map(run).collect()
}

#[cfg(test)]
mod tests;
