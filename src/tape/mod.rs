//! The tape: a graph of operations with reverse-mode gradients, compiled once and replayed.
//!
//! Model code records a [`Graph`]; [`Graph::gradients`] appends the gradients' operations; [`Recording`] removes dead code,
//! fuses neighbours, chooses kernels and lays out one arena; [`Plan`] makes buffers and bind groups. A step is then a walk
//! over a list of dispatches, with no allocation and no synchronisation.

mod arena;
mod dispatch;
mod error;
mod fusion;
mod graph;
mod lowering;
pub mod ops;
mod plan;
mod profile;
mod recompute;
mod recording;
mod reuse;
mod shape;
mod target;

pub use arena::{Arena, Range};
pub use dispatch::{Flat, Operand, Step};
pub use error::TapeError;
pub use graph::{Graph, Info, Node, Place, Slot, Value};
pub use lowering::Lowering;
pub use plan::{Plan, Store};
pub use profile::Profile;
pub use recompute::Memory;
pub use recording::{Accounts, KernelAccount, Recording};
pub use shape::Shape;
pub use target::Target;
