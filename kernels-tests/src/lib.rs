//! float64 references of kinesic's kernels, written from the formulas and never from the shaders.
#![deny(missing_docs)]
