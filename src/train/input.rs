//! Where a run keeps decoded images.

use super::Observer;
use super::config::Config;
use crate::data::{Cache, DataError};
use crate::folders::cache_folder;

/// Where decoded images are kept: in the folder that is asked for, else in the user's, else in memory.
pub(super) fn cache(config: &Config, observer: &mut dyn Observer) -> Result<Cache, DataError> {
    let (size, bytes) = (config.model.size, config.train.cache_mib << 20);
    if bytes == 0 {
        return Ok(Cache::none());
    }
    if let Some(folder) = &config.train.cache_dir {
        return Cache::open(folder, size, bytes as u64);
    }
    let users =
        cache_folder().map(|folder| Cache::open(&folder.join("images"), size, bytes as u64));
    match users {
        Some(Ok(cache)) => return Ok(cache),
        Some(Err(error)) => observer.message(&format!("{error}; they are kept in memory")),
        None => {}
    }
    Ok(Cache::memory(bytes))
}
