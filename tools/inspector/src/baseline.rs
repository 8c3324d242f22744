//! The stored figures, and what is worse than them.

use crate::statistics::Statistics;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One shader as one GPU family's compiler left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// `rdna2` or `rdna3`.
    pub family: &'static str,
    /// The kernel.
    pub kernel: String,
    /// The variant's label.
    pub variant: String,
    /// Whether only software adapters run it.
    pub software: bool,
    /// The compiler's figures.
    #[serde(flatten)]
    pub statistics: Statistics,
}

/// A line of the stored file: family, kernel, variant, figures in the order of [`Statistics::row`].
type Line = (String, String, String, [u64; 9]);

/// The stored figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The driver's version that they were made with.
    pub mesa: String,
    lines: Vec<Line>,
}

/// Growth beyond this many percent of the baseline is worse.
const ALLOWED: u64 = 10;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One line a reason to fail.
    pub failures: Vec<String>,
    /// One line a thing to know.
    pub warnings: Vec<String>,
}

impl Baseline {
    /// The baseline that these records make. Variants that no GPU runs are not in it.
    pub fn of(mesa: &str, records: &[Record]) -> Self {
        let lines = records.iter().filter(|it| !it.software).map(|it| {
            let row = it.statistics.row();
            (
                it.family.to_owned(),
                it.kernel.clone(),
                it.variant.clone(),
                row,
            )
        });
        Self {
            mesa: mesa.to_owned(),
            lines: lines.collect(),
        }
    }

    /// The file's text: JSON with a line for each shader and family, so that a change reads well in a diff.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{{\"mesa\": {},\n\"lines\": [\n",
            serde_json::json!(self.mesa)
        );
        for (at, line) in self.lines.iter().enumerate() {
            let comma = if at + 1 < self.lines.len() { "," } else { "" };
            let _ = writeln!(text, "{}{comma}", serde_json::json!(line));
        }
        text + "]}\n"
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// What serde says of the place.
    pub fn from_text(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Compares. `whole` says that the records are of all kernels, so that stored lines without one are out of date.
    pub fn compare(&self, mesa: &str, records: &[Record], whole: bool) -> Verdict {
        let mut verdict = Verdict::default();
        let same = release(mesa) == release(&self.mesa);
        if !same {
            verdict.warnings.push(format!(
                "the baseline was made with {}, this is {mesa}: what is worse than it is a warning",
                self.mesa
            ));
        }
        let mut stored: BTreeMap<_, _> = self
            .lines
            .iter()
            .map(|(family, kernel, variant, row)| ((&**family, &**kernel, &**variant), row))
            .collect();
        let mut unknown = Vec::new();
        for record in records {
            verdict.spills(record);
            let key = (record.family, &*record.kernel, &*record.variant);
            match stored.remove(&key) {
                _ if record.software => {}
                Some(row) => {
                    let worse = growth(record, &Statistics::from_row(*row));
                    verdict.list(same).extend(worse);
                }
                None => unknown.push(key),
            }
        }
        let advice = "in the baseline: --bless";
        let list = verdict.list(same);
        list.extend(by_kernel(&unknown).map(|it| format!("{it} not {advice}")));
        if whole {
            let gone: Vec<_> = stored.into_keys().collect();
            list.extend(by_kernel(&gone).map(|it| format!("{it} only {advice}")));
        }
        verdict
    }
}

impl Verdict {
    fn list(&mut self, fails: bool) -> &mut Vec<String> {
        if fails {
            &mut self.failures
        } else {
            &mut self.warnings
        }
    }

    /// A spill fails whatever the baseline says, unless no GPU runs the variant.
    fn spills(&mut self, record: &Record) {
        let Statistics {
            spilled_vgprs,
            spilled_sgprs,
            ..
        } = record.statistics;
        if record.statistics.spilled() > 0 {
            let line = format!(
                "{} spills {spilled_vgprs} vector and {spilled_sgprs} scalar registers",
                record.what()
            );
            self.list(!record.software).push(line);
        }
    }
}

impl Record {
    /// Family, kernel and variant.
    pub fn what(&self) -> String {
        format!("{} {}/{}", self.family, self.kernel, self.variant)
    }
}

/// A line for each family and kernel: the first variant and how many more.
fn by_kernel(keys: &[(&str, &str, &str)]) -> impl Iterator<Item = String> {
    let groups = keys.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
    groups.map(|group| {
        let (family, kernel, variant) = group[0];
        let more = match group.len() {
            1 => "is".to_owned(),
            n => format!("and {} more variants are", n - 1),
        };
        format!("{family} {kernel}/{variant} {more}")
    })
}

