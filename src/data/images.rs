//! The images of a database: decoded once, kept while they fit, and the broken ones counted.

use super::image::decode;
use super::{DataError, Row};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A file that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The database.
    pub database: String,
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

/// Whether so many broken ones among so many images stop a run: more than a hundredth.
pub fn too_many_broken(broken: usize, images: usize) -> bool {
    broken * 100 > images
}

/// Images of one database, decoded once and kept while they fit.
#[derive(Debug)]
pub(super) struct Images {
    pub(super) rows: Vec<Row>,
    pub(super) name: String,
    pub(super) size: usize,
    kept: Vec<OnceLock<Option<Arc<[u8]>>>>,
    broken: Mutex<BTreeMap<usize, String>>,
}

impl Images {
    pub(super) fn new(name: String, rows: Vec<Row>, size: usize) -> Self {
        Self {
            kept: rows.iter().map(|_| OnceLock::new()).collect(),
            rows,
            name,
            size,
            broken: Mutex::default(),
        }
    }

    /// The pixels of a row, or nothing when its file is broken.
    pub(super) fn pixels(&self, row: usize, room: &AtomicUsize) -> Option<Arc<[u8]>> {
        if let Some(kept) = self.kept[row].get() {
            return kept.clone();
        }
        let annotation = &self.rows[row];
        let decoded = match decode(&annotation.image, annotation.face, self.size) {
            Ok(bytes) => Some(Arc::from(bytes)),
            Err(error) => {
                self.broken().insert(row, error.to_string());
                None
            }
        };
        let cost = decoded.as_ref().map_or(0, |bytes: &Arc<[u8]>| bytes.len());
        let fits = room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| {
                room.checked_sub(cost)
            })
            .is_ok();
        // Another thread may have been first; both decoded the same.
        if fits && self.kept[row].set(decoded.clone()).is_err() {
            room.fetch_add(cost, Ordering::Relaxed);
        }
        decoded
    }

    fn broken(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops a run on a database that is more than a hundredth broken.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let broken = self.broken();
        match broken.values().next() {
            Some(first) if too_many_broken(broken.len(), self.rows.len()) => {
                Err(DataError::TooManyBroken {
                    database: self.name.clone(),
                    broken: broken.len(),
                    images: self.rows.len(),
                    first: first.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn report(&self) -> Vec<Broken> {
        let entries = self.broken();
        entries
            .iter()
            .map(|(row, reason)| Broken {
                database: self.name.clone(),
                file: self.rows[*row].image.clone(),
                reason: reason.clone(),
            })
            .collect()
    }
}
