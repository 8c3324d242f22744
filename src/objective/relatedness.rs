//! How much each expression has to do with each action unit.

use super::{MatchingTable, ObjectiveError};
use crate::random::Random;
use serde::Serialize;

/// A table of weights `W[e][i]` in [0, 1], a row for each class of expression and a column for each action unit of the
/// tasks: 1 for prototypical units, the observational weight or an estimated p(AU_i | e), and 0 for unrelated ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Relatedness {
    weights: Vec<f32>,
    classes: usize,
    action_units: usize,
}

impl Relatedness {
    /// Takes the rows of the table.
    ///
    /// # Errors
    /// [`ObjectiveError::TableRow`] where rows differ in length, [`ObjectiveError::TableCell`] for a value outside [0, 1].
    pub fn new(rows: &[impl AsRef<[f32]>]) -> Result<Self, ObjectiveError> {
        let action_units = rows.first().map_or(0, |row| row.as_ref().len());
        let mut weights = Vec::with_capacity(rows.len() * action_units);
        for (expression, row) in rows.iter().map(AsRef::as_ref).enumerate() {
            if row.len() != action_units {
                return Err(ObjectiveError::TableRow {
                    expression,
                    asked: row.len(),
                    allowed: action_units,
                });
            }
            for (unit, &asked) in row.iter().enumerate() {
                if !(0.0..=1.0).contains(&asked) {
                    return Err(ObjectiveError::TableCell {
                        expression,
                        unit,
                        asked,
                    });
                }
            }
            weights.extend_from_slice(row);
        }
        Ok(Self {
            weights,
            classes: rows.len(),
            action_units,
        })
    }

    /// The number of rows.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of columns.
    pub fn action_units(&self) -> usize {
        self.action_units
    }

    /// W, row by row.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The weights of a class.
    ///
    /// # Panics
    /// Where there is no such class.
    pub fn row(&self, class: usize) -> &[f32] {
        &self.weights[class * self.action_units..][..self.action_units]
    }

    /// The same rows dealt to other classes, so that none keeps its own: a negative control that says as much and nothing true.
    /// What the rows are together, such as how often each action unit is on over all classes, stays.
    pub fn shuffled(&self, seed: u64) -> Self {
        let random = Random::new(seed, "shuffled relatedness");
        let mut order: Vec<usize> = (0..self.classes).collect();
        // Sattolo's algorithm (1986): a uniformly drawn permutation of one cycle, which leaves nothing in its place.
        for last in (1..order.len()).rev() {
            let other = random.below(last as u64, last as u64) as usize;
            order.swap(last, other);
        }
        Self {
            weights: order
                .iter()
                .flat_map(|&class| self.row(class))
                .copied()
                .collect(),
            ..*self
        }
    }

    /// R, row by row: what distribution matching takes.
    pub fn matching(&self, table: MatchingTable) -> Vec<f32> {
        let cell = |&weight: &f32| match table {
            MatchingTable::Binary => f32::from(u8::from(weight > 0.0)),
            MatchingTable::Weighted => weight,
        };
        self.weights.iter().map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_weights_and_makes_them_binary_on_request() {
        let table = Relatedness::new(&[[0.0, 1.0, 0.25], [0.5, 0.0, 0.0]]).unwrap();
        assert_eq!((table.classes(), table.action_units()), (2, 3));
        assert_eq!(table.row(1), [0.5, 0.0, 0.0]);
        let binary = table.matching(MatchingTable::Binary);
        assert_eq!(binary, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(table.matching(MatchingTable::Weighted), table.weights());
    }

    #[test]
    fn shuffled_rows_are_the_same_and_none_is_in_its_place() {
        let rows: Vec<[f32; 2]> = (0..7_u8).map(|row| [f32::from(row) / 8.0, 1.0]).collect();
        let table = Relatedness::new(&rows).unwrap();
        let mut seen = std::collections::HashSet::new();
        for seed in 0..50 {
            let shuffled = table.shuffled(seed);
            assert_eq!(shuffled, table.shuffled(seed));
            let firsts: Vec<f32> = (0..7).map(|class| shuffled.row(class)[0]).collect();
            for (class, first) in firsts.iter().enumerate() {
                assert_ne!(*first, rows[class][0], "seed {seed}");
            }
            let mut sorted = firsts.clone();
            sorted.sort_by(f32::total_cmp);
            assert_eq!(sorted, rows.iter().map(|row| row[0]).collect::<Vec<_>>());
            seen.insert(format!("{firsts:?}"));
        }
        // Of 720 cycles.
        assert!(seen.len() > 40, "{}", seen.len());
    }

    #[test]
    fn rejects_ragged_rows_and_what_is_no_probability() {
        let ragged = Relatedness::new(&[vec![0.0, 1.0], vec![1.0]]).unwrap_err();
        assert!(matches!(
            ragged,
            ObjectiveError::TableRow { expression: 1, .. }
        ));
        for bad in [-0.1, 1.1, f32::NAN] {
            let error = Relatedness::new(&[[0.0, bad]]).unwrap_err();
            assert!(
                matches!(error, ObjectiveError::TableCell { unit: 1, .. }),
                "{error}"
            );
        }
    }
}
