//! The predictor: weights, an inference plan, and what it says of a face.

mod pass;

pub use pass::{Images, InferencePass};
