//! Tables of pairs, for verification.

use super::records::{Records, text};
use crate::data::DataError;
use std::path::{Path, PathBuf};

/// Two images of a verification table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The images.
    pub images: [PathBuf; 2],
    /// Whether they show one person.
    pub same: bool,
}

const COLUMNS: [&str; 3] = ["image_a", "image_b", "same"];

/// Reads a verification table: a CSV with the columns `image_a`, `image_b`, `same` (1 or 0); other columns are passed over.
/// Image paths are taken relative to the table.
///
/// # Errors
/// [`DataError`] with file and line.
pub fn read_pairs(path: &Path) -> Result<Vec<Pair>, DataError> {
    let text = text(path)?;
    let empty = || DataError::Empty {
        path: path.to_owned(),
    };
    let mut records = Records::new(path, &text);
    let header = records.next().transpose()?.ok_or_else(empty)?;
    let names = header.names();
    let mut places = [0; 3];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let mut found = (0..names.len()).filter(|index| names[*index] == column);
        *place = found.next().ok_or_else(|| DataError::MissingColumn {
            path: path.to_owned(),
            line: header.line,
            column,
            found: names.clone(),
        })?;
        if found.next().is_some() {
            return Err(DataError::DuplicateColumn {
                path: path.to_owned(),
                line: header.line,
                column: column.to_owned(),
            });
        }
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut pairs = Vec::new();
    for record in records {
        let record = record?;
        let error = |place: usize, allowed: &str| DataError::Cell {
            path: path.to_owned(),
            line: record.line,
            column: COLUMNS[place].to_owned(),
            found: record.cells[places[place]].to_owned(),
            allowed: allowed.to_owned(),
        };
        let image = |place: usize| match &record.cells[places[place]] {
            "" => Err(error(place, "an image's path")),
            cell => Ok(folder.join(cell)),
        };
        let same = match &record.cells[places[2]] {
            "1" => true,
            "0" => false,
            _ => return Err(error(2, "0 or 1")),
        };
        pairs.push(Pair {
            images: [image(0)?, image(1)?],
            same,
        });
    }
    if pairs.is_empty() {
        return Err(empty());
    }
    if pairs.iter().all(|pair| pair.same == pairs[0].same) {
        return Err(DataError::OneAnswer {
            path: path.to_owned(),
            same: u8::from(pairs[0].same),
        });
    }
    Ok(pairs)
}
