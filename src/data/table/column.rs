//! What the columns of a table hold, and what their cells may say.

use super::Wanted;
use crate::data::{DataError, nearest};
use crate::objective::{ACTION_UNITS, AffectLabels, EXPRESSIONS};
use std::path::Path;

/// Bits for attributes.
pub(super) const MOST_ATTRIBUTES: usize = 64;

/// The columns with a meaning, but for the action units.
const NAMES: [&str; 11] = [
    "image",
    "expression",
    "valence",
    "arousal",
    "compound",
    "identity",
    "x",
    "y",
    "w",
    "h",
    "split",
];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Image,
    Expression,
    /// Valence or arousal.
    Affect(usize),
    /// By its position among the model's.
    ActionUnit(usize),
    /// One that the model does not have.
    UnknownUnit,
    Compound,
    Identity,
    /// A side of the face's box.
    Face(usize),
    Split,
    /// By its bit.
    Attribute(usize),
    /// The classes of a task, by its number among the table's.
    Class(usize),
    /// The values of a task, by its number among the table's.
    Value(usize),
    Ignored,
}

impl Column {
    /// What a name stands for; `None` where it is an attribute.
    pub(super) fn known(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let column = match name.as_str() {
            "image" => Self::Image,
            "expression" => Self::Expression,
            "valence" => Self::Affect(0),
            "arousal" => Self::Affect(1),
            "compound" => Self::Compound,
            "identity" => Self::Identity,
            "x" => Self::Face(0),
            "y" => Self::Face(1),
            "w" => Self::Face(2),
            "h" => Self::Face(3),
            "split" => Self::Split,
            name => {
                let digits = name.strip_prefix("au")?;
                if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                let number: u32 = digits.parse().ok()?;
                match ACTION_UNITS.iter().position(|unit| *unit == number) {
                    Some(place) => Self::ActionUnit(place),
                    None => Self::UnknownUnit,
                }
            }
        };
        Some(column)
    }
}

/// The cells of a row.
#[derive(Debug)]
pub(super) struct Cells<'c> {
    path: &'c Path,
    pub(super) line: usize,
    pub(super) image: Option<&'c str>,
    pub(super) labels: AffectLabels,
    pub(super) affect: [Option<f32>; 2],
    pub(super) compound: Option<&'c str>,
    pub(super) identity: Option<&'c str>,
    pub(super) attributes: [u64; 2],
    /// By column of classes that a task asked for.
    pub(super) classes: Vec<Option<&'c str>>,
    /// By column of values that a task asked for.
    pub(super) values: Vec<Option<f32>>,
    pub(super) face: [Option<f32>; 4],
    pub(super) split: Option<&'c str>,
}

impl<'c> Cells<'c> {
    pub(super) fn new(path: &'c Path, line: usize, wanted: &Wanted) -> Self {
        Self {
            path,
            line,
            image: None,
            labels: AffectLabels::default(),
            affect: [None; 2],
            compound: None,
            identity: None,
            attributes: [0; 2],
            classes: vec![None; wanted.classes.len()],
            values: vec![None; wanted.values.len()],
            face: [None; 4],
            split: None,
        }
    }

    /// Takes a cell; an empty one is a missing label.
    pub(super) fn take(
        &mut self,
        column: Column,
        name: &str,
        cell: &'c str,
    ) -> Result<(), DataError> {
        if cell.is_empty() {
            return Ok(());
        }
        let error = |allowed: String| DataError::Cell {
            path: self.path.to_owned(),
            line: self.line,
            column: name.to_owned(),
            found: cell.to_owned(),
            allowed,
        };
        match column {
            Column::Image => self.image = Some(cell),
            Column::Expression => self.labels.expression = Some(expression(cell).map_err(error)?),
            Column::Affect(axis) => self.affect[axis] = Some(affect(cell).map_err(error)?),
            Column::ActionUnit(unit) => {
                let on = bit(cell).ok_or_else(|| error("0, 1 or empty".to_owned()))?;
                self.labels.au_mask |= 1 << unit;
                self.labels.au_value |= on << unit;
            }
            Column::Attribute(attribute) => {
                let on = bit(cell).ok_or_else(|| error(attribute_cell(name)))?;
                self.attributes[0] |= 1 << attribute;
                self.attributes[1] |= on << attribute;
            }
            Column::Class(number) => self.classes[number] = Some(cell),
            Column::Value(number) => self.values[number] = Some(number_cell(cell).map_err(error)?),
            Column::Compound => self.compound = Some(cell),
            Column::Identity => self.identity = Some(cell),
            Column::Face(side) => self.face[side] = Some(pixels(cell, side >= 2).map_err(error)?),
            Column::Split => self.split = Some(cell),
            Column::UnknownUnit | Column::Ignored => {}
        }
        Ok(())
    }
}

fn bit(cell: &str) -> Option<u64> {
    match cell.parse::<f32>() {
        Ok(0.0) => Some(0),
        Ok(1.0) => Some(1),
        _ => None,
    }
}

/// What an attribute's cell may be; a text there is often a misspelt column.
fn attribute_cell(name: &str) -> String {
    let nearest = nearest(&name.to_lowercase(), &NAMES).unwrap_or_default();
    format!(
        "0, 1 or empty, as the column is taken for an attribute (did you mean the column `{nearest}`?)"
    )
}

fn number_cell(cell: &str) -> Result<f32, String> {
    match cell.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("a finite number, or empty".to_owned()),
    }
}

fn affect(cell: &str) -> Result<f32, String> {
    match cell.parse::<f32>() {
        Ok(value) if (-1.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a number from -1 to 1, or empty".to_owned()),
    }
}

fn pixels(cell: &str, length: bool) -> Result<f32, String> {
    match cell.parse::<f32>() {
        Ok(value) if value.abs() <= 1e6 && (value > 0.0 || !length) => Ok(value),
        _ if length => Err("a number of pixels above 0, or empty".to_owned()),
        _ => Err("a number of pixels, or empty".to_owned()),
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
