//! The relatedness of any two tasks: estimated from labels, or from a table of their names.

use super::estimate::smoothed;
use super::{Count, Loaded, Rows, SMOOTHING};
use crate::data::{DataError, nearest};
use crate::objective::{Label, Labels, Relatedness, Task};
use std::collections::BTreeSet;

/// A softmax and a sigmoid task, each with its position among the labels of an image.
#[derive(Clone, Copy, Debug)]
pub struct Between<'a> {
    /// The task whose classes are the rows.
    pub classes: (usize, &'a Task),
    /// The task whose outputs are the columns.
    pub detections: (usize, &'a Task),
}

impl Between<'_> {
    /// Estimates the table from the images that carry both labels, as [`Estimate::new`](super::Estimate::new) does with
    /// [`SMOOTHING`]. The warnings name classes and detections without images, or count them where they are many.
    ///
    /// # Errors
    /// [`DataError::NotBoth`] where no image carries both labels.
    pub fn estimate<'l>(
        &self,
        images: impl Iterator<Item = &'l Labels>,
    ) -> Result<Loaded, DataError> {
        let (classes, detections) = (self.classes.1, self.detections.1);
        let width = detections.outputs.len();
        let mut counts = vec![Count::default(); classes.outputs.len() * width];
        let (mut with_class, mut with_detection, mut both) = (0, 0, 0);
        for labels in images {
            let (class, bits) = (labels.get(self.classes.0), labels.get(self.detections.0));
            with_class += u64::from(!class.is_missing());
            with_detection += u64::from(!bits.is_missing());
            let (Label::Class(class), Label::Bits { mask, on }) = (class, bits) else {
                continue;
            };
            both += u64::from(mask != 0);
            let row = counts.chunks_exact_mut(width).nth(class as usize);
            for (bit, count) in row.into_iter().flatten().enumerate().take(64) {
                count.images += mask >> bit & 1;
                count.on += on >> bit & 1;
            }
        }
        if both == 0 {
            return Err(DataError::NotBoth {
                class: format!("label of `{}`", classes.name),
                detection: format!("label of `{}`", detections.name),
                with_class,
                with_detection,
            });
        }
        self.weigh(&counts)
    }

    fn weigh(&self, counts: &[Count]) -> Result<Loaded, DataError> {
        let (classes, detections) = (self.classes.1, self.detections.1);
        let width = detections.outputs.len();
        let column = |column: usize| {
            let cells = counts.iter().skip(column).step_by(width);
            cells.fold((0, 0), |sum, count| {
                (sum.0 + count.images, sum.1 + count.on)
            })
        };
        let columns: Vec<(u64, u64)> = (0..width).map(column).collect();
        let mean = |&(images, on): &(u64, u64)| on as f64 / images.max(1) as f64;
        let means: Vec<f64> = columns.iter().map(mean).collect();
        let weights = smoothed(counts, &means, SMOOTHING);
        let rows: Vec<Vec<f32>> = weights
            .chunks_exact(width)
            .map(|row| row.iter().map(|weight| *weight as f32).collect())
            .collect();
        let silent = columns.iter().zip(&detections.outputs);
        let silent = silent.filter(|((images, _), _)| *images == 0);
        let empty = counts.chunks_exact(width).zip(&classes.outputs);
        let empty = empty.filter(|(row, _)| row.iter().all(|count| count.images == 0));
        let warnings = [
            named(
                &detections.name,
                silent.map(|(_, name)| name).collect(),
                "their weights are 0",
            ),
            named(
                &classes.name,
                empty.map(|(_, name)| name).collect(),
                "their weights are the means over all images",
            ),
        ];
        Ok(Loaded {
            table: Relatedness::new(&rows)
                .map_err(|error| self.error("estimate", error.to_string()))?,
            warnings: warnings.into_iter().flatten().collect(),
        })
    }

    /// The table in the TOML file at a path, with a TOML table for each class, as `kinesic relate` writes it. Classes that the
    /// task does not have, such as people who are not trained on, and columns that the other task does not have are ignored,
    /// with a warning.
    ///
    /// # Errors
    /// [`DataError::Read`]; [`DataError::Relatedness`] for text of another form, a class of the task that is missing, a detection
    /// given twice, and a weight outside 0 to 1.
    pub fn parse(&self, name: &str, text: &str) -> Result<Loaded, DataError> {
        let rows: Rows = toml::from_str(text)
            .map_err(|error| self.error(name, error.to_string().trim_end().to_owned()))?;
        let (classes, detections) = (self.classes.1, self.detections.1);
        let mut ignored = BTreeSet::new();
        let mut weights = Vec::with_capacity(classes.outputs.len());
        for class in &classes.outputs {
            let row = rows.get(class).ok_or_else(|| {
                let keys: Vec<&str> = rows.keys().map(String::as_str).collect();
                let nearest = nearest(class, &keys).unwrap_or_default();
                self.error(
                    name,
                    format!("`{class}` of task `{}` is missing (the nearest that is there is `{nearest}`)", classes.name),
                )
            })?;
            let mut weights_of = vec![0.0_f32; detections.outputs.len()];
            for (detection, weight) in row
                .weights()
                .map_err(|reason| self.error(name, format!("{class}: {reason}")))?
            {
                let outputs = &mut detections.outputs.iter();
                let unit = format!("au{detection}");
                match outputs.position(|it| *it == detection || *it == unit) {
                    Some(column) => weights_of[column] = weight,
                    None => {
                        ignored.insert(detection);
                    }
                }
            }
            weights.push(weights_of);
        }
        let extra: Vec<&String> = rows
            .keys()
            .filter(|key| !classes.outputs.contains(key))
            .collect();
        let mut warnings: Vec<String> = ignored
            .iter()
            .map(|it| {
                format!(
                    "relatedness table `{name}`: task `{}` has no `{it}`; it is ignored",
                    detections.name
                )
            })
            .collect();
        if let Some(first) = extra.first() {
            warnings.push(format!(
                "relatedness table `{name}`: {} rows are no classes of task `{}` and are ignored, the first is `{first}`",
                extra.len(),
                classes.name
            ));
        }
        Ok(Loaded {
            table: Relatedness::new(&weights)
                .map_err(|error| self.error(name, error.to_string()))?,
            warnings,
        })
    }

    fn error(&self, name: &str, reason: String) -> DataError {
        DataError::Relatedness {
            name: name.to_owned(),
            reason,
        }
    }
}

/// A warning about outputs of a task without images.
fn named(task: &str, outputs: Vec<&String>, what: &str) -> Option<String> {
    let first = outputs.first()?;
    let more = match outputs.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Some(format!(
        "relatedness by estimate: no image of `{task}` `{first}`{more} carries both labels: {what}"
    ))
}
