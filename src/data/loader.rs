//! Batches mixed from databases. Batch number `step` is a pure function of the databases, the seed and the step, so that a
//! resumed run sees what an uninterrupted one would have seen.

use super::image::{decode, identity_matrix};
use super::{DataError, Row};
use crate::objective::Labels;
use crate::random::Random;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Random changes of the training images, each uniform within its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// Mirrors every second image.
    pub flip: bool,
    /// The largest rotation either way, in degrees.
    pub rotation: f32,
    /// The largest change of scale either way, as a share.
    pub scale: f32,
    /// The largest shift either way, as a share of the image's side.
    pub shift: f32,
}

impl Augment {
    /// No change.
    pub const NONE: Self = Self {
        flip: false,
        rotation: 0.0,
        scale: 0.0,
        shift: 0.0,
    };

    /// The map from output pixels to source pixels, `[2, 3]` row-major and two zeros, for image number `index` of a stream.
    fn matrix(&self, random: &Random, index: u64, size: usize) -> [f32; 8] {
        let draw = |k| random.uniform(8 * index + k);
        let mirror = if self.flip && draw(0) < 0.0 {
            -1.0
        } else {
            1.0
        };
        let (sin, cos) = (draw(1) * self.rotation).to_radians().sin_cos();
        let scale = 1.0 + draw(2) * self.scale;
        let side = size as f32;
        let center = side / 2.0;
        let (a, b, d, e) = (
            cos / scale * mirror,
            -sin / scale,
            sin / scale * mirror,
            cos / scale,
        );
        let x = center + draw(3) * self.shift * side - (a + b) * center;
        let y = center + draw(4) * self.shift * side - (d + e) * center;
        [a, b, x, d, e, y, 0.0, 0.0]
    }
}

/// A database: annotated images with a share of each batch.
#[derive(Debug)]
pub struct Database {
    /// Its name in messages.
    pub name: String,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Its share of each batch; proportional to its size where absent.
    pub weight: Option<f64>,
}

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

/// What is uploaded for one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// RGB bytes, image by image, padded to whole words.
    pub pixels: Vec<u8>,
    /// Eight floats an image: see [`Augment`].
    pub matrices: Vec<f32>,
    /// The labels; images that only fill the batch are absent.
    pub labels: Vec<Labels>,
}

/// Images of one database, decoded once and kept while they fit.
#[derive(Debug)]
struct Images {
    rows: Vec<Row>,
    name: String,
    size: usize,
    kept: Vec<OnceLock<Option<Arc<[u8]>>>>,
    broken: Mutex<BTreeMap<usize, String>>,
}

impl Images {
    fn new(name: String, rows: Vec<Row>, size: usize) -> Self {
        Self {
            kept: rows.iter().map(|_| OnceLock::new()).collect(),
            rows,
            name,
            size,
            broken: Mutex::default(),
        }
    }

    /// The pixels of a row, or nothing when its file is broken.
    fn pixels(&self, row: usize, room: &AtomicUsize) -> Option<Arc<[u8]>> {
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
        if fits {
            // Another thread may have been first; both decoded the same.
            let _ = self.kept[row].set(decoded.clone());
        }
        decoded
    }

