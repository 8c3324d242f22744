//! Relatedness estimated from images that carry both kinds of labels.

use super::Relatedness;
use crate::data::{DataError, Row, Table};
use crate::objective::{ACTION_UNITS, EXPRESSIONS};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write as _;

/// The labels that a table has a row for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Classes {
    /// The seven basic expressions, in the house's order.
    #[default]
    Expression,
    /// Compound expressions, by first appearance.
    Compound,
    /// Persons, by first appearance.
    Identity,
}

/// The labels that a table has a column for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detections {
    /// The 17 action units.
    #[default]
    ActionUnits,
    /// The attributes, in the order of the tables' columns.
    Attributes,
}

impl Classes {
    /// The name in a message.
    fn name(self) -> &'static str {
        match self {
            Self::Expression => "expression",
            Self::Compound => "compound expression",
            Self::Identity => "identity",
        }
    }

    fn label<'a>(self, row: &Row, table: &'a Table) -> Option<&'a str> {
        let (number, names) = match self {
            Self::Expression => {
                let class = row.affect.expression? as usize;
                return EXPRESSIONS.get(class).copied();
            }
            Self::Compound => (row.compound?, &table.compounds),
            Self::Identity => (row.identity?, &table.identities),
        };
        names.get(number as usize).map(String::as_str)
    }
}

impl Detections {
    /// The name in a message.
    fn name(self) -> &'static str {
        match self {
            Self::ActionUnits => "action unit",
            Self::Attributes => "attribute",
        }
    }

    /// Which are annotated and which are on, as bits.
    fn labels(self, row: &Row) -> [u64; 2] {
        match self {
            Self::ActionUnits => [row.affect.au_mask, row.affect.au_value],
            Self::Attributes => row.attributes,
        }
    }

    fn names(self, table: &Table) -> Vec<String> {
        match self {
            Self::ActionUnits => ACTION_UNITS.iter().map(u32::to_string).collect(),
            Self::Attributes => table.attributes.clone(),
        }
    }
}

/// How often a detection is on among the images of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The class's images on which the detection is annotated.
    pub images: u64,
    /// Those on which it is on.
    pub on: u64,
}

impl Count {
    /// Wilson's interval of the share `on / images` at 95 %, in [0, 1]; none without an image (Wilson 1927).
    ///
    /// With p = on / n and z = 1.96: `(p + z²/2n ± z √(p (1 - p) / n + z²/4n²)) / (1 + z²/n)`. Unlike p ± z √(p (1 - p) / n) it
    /// keeps its promise for few images and for shares near 0 and 1.
    pub fn interval(self) -> Option<[f64; 2]> {
        const Z: f64 = 1.959_963_984_540_054;
        if self.images == 0 {
            return None;
        }
        let (n, p) = (self.images as f64, self.on as f64 / self.images as f64);
        let square = Z * Z / n;
        let centre = p + square / 2.0;
        let half = Z * (p * (1.0 - p) / n + square / (4.0 * n)).sqrt();
        let end = |x: f64| (x / (1.0 + square)).clamp(0.0, 1.0);
        Some([end(centre - half), end(centre + half)])
    }
}

/// An estimated table.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// What its rows are.
    pub classes: Classes,
    /// What its columns are.
    pub detections: Detections,
    /// The names of the rows.
    pub rows: Vec<String>,
    /// The names of the columns: numbers of action units, or attributes.
    pub columns: Vec<String>,
    /// Images that carry both kinds of labels.
    pub images: u64,
    /// The images of each row that carry both kinds of labels.
    pub row_images: Vec<u64>,
    /// The counts, row by row.
    pub counts: Vec<Count>,
    /// The weights in [0, 1], row by row.
    pub weights: Vec<f64>,
    /// What to know before using it.
    pub warnings: Vec<String>,
}

/// Images of which each class seems to have more, at the mean of all classes, where nothing else is asked for.
pub const SMOOTHING: f64 = 2.0;

