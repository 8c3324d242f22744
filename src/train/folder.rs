//! What lies in a run's folder: checkpoints, the log and the TensorBoard events.

use super::event::Event;
use super::log::{LogWriter, read};
use super::tensorboard::EventWriter;
use super::{Checkpoint, TrainError};
use crate::nn::Weights;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Checkpoints kept.
const KEEP: usize = 2;

/// The checkpoints of a run, oldest first.
fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "safetensors")
        })
        .collect();
    paths.sort();
    paths
}

/// Writes a checkpoint and removes all but the last few.
pub(super) fn keep(out: &Path, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    let folder = out.join("checkpoints");
    let path = folder.join(format!("step-{:08}.safetensors", checkpoint.step));
    checkpoint.save(&path, HashMap::new())?;
    let kept = checkpoints(&folder);
    for old in &kept[..kept.len().saturating_sub(KEEP)] {
        // An old checkpoint that stays is no harm.
        let _ = std::fs::remove_file(old);
    }
    Ok(())
}

/// The checkpoint to go on from. A folder that holds a run is not overwritten by a fresh one.
pub(super) fn resumed(
    out: &Path,
    resume: bool,
    weights: &Weights,
) -> Result<Option<Checkpoint>, TrainError> {
    let found = checkpoints(&out.join("checkpoints"));
    match found.last() {
        Some(_) if !resume => Err(TrainError::RunExists {
            path: out.to_owned(),
        }),
        Some(path) => Ok(Some(Checkpoint::load(path, weights)?)),
        None => Ok(None),
    }
}

/// What a run writes as it goes, and what it wrote before the step to go on from.
pub(super) struct Journals {
    pub(super) log: LogWriter,
    pub(super) board: EventWriter,
    /// The seconds trained before.
    pub(super) seconds: f64,
    /// The broken images named before.
    pub(super) broken: BTreeSet<PathBuf>,
}

impl Journals {
    /// Opens the log and the TensorBoard events, cut back to the step to go on from.
    pub(super) fn open(out: &Path, resume: bool, step: u64) -> Result<Self, TrainError> {
        let path = out.join("log.jsonl");
        if !resume || !path.exists() {
            return Ok(Self {
                log: LogWriter::create(&path)?,
                board: EventWriter::create(out)?,
                seconds: 0.0,
                broken: BTreeSet::new(),
            });
        }
        let log = LogWriter::resume(&path, step)?;
        let mut seconds: f64 = 0.0;
        let mut broken = BTreeSet::new();
        for event in read(&path)? {
            match event {
                Event::Step { seconds: at, .. } => seconds = seconds.max(at),
                Event::BrokenImage { file, .. } => {
                    broken.insert(file);
                }
                _ => {}
            }
        }
        Ok(Self {
            log,
            board: EventWriter::resume(out, step)?,
            seconds,
            broken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_named_before_is_known_when_a_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut fresh = Journals::open(folder.path(), true, 0).unwrap();
        assert!(fresh.broken.is_empty() && fresh.seconds == 0.0);
        let event = |file: &str| Event::BrokenImage {
            database: "faces".to_owned(),
            file: PathBuf::from(file),
            reason: "truncated".to_owned(),
        };
        fresh.log.write(&event("a.png")).unwrap();
        let again = Journals::open(folder.path(), true, 5).unwrap();
        assert_eq!(again.broken, BTreeSet::from([PathBuf::from("a.png")]));
        let anew = Journals::open(folder.path(), false, 0).unwrap();
        assert!(anew.broken.is_empty());
    }
}
