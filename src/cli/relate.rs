//! `kinesic relate`.

use super::{Common, Failure};
use crate::data::relatedness::{self, Classes, Count, Detections, Distance, Estimate, SMOOTHING};
use crate::data::{Table, Wanted};
use crate::picture::png;
use crate::train::write_atomically;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic relate faces/table.csv --out relatedness.toml\n\nA weight is (on + s m) / (images + s): the share of the class's images on which the unit is on, with s \
                  (--smoothing) more images at the mean m over all classes. Use it with\n[objective] relatedness = \"relatedness.toml\" and matching_table = \"weighted\"."
)]
pub(super) struct RelateArgs {
    /// Tables (CSV or JSON Lines) whose images carry both kinds of labels; their counts are added
    #[arg(required = true, value_name = "TABLE")]
    tables: Vec<PathBuf>,
    /// Writes the table, and the heat map beside it with the ending .png
    #[arg(long, value_name = "TOML")]
    out: Option<PathBuf>,
    /// Writes the heat map here instead
    #[arg(long, value_name = "PNG")]
    picture: Option<PathBuf>,
    /// Only the rows of this split
    #[arg(long)]
    split: Option<String>,
    /// What the rows are
    #[arg(long, value_enum, default_value = "expression")]
    rows: Rows,
    /// What the columns are
    #[arg(long, value_enum, default_value = "action-units")]
    columns: Columns,
    /// The weight of the mean over all classes in each cell, in images
    #[arg(long, default_value_t = SMOOTHING, value_name = "IMAGES")]
    smoothing: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rows {
    Expression,
    Compound,
    Identity,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Columns {
    ActionUnits,
    Attributes,
}

#[derive(Serialize)]
struct Report<'a> {
    rows: Classes,
    columns: Detections,
    images: u64,
    smoothing: f64,
    row_images: Vec<(&'a str, u64)>,
    cells: Vec<Cell<'a>>,
    /// The distance to Du et al. 2014, for expressions and action units.
    du2014: Option<Distance>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Cell<'a> {
    row: &'a str,
    column: &'a str,
    images: u64,
    on: u64,
    weight: f64,
    /// The 95 % interval of on / images, by Wilson.
    interval: Option<[f64; 2]>,
}

/// The smallest weight that the text names.
const NAMED: f64 = 0.1;
/// Rows that the text has.
const ROWS: usize = 30;

pub(super) fn run(common: &Common, args: &RelateArgs) -> Result<(), Failure> {
    let ending = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "toml");
    if let Some(path) = args.out.as_ref().filter(|path| !ending(path)) {
        return Err(Failure::Input(anyhow::anyhow!(
            "--out {}: give a file that ends in .toml, as [objective] takes it",
            path.display()
        )));
    }
    let mut tables = Vec::with_capacity(args.tables.len());
    let mut warnings = Vec::new();
    for path in &args.tables {
        let table = Table::read_split(path, args.split.as_deref(), &Wanted::default());
        let table = table.map_err(Failure::input)?;
        warnings.extend(table.warnings.iter().cloned());
        tables.push(table);
    }
    let classes = match args.rows {
        Rows::Expression => Classes::Expression,
        Rows::Compound => Classes::Compound,
        Rows::Identity => Classes::Identity,
    };
    let detections = match args.columns {
        Columns::ActionUnits => Detections::ActionUnits,
        Columns::Attributes => Detections::Attributes,
    };
    let estimate = Estimate::new(&tables, classes, detections, args.smoothing);
    let estimate = estimate.map_err(Failure::input)?;
    warnings.extend(estimate.warnings.iter().cloned());
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    let du = relatedness::load("du2014").map_err(Failure::work)?.table;
    let distance = match (classes, detections) {
        (Classes::Expression, Detections::ActionUnits) => estimate.distance(&du),
        _ => None,
    };
    write(args, &estimate, distance.map(|_| &du))?;
    let report = report(&estimate, args.smoothing, distance, warnings);
    common.report(&report, || text(&estimate, distance))
}

/// Writes the files that are asked for. Both are made before the first is written.
fn write(
    args: &RelateArgs,
    estimate: &Estimate,
    du: Option<&crate::objective::Relatedness>,
) -> Result<(), Failure> {
    let beside = args.out.as_ref().map(|out| out.with_extension("png"));
    let picture = match args.picture.clone().or(beside) {
        Some(path) => {
            let drawn = estimate.heat_map(du.map(|du| ("in Du et al. 2014", du)));
            let bytes = png(&drawn.map_err(Failure::work)?).map_err(Failure::work)?;
            Some((path, bytes))
        }
        None => None,
    };
    let table = args.out.clone();
    let table = table.map(|path| (path, estimate.toml(args.smoothing).into_bytes()));
    for (path, bytes) in table.into_iter().chain(picture) {
        write_atomically(&path, &bytes)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

fn report(
    estimate: &Estimate,
    smoothing: f64,
    du2014: Option<Distance>,
    warnings: Vec<String>,
) -> Report<'_> {
    let mut cells = Vec::with_capacity(estimate.counts.len());
    for (index, row) in estimate.rows.iter().enumerate() {
        cells.extend(estimate.row(index).map(|(column, count, weight)| Cell {
            row,
            column,
            images: count.images,
            on: count.on,
            weight,
            interval: count.interval(),
        }));
    }
    let names = estimate.rows.iter().map(String::as_str);
    Report {
        rows: estimate.classes,
        columns: estimate.detections,
        images: estimate.images,
        smoothing,
        row_images: names.zip(estimate.row_images.iter().copied()).collect(),
        cells,
        du2014,
        warnings,
    }
}

fn text(estimate: &Estimate, distance: Option<Distance>) -> String {
    let mut text = format!("{} images carry both kinds of labels\n", estimate.images);
    let unit = match estimate.detections {
        Detections::ActionUnits => "AU ",
        Detections::Attributes => "",
    };
    // Writing to a string cannot fail.
    for (index, name) in estimate.rows.iter().enumerate().take(ROWS) {
        let images = estimate.row_images[index];
        let _ = writeln!(text, "\n{name}, {images} images");
        let mut cells: Vec<_> = estimate.row(index).filter(|cell| cell.2 >= NAMED).collect();
        cells.sort_by(|a, b| b.2.total_cmp(&a.2));
        for (column, count, weight) in &cells {
            let column = format!("{unit}{column}");
            let interval = count.interval().map_or(String::new(), |[low, high]| {
                format!(", 95 % {low:.2} to {high:.2}")
            });
            let Count { on, images } = count;
            let _ = writeln!(
                text,
                "  {column:<18} {weight:.2}  {on} of {images}{interval}"
            );
        }
        let rest = estimate.columns.len() - cells.len();
        if rest > 0 {
            let _ = writeln!(text, "  the other {rest} are below {NAMED}");
        }
    }
    if estimate.rows.len() > ROWS {
        let more = estimate.rows.len() - ROWS;
        let _ = writeln!(text, "\nand {more} more rows; --json and --out have all");
    }
    if let Some(distance) = distance {
        let correlation = distance
            .correlation
            .map_or(String::new(), |r| format!(", correlation {r:.2}"));
        let _ = writeln!(
            text,
            "\nto Du et al. 2014, over {} cells: mean difference {:.3}, root mean square {:.3}{correlation}; {} of their weights lie in \
             the 95 % intervals",
            distance.cells,
            distance.mean_absolute,
            distance.root_mean_square,
            distance.within_interval
        );
    }
    text
}