    fn broken(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, String>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops a run on a database that is more than a hundredth broken.
    fn check(&self) -> Result<(), DataError> {
        let broken = self.broken();
        match broken.values().next() {
            Some(first) if broken.len() * 100 > self.rows.len() => Err(DataError::TooManyBroken {
                database: self.name.clone(),
                broken: broken.len(),
                images: self.rows.len(),
                first: first.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn report(&self) -> Vec<Broken> {
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

/// Batches of training images from one or several databases.
#[derive(Debug)]
pub struct Loader {
    sources: Vec<Source>,
    size: usize,
    batch: usize,
    seed: u64,
    augment: Augment,
    room: AtomicUsize,
}

#[derive(Debug)]
struct Source {
    images: Images,
    share: usize,
    order: Mutex<Option<(u64, Arc<[u32]>)>>,
}

impl Loader {
    /// Batches of `batch` images of `size` x `size`; decoded images are kept up to `cache_bytes`.
    ///
    /// # Errors
    /// [`DataError::NoDatabase`]; [`DataError::Empty`] for a database without rows.
    pub fn new(
        databases: Vec<Database>,
        size: usize,
        batch: usize,
        seed: u64,
        augment: Augment,
        cache_bytes: usize,
    ) -> Result<Self, DataError> {
        if databases.is_empty() {
            return Err(DataError::NoDatabase);
        }
        if let Some(empty) = databases.iter().find(|database| database.rows.is_empty()) {
            return Err(DataError::Empty {
                path: PathBuf::from(&empty.name),
            });
        }
        let weights: Vec<f64> = databases
            .iter()
            .map(|d| d.weight.unwrap_or(d.rows.len() as f64))
            .collect();
        let shares = shares(&weights, batch);
        let sources = databases
            .into_iter()
            .zip(shares)
            .map(|(database, share)| Source {
                images: Images::new(database.name, database.rows, size),
                share,
                order: Mutex::default(),
            });
        Ok(Self {
            sources: sources.collect(),
            size,
            batch,
            seed,
            augment,
            room: AtomicUsize::new(cache_bytes),
        })
    }

    /// Images of all databases.
    pub fn len(&self) -> usize {
        self.sources
            .iter()
            .map(|source| source.images.rows.len())
            .sum()
    }

    /// The databases with their numbers of images.
    pub fn databases(&self) -> Vec<(String, u64)> {
        let images = self.sources.iter().map(|source| &source.images);
        images
            .map(|images| (images.name.clone(), images.rows.len() as u64))
            .collect()
    }

    /// Whether there is no image; never, for a loader that was made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Steps after which as many images were shown as there are.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.len() as u64).div_ceil(self.batch as u64)
    }

    /// The files that could not be used so far.
    pub fn broken(&self) -> Vec<Broken> {
        self.sources
            .iter()
            .flat_map(|source| source.images.report())
            .collect()
    }

    /// The batch of a step, decoded on all cores.
    ///
    /// # Errors
    /// [`DataError::TooManyBroken`].
    pub fn batch(&self, step: u64) -> Result<Batch, DataError> {
        let wanted: Vec<(usize, u64)> = self
            .sources
            .iter()
            .enumerate()
            .flat_map(|(number, source)| {
                let first = step * source.share as u64;
                (0..source.share as u64).map(move |i| (number, first + i))
            })
            .collect();
        let found: Vec<_> = wanted
            .par_iter()
            .map(|(number, place)| self.image(*number, *place))
            .collect();
        let random = Random::new(self.seed, "augment");
        let bytes = self.size * self.size * 3;
        let mut batch = Batch {
            pixels: vec![0; (self.batch * bytes).next_multiple_of(4)],
            matrices: Vec::with_capacity(8 * self.batch),
            labels: Vec::with_capacity(self.batch),
        };
        for (index, found) in found.into_iter().enumerate() {
            if let Some((pixels, _)) = &found {
                batch.pixels[index * bytes..][..bytes].copy_from_slice(pixels);
            }
            let drawn = step * self.batch as u64 + index as u64;
            batch
                .matrices
                .extend(self.augment.matrix(&random, drawn, self.size));
            batch
                .labels
                .push(found.map_or(ABSENT, |(_, labels)| labels));
        }
        for source in &self.sources {
            source.images.check()?;
        }
        Ok(batch)
    }

    /// The image at a place in a database's endless order, or the next that is not broken.
    fn image(&self, number: usize, place: u64) -> Option<(Arc<[u8]>, Labels)> {
        let source = &self.sources[number];
        let len = source.images.rows.len() as u64;
        let order = self.order(number, place / len);
        (0..len).find_map(|skip| {
            let row = order[((place + skip) % len) as usize] as usize;
            let pixels = source.images.pixels(row, &self.room)?;
            Some((pixels, source.images.rows[row].labels))
        })
    }

    /// The order of an epoch: a Fisher-Yates shuffle by draws of (seed, database, epoch).
    fn order(&self, number: usize, epoch: u64) -> Arc<[u32]> {
        let source = &self.sources[number];
        let mut kept = source.order.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, order)) = kept.as_ref()
            && *of == epoch
        {
            return order.clone();
        }
        let random = Random::new(self.seed, &format!("order {} {epoch}", source.images.name));
        let mut order: Vec<u32> = (0..source.images.rows.len() as u32).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64, last as u64 + 1) as usize);
        }
        let order: Arc<[u32]> = order.into();
        *kept = Some((epoch, order.clone()));
        order
    }
}

const ABSENT: Labels = Labels {
    expression: None,
    au_mask: 0,
    au_value: 0,
    valence_arousal: None,
    absent: true,
};

/// Splits a batch by weights: largest remainders, and at least one image for each database where the batch has room.
fn shares(weights: &[f64], batch: usize) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights
        .iter()
        .map(|w| {
            if sum > 0.0 {
                w / sum * batch as f64
            } else {
                0.0
            }
        })
        .collect();
    let mut shares: Vec<usize> = exact.iter().map(|e| e.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by(|a, b| {
        exact[*b]
            .fract()
            .total_cmp(&exact[*a].fract())
            .then(a.cmp(b))
    });
    let missing = batch.saturating_sub(shares.iter().sum());
    for index in by_remainder.into_iter().cycle().take(missing) {
        shares[index] += 1;
    }
    if batch >= weights.len() {
        while let Some(none) = shares.iter().position(|share| *share == 0) {
            let most = (0..shares.len())
                .max_by_key(|i| (shares[*i], std::cmp::Reverse(*i)))
                .unwrap_or(none);
            shares[most] -= 1;
            shares[none] += 1;
        }
    }
    shares
}

/// The images of a table in order, for evaluation and prediction.
#[derive(Debug)]
pub struct Sequence {
    images: Images,
    batch: usize,
    room: AtomicUsize,
}

impl Sequence {
    /// Batches of `batch` images of `size` x `size`; decoded images are kept up to `cache_bytes`.
    ///
    /// # Errors
    /// [`DataError::Empty`] for a database without rows.
    pub fn new(
        database: Database,
        size: usize,
        batch: usize,
        cache_bytes: usize,
    ) -> Result<Self, DataError> {
        if database.rows.is_empty() {
            return Err(DataError::Empty {
                path: PathBuf::from(&database.name),
            });
        }
        Ok(Self {
            images: Images::new(database.name, database.rows, size),
            batch,
            room: AtomicUsize::new(cache_bytes),
        })
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.images.name
    }

