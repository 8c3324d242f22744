//! Relatedness tables as TOML: for each expression its prototypical action units and its observational ones with weights.

use super::DataError;
use crate::objective::{ACTION_UNITS, EXPRESSIONS, Relatedness};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The table of Du, Tao and Martinez 2014.
const DU2014: &str = include_str!("../../assets/relatedness/du2014.toml");

/// A row of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Units {
    #[serde(default)]
    prototypical: Vec<u32>,
    #[serde(default)]
    observational: BTreeMap<String, f32>,
}

/// A table and what of it was ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The table: 1 for prototypical action units, the weight for observational ones.
    pub table: Relatedness,
    /// Action units that the model does not have, each said once.
    pub warnings: Vec<String>,
}

/// The table named `du2014`, or the one in the TOML file at a path.
///
/// # Errors
/// [`DataError::Relatedness`], [`DataError::Read`].
pub fn load(name: &str) -> Result<Loaded, DataError> {
    if name == "du2014" {
        return parse(name, DU2014);
    }
    let path = Path::new(name);
    let text = std::fs::read_to_string(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(name, &text)
}

/// Reads a table's text; `name` is for messages.
///
/// # Errors
/// [`DataError::Relatedness`].
pub fn parse(name: &str, text: &str) -> Result<Loaded, DataError> {
    let error = |reason: String| DataError::Relatedness {
        name: name.to_owned(),
        reason,
    };
    let rows: BTreeMap<String, Units> = toml::from_str(text).map_err(|e| error(e.to_string()))?;
    let mut weights = vec![vec![0.0_f32; ACTION_UNITS.len()]; EXPRESSIONS.len()];
    let mut ignored: Vec<u32> = Vec::new();
    for (expression, units) in &rows {
        let row = EXPRESSIONS
            .iter()
            .position(|known| known == expression)
            .ok_or_else(|| {
                error(format!(
                    "`{expression}` is no expression; there are {}",
                    EXPRESSIONS.join(", ")
                ))
            })?;
        let prototypical = units.prototypical.iter().map(|unit| Ok((*unit, 1.0)));
        let observational = units.observational.iter().map(|(unit, weight)| {
            let unit = unit
                .parse()
                .map_err(|_| error(format!("`{unit}` is no action unit's number")))?;
            Ok((unit, *weight))
        });
        for entry in prototypical.chain(observational) {
            let (unit, weight) = entry?;
            match ACTION_UNITS.iter().position(|known| *known == unit) {
                Some(column) => weights[row][column] = weight,
                None if !ignored.contains(&unit) => ignored.push(unit),
                None => {}
            }
        }
    }
    Ok(Loaded {
        table: Relatedness::new(&weights).map_err(|e| error(e.to_string()))?,
        warnings: ignored
            .iter()
            .map(|unit| {
                format!("relatedness table `{name}`: the model has no AU {unit}; it is ignored")
            })
            .collect(),
    })
}
