//! Tables, images and batches on the host. Knows no device.

mod error;
mod image;
mod loader;
mod prefetch;
pub mod relatedness;
pub mod synthetic;
mod table;

pub use error::DataError;
pub use image::{decode, identity_matrix};
pub use loader::{Augment, Batch, Broken, Database, Loader, Sequence};
pub use prefetch::Prefetch;
pub(crate) use table::nearest;
pub use table::{Pair, Row, Table, read_pairs};
