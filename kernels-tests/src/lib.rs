//! float64 references of kinesic's kernels, written from the formulas and never from the shaders.
#![deny(missing_docs)]

pub mod harness;

/// What a formula gives in float64.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// The values.
    pub value: Vec<f64>,
    /// For each value the sum of the absolute terms that it was summed from: what its rounding error scales with.
    pub magnitude: Vec<f64>,
}
