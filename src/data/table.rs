//! Tables of annotations: CSV with a header, or JSON Lines.

use super::DataError;
use crate::objective::{ACTION_UNITS, EXPRESSIONS, Labels};
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
    pub labels: Labels,
    /// The compound expression.
    pub compound: Option<u32>,
    /// The person.
    pub identity: Option<u32>,
    /// Which attributes are annotated, and which of them are on.
    pub attributes: [u64; 2],
    /// The face's box in pixels: x, y, width, height.
    pub face: Option<[f32; 4]>,
    /// The split's name.
    pub split: Option<String>,
}

impl Row {
    /// An image without labels.
    pub fn unlabelled(image: PathBuf) -> Self {
        Self {
            line: 0,
            image,
            labels: Labels::default(),
            compound: None,
            identity: None,
            attributes: [0; 2],
            face: None,
            split: None,
        }
    }
}

/// Two images of a verification table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The images.
    pub images: [PathBuf; 2],
    /// Whether they show one person.
    pub same: bool,
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
enum Column {
    Image,
    Expression,
    Axis(usize),
    ActionUnit(usize),
    Compound,
    Identity,
    Face(usize),
    Split,
    Attribute(usize),
    Ignored,
}

/// A table while it is read.
struct Reader<'a> {
    path: &'a Path,
    folder: PathBuf,
    table: Table,
    identities: BTreeMap<String, u32>,
    compounds: BTreeMap<String, u32>,
}

impl Table {
    /// Reads a table; JSON Lines by the endings `.jsonl` and `.ndjson`, else CSV. Image paths are taken relative to the table.
    ///
    /// # Errors
    /// [`DataError`] with file and line.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = read(path)?;
        let mut reader = Reader {
            path,
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            table: Self::default(),
            identities: BTreeMap::new(),
            compounds: BTreeMap::new(),
        };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl" | "ndjson") => reader.json_lines(&text)?,
            _ => reader.csv(&text)?,
        }
        if reader.table.rows.is_empty() {
            return Err(DataError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(reader.table)
    }
}

fn read(path: &Path) -> Result<String, DataError> {
    std::fs::read_to_string(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The records of a CSV file with their lines, header first.
fn records(path: &Path, text: &str) -> Result<Vec<(usize, csv::StringRecord)>, DataError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut records = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| DataError::Row {
            path: path.to_owned(),
            line: error.position().map_or(0, |p| p.line() as usize),
            reason: match error.kind() {
                csv::ErrorKind::UnequalLengths {
                    expected_len, len, ..
                } => {
                    format!("the row has {len} cells, the header has {expected_len}")
                }
                _ => error.to_string(),
            },
        })?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        records.push((line, record));
    }
    Ok(records)
}

/// The header's names, each once.
fn header(path: &Path, record: &csv::StringRecord) -> Result<Vec<String>, DataError> {
    let names: Vec<String> = record
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_owned())
        .collect();
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(DataError::DuplicateColumn {
                path: path.to_owned(),
                column: name.clone(),
            });
        }
    }
    Ok(names)
}

/// Reads a verification table: a CSV with the columns `image_a`, `image_b`, `same` (1 or 0).
///
/// # Errors
/// [`DataError`] with file and line.
pub fn read_pairs(path: &Path) -> Result<Vec<Pair>, DataError> {
    let text = read(path)?;
    let records = records(path, &text)?;
    let Some(((_, first), rows)) = records.split_first() else {
        return Err(DataError::Empty {
            path: path.to_owned(),
        });
    };
    let names = header(path, first)?;
    let place = |column: &'static str| {
        names
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| DataError::MissingColumn {
                path: path.to_owned(),
                column,
                found: names.clone(),
            })
    };
    let places = [place("image_a")?, place("image_b")?, place("same")?];
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut pairs = Vec::new();
    for (line, row) in rows {
        let same = match &row[places[2]] {
            "1" => true,
            "0" => false,
            found => {
                return Err(DataError::Cell {
                    path: path.to_owned(),
                    line: *line,
                    column: "same".to_owned(),
                    found: found.to_owned(),
                    allowed: "0 or 1".to_owned(),
                });
            }
        };
        pairs.push(Pair {
            images: [folder.join(&row[places[0]]), folder.join(&row[places[1]])],
            same,
        });
    }
    match pairs.is_empty() {
        true => Err(DataError::Empty {
            path: path.to_owned(),
        }),
        false => Ok(pairs),
    }
}