    /// The rows in order.
    pub fn rows(&self) -> &[Row] {
        &self.images.rows
    }

    /// How many batches there are; the last may be filled up with absent images.
    pub fn batches(&self) -> usize {
        self.images.rows.len().div_ceil(self.batch)
    }

    /// The files that could not be used so far.
    pub fn broken(&self) -> Vec<Broken> {
        self.images.report()
    }

    /// A batch in order: rows `index · batch ..`. Rows whose file is broken, and places beyond the end, are absent.
    ///
    /// # Errors
    /// [`DataError::TooManyBroken`].
    pub fn batch(&self, index: usize) -> Result<Batch, DataError> {
        let first = index * self.batch;
        let last = (first + self.batch).min(self.images.rows.len());
        let found: Vec<_> = (first..last)
            .into_par_iter()
            .map(|row| self.images.pixels(row, &self.room))
            .collect();
        let bytes = self.images.size * self.images.size * 3;
        let mut pixels = vec![0; (self.batch * bytes).next_multiple_of(4)];
        let mut labels = vec![ABSENT; self.batch];
        for (place, found) in found.into_iter().enumerate() {
            if let Some(image) = found {
                pixels[place * bytes..][..bytes].copy_from_slice(&image);
                labels[place] = self.images.rows[first + place].labels;
            }
        }
        self.images.check()?;
        Ok(Batch {
            pixels,
            matrices: identity_matrix(self.batch),
            labels,
        })
    }
}
