//! The batches of a training: equal shares of the databases, each with the labels that it carries.

use super::gallery::labels_of;
use super::{LabelKind, Training, Unlabelled, World};
use crate::objective::{Labels, Tasks};
use crate::random::Random;

/// A database as a training sees it.
#[derive(Clone, Debug)]
struct Pool {
    order: Random,
    pictures: Vec<usize>,
    /// By picture of the gallery.
    labels: Vec<Labels>,
}

/// Draws the batches of one training.
#[derive(Clone, Debug)]
pub(super) struct Mix<'a> {
    world: &'a World,
    pools: Vec<Pool>,
    batch: usize,
}

/// The pictures that keep the labels that are thinned: `share` of `count`, at least one. Those of a smaller share are among those of a
/// larger one, so that budgets differ in nothing else.
pub(super) fn annotated(seed: u64, database: usize, count: usize, share: f64) -> Vec<bool> {
    let random = Random::new(seed, &format!("action unit labels {database}"));
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&picture| random.bits(picture as u64));
    let kept = ((share * count as f64).round() as usize).clamp(1, count.max(1));
    let mut annotated = vec![false; count];
    for &picture in order.iter().take(kept) {
        annotated[picture] = true;
    }
    annotated
}

impl<'a> Mix<'a> {
    pub(super) fn new(world: &'a World, training: &Training, tasks: &Tasks) -> Self {
        let faces = &training.faces;
        let pool = |(database, kinds): (usize, &Vec<LabelKind>)| {
            let gallery = &world.train[database];
            let annotated = annotated(training.seed, database, gallery.len(), training.au_share);
            let mut without = kinds.clone();
            without.retain(|kind| *kind != faces.thinned);
            let labels = gallery.labels.iter().zip(&annotated);
            let labels = labels.map(|(labels, annotated)| {
                let kinds = if *annotated { kinds } else { &without };
                labels_of(labels, tasks, |task| {
                    kinds.iter().any(|kind| kind.task() == task)
                })
            });
            let dropped = faces.unlabelled == Unlabelled::Drop && kinds == &[faces.thinned];
            let pictures = (0..gallery.len()).filter(|&picture| annotated[picture] || !dropped);
            Pool {
                order: Random::new(training.seed, &format!("demo order {database}")),
                pictures: pictures.collect(),
                labels: labels.collect(),
            }
        };
        Self {
            world,
            pools: faces.databases.iter().enumerate().map(pool).collect(),
            batch: training.train.batch,
        }
    }

    /// The labels of all pictures.
    pub(super) fn labels(&self) -> impl Iterator<Item = &Labels> + Clone {
        self.pools
            .iter()
            .flat_map(|pool| pool.pictures.iter().map(|&picture| &pool.labels[picture]))
    }

    /// The pictures and labels of a step: equal shares of the databases, drawn with replacement.
    pub(super) fn batch(&self, step: u64, pixels: &mut Vec<u8>) -> Vec<Labels> {
        pixels.clear();
        let databases = self.pools.len().max(1);
        let share = self.batch.div_ceil(databases) as u64;
        let mut labels = Vec::with_capacity(self.batch);
        for place in 0..self.batch {
            let database = place % databases;
            let pool = &self.pools[database];
            let position = step * share + (place / databases) as u64;
            let drawn = pool.order.below(position, pool.pictures.len() as u64) as usize;
            let picture = pool.pictures[drawn];
            pixels.extend_from_slice(self.world.train[database].picture(picture));
            labels.push(pool.labels[picture].clone());
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::super::gallery::known;
    use super::*;
    use crate::objective::{AffectLabels, Label};

    #[test]
    fn a_smaller_budget_is_part_of_a_larger_one() {
        let kept = |share| annotated(3, 1, 640, share);
        let count = |flags: &[bool]| flags.iter().filter(|it| **it).count();
        let shares = [1.0, 0.25, 0.0625, 1.0 / 64.0];
        assert_eq!(shares.map(|share| count(&kept(share))), [640, 160, 40, 10]);
        for pair in shares.windows(2) {
            let (more, less) = (kept(pair[0]), kept(pair[1]));
            assert!(less.iter().zip(&more).all(|(less, more)| *more || !less));
        }
        assert_eq!(count(&annotated(3, 1, 10, 0.001)), 1);
        assert_ne!(kept(0.25), annotated(4, 1, 640, 0.25));
    }

    #[test]
    fn a_database_keeps_the_labels_that_it_carries() {
        let mut all = Labels::from(AffectLabels {
            expression: Some(3),
            au_mask: 7,
            au_value: 5,
            valence_arousal: Some([0.1, 0.2]),
        });
        all.tasks.push(Label::Bits { mask: 3, on: 1 });
        all.tasks.push(Label::Class(9));
        let affect = Tasks::affect();
        let kept = |kinds: &[LabelKind]| {
            let has = |task: &str| kinds.iter().any(|kind| kind.task() == task);
            labels_of(&all, &affect, has).tasks
        };
        let bits = Label::Bits { mask: 7, on: 5 };
        let units = kept(&[LabelKind::ActionUnits, LabelKind::Identity]);
        assert_eq!(units, [Label::Missing, bits, Label::Missing]);
        let rest = kept(&[LabelKind::Expression, LabelKind::ValenceArousal]);
        assert_eq!(rest, [Label::Class(3), Label::Missing, all.get(2)]);
        // In the order of the tasks, whatever that is.
        let tasks = ["identity", "action_units"].map(|name| known(name, 10).unwrap());
        let tasks = Tasks::new(tasks.into()).unwrap();
        let found = labels_of(&all, &tasks, |_| true).tasks;
        assert_eq!(found, [Label::Class(9), bits]);
    }
}
