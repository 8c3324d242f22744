//! The predictor: weights, an inference plan, and what it says of a face.

pub mod draw;
mod model;
mod pass;
mod prediction;
mod predictor;

pub use model::{Model, ModelError};
pub use pass::{Images, InferencePass};
pub use prediction::{Answer, LIKELIEST, MOST_CLASSES, Prediction, Reader};
pub use predictor::{Output, Predictor};
