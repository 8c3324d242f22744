//! The records of a text file, with their lines.

use super::column::Column;
use crate::data::DataError;
use std::path::Path;

/// The text of a file, without a byte order mark.
pub(super) fn text(path: &Path) -> Result<String, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        DataError::Row {
            path: path.to_owned(),
            line: 1 + count_lines(good),
            reason: "the text is not UTF-8; convert the file".to_owned(),
        }
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// A record of a CSV file.
#[derive(Debug)]
pub(super) struct Record {
    /// The line at which it begins, counted from 1.
    pub(super) line: usize,
    pub(super) cells: csv::StringRecord,
}

impl Record {
    pub(super) fn names(&self) -> Vec<String> {
        self.cells.iter().map(str::to_owned).collect()
    }
}

/// The records of a CSV file, header first, all of one length.
pub(super) struct Records<'a> {
    path: &'a Path,
    text: &'a str,
    reader: csv::Reader<&'a [u8]>,
    /// A place in the text, and its line.
    place: (usize, usize),
}

impl<'a> Records<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self {
            path,
            text,
            reader: csv::ReaderBuilder::new()
                .has_headers(false)
                .trim(csv::Trim::All)
                .from_reader(text.as_bytes()),
            place: (0, 1),
        }
    }

    /// The line of the record that is read from `byte` on. The reader's own count is behind where empty lines or `\r\n` come
    /// before a record.
    fn line(&mut self, byte: usize) -> usize {
        let bytes = self.text.as_bytes();
        let breaks = bytes[byte.min(bytes.len())..]
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let start = (byte + breaks).min(bytes.len());
        let (from, line) = self.place;
        self.place = (start, line + count_lines(&bytes[from.min(start)..start]));
        self.place.1
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let before = self.reader.position().byte() as usize;
        let mut cells = csv::StringRecord::new();
        match self.reader.read_record(&mut cells) {
            Ok(false) => None,
            Ok(true) => {
                let line = self.line(before);
                Some(Ok(Record { line, cells }))
            }
            Err(error) => {
                let reason = match error.kind() {
                    csv::ErrorKind::UnequalLengths {
                        expected_len, len, ..
                    } => format!("the row has {len} cells, the header has {expected_len}"),
                    _ => error.to_string(),
                };
                Some(Err(DataError::Row {
                    path: self.path.to_owned(),
                    line: self.line(before),
                    reason,
                }))
            }
        }
    }
}

/// The names and cells of a JSON object that stands on a line; `null` is an empty cell.
pub(super) fn json(
    path: &Path,
    line: usize,
    text: &str,
) -> Result<Vec<(String, String)>, DataError> {
    let error = |reason: String| DataError::Row {
        path: path.to_owned(),
        line,
        reason,
    };
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|e| error(format!("not a JSON object: {e}")))?;
    let mut cells = Vec::with_capacity(object.len());
    for (name, value) in object {
        let text = match value {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.trim().to_owned(),
            serde_json::Value::Bool(on) => u8::from(on).to_string(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => return Err(error(format!("`{name}` is neither text nor a number"))),
        };
        cells.push((name, text));
    }
    Ok(cells)
}

/// Refuses a column that stands twice, under one name or two.
pub(super) fn refuse_duplicates(
    path: &Path,
    line: usize,
    columns: &[Column],
    names: &[String],
) -> Result<(), DataError> {
    for (index, column) in columns.iter().enumerate() {
        if *column != Column::Ignored && columns[..index].contains(column) {
            return Err(DataError::DuplicateColumn {
                path: path.to_owned(),
                line,
                column: names[index].clone(),
            });
        }
    }
    Ok(())
}
