//! Compound expressions in `kinesic eval`: scored zero-shot, or by a head that is learned from a few faces.

use super::Failure;
use crate::data::{Cache, Database, Row, Sequence, Table};
use crate::gpu::Gpu;
use crate::infer::{Model, Output, Predictor, Reader};
use crate::objective::compound::{DU2014, class_of};
use crate::train::metrics::{ClassMetrics, class_metrics, largest};
use crate::train::{FewShot, Shots, evaluate};
use std::path::Path;

/// The rows of a table with their pictures, and the names of its compound expressions.
pub(super) struct Faces {
    pub(super) sequence: Sequence,
    names: Vec<String>,
}

impl Faces {
    /// Of a table that was read from a path.
    pub(super) fn new(
        model: &Model,
        path: &Path,
        rows: Vec<Row>,
        names: Vec<String>,
        batch: u32,
    ) -> Result<Self, Failure> {
        let database = Database {
            name: path.display().to_string(),
            rows,
            weight: None,
        };
        let sequence = Sequence::new(database, model.size, batch as usize, &Cache::none());
        Ok(Self {
            sequence: sequence.map_err(Failure::input)?,
            names,
        })
    }

    /// The class that a row shows, if any: its place among Du et al.'s.
    fn shown(&self, row: usize) -> Result<Option<usize>, Failure> {
        let row = &self.sequence.rows()[row];
        let Some(shown) = row.compound else {
            return Ok(None);
        };
        let name = &self.names[shown as usize];
        class_of(&name.replace('_', " ")).map(Some).ok_or_else(|| {
            Failure::Input(anyhow::anyhow!(
                "{}:{}: compound is `{name}`, but it must be one of {}",
                self.sequence.name(),
                row.line,
                DU2014.map(|class| class.name).join(", ")
            ))
        })
    }

    fn none(&self) -> Failure {
        Failure::Input(anyhow::anyhow!(
            "{}: no row has a compound expression",
            self.sequence.name()
        ))
    }

    /// Metrics of what `found` says of each row's output.
    fn metrics(
        &self,
        outputs: &[(usize, Output)],
        found: impl Fn(&Output) -> Result<usize, Failure>,
    ) -> Result<ClassMetrics, Failure> {
        let mut confusion = vec![vec![0; DU2014.len()]; DU2014.len()];
        for (row, output) in outputs {
            if let Some(shown) = self.shown(*row)? {
                confusion[shown][found(output)?] += 1;
            }
        }
        class_metrics(&confusion).ok_or_else(|| self.none())
    }
}

/// Accuracy over the rows whose compound class is one of Du et al.'s, scored from the tasks.
pub(super) fn zero_shot(
    model: &Model,
    faces: &Faces,
    outputs: &[(usize, Output)],
) -> Result<ClassMetrics, Failure> {
    let reader = Reader::new(&model.tasks);
    faces.metrics(outputs, |output| {
        let name = reader.read(&output.logits)?.compound;
        name.and_then(class_of).ok_or_else(|| {
            Failure::Input(anyhow::anyhow!(
                "these weights have no tasks to score compounds by"
            ))
        })
    })
}

/// The table of the few labelled faces, and how many steps the trunk is trained on.
pub(super) struct Few<'a> {
    pub(super) shots: &'a Path,
    pub(super) steps: u64,
}

/// Accuracy by a head that is learned from a few faces.
pub(super) fn few_shot(
    gpu: &Gpu,
    model: &Model,
    faces: &Faces,
    few: &Few<'_>,
) -> Result<ClassMetrics, Failure> {
    let table = Table::read(few.shots).map_err(Failure::input)?;
    let batch = 64;
    let shots = Faces::new(model, few.shots, table.rows, table.compounds, batch)?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    let bytes = 3 * model.size * model.size;
    for index in 0..shots.sequence.batches() {
        let drawn = shots.sequence.batch(index).map_err(Failure::input)?;
        for (place, label) in drawn.labels.iter().enumerate() {
            if label.absent {
                continue;
            }
            if let Some(class) = shots.shown(index * batch as usize + place)? {
                pixels.extend_from_slice(&drawn.pixels[place * bytes..][..bytes]);
                labels.push(class as u32);
            }
        }
    }
    if labels.is_empty() {
        return Err(shots.none());
    }
    let learner = FewShot::compounds(few.steps);
    let (pixels, labels) = (pixels.as_slice(), labels.as_slice());
    let learned = learner.learn(gpu, model, Shots { pixels, labels })?;
    let predictor = gpu.block_on(Predictor::new(gpu, &learned, batch as usize))?;
    let mut outputs = Vec::new();
    gpu.block_on(evaluate(
        &predictor,
        &learned.tasks,
        &faces.sequence,
        |row, output| outputs.push((row, output.clone())),
    ))?;
    faces.metrics(&outputs, |output| {
        Ok(largest(&output.logits[..DU2014.len()]).unwrap_or_default())
    })
}
