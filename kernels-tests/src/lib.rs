//! float64 references of kinesic's kernels, written from the formulas and never from the shaders.
#![deny(missing_docs)]

pub mod conv;
pub mod elementwise;
pub mod gemm;
pub mod harness;
pub mod image;
pub mod layout;
pub mod loss;
pub mod norm;
pub mod optim;
pub mod pool;
pub mod random;
pub mod winograd;

/// What a formula gives in float64.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// The values.
    pub value: Vec<f64>,
    /// For each value the sum of the absolute terms that it was summed from: what its rounding error scales with.
    pub magnitude: Vec<f64>,
}

impl Reference {
    /// `len` empty sums.
    pub fn zeros(len: usize) -> Self {
        Self {
            value: vec![0.0; len],
            magnitude: vec![0.0; len],
        }
    }

    /// Values that no sum is behind.
    pub fn exact(values: &[f64]) -> Self {
        Self {
            value: values.to_vec(),
            magnitude: values.iter().map(|value| value.abs()).collect(),
        }
    }

    /// Adds a term to the sum at `index`.
    pub fn add(&mut self, index: usize, term: f64) {
        self.value[index] += term;
        self.magnitude[index] += term.abs();
    }

    /// Adds a term that itself has a magnitude to the sum at `index`.
    pub fn accumulate(&mut self, index: usize, term: f64, magnitude: f64) {
        self.value[index] += term;
        self.magnitude[index] += magnitude;
    }

    /// Adds `factor · terms`, magnitudes likewise, to the sums from `first` on.
    pub fn accumulate_scaled(&mut self, first: usize, factor: f64, terms: &Self) {
        for (index, (value, magnitude)) in terms.value.iter().zip(&terms.magnitude).enumerate() {
            self.accumulate(first + index, factor * value, factor.abs() * magnitude);
        }
    }

    /// Adds `factor · row[j]` to the sum at `first + j`, for every j: the inner loop of every product.
    pub fn add_scaled(&mut self, first: usize, factor: f64, row: &[f64]) {
        let sums = first..first + row.len();
        let value = self.value[sums.clone()].iter_mut();
        let magnitude = self.magnitude[sums].iter_mut();
        for ((value, magnitude), element) in value.zip(magnitude).zip(row) {
            let term = factor * element;
            *value += term;
            *magnitude += term.abs();
        }
    }

    /// Puts a value and its magnitude at `index`.
    pub fn set(&mut self, index: usize, value: f64, magnitude: f64) {
        self.value[index] = value;
        self.magnitude[index] = magnitude;
    }

    /// Multiplies every sum by `factor`.
    pub fn scale(&mut self, factor: f64) {
        for (value, magnitude) in self.value.iter_mut().zip(&mut self.magnitude) {
            *value *= factor;
            *magnitude *= factor.abs();
        }
    }
}

/// The transpose of a row major matrix of `rows` rows.
fn transposed(matrix: &[f64], rows: usize) -> Vec<f64> {
    let columns = matrix.len() / rows;
    (0..matrix.len())
        .map(|index| matrix[index % rows * columns + index / rows])
        .collect()
}