impl Reader<'_> {
    fn csv(&mut self, text: &str) -> Result<(), DataError> {
        let records = records(self.path, text)?;
        let Some(((_, first), rows)) = records.split_first() else {
            return Ok(());
        };
        let names = header(self.path, first)?;
        let columns: Vec<Column> = names.iter().map(|name| self.column(name)).collect();
        if !columns.contains(&Column::Image) {
            return Err(DataError::MissingColumn {
                path: self.path.to_owned(),
                column: "image",
                found: names,
            });
        }
        for (line, record) in rows {
            let cells = columns.iter().zip(&names).zip(record.iter());
            self.row(
                *line,
                cells.map(|((column, name), cell)| (column, name.as_str(), cell)),
            )?;
        }
        Ok(())
    }

    fn json_lines(&mut self, text: &str) -> Result<(), DataError> {
        for (index, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let row = |reason: String| DataError::Row {
                path: self.path.to_owned(),
                line: index + 1,
                reason,
            };
            let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)
                .map_err(|error| row(format!("not a JSON object: {error}")))?;
            let mut cells = Vec::new();
            for (name, value) in object {
                let text = match value {
                    serde_json::Value::Null => String::new(),
                    serde_json::Value::String(text) => text,
                    serde_json::Value::Bool(on) => u8::from(on).to_string(),
                    serde_json::Value::Number(number) => number.to_string(),
                    _ => return Err(row(format!("`{name}` is neither text nor a number"))),
                };
                cells.push((name, text));
            }
            let columns: Vec<Column> = cells.iter().map(|(name, _)| self.column(name)).collect();
            let cells = columns
                .iter()
                .zip(&cells)
                .map(|(column, (name, cell))| (column, name.as_str(), cell.as_str()));
            self.row(index + 1, cells)?;
        }
        Ok(())
    }

    fn column(&mut self, name: &str) -> Column {
        let unit = |name: &str| name.strip_prefix("au")?.parse::<u32>().ok();
        match name {
            "image" => Column::Image,
            "expression" => Column::Expression,
            "valence" => Column::Axis(0),
            "arousal" => Column::Axis(1),
            "compound" => Column::Compound,
            "identity" => Column::Identity,
            "x" => Column::Face(0),
            "y" => Column::Face(1),
            "w" => Column::Face(2),
            "h" => Column::Face(3),
            "split" => Column::Split,
            _ => match unit(name) {
                Some(number) => match ACTION_UNITS.iter().position(|unit| *unit == number) {
                    Some(place) => Column::ActionUnit(place),
                    None => {
                        self.warn(format!(
                            "{}: {name} is not among the model's action units and is ignored",
                            self.path.display()
                        ));
                        Column::Ignored
                    }
                },
                None => self.attribute(name),
            },
        }
    }

    fn attribute(&mut self, name: &str) -> Column {
        let attributes = &mut self.table.attributes;
        match attributes.iter().position(|attribute| attribute == name) {
            Some(place) => Column::Attribute(place),
            None if attributes.len() == 64 => {
                self.warn(format!(
                    "{}: attributes beyond 64 are ignored, from `{name}` on",
                    self.path.display()
                ));
                Column::Ignored
            }
            None => {
                attributes.push(name.to_owned());
                Column::Attribute(attributes.len() - 1)
            }
        }
    }

    fn warn(&mut self, warning: String) {
        if !self.table.warnings.contains(&warning) {
            self.table.warnings.push(warning);
        }
    }

    fn row<'c>(
        &mut self,
        line: usize,
        cells: impl Iterator<Item = (&'c Column, &'c str, &'c str)>,
    ) -> Result<(), DataError> {
        let mut row = Row {
            line,
            ..Row::unlabelled(PathBuf::new())
        };
        let mut axes = [None; 2];
        let mut face = [None; 4];
        for (column, name, cell) in cells {
            let error = |allowed: String| DataError::Cell {
                path: self.path.to_owned(),
                line,
                column: name.to_owned(),
                found: cell.to_owned(),
                allowed,
            };
            if cell.is_empty() {
                continue;
            }
            match column {
                Column::Image => row.image = self.folder.join(cell),
                Column::Expression => {
                    row.labels.expression = Some(expression(cell).map_err(error)?)
                }
                Column::Axis(axis) => axes[*axis] = Some(number(cell, -1.0, 1.0).map_err(error)?),
                Column::ActionUnit(unit) => {
                    let on = bit(cell).map_err(error)?;
                    row.labels.au_mask |= 1 << unit;
                    row.labels.au_value |= on << unit;
                }
                Column::Attribute(attribute) => {
                    let on = bit(cell).map_err(error)?;
                    row.attributes[0] |= 1 << attribute;
                    row.attributes[1] |= on << attribute;
                }
                Column::Compound => {
                    row.compound =
                        Some(intern(&mut self.compounds, &mut self.table.compounds, cell))
                }
                Column::Identity => {
                    row.identity = Some(intern(
                        &mut self.identities,
                        &mut self.table.identities,
                        cell,
                    ))
                }
                Column::Face(side) => face[*side] = Some(number(cell, -1e6, 1e6).map_err(error)?),
                Column::Split => row.split = Some(cell.to_owned()),
                Column::Ignored => {}
            }
        }
        self.finish(row, axes, face)
    }

    /// Checks what spans several cells.
    fn finish(
        &mut self,
        mut row: Row,
        axes: [Option<f32>; 2],
        face: [Option<f32>; 4],
    ) -> Result<(), DataError> {
        let missing = |reason: &str| DataError::Row {
            path: self.path.to_owned(),
            line: row.line,
            reason: reason.to_owned(),
        };
        if row.image.as_os_str().is_empty() {
            return Err(missing("the row has no image"));
        }
        row.labels.valence_arousal = match axes {
            [Some(valence), Some(arousal)] => Some([valence, arousal]),
            [None, None] => None,
            _ => {
                return Err(missing(
                    "valence and arousal go together: give both or neither",
                ));
            }
        };
        row.face = match face {
            [Some(x), Some(y), Some(w), Some(h)] => Some([x, y, w, h]),
            [None, None, None, None] => None,
            _ => return Err(missing("a face box is x, y, w and h: give all or none")),
        };
        self.table.rows.push(row);
        Ok(())
    }
}

