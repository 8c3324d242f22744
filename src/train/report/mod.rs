//! `report.html`: one file that shows what a run did, to be opened anywhere; and the same as JSON.
//!
//! The page needs nothing beside itself: style, curves (SVG) and pictures (PNG in data URIs) are inside, there is no
//! script, it follows the reader's light or dark scheme and fits a phone.

mod base64;
mod intervals;
mod page;
mod svg;

use serde::Serialize;

pub use super::curves::{Curve, Series};

/// Everything that the page shows, in its order. `Serialize` gives `report.json`, without the pictures' bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// One paragraph: what was done and what came out.
    pub summary: String,
    /// What was found, a sentence each.
    pub findings: Vec<String>,
    /// Machine, adapter, command line and so on: name and value.
    pub facts: Vec<(String, String)>,
    /// Groups of means with their intervals.
    pub panels: Vec<Panel>,
    /// The tables, the most important one first.
    pub tables: Vec<Table>,
    /// The curves.
    pub curves: Vec<Curve>,
    /// The groups of pictures.
    pub pictures: Vec<Picture>,
    /// What the reader should know before quoting a number.
    pub notes: Vec<String>,
    /// Numbers for scripts that read `report.json`; the page does not show them.
    pub metrics: serde_json::Value,
}

/// A table with a name for each row and column.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Table {
    /// Its heading.
    pub title: String,
    /// A sentence on how to read it; may be empty.
    pub text: String,
    /// Stands above the row names; may be empty.
    pub corner: String,
    /// The column names.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
    /// How cells are set off from one another.
    pub shading: Shading,
    /// Decimals of the numbers.
    pub decimals: usize,
}

/// A row of a [`Table`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}

impl Row {
    /// A row of numbers, where NaN means that there is none.
    pub fn numbers(name: &str, values: &[f64]) -> Self {
        Self {
            name: name.to_owned(),
            cells: values.iter().map(|&value| Cell::from(value)).collect(),
        }
    }
}

/// What stands in a cell. JSON has the text, the number or null.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, shown with the table's decimals.
    Number(f64),
    /// A number of things.
    Count(u64),
    /// A mean and its standard deviation.
    Spread {
        /// The mean.
        mean: f64,
        /// The deviation; none for one value.
        deviation: Option<f64>,
    },
    /// A difference of means, green where its interval lies above zero and red where it lies below.
    Difference {
        /// The mean of the differences.
        mean: f64,
        /// Its interval; none for one value.
        interval: Option<[f64; 2]>,
    },
    /// There is no value; shown as a dash.
    #[default]
    Missing,
}

impl Cell {
    /// The cell as a number.
    pub fn value(&self) -> Option<f64> {
        match *self {
            Self::Number(value) => Some(value),
            Self::Count(count) => Some(count as f64),
            Self::Spread { mean, .. } | Self::Difference { mean, .. } => Some(mean),
            Self::Text(_) | Self::Missing => None,
        }
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        if value.is_finite() {
            Self::Number(value)
        } else {
            Self::Missing
        }
    }
}

/// How the cells of a table are set off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shading {
    /// All alike.
    #[default]
    Plain,
    /// The largest number of each row is bold.
    Best,
    /// Each number's ground is as strong as its share of its row's sum: a confusion matrix.
    Share,
}

/// Means with their intervals under one heading.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Panel {
    /// Its heading.
    pub title: String,
    /// A sentence on what is seen; may be empty.
    pub text: String,
    /// The plots.
    pub plots: Vec<Intervals>,
}

/// A plot of means with their intervals.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Intervals {
    /// Stands above it.
    pub title: String,
    /// What the values are.
    pub label: String,
    /// The names of the places at which each series has a value.
    pub places: Vec<String>,
    /// The series, side by side at each place.
    pub series: Vec<IntervalSeries>,
    /// Which way it runs.
    pub layout: Layout,
}

/// One colour of a plot of intervals.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct IntervalSeries {
    /// Its name in the legend.
    pub name: String,
    /// For each place the lower end, the mean and the upper end, where there is one.
    pub values: Vec<Option<[f64; 3]>>,
}

/// Which way a plot of intervals runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// The places below each other, values to the right, with a line at zero: for differences.
    #[default]
    Rows,
    /// The places from left to right, values upwards, the means of a series joined: for a quantity that changes.
    Columns,
}

/// A group of pictures under one heading.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Picture {
    /// Its heading.
    pub title: String,
    /// A sentence on what is seen; may be empty.
    pub text: String,
    /// The pictures.
    pub tiles: Vec<Tile>,
}

/// One picture with what belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tile {
    /// The bytes of a PNG file.
    #[serde(skip)]
    pub png: Vec<u8>,
    /// What it shows, for readers who do not see it; also below it.
    pub caption: String,
    /// Named values in 0 to 1, drawn as bars below the caption.
    pub bars: Vec<(String, f64)>,
    /// The tile takes the page's whole width: for contact sheets.
    pub wide: bool,
}

impl Report {
    /// The page. Texts are escaped: no text of the report can become markup.
    pub fn html(&self) -> String {
        page::page(self)
    }
}

#[cfg(test)]
mod tests;
