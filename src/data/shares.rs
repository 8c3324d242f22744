//! How many images of each database a batch has.

use super::{DataError, Database};

/// Splits a batch by the databases' weights and sizes: largest remainders, and at least one image for each database.
pub(super) fn shares(databases: &[Database], batch: usize) -> Result<Vec<usize>, DataError> {
    if batch < databases.len() {
        return Err(DataError::SmallBatch {
            batch,
            databases: databases.len(),
        });
    }
    Ok(round(&fractions(databases)?, batch))
}

/// The databases' parts of a batch; their sum is 1.
fn fractions(databases: &[Database]) -> Result<Vec<f64>, DataError> {
    for database in databases {
        if let Some(asked) = database.weight
            && !(asked > 0.0 && asked.is_finite())
        {
            return Err(DataError::Weight {
                database: database.name.clone(),
                asked,
            });
        }
    }
    let given: f64 = databases.iter().filter_map(|d| d.weight).sum();
    let unweighted = databases.iter().filter(|d| d.weight.is_none());
    let images: usize = unweighted.map(|d| d.rows.len()).sum();
    if images > 0 && given >= 1.0 {
        return Err(DataError::FullWeights { given });
    }
    let whole = if images > 0 { 1.0 } else { given };
    let fraction = |database: &Database| match database.weight {
        Some(weight) => weight / whole,
        None => (1.0 - given) * database.rows.len() as f64 / images as f64,
    };
    Ok(databases.iter().map(fraction).collect())
}

fn round(fractions: &[f64], batch: usize) -> Vec<usize> {
    let exact: Vec<f64> = fractions.iter().map(|f| f * batch as f64).collect();
    let mut shares: Vec<usize> = exact.iter().map(|e| e.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..exact.len()).collect();
    by_remainder.sort_by(|a, b| {
        let remainder = |i: usize| exact[i].fract();
        remainder(*b).total_cmp(&remainder(*a)).then(a.cmp(b))
    });
    let missing = batch.saturating_sub(shares.iter().sum());
    for index in by_remainder.into_iter().cycle().take(missing) {
        shares[index] += 1;
    }
    while let Some(none) = shares.iter().position(|share| *share == 0) {
        let most = (0..shares.len())
            .max_by_key(|i| (shares[*i], std::cmp::Reverse(*i)))
            .unwrap_or(none);
        shares[most] -= 1;
        shares[none] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Row;
    use std::path::PathBuf;

    fn database(images: usize, weight: Option<f64>) -> Database {
        let row = Row::unlabelled(PathBuf::new());
        Database {
            name: format!("{images} images"),
            rows: vec![row; images],
            weight,
        }
    }

    fn of(list: &[(usize, Option<f64>)], batch: usize) -> Result<Vec<usize>, DataError> {
        let databases: Vec<_> = list.iter().map(|(n, w)| database(*n, *w)).collect();
        shares(&databases, batch)
    }

    /// Sizes with weights, the batch, and the shares.
    type Case<'a> = (&'a [(usize, Option<f64>)], usize, &'a [usize]);

    #[test]
    fn shares_worked_by_hand() {
        let cases: [Case; 9] = [
            (&[(10, None)], 7, &[7]),
            (&[(10, Some(0.3))], 7, &[7]),
            (&[(30, None), (10, None)], 8, &[6, 2]),
            // 3.33 each: the remainder goes to the first.
            (&[(5, None), (5, None), (5, None)], 10, &[4, 3, 3]),
            // 7.2 and 0.8.
            (&[(90, None), (10, None)], 8, &[7, 1]),
            // Everyone has a place in every step.
            (&[(100_000, None), (10, None), (1, None)], 4, &[2, 1, 1]),
            (&[(10, Some(3.0)), (90, Some(1.0))], 8, &[6, 2]),
            // A quarter for the first; the others share what is left by size.
            (&[(10, Some(0.25)), (10, None), (20, None)], 16, &[4, 4, 8]),
            (&[(1, None), (1, None)], 2, &[1, 1]),
        ];
        for (list, batch, wanted) in cases {
            assert_eq!(of(list, batch).unwrap(), wanted, "{list:?} in {batch}");
        }
    }

    #[test]
    fn every_batch_is_full_and_mixed() {
        let random = crate::random::Random::new(11, "shares");
        for case in 0..500 {
            let draw = |k: u64, below: u64| random.below(16 * case + k, below) as usize;
            let list: Vec<_> = (0..1 + draw(0, 5))
                .map(|k| (1 + draw(1 + k as u64, 1000), None))
                .collect();
            let batch = list.len() + draw(9, 64);
            let shares = of(&list, batch).unwrap();
            assert_eq!(shares.iter().sum::<usize>(), batch, "case {case}");
            assert!(shares.iter().all(|share| *share > 0), "case {case}");
        }
    }

    #[test]
    fn rejects_what_cannot_be_mixed() {
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = of(&[(5, Some(weight))], 4).unwrap_err();
            assert!(matches!(error, DataError::Weight { .. }), "{error}");
        }
        let error = of(&[(5, Some(1.0)), (6, None)], 4).unwrap_err();
        assert!(matches!(error, DataError::FullWeights { .. }), "{error}");
        let error = of(&[(5, None), (6, None)], 1).unwrap_err();
        assert!(matches!(error, DataError::SmallBatch { .. }), "{error}");
    }
}
