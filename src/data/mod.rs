//! Tables, images and batches on the host. Knows no device.

mod augment;
mod cache;
mod error;
mod image;
mod images;
mod loader;
mod nearest;
mod prefetch;
pub mod relatedness;
mod shares;
pub mod synthetic;
mod table;

pub use augment::Augment;
pub use cache::Cache;
pub use error::DataError;
pub use image::{check_header, decode, identity_matrix, photo};
pub use images::{Broken, too_many_broken};
pub use loader::{Batch, Database, Drawn, Loader, Sequence};
pub(crate) use nearest::nearest;
pub use prefetch::Prefetch;
pub use table::{Labelled, Pair, Row, Table, Wanted, read_pairs};