impl Estimate {
    /// Counts over all rows of the tables and estimates each weight as
    ///
    /// `W[e][i] = (on[e][i] + s m[i]) / (images[e][i] + s)`, `m[i] = Σ_e on[e][i] / Σ_e images[e][i]`
    ///
    /// with the `smoothing` s: as if s more images of every class had shown the detection as often as all classes together. Cells
    /// with many images keep their share; a cell without images has m; a detection that is never annotated has 0.
    ///
    /// # Errors
    /// [`DataError::NotBoth`] where no image carries a label of both kinds, [`DataError::Smoothing`] for one that is negative
    /// or not finite.
    pub fn new(
        tables: &[Table],
        classes: Classes,
        detections: Detections,
        smoothing: f64,
    ) -> Result<Self, DataError> {
        if !(smoothing >= 0.0 && smoothing.is_finite()) {
            return Err(DataError::Smoothing { asked: smoothing });
        }
        let mut counter = Counter::new(classes, detections);
        for table in tables {
            counter.count(table);
        }
        counter.finish(smoothing)
    }

    /// A row's counts and weights by column.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = (&str, Count, f64)> {
        let first = row * self.columns.len();
        let cells = first..first + self.columns.len();
        let counts = self.counts[cells.clone()].iter();
        let names = self.columns.iter().map(String::as_str);
        let cells = counts.zip(&self.weights[cells]);
        names
            .zip(cells)
            .map(|(name, (count, weight))| (name, *count, *weight))
    }

    /// The text of a TOML file that `[objective]` takes by its path where the rows are expressions and the columns action units;
    /// other tables have the same form. Counts and intervals stand in comments, weights have four decimals.
    pub fn toml(&self, smoothing: f64) -> String {
        let mut text = format!(
            "# Share of images on which each {} is on, from {} images; smoothing {smoothing}.\n\
             # Weights of data are never quite 0: matching_table = \"weighted\" suits them.\n",
            self.detections.name(),
            self.images
        );
        for (index, name) in self.rows.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "\n[{name}.observational] # {images} images",
                name = key(name),
                images = self.row_images[index]
            );
            for (column, count, weight) in self.row(index) {
                let range = count.interval().map_or(String::new(), |[low, high]| {
                    format!(", 95 %: {low:.3} to {high:.3}")
                });
                let _ = writeln!(
                    text,
                    "{} = {weight:.4} # {} of {}{range}",
                    key(column),
                    count.on,
                    count.images
                );
            }
        }
        text
    }

    /// How far the table is from another one of its shape, over the cells that have images.
    ///
    /// None where the shapes differ or no cell has an image.
    pub fn distance(&self, other: &Relatedness) -> Option<Distance> {
        let shape = (self.rows.len(), self.columns.len());
        if (other.classes(), other.action_units()) != shape {
            return None;
        }
        let others = other.weights().iter().map(|weight| f64::from(*weight));
        let cells: Vec<(Count, f64, f64)> = (self.counts.iter().zip(&self.weights))
            .zip(others)
            .map(|((count, weight), other)| (*count, *weight, other))
            .filter(|(count, ..)| count.images > 0)
            .collect();
        let mean = |of: &dyn Fn(&(Count, f64, f64)) -> f64| {
            cells.iter().map(of).sum::<f64>() / cells.len() as f64
        };
        if cells.is_empty() {
            return None;
        }
        let (mine, theirs) = (mean(&|cell| cell.1), mean(&|cell| cell.2));
        let covariance = mean(&|cell| (cell.1 - mine) * (cell.2 - theirs));
        let spread =
            mean(&|cell| (cell.1 - mine).powi(2)) * mean(&|cell| (cell.2 - theirs).powi(2));
        let inside = |cell: &&(Count, f64, f64)| {
            let interval = cell.0.interval();
            interval.is_some_and(|[low, high]| (low..=high).contains(&cell.2))
        };
        Some(Distance {
            cells: cells.len(),
            mean_absolute: mean(&|cell| (cell.1 - cell.2).abs()),
            root_mean_square: mean(&|cell| (cell.1 - cell.2).powi(2)).sqrt(),
            correlation: (spread > 0.0).then(|| covariance / spread.sqrt()),
            within_interval: cells.iter().filter(inside).count(),
        })
    }
}

/// How far two tables are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// The cells that are compared: those with images.
    pub cells: usize,
    /// The mean of |difference|.
    pub mean_absolute: f64,
    /// The root of the mean of the squared differences.
    pub root_mean_square: f64,
    /// Pearson's correlation; none where one of the tables is constant.
    pub correlation: Option<f64>,
    /// The cells in whose 95 % interval the other table's weight lies.
    pub within_interval: usize,
}

/// A key of TOML: bare where it may be, else in quotes.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) {
        return name.to_owned();
    }
    let mut text = String::from('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{:04X}", c as u32);
            }
            c => text.push(c),
        }
    }
    text + "\""
}

