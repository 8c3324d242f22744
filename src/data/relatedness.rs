//! Relatedness tables as TOML: for each expression its prototypical action units and its observational ones with weights.

mod between;
mod estimate;
mod heat_map;

pub use between::Between;
pub use estimate::{Classes, Count, Detections, Distance, Estimate, SMOOTHING};

use super::{DataError, nearest};
use crate::objective::{ACTION_UNITS, EXPRESSIONS, Relatedness, Tasks};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The table of Du, Tao and Martinez 2014.
const DU2014: &str = include_str!("../../assets/relatedness/du2014.toml");

/// A row of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Units {
    #[serde(default)]
    prototypical: Vec<Name>,
    #[serde(default)]
    observational: BTreeMap<String, f32>,
}

/// The rows of a file by class.
type Rows = BTreeMap<String, Units>;

/// An action unit's number, or any other detection's name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Name {
    Number(u32),
    Text(String),
}

impl Name {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A table and what of it was ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The table: 1 for prototypical action units, the weight for observational ones.
    pub table: Relatedness,
    /// Action units that the model does not have, each said once.
    pub warnings: Vec<String>,
}

/// The tables that come with the program.
const NAMED: [(&str, &str); 1] = [("du2014", DU2014)];

/// The table of a name that comes with the program (`du2014`), or the one in the TOML file at a path.
///
/// # Errors
/// [`DataError::Relatedness`], [`DataError::Read`].
pub fn load(name: &str) -> Result<Loaded, DataError> {
    if let Some((_, text)) = NAMED.iter().find(|(known, _)| *known == name) {
        return parse(name, text);
    }
    let path = Path::new(name);
    if path.extension().is_none() {
        let known = NAMED.map(|(known, _)| known).join(", ");
        return Err(DataError::Relatedness {
            name: name.to_owned(),
            reason: format!(
                "there is no table of this name; give one of {known}, or a file (.toml)"
            ),
        });
    }
    let text = std::fs::read_to_string(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(name, &text)
}

/// Reads a table's text, which has a TOML table for each expression; `name` is for messages.
///
/// # Errors
/// [`DataError::Relatedness`] for text of another form, an unknown or missing expression, an action unit given twice, and a
/// weight outside 0 to 1.
pub fn parse(name: &str, text: &str) -> Result<Loaded, DataError> {
    let error = |reason: String| DataError::Relatedness {
        name: name.to_owned(),
        reason,
    };
    let rows: Rows =
        toml::from_str(text).map_err(|e| error(e.to_string().trim_end().to_owned()))?;
    if let Some(unknown) = rows.keys().find(|key| !EXPRESSIONS.contains(&key.as_str())) {
        let nearest = nearest(unknown, &EXPRESSIONS).unwrap_or_default();
        return Err(error(format!(
            "`{unknown}` is no expression (did you mean `{nearest}`?); there are {}",
            EXPRESSIONS.join(", ")
        )));
    }
    let mut weights = vec![vec![0.0_f32; ACTION_UNITS.len()]; EXPRESSIONS.len()];
    let mut ignored = BTreeSet::new();
    for (expression, row) in EXPRESSIONS.iter().zip(&mut weights) {
        let row_error = |reason| error(format!("{expression}: {reason}"));
        let units = rows.get(*expression).ok_or_else(|| {
            error(format!(
                "`{expression}` is missing; write [{expression}], empty where no action unit goes with it"
            ))
        })?;
        for (unit, weight) in units.weights().map_err(row_error)? {
            let unit = unit
                .parse::<u32>()
                .map_err(|_| row_error(format!("`{unit}` is no action unit's number")))?;
            match ACTION_UNITS.iter().position(|known| *known == unit) {
                Some(column) => row[column] = weight,
                None => {
                    ignored.insert(unit);
                }
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

impl Units {
    /// Each detection with its weight: 1 where it is prototypical.
    fn weights(&self) -> Result<BTreeMap<String, f32>, String> {
        let mut weights = BTreeMap::new();
        let prototypical = self.prototypical.iter().map(|unit| (unit.text(), 1.0));
        let observational = self.observational.iter();
        let observational = observational.map(|(unit, weight)| (unit.clone(), *weight));
        for (unit, weight) in prototypical.chain(observational) {
            let label = match unit.parse::<u32>() {
                Ok(number) => format!("AU {number}"),
                Err(_) => format!("`{unit}`"),
            };
            if !(0.0..=1.0).contains(&weight) {
                return Err(format!(
                    "{label} has the weight {weight}, but it must be from 0 to 1"
                ));
            }
            if weights.insert(unit, weight).is_some() {
                return Err(format!("{label} is given twice"));
            }
        }
        Ok(weights)
    }
}

/// The table at a path for any two tasks, or of a name that comes with the program for expression and action units.
///
/// # Errors
/// As [`load`] and [`Between::parse`].
pub fn load_between(name: &str, between: &Between<'_>) -> Result<Loaded, DataError> {
    let path = Path::new(name);
    let affect = Tasks::affect();
    let tasks = [between.classes.1, between.detections.1];
    if tasks
        .iter()
        .all(|task| affect.get(&task.name) == Some(task))
    {
        return load(name);
    }
    if path.extension().is_none() {
        return Err(DataError::Relatedness {
            name: name.to_owned(),
            reason: format!(
                "no table of this name relates `{}` and `{}`; give a file (.toml), or \"estimate\"",
                tasks[0].name, tasks[1].name
            ),
        });
    }
    let text = std::fs::read_to_string(path).map_err(|source| DataError::Read {
        path: path.to_owned(),
        source,
    })?;
    between.parse(name, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn du_and_others_2014_has_the_papers_weights() {
        let loaded = load("du2014").unwrap();
        // By expression in the house's order: (action unit, weight).
        let wanted: [&[(u32, f32)]; 7] = [
            &[],
            &[
                (4, 1.0),
                (7, 1.0),
                (24, 1.0),
                (10, 0.26),
                (17, 0.52),
                (23, 0.29),
            ],
            &[(9, 1.0), (10, 1.0), (17, 1.0), (4, 0.31), (24, 0.26)],
            &[
                (1, 1.0),
                (4, 1.0),
                (20, 1.0),
                (25, 1.0),
                (2, 0.57),
                (5, 0.63),
                (26, 0.33),
            ],
            &[(12, 1.0), (25, 1.0), (6, 0.51)],
            &[(4, 1.0), (15, 1.0), (1, 0.60), (6, 0.50), (17, 0.67)],
            &[(1, 1.0), (2, 1.0), (25, 1.0), (26, 1.0), (5, 0.66)],
        ];
        for (expression, wanted) in wanted.into_iter().enumerate() {
            let row = loaded.table.row(expression);
            for (unit, weight) in ACTION_UNITS.iter().zip(row) {
                let want = wanted
                    .iter()
                    .find(|(u, _)| u == unit)
                    .map_or(0.0, |(_, w)| *w);
                assert_eq!(*weight, want, "{} AU {unit}", EXPRESSIONS[expression]);
            }
        }
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains("no AU 11"));
    }

    /// Every expression but the first, empty.
    fn rest() -> String {
        EXPRESSIONS[1..]
            .iter()
            .map(|name| format!("[{name}]\n"))
            .collect()
    }

    #[test]
    fn a_unit_that_the_model_lacks_is_said_once() {
        let text = format!(
            "{}prototypical = [27, 1]\n[neutral]\nobservational = {{ 27 = 0.5 }}\n",
            rest()
        );
        let loaded = parse("mine", &text).unwrap();
        assert_eq!(loaded.warnings.len(), 1);
        assert_eq!(loaded.table.row(6)[0], 1.0);
    }

    #[test]
    fn rejects_what_is_no_table() {
        let rest = rest();
        for (text, wanted) in [
            (rest.clone(), "`neutral` is missing"),
            (
                format!("{rest}[neutral]\n[joy]\n"),
                "`joy` is no expression",
            ),
            (format!("{rest}[neutral]\nunits = [1]\n"), "unknown field"),
            (
                format!("{rest}[neutral]\nprototypical = [1, 1]\n"),
                "neutral: AU 1 is given twice",
            ),
            (
                format!("{rest}[neutral]\nprototypical = [1]\nobservational = {{ 1 = 0.5 }}\n"),
                "AU 1 is given twice",
            ),
            (
                format!("{rest}[neutral]\nobservational = {{ 1 = 1.5 }}\n"),
                "AU 1 has the weight 1.5",
            ),
            (
                format!("{rest}[neutral]\nobservational = {{ 1 = nan }}\n"),
                "AU 1 has the weight NaN",
            ),
            (
                format!("{rest}[neutral]\nobservational = {{ six = 0.5 }}\n"),
                "`six` is no action unit",
            ),
            ("[neutral".to_owned(), "line 1"),
        ] {
            let error = parse("mine", &text).unwrap_err().to_string();
            assert!(
                error.starts_with("relatedness table `mine`: ") && error.contains(wanted),
                "{error}"
            );
        }
        let error = load("du2015").unwrap_err().to_string();
        assert!(error.contains("give one of du2014"), "{error}");
        let error = load("no/such.toml").unwrap_err();
        assert!(matches!(error, DataError::Read { .. }), "{error}");
    }

    #[test]
    fn a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, DU2014).unwrap();
        let loaded = load(path.to_str().unwrap()).unwrap();
        assert_eq!(loaded.table, load("du2014").unwrap().table);
    }
}
