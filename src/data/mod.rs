//! Tables, images and batches on the host. Knows no device.

mod error;
mod image;
mod loader;
mod nearest;
mod prefetch;
pub mod relatedness;
pub mod synthetic;
mod table;

pub use error::DataError;
pub use image::{decode, identity_matrix};
pub use loader::{Augment, Batch, Broken, Database, Loader, Sequence};
pub(crate) use nearest::nearest;
pub use prefetch::Prefetch;
pub use table::{Pair, Row, Table, read_pairs};