/// Names in the order of their first appearance.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Names {
    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.names.len();
        self.places.insert(name.to_owned(), place);
        self.names.push(name.to_owned());
        place
    }
}

/// Counts by row and column; the tables may name persons and attributes in different orders.
struct Counter {
    classes: Classes,
    detections: Detections,
    rows: Names,
    columns: Names,
    /// For each row, its images and its counts so far by column.
    counts: Vec<(u64, Vec<Count>)>,
    images: u64,
    with_class: u64,
    with_detection: u64,
}

impl Counter {
    fn new(classes: Classes, detections: Detections) -> Self {
        let mut rows = Names::default();
        if classes == Classes::Expression {
            for name in EXPRESSIONS {
                rows.place(name);
            }
        }
        Self {
            classes,
            detections,
            counts: vec![(0, Vec::new()); rows.names.len()],
            rows,
            columns: Names::default(),
            images: 0,
            with_class: 0,
            with_detection: 0,
        }
    }

    fn count(&mut self, table: &Table) {
        let names = self.detections.names(table);
        let places: Vec<usize> = names.iter().map(|name| self.columns.place(name)).collect();
        for row in &table.rows {
            let class = self.classes.label(row, table);
            let [mask, on] = self.detections.labels(row);
            self.with_class += u64::from(class.is_some());
            self.with_detection += u64::from(mask != 0);
            let Some(class) = class.filter(|_| mask != 0) else {
                continue;
            };
            self.images += 1;
            let place = self.rows.place(class);
            self.counts.resize(self.rows.names.len(), (0, Vec::new()));
            let (images, counts) = &mut self.counts[place];
            *images += 1;
            counts.resize(self.columns.names.len(), Count::default());
            for (bit, place) in places.iter().enumerate() {
                if mask >> bit & 1 == 1 {
                    counts[*place].images += 1;
                    counts[*place].on += on >> bit & 1;
                }
            }
        }
    }

    fn finish(self, smoothing: f64) -> Result<Estimate, DataError> {
        if self.images == 0 {
            return Err(DataError::NotBoth {
                class: self.classes.name().to_owned(),
                detection: self.detections.name().to_owned(),
                with_class: self.with_class,
                with_detection: self.with_detection,
            });
        }
        let width = self.columns.names.len();
        let mut counts = Vec::with_capacity(self.rows.names.len() * width);
        let mut row_images = Vec::new();
        for (images, mut row) in self.counts {
            row.resize(width, Count::default());
            row_images.push(images);
            counts.extend(row);
        }
        let mut estimate = Estimate {
            classes: self.classes,
            detections: self.detections,
            rows: self.rows.names,
            columns: self.columns.names,
            images: self.images,
            row_images,
            counts,
            weights: Vec::new(),
            warnings: Vec::new(),
        };
        estimate.weigh(smoothing);
        Ok(estimate)
    }
}

impl Estimate {
    /// Fills in the weights, and warns of rows and columns without images.
    fn weigh(&mut self, smoothing: f64) {
        let width = self.columns.len();
        let mut means = Vec::with_capacity(width);
        for (column, name) in self.columns.iter().enumerate() {
            let cells = self.counts.iter().skip(column).step_by(width);
            let (images, on) = cells.fold((0, 0), |sum, count| {
                (sum.0 + count.images, sum.1 + count.on)
            });
            if images == 0 {
                self.warnings.push(format!(
                    "no image annotates {} {name}: its weights are 0, and matching switches it off",
                    self.detections.name()
                ));
            }
            means.push(on as f64 / images.max(1) as f64);
        }
        for (name, images) in self.rows.iter().zip(&self.row_images) {
            if *images == 0 {
                self.warnings.push(format!(
                    "no image of {name} carries both kinds of labels: its weights are the means over all images"
                ));
            }
        }
        self.weights = smoothed(&self.counts, &means, smoothing);
    }
}

/// The weights of counts, row by row, from the means of their columns: see [`Estimate::new`].
pub(super) fn smoothed(counts: &[Count], means: &[f64], smoothing: f64) -> Vec<f64> {
    let cells = counts.iter().zip(means.iter().cycle());
    let weight = |(count, mean): (&Count, &f64)| {
        let images = count.images as f64 + smoothing;
        if images > 0.0 {
            (count.on as f64 + smoothing * mean) / images
        } else {
            *mean
        }
    };
    cells.map(weight).collect()
}

#[cfg(test)]
mod tests;
