//! Synthetic faces: their parameters, and the three kernels that turn them into pictures on the GPU.
//!
//! [`FaceShape`] turns parameters into drawings once a face; [`FaceSkin`] and [`FaceFeatures`] paint the drawings into
//! packed 8-bit RGB, which is what training takes as its input. [`render`] does all three for a use outside of a plan.

mod paint;
mod parameters;
mod render;
mod shape;

use super::Kernel;

pub use paint::{FaceFeatures, FaceSkin};
pub use parameters::{ACTION_UNITS, Face, PARAMETERS};
pub use render::{FaceRenderer, render};
pub use shape::{DRAWING, FaceShape};

pub(super) fn kernels() -> Vec<Kernel> {
    vec![shape::kernel(), paint::skin(), paint::features()]
}
