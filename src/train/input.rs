//! What a run reads: its tables, and where decoded images are kept.

use super::Observer;
use super::config::{Config, DataConfig};
use crate::data::{Cache, DataError, Database, Table, Wanted};
use crate::folders::cache_folder;
use crate::objective::Tasks;

/// Reads the tables of a list of databases, with the labels of the tasks that are trained.
pub(super) fn databases(
    list: &[DataConfig],
    tasks: &Tasks,
    observer: &mut dyn Observer,
) -> Result<Vec<Database>, DataError> {
    let mut databases = Vec::new();
    for data in list {
        let wanted = Wanted::by(tasks);
        let mut table = Table::read_split(&data.path, data.split.as_deref(), &wanted)?;
        for warning in &table.warnings {
            observer.message(warning);
        }
        table.label(tasks);
        databases.push(Database {
            name: data.label(),
            rows: table.rows,
            weight: data.weight,
        });
    }
    Ok(databases)
}

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