/// What grew beyond the allowed share.
fn growth(record: &Record, was: &Statistics) -> Vec<String> {
    let is = &record.statistics;
    let figures = [
        ("VGPRs", was.vgprs, is.vgprs),
        ("instructions", was.instructions, is.instructions),
        (
            "inverse throughput",
            was.inverse_throughput,
            is.inverse_throughput,
        ),
    ];
    figures
        .iter()
        .filter(|(_, was, is)| is * 100 > was * (100 + ALLOWED))
        .map(|(name, was, is)| {
            let what = record.what();
            format!("{what}: {name} {is}, {was} in the baseline (more than {ALLOWED} % worse)")
        })
        .collect()
}

/// `25.0.7` of `Mesa 25.0.7-2~bpo12+1`: a distribution's rebuild has the same compiler.
fn release(mesa: &str) -> &str {
    let version = mesa.trim_start_matches("Mesa ");
    version.split(['-', ' ', '+']).next().unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESA: &str = "Mesa 25.0.7-2~bpo12+1";

    fn record(vgprs: u64, spilled_vgprs: u64) -> Record {
        Record {
            family: "rdna3",
            kernel: "relu".into(),
            variant: "f16".into(),
            software: false,
            statistics: Statistics {
                vgprs,
                spilled_vgprs,
                instructions: 100,
                inverse_throughput: 200,
                ..Default::default()
            },
        }
    }

    fn failures(is: &Record, mesa: &str) -> Verdict {
        Baseline::of(MESA, &[record(40, 0)]).compare(mesa, std::slice::from_ref(is), true)
    }

    #[test]
    fn the_text_comes_back_with_a_line_a_shader() {
        let baseline = Baseline::of(MESA, &[record(40, 0), record(41, 2)]);
        let text = baseline.to_text();
        assert_eq!(Baseline::from_text(&text).unwrap(), baseline);
        assert_eq!(text.lines().count(), 2 + 2 + 1);
        assert!(Baseline::from_text(&text[..text.len() - 3]).is_err());
    }

    #[test]
    fn ten_percent_pass_and_more_fails() {
        assert_eq!(failures(&record(44, 0), MESA), Verdict::default());
        let worse = failures(&record(45, 0), MESA);
        assert_eq!(worse.failures.len(), 1);
        assert!(
            worse.failures[0].contains("rdna3 relu/f16: VGPRs 45, 40"),
            "{worse:?}"
        );
        assert_eq!(failures(&record(20, 0), MESA), Verdict::default());
    }

    #[test]
    fn every_compared_figure_can_fail() {
        let mut is = record(40, 0);
        is.statistics.instructions = 111;
        is.statistics.inverse_throughput = 221;
        let failed = failures(&is, MESA).failures;
        assert_eq!(failed.len(), 2, "{failed:?}");
    }

    #[test]
    fn another_release_warns_of_growth_but_a_spill_fails_everywhere() {
        let verdict = failures(&record(80, 3), "Mesa 22.3.6");
        assert_eq!(verdict.warnings.len(), 2, "{verdict:?}");
        assert_eq!(verdict.failures.len(), 1, "{verdict:?}");
        assert!(verdict.failures[0].contains("spills 3 vector"));
        let rebuilt = failures(&record(80, 0), "Mesa 25.0.7-9");
        assert_eq!(rebuilt.failures.len(), 1, "{rebuilt:?}");
    }

    #[test]
    fn a_spill_fails_even_where_the_baseline_has_it() {
        let baseline = Baseline::of(MESA, &[record(40, 3)]);
        assert_eq!(
            baseline
                .compare(MESA, &[record(40, 3)], true)
                .failures
                .len(),
            1
        );
    }

    #[test]
    fn variants_that_no_gpu_runs_may_spill() {
        let mut is = record(40, 3);
        is.software = true;
        assert_eq!(Baseline::of(MESA, &[is.clone()]), Baseline::of(MESA, &[]));
        let verdict = Baseline::of(MESA, &[]).compare(MESA, &[is], true);
        assert!(verdict.failures.is_empty(), "{verdict:?}");
        assert_eq!(verdict.warnings.len(), 1);
    }

    #[test]
    fn what_only_one_side_has_fails() {
        let mut other = record(40, 0);
        other.variant = "base".into();
        let verdict = failures(&other, MESA);
        assert_eq!(verdict.failures.len(), 2, "{verdict:?}");
        let baseline = Baseline::of(MESA, &[record(40, 0)]);
        assert_eq!(baseline.compare(MESA, &[], false), Verdict::default());
        let two = [
            other.clone(),
            Record {
                variant: "relu1".into(),
                ..other
            },
        ];
        let verdict = baseline.compare(MESA, &two, false);
        let line = "rdna3 relu/base and 1 more variants are not in the baseline: --bless";
        assert_eq!(verdict.failures, [line]);
    }
}
