//! The images of a database: decoded once, kept while they fit, and the broken ones counted.

use super::cache::{Identity, Key, Pixels};
use super::image::decode;
use super::{Cache, DataError, Row};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
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

/// Images of one database, decoded once and kept where the cache has room.
#[derive(Debug)]
pub(super) struct Images {
    pub(super) rows: Vec<Row>,
    pub(super) name: String,
    pub(super) size: usize,
    cache: Cache,
    identities: Vec<Option<Identity>>,
    /// What is known of each row: its pixels, or that its file is broken.
    found: Vec<OnceLock<Option<Pixels>>>,
    broken: Mutex<BTreeMap<usize, String>>,
}

impl Images {
    pub(super) fn new(name: String, rows: Vec<Row>, size: usize, cache: Cache) -> Self {
        let claim = |row: &Row| cache.claim(&row.image, row.face, size);
        Self {
            identities: rows.par_iter().map(claim).collect(),
            found: rows.iter().map(|_| OnceLock::new()).collect(),
            cache,
            rows,
            name,
            size,
            broken: Mutex::default(),
        }
    }

    /// The pixels of a row, or nothing when its file is broken.
    pub(super) fn pixels(&self, row: usize) -> Option<Pixels> {
        if let Some(found) = self.found[row].get() {
            return found.clone();
        }
        let (pixels, lasts) = self.look(row);
        if lasts {
            // Another thread may have been first; both found the same.
            let _ = self.found[row].set(pixels.clone());
        }
        pixels
    }

    /// The pixels of a row from the cache or its file, and whether to hold on to them.
    fn look(&self, row: usize) -> (Option<Pixels>, bool) {
        let Row { image, face, .. } = &self.rows[row];
        // Before the file is read: should it change meanwhile, the key fits it no more.
        let key = self.identities[row].and_then(|identity| Key::now(identity, image));
        if let Some((pixels, lasts)) = key.and_then(|key| self.cache.find(key)) {
            return (Some(pixels), lasts);
        }
        match decode(image, *face, self.size) {
            Ok(bytes) => {
                let pixels = Arc::from(bytes);
                let lasts = self.cache.keep(key, &pixels);
                (Some(Pixels::Memory(pixels)), lasts)
            }
            Err(error) => {
                self.broken().insert(row, error.to_string());
                (None, true)
            }
        }
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