fn intern(numbers: &mut BTreeMap<String, u32>, names: &mut Vec<String>, name: &str) -> u32 {
    *numbers.entry(name.to_owned()).or_insert_with(|| {
        names.push(name.to_owned());
        names.len() as u32 - 1
    })
}

fn bit(cell: &str) -> Result<u64, String> {
    match cell.parse::<f32>() {
        Ok(0.0) => Ok(0),
        Ok(1.0) => Ok(1),
        _ => Err("0, 1 or empty".to_owned()),
    }
}

fn number(cell: &str, least: f32, most: f32) -> Result<f32, String> {
    match cell.parse::<f32>() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("a number from {least} to {most}, or empty")),
    }
}

fn expression(cell: &str) -> Result<u32, String> {
    let cell = cell.to_lowercase();
    match EXPRESSIONS.iter().position(|name| *name == cell) {
        Some(place) => Ok(place as u32),
        None => {
            let nearest = nearest(&cell, &EXPRESSIONS).unwrap_or_default();
            Err(format!(
                "one of {} (did you mean `{nearest}`?)",
                EXPRESSIONS.join(", ")
            ))
        }
    }
}

/// The candidate with the fewest edits from `asked`.
pub(crate) fn nearest<'a>(asked: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .copied()
        .min_by_key(|candidate| distance(asked, candidate))
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
