//! Checkpoints: everything that the next step depends on, written whole or not at all.

use super::TrainError;
use crate::kernels::optim::SCALING;
use crate::nn::Weights;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

/// What a run is resumed from.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The parameters and running statistics.
    pub weights: Weights,
    /// The optimiser's moments, flat like the parameters.
    pub moments: [Vec<f32>; 2],
    /// The loss's scale and what decides on it, where it is trained in f16.
    pub scaling: Option<[f32; SCALING]>,
    /// Steps done.
    pub step: u64,
    /// The best validation score so far.
    pub best: Option<f64>,
}

const PREFIXES: [&str; 2] = ["optimizer.moment1.", "optimizer.moment2."];

impl Checkpoint {
    /// Writes the checkpoint; a reader sees the old file or the new one, never a part.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn save(
        &self,
        path: &Path,
        mut metadata: HashMap<String, String>,
    ) -> Result<(), TrainError> {
        metadata.insert("step".to_owned(), self.step.to_string());
        if let Some(scaling) = self.scaling {
            let words = scaling.map(|value| format!("{:08x}", value.to_bits()));
            metadata.insert("loss_scale".to_owned(), words.join(" "));
        }
        if let Some(best) = self.best {
            metadata.insert("best".to_owned(), format!("{:016x}", best.to_bits()));
        }
        let extra = [
            (PREFIXES[0], self.moments[0].as_slice()),
            (PREFIXES[1], self.moments[1].as_slice()),
        ];
        let bytes = self
            .weights
            .to_safetensors_with(metadata, &extra)
            .map_err(|source| TrainError::Weights {
                path: path.to_owned(),
                source,
            })?;
        write_atomically(path, &bytes)
    }

    /// Reads a checkpoint into weights of the same network.
    ///
    /// # Errors
    /// [`TrainError::Read`], [`TrainError::Weights`] for another network or a damaged file, [`TrainError::Checkpoint`] where
    /// the step is missing.
    pub fn load(path: &Path, like: &Weights) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(|source| TrainError::Read {
            path: path.to_owned(),
            source,
        })?;
        let weights_error = |source| TrainError::Weights {
            path: path.to_owned(),
            source,
        };
        let mut weights = like.clone();
        weights.load(&bytes, true).map_err(weights_error)?;
        let moment = |prefix| {
            like.parameters_with_prefix(&bytes, prefix)
                .map_err(weights_error)
        };
        let moments = [moment(PREFIXES[0])?, moment(PREFIXES[1])?];
        let metadata = Weights::metadata(&bytes).map_err(weights_error)?;
        let step = metadata.get("step").and_then(|step| step.parse().ok());
        let best = metadata
            .get("best")
            .and_then(|bits| u64::from_str_radix(bits, 16).ok())
            .map(f64::from_bits);
        let scaling = metadata.get("loss_scale").and_then(|words| {
            let words = words.split(' ').map(|word| u32::from_str_radix(word, 16));
            let words: Result<Vec<_>, _> = words.collect();
            <[u32; SCALING]>::try_from(words.ok()?).ok()
        });
        Ok(Self {
            weights,
            moments,
            scaling: scaling.map(|words| words.map(f32::from_bits)),
            step: step.ok_or_else(|| TrainError::Checkpoint {
                path: path.to_owned(),
            })?,
            best,
        })
    }
}

/// Writes a file beside its place, flushes it to the disk and moves it there.
///
/// # Errors
/// [`TrainError::Write`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let error = |source| TrainError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(error)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error)?;
    file.write_all(bytes).map_err(error)?;
    file.as_file().sync_all().map_err(error)?;
    let file = file.persist(path).map_err(|failed| error(failed.error))?;
    make_readable(&file).map_err(error)
}

/// Temporary files are private to their owner; results are as readable as any file that the user makes.
#[cfg(unix)]
fn make_readable(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
