//! Batches mixed from databases. Batch number `step` is a pure function of the databases, the seed and the step, so that a
//! resumed run sees what an uninterrupted one would have seen.

use super::cache::Pixels;
use super::image::identity_matrix;
use super::images::Images;
use super::shares::shares;
use super::{Augment, Broken, Cache, DataError, Row};
use crate::objective::Labels;
use crate::random::Random;
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A database: annotated images with a share of each batch.
#[derive(Debug)]
pub struct Database {
    /// Its name in messages.
    pub name: String,
    /// Its rows.
    pub rows: Vec<Row>,
    /// Its share of each batch. Where every database has a weight, they count against each other; where some have none,
    /// weights are fractions of the batch, and what they leave is shared out in proportion to size.
    pub weight: Option<f64>,
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

/// A batch without its pixels.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// Eight floats an image: see [`Augment`].
    pub matrices: Vec<f32>,
    /// The labels; images that only fill the batch are absent.
    pub labels: Vec<Labels>,
}

impl Batch {
    /// The images that are there.
    pub fn present(&self) -> usize {
        self.labels.iter().filter(|labels| !labels.absent).count()
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
}

#[derive(Debug)]
struct Source {
    images: Images,
    share: usize,
    /// The orders of the last two epochs: a batch may lie in both.
    orders: Mutex<[Option<Order>; 2]>,
}

/// An epoch, and the rows in its order.
type Order = (u64, Arc<[u32]>);

impl Loader {
    /// Batches of `batch` images of `size` x `size`; decoded images are kept in `cache`.
    ///
    /// # Errors
    /// [`DataError::NoDatabase`]; [`DataError::Empty`] for a database without rows; [`DataError::Weight`],
    /// [`DataError::FullWeights`] and [`DataError::SmallBatch`] where no batch can be mixed as asked.
    pub fn new(
        databases: Vec<Database>,
        size: usize,
        batch: usize,
        seed: u64,
        augment: Augment,
        cache: &Cache,
    ) -> Result<Self, DataError> {
        if databases.is_empty() {
            return Err(DataError::NoDatabase);
        }
        if let Some(empty) = databases.iter().find(|database| database.rows.is_empty()) {
            return Err(DataError::Empty {
                path: PathBuf::from(&empty.name),
            });
        }
        let shares = shares(&databases, batch)?;
        let sources = databases
            .into_iter()
            .zip(shares)
            .map(|(database, share)| Source {
                images: Images::new(database.name, database.rows, size, cache.clone()),
                share,
                orders: Mutex::default(),
            });
        Ok(Self {
            sources: sources.collect(),
            size,
            batch,
            seed,
            augment,
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

    /// The batch of a step, decoded on all cores. In the place of a broken image stands the next one of its database's order
    /// that is not.
    ///
    /// # Errors
    /// [`DataError::TooManyBroken`].
    pub fn batch(&self, step: u64) -> Result<Batch, DataError> {
        let mut pixels = vec![0; (self.batch * self.image_bytes()).next_multiple_of(4)];
        let mut images = pixels.chunks_exact_mut(self.image_bytes());
        let drawn = self.batch_into(step, |image| {
            if let Some(place) = images.next() {
                place.copy_from_slice(image);
            }
        })?;
        Ok(Batch {
            pixels,
            matrices: drawn.matrices,
            labels: drawn.labels,
        })
    }

    /// As [`Loader::batch`], with the images handed to `put` one by one in their order, zeros in the place of absent ones: for
    /// memory that is not a `Vec`.
    ///
    /// # Errors
    /// [`DataError::TooManyBroken`], before anything is put.
    pub fn batch_into(&self, step: u64, mut put: impl FnMut(&[u8])) -> Result<Drawn, DataError> {
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
        for source in &self.sources {
            source.images.check()?;
        }
        let random = Random::new(self.seed, "augment");
        let mut drawn = Drawn {
            matrices: Vec::with_capacity(8 * self.batch),
            labels: Vec::with_capacity(self.batch),
        };
        for (index, found) in (0..).zip(found) {
            let image = step * self.batch as u64 + index;
            let matrix = self.augment.matrix(&random, image, self.size);
            drawn.matrices.extend(matrix);
            match found {
                Some((pixels, labels)) => {
                    put(&pixels);
                    drawn.labels.push(labels);
                }
                None => {
                    put(&vec![0; self.image_bytes()]);
                    drawn.labels.push(Labels::ABSENT);
                }
            }
        }
        Ok(drawn)
    }

    /// The images of a batch.
    pub fn images(&self) -> usize {
        self.batch
    }

    /// The bytes of an image.
    pub fn image_bytes(&self) -> usize {
        3 * self.size * self.size
    }

    /// The image at a place in a database's endless order, or the next that is not broken.
    fn image(&self, number: usize, place: u64) -> Option<(Pixels, Labels)> {
        let source = &self.sources[number];
        let len = source.images.rows.len() as u64;
        let order = self.order(number, place / len);
        for skip in 0..len {
            let row = order[((place + skip) % len) as usize] as usize;
            if let Some(pixels) = source.images.pixels(row) {
                return Some((pixels, source.images.rows[row].labels.clone()));
            }
            if source.images.check().is_err() {
                break;
            }
        }
        None
    }

    /// The order of an epoch: a Fisher-Yates shuffle by draws of (seed, database, epoch).
    fn order(&self, number: usize, epoch: u64) -> Arc<[u32]> {
        let source = &self.sources[number];
        let mut orders = source.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut orders[(epoch % 2) as usize];
        if let Some((of, order)) = place
            && *of == epoch
        {
            return order.clone();
        }
        // By number, as the name may hold a path, which a run that goes on from elsewhere would see differently.
        let random = Random::new(self.seed, &format!("order {number} {epoch}"));
        let mut order: Vec<u32> = (0..source.images.rows.len() as u32).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64, last as u64 + 1) as usize);
        }
        let order: Arc<[u32]> = order.into();
        *place = Some((epoch, order.clone()));
        order
    }
}

/// The images of a table in order, for evaluation and prediction.
#[derive(Debug)]
pub struct Sequence {
    images: Images,
    batch: usize,
}

impl Sequence {
    /// Batches of `batch` images of `size` x `size`; decoded images are kept in `cache`.
    ///
    /// # Errors
    /// [`DataError::Empty`] for a database without rows.
    pub fn new(
        database: Database,
        size: usize,
        batch: usize,
        cache: &Cache,
    ) -> Result<Self, DataError> {
        if database.rows.is_empty() {
            return Err(DataError::Empty {
                path: PathBuf::from(&database.name),
            });
        }
        Ok(Self {
            images: Images::new(database.name, database.rows, size, cache.clone()),
            batch,
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
            .map(|row| self.images.pixels(row))
            .collect();
        let bytes = self.images.size * self.images.size * 3;
        let mut pixels = vec![0; (self.batch * bytes).next_multiple_of(4)];
        let mut labels = vec![Labels::ABSENT; self.batch];
        for (place, found) in found.into_iter().enumerate() {
            if let Some(image) = found {
                pixels[place * bytes..][..bytes].copy_from_slice(&image);
                labels[place] = self.images.rows[first + place].labels.clone();
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

#[cfg(test)]
mod tests;
