//! Tables of annotations: CSV with a header, or JSON Lines.

mod column;
mod labels;
mod pairs;
mod records;

pub use labels::{Labelled, Wanted};
pub use pairs::{Pair, read_pairs};

use super::DataError;
use crate::objective::{AffectLabels, Labels};
use column::{Cells, Column};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A table: one row an image, missing labels left out.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The rows in the file's order.
    pub rows: Vec<Row>,
    /// The names of persons, by the number in [`Row::identity`].
    pub identities: Vec<String>,
    /// The names of compound expressions, by the number in [`Row::compound`].
    pub compounds: Vec<String>,
    /// The names of attributes, by their bit in [`Row::attributes`].
    pub attributes: Vec<String>,
    /// The columns of classes that were asked for: their names, and those of the classes by the numbers in [`Row::classes`].
    pub classes: Vec<(String, Vec<String>)>,
    /// The columns of values that were asked for.
    pub values: Vec<String>,
    /// The names of splits, by the number in [`Row::split`].
    pub splits: Vec<String>,
    /// What was ignored, each said once.
    pub warnings: Vec<String>,
}

/// An image and its labels.
#[derive(Clone, Debug)]
pub struct Row {
    /// The line in the file, counted from 1.
    pub line: usize,
    /// The image.
    pub image: PathBuf,
    /// Expression, action units, valence and arousal.
    pub affect: AffectLabels,
    /// The compound expression.
    pub compound: Option<u32>,
    /// The person.
    pub identity: Option<u32>,
    /// Which attributes are annotated, and which of them are on.
    pub attributes: [u64; 2],
    /// The classes in the columns that were asked for.
    pub classes: Vec<Option<u32>>,
    /// The values in the columns that were asked for.
    pub values: Vec<Option<f32>>,
    /// The labels of the tasks, which [`Table::label`] finds; none before.
    pub labels: Labels,
    /// The face's box in pixels: x, y, width, height.
    pub face: Option<[f32; 4]>,
    /// The split.
    pub split: Option<u32>,
}

impl Row {
    /// An image without labels.
    pub fn unlabelled(image: PathBuf) -> Self {
        Self {
            line: 0,
            image,
            affect: AffectLabels::default(),
            compound: None,
            identity: None,
            attributes: [0; 2],
            classes: Vec::new(),
            values: Vec::new(),
            labels: Labels::default(),
            face: None,
            split: None,
        }
    }
}

impl Table {
    /// Reads a table; JSON Lines by the endings `.jsonl` and `.ndjson`, else CSV. Image paths are taken relative to the table.
    ///
    /// The columns are `image` and any of `expression`, `valence`, `arousal`, `au1`, `au2`, ..., `compound`, `identity`,
    /// `x,y,w,h` (the face's box) and `split`, in capitals or not; any other column is an attribute, 0 or 1. An empty cell, or
    /// `null`, is a missing label. Valence without arousal, or the other way, counts as neither, with a warning.
    ///
    /// # Errors
    /// [`DataError`] with file and line.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        Self::read_for(path, &Wanted::default())
    }

    /// As [`Table::read`], with columns that tasks of other names ask for: a column of classes takes any text, a column of values
    /// any finite number.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read_for(path: &Path, wanted: &Wanted) -> Result<Self, DataError> {
        let text = records::text(path)?;
        let mut reader = Reader::new(path, wanted);
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl" | "ndjson") => reader.json_lines(&text)?,
            _ => reader.csv(&text)?,
        }
        reader.finish()
    }

    /// Reads a table and keeps the rows of one split; without one asked for, all rows, with a warning where the table has
    /// several splits.
    ///
    /// # Errors
    /// As [`Table::read_for`], and [`DataError::Split`] for a split that the table does not have.
    pub fn read_split(
        path: &Path,
        split: Option<&str>,
        wanted: &Wanted,
    ) -> Result<Self, DataError> {
        let mut table = Self::read_for(path, wanted)?;
        let Some(asked) = split else {
            if table.splits.len() > 1 {
                table.warnings.push(format!(
                    "{}: its splits {} are all used; `split` chooses one",
                    path.display(),
                    table.splits.join(", ")
                ));
            }
            return Ok(table);
        };
        let Some(number) = table.splits.iter().position(|name| name == asked) else {
            return Err(DataError::Split {
                path: path.to_owned(),
                asked: asked.to_owned(),
                found: table.splits,
            });
        };
        table.rows.retain(|row| row.split == Some(number as u32));
        Ok(table)
    }
}

/// Names with the numbers that they were given.
#[derive(Debug, Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    /// The number of a name, the next one where it is new.
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.0.get(name) {
            return *number;
        }
        let number = self.0.len() as u32;
        self.0.insert(name.to_owned(), number);
        number
    }

    /// The names in the order of their numbers.
    fn into_vec(self) -> Vec<String> {
        let mut names: Vec<_> = self.0.into_iter().collect();
        names.sort_by_key(|(_, number)| *number);
        names.into_iter().map(|(name, _)| name).collect()
    }
}

/// A table while it is read.
struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
    wanted: &'a Wanted,
    rows: Vec<Row>,
    identities: Names,
    compounds: Names,
    splits: Names,
    classes: Vec<Names>,
    attributes: Vec<String>,
    warnings: Vec<String>,
    /// The first line with one of valence and arousal, and how many there are.
    half_affect: Option<(usize, usize)>,
}

