//! Verification on a table of pairs.

use super::metrics::cosine;
use super::{TrainError, evaluate};
use crate::data::{Broken, Cache, DataError, Database, Pair, Row, Sequence};
use crate::infer::Predictor;
use crate::objective::Tasks;
use std::collections::HashMap;
use std::path::Path;

/// Pairs of pictures, of which each picture is read once.
#[derive(Debug)]
pub struct PairImages {
    /// The rows of two pictures, and whether they show one person.
    pairs: Vec<([usize; 2], bool)>,
    sequence: Sequence,
}

impl PairImages {
    /// The pictures of the pairs of a table, in batches of `batch`, `size` x `size` pixels each.
    ///
    /// # Errors
    /// [`DataError::Empty`] without pairs.
    pub fn new(
        table: &Path,
        pairs: &[Pair],
        size: usize,
        batch: usize,
        cache: &Cache,
    ) -> Result<Self, DataError> {
        let mut rows = Vec::new();
        let mut places = HashMap::new();
        let mut place = |image: &Path| {
            *places.entry(image.to_owned()).or_insert_with(|| {
                rows.push(Row::unlabelled(image.to_owned()));
                rows.len() - 1
            })
        };
        let pairs = pairs
            .iter()
            .map(|pair| (pair.images.each_ref().map(|image| place(image)), pair.same))
            .collect();
        let database = Database {
            name: table.display().to_string(),
            rows,
            weight: None,
        };
        Ok(Self {
            pairs,
            sequence: Sequence::new(database, size, batch, cache)?,
        })
    }

    /// The files that could not be used so far.
    pub fn broken(&self) -> Vec<Broken> {
        self.sequence.broken()
    }

    /// How alike the pictures of each pair are to the network, by the cosine of its features, and whether they show one person; without
    /// the pairs of broken pictures.
    ///
    /// # Errors
    /// [`TrainError::Data`], [`TrainError::Tape`].
    pub async fn similarities(
        &self,
        predictor: &Predictor,
        tasks: &Tasks,
    ) -> Result<Vec<(f32, bool)>, TrainError> {
        let mut features = vec![None; self.sequence.rows().len()];
        evaluate(predictor, tasks, &self.sequence, |row, output| {
            features[row] = Some(output.embedding.clone());
        })
        .await?;
        let similar = |(rows, same): &([usize; 2], bool)| {
            let [a, b] = rows.map(|row| features[row].as_deref());
            Some((cosine(a?, b?), *same))
        };
        Ok(self.pairs.iter().filter_map(similar).collect())
    }
}
