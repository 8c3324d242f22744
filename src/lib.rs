//! kinesic trains and runs one network that reads everything a face does, in hand-written WGSL through wgpu.
#![deny(missing_docs)]

pub mod gpu;
pub mod kernels;
pub mod objective;
pub mod train;

pub use wgpu;