impl<'a> Reader<'a> {
    fn new(path: &'a Path, wanted: &'a Wanted) -> Self {
        Self {
            path,
            folder: path.parent().unwrap_or(Path::new("")),
            wanted,
            rows: Vec::new(),
            classes: wanted.classes.iter().map(|_| Names::default()).collect(),
            identities: Names::default(),
            compounds: Names::default(),
            splits: Names::default(),
            attributes: Vec::new(),
            warnings: Vec::new(),
            half_affect: None,
        }
    }

    fn finish(mut self) -> Result<Table, DataError> {
        if self.rows.is_empty() {
            return Err(DataError::Empty {
                path: self.path.to_owned(),
            });
        }
        if let Some((line, count)) = self.half_affect {
            self.warnings.push(format!(
                "{}:{line}: valence without arousal, or the other way, counts as neither ({count} rows)",
                self.path.display()
            ));
        }
        let classes = self.wanted.classes.iter().cloned();
        Ok(Table {
            rows: self.rows,
            classes: classes
                .zip(self.classes.into_iter().map(Names::into_vec))
                .collect(),
            values: self.wanted.values.clone(),
            identities: self.identities.into_vec(),
            compounds: self.compounds.into_vec(),
            attributes: self.attributes,
            splits: self.splits.into_vec(),
            warnings: self.warnings,
        })
    }

    fn csv(&mut self, text: &str) -> Result<(), DataError> {
        let mut records = records::Records::new(self.path, text);
        let Some(header) = records.next().transpose()? else {
            return Ok(());
        };
        let names = header.names();
        let columns: Vec<Column> = names.iter().map(|name| self.column(name)).collect();
        records::refuse_duplicates(self.path, header.line, &columns, &names)?;
        if !columns.contains(&Column::Image) {
            return Err(DataError::MissingColumn {
                path: self.path.to_owned(),
                line: header.line,
                column: "image",
                found: names,
            });
        }
        for record in records {
            let record = record?;
            let mut cells = Cells::new(self.path, record.line, self.wanted);
            for ((column, name), cell) in columns.iter().zip(&names).zip(&record.cells) {
                cells.take(*column, name, cell)?;
            }
            self.row(cells)?;
        }
        Ok(())
    }

    fn json_lines(&mut self, text: &str) -> Result<(), DataError> {
        for (index, text) in text.lines().enumerate() {
            if text.trim().is_empty() {
                continue;
            }
            let line = index + 1;
            let pairs = records::json(self.path, line, text)?;
            let names: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
            let columns: Vec<Column> = names.iter().map(|name| self.column(name)).collect();
            records::refuse_duplicates(self.path, line, &columns, &names)?;
            let mut cells = Cells::new(self.path, line, self.wanted);
            for (column, (name, cell)) in columns.iter().zip(&pairs) {
                cells.take(*column, name, cell)?;
            }
            self.row(cells)?;
        }
        Ok(())
    }

    /// What a column holds; says once what is ignored.
    fn column(&mut self, name: &str) -> Column {
        if let Some(column) = self.wanted.column(name) {
            return column;
        }
        let ignored = match Column::known(name) {
            Some(Column::UnknownUnit) => {
                format!("`{name}` is not among the model's action units and is ignored")
            }
            Some(column) => return column,
            None => match self.attributes.iter().position(|known| known == name) {
                Some(place) => return Column::Attribute(place),
                None if self.attributes.len() < column::MOST_ATTRIBUTES => {
                    self.attributes.push(name.to_owned());
                    return Column::Attribute(self.attributes.len() - 1);
                }
                None => format!(
                    "attributes beyond {} are ignored: `{name}`",
                    column::MOST_ATTRIBUTES
                ),
            },
        };
        let warning = format!("{}: {ignored}", self.path.display());
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
        Column::Ignored
    }

    fn row(&mut self, cells: Cells<'_>) -> Result<(), DataError> {
        let line = cells.line;
        let row = |reason: &'static str| DataError::Row {
            path: self.path.to_owned(),
            line,
            reason: reason.to_owned(),
        };
        let image = cells.image.ok_or_else(|| row("the row has no image"))?;
        let mut labels = cells.labels;
        labels.valence_arousal = match cells.affect {
            [Some(valence), Some(arousal)] => Some([valence, arousal]),
            [None, None] => None,
            _ => {
                self.half_affect.get_or_insert((line, 0)).1 += 1;
                None
            }
        };
        let face = match cells.face {
            [Some(x), Some(y), Some(w), Some(h)] => Some([x, y, w, h]),
            [None, None, None, None] => None,
            _ => return Err(row("a face box is x, y, w and h: give all or none")),
        };
        let classes = cells.classes.iter().zip(&mut self.classes);
        let classes = classes.map(|(cell, names)| cell.map(|name| names.number(name)));
        self.rows.push(Row {
            line,
            image: self.folder.join(image),
            affect: labels,
            classes: classes.collect(),
            values: cells.values,
            labels: Labels::default(),
            compound: cells.compound.map(|name| self.compounds.number(name)),
            identity: cells.identity.map(|name| self.identities.number(name)),
            attributes: cells.attributes,
            face,
            split: cells.split.map(|name| self.splits.number(name)),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
