//! The ways to compute a convolution, and which of them a device takes where it was measured.

use super::{Conv2dShape, Tile};
use crate::gpu::Precision;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// What is computed of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// Its output.
    Forward,
    /// The gradient with respect to its input.
    GradInput,
    /// The gradient with respect to its filters.
    GradWeight,
}

/// One of the ways to compute it. All give the same sums, rounded otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The base kernels, in this tile. Not on software adapters.
    Tile(Tile),
    /// Cooperative matrices, the largest of the device.
    Matrices,
    /// The sums as they stand, by the kernels for software adapters.
    Direct,
    /// Winograd's method, by the kernels for software adapters.
    Winograd,
}

/// How the product of a convolution, or of a gradient of it, is made in one dispatch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Product {
    /// As the twin chooses by the shape.
    #[default]
    Own,
    /// By the base kernel in this tile.
    Tile(Tile),
    /// With cooperative matrices of this side, for activations of this precision.
    Matrices(Precision, usize),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(tile) => write!(f, "tile {}×{}", tile.rows(), tile.columns()),
            Self::Matrices => f.write_str("matrices"),
            Self::Direct => f.write_str("direct"),
            Self::Winograd => f.write_str("winograd"),
        }
    }
}

/// A convolution for which there are several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// What is computed.
    pub pass: Pass,
    /// The shape of the forward pass.
    #[serde(flatten)]
    pub shape: Conv2dShape,
    /// How activations are stored.
    pub precision: Precision,
}

/// Which way to take: what was measured, and the twins' own choice by shape for the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    measured: HashMap<Problem, Way>,
    everywhere: Option<Way>,
}

/// What was measured on an adapter, as it is kept between runs: JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// The adapter and its driver.
    pub adapter: String,
    /// A line a problem.
    pub convolutions: Vec<Measured>,
}

impl Tuning {
    /// Reads a text.
    ///
    /// # Errors
    /// Where it is none of [`text`](Self::text)'s.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The text.
    ///
    /// # Errors
    /// None for finite milliseconds.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// Takes newer lines, in place of those about the same problems.
    pub fn update(&mut self, newer: Vec<Measured>) {
        let replaced = |line: &Measured| newer.iter().any(|new| new.problem == line.problem);
        self.convolutions.retain(|line| !replaced(line));
        self.convolutions.extend(newer);
    }
}

/// A line of a table of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What was measured.
    #[serde(flatten)]
    pub problem: Problem,
    /// The way that was fastest; `None` where the twin's own choice was.
    pub way: Option<Way>,
    /// Milliseconds of all layers of this shape, by that way.
    pub ms: f64,
    /// Milliseconds by the twin's own choice.
    pub own_ms: f64,
}

impl Ways {
    /// This way wherever it can be taken, to measure it.
    pub fn everywhere(way: Way) -> Self {
        Self {
            measured: HashMap::new(),
            everywhere: Some(way),
        }
    }

    /// The ways of a table; of two lines about the same problem the last.
    pub fn of(table: &[Measured]) -> Self {
        let lines = table.iter();
        Self {
            measured: lines
                .filter_map(|line| Some((line.problem, line.way?)))
                .collect(),
            everywhere: None,
        }
    }

    /// The way to compute a problem; `None` for the twin's own choice.
    pub fn way(&self, problem: &Problem) -> Option<Way> {
        self.everywhere
            .or_else(|| self.measured.get(problem).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pass: Pass, way: Option<Way>) -> Measured {
        let problem = Problem {
            pass,
            shape: Conv2dShape::linear(2, 3, 4),
            precision: Precision::F16,
        };
        Measured {
            problem,
            way,
            ms: 1.5,
            own_ms: 2.0,
        }
    }

    #[test]
    fn a_table_names_the_ways_of_its_problems_and_no_others() {
        let tile = Way::Tile(Tile::ALL[1]);
        let table = [
            line(Pass::Forward, Some(Way::Matrices)),
            line(Pass::GradInput, None),
            line(Pass::Forward, Some(tile)),
        ];
        let ways = Ways::of(&table);
        assert_eq!(ways.way(&table[0].problem), Some(tile));
        assert_eq!(ways.way(&table[1].problem), None);
        let other = Problem {
            precision: Precision::F32,
            ..table[0].problem
        };
        assert_eq!(ways.way(&other), None);
        let everywhere = Ways::everywhere(Way::Direct);
        assert_eq!(everywhere.way(&other), Some(Way::Direct));
    }

    #[test]
    fn a_table_is_read_as_it_was_written_and_newer_lines_replace_older() {
        let ways = [None, Some(Way::Winograd), Some(Way::Tile(Tile::ALL[0]))];
        let passes = [Pass::Forward, Pass::GradInput, Pass::GradWeight];
        let lines = passes.into_iter().zip(ways);
        let mut tuning = Tuning {
            adapter: "one".into(),
            convolutions: lines.map(|(pass, way)| line(pass, way)).collect(),
        };
        assert_eq!(Tuning::read(&tuning.text().unwrap()).unwrap(), tuning);
        let new = line(Pass::Forward, Some(Way::Matrices));
        tuning.update(vec![new]);
        assert_eq!(tuning.convolutions.len(), 3);
        assert_eq!(tuning.convolutions[2], new);
        assert!(Tuning::read("{}").is_err());
    }
}
