//! What was measured on an adapter, between runs. The text is the kernels' own; here it is only kept.

use super::{Gpu, cache, describe, lock};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Gpu {
    /// Plans made from now on take the ways of this text, which [`Tuning`](crate::kernels::conv::Tuning) writes and reads.
    pub fn tune(&self, text: &str) {
        *lock(&self.shared.tuning) = Some(text.into());
    }

    /// The text that [`tune`](Self::tune) was given last.
    pub fn tuning(&self) -> Option<Arc<str>> {
        lock(&self.shared.tuning).clone()
    }

    /// The file of this adapter and its driver in a folder. Another driver's measurements are not its own.
    pub fn tuning_file(&self, folder: &Path) -> PathBuf {
        let name = describe(self.info());
        let parts = name.split(|c: char| !c.is_ascii_alphanumeric());
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        folder.join(format!("tuning-{}.json", parts.join("-").to_lowercase()))
    }

    /// Takes what [`store_tuning_in`](Self::store_tuning_in) kept in a folder; whether there was something.
    ///
    /// # Errors
    /// Of the file system, but for a file that is not there.
    pub fn tune_from(&self, folder: &Path) -> std::io::Result<bool> {
        match std::fs::read_to_string(self.tuning_file(folder)) {
            Ok(text) => {
                self.tune(&text);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps [`tuning`](Self::tuning) in a folder, which is made where it is missing; the file.
    ///
    /// # Errors
    /// Of the file system; [`ErrorKind::NotFound`] where there is nothing to keep.
    pub fn store_tuning_in(&self, folder: &Path) -> std::io::Result<PathBuf> {
        let none = || Error::new(ErrorKind::NotFound, "nothing was measured");
        let text = self.tuning().ok_or_else(none)?;
        let path = self.tuning_file(folder);
        cache::store(&path, text.as_bytes())?;
        Ok(path)
    }
}
