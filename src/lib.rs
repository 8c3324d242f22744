//! kinesic trains and runs one network that reads everything a face does, in hand-written WGSL through wgpu.
#![deny(missing_docs)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod demo;
pub mod experiment;
mod folders;
pub mod gpu;
pub mod infer;
pub mod kernels;
mod mapped;
pub mod nn;
pub mod objective;
pub mod optim;
pub mod parity;
pub mod picture;
pub mod random;
pub mod tape;
pub mod train;

pub use wgpu;

/// The examples in README.md compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
