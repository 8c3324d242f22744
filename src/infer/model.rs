//! A network with its weights, as it travels in one file.

use crate::nn::{Backbone, Network, Weights, WeightsError};
use crate::objective::Tasks;
use crate::tape::TapeError;
use std::collections::HashMap;
use thiserror::Error;

/// A network that can be run: its shape, its tasks and its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The network's shape.
    pub network: Network,
    /// The side of its input in pixels.
    pub size: usize,
    /// What its logits mean.
    pub tasks: Tasks,
    /// Its weights.
    pub weights: Weights,
}

/// What is wrong with a model file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A network that cannot be.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A file that does not say what network its tensors belong to.
    #[error("the file's metadata has no usable `{key}`: it was not written by kinesic")]
    Metadata {
        /// The key.
        key: &'static str,
    },
}

impl Model {
    /// The file: safetensors with torchvision's names; the metadata says what network it is.
    ///
    /// # Errors
    /// [`WeightsError::Format`], which only a defect of this crate can cause.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, WeightsError> {
        let entries = [
            ("format", "kinesic 1".to_owned()),
            ("backbone", self.network.backbone.to_string()),
            ("width", self.network.width.to_string()),
            ("depth", self.network.depth.to_string()),
            ("size", self.size.to_string()),
            (
                "tasks",
                serde_json::to_string(&self.tasks).unwrap_or_default(),
            ),
        ];
        let metadata: HashMap<_, _> = entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        self.weights.to_safetensors(metadata)
    }

    /// Reads a file written by [`Model::to_safetensors`].
    ///
    /// # Errors
    /// [`ModelError`], naming the key or the tensor with both shapes.
    pub fn from_safetensors(file: &[u8]) -> Result<Self, ModelError> {
        let metadata = Weights::metadata(file)?;
        let get = |key: &'static str| metadata.get(key).ok_or(ModelError::Metadata { key });
        fn number<T: std::str::FromStr>(text: &str, key: &'static str) -> Result<T, ModelError> {
            text.parse().map_err(|_| ModelError::Metadata { key })
        }
        let backbone: Backbone = number(get("backbone")?, "backbone")?;
        let tasks: Tasks = serde_json::from_str(get("tasks")?)
            .map_err(|_| ModelError::Metadata { key: "tasks" })?;
        let size: usize = number(get("size")?, "size")?;
        let scale = |key: &'static str| match number::<f32>(get(key)?, key)? {
            value if value > 0.0 && value <= 16.0 => Ok(value),
            _ => Err(ModelError::Metadata { key }),
        };
        if !(8..=4096).contains(&size) {
            return Err(ModelError::Metadata { key: "size" });
        }
        let network = Network {
            backbone,
            width: scale("width")?,
            depth: scale("depth")?,
            outputs: tasks.logits(),
        };
        let mut weights = Weights::zeroed(&network.declare(size)?);
        weights.load(file, true)?;
        Ok(Self {
            network,
            size,
            tasks,
            weights,
        })
    }
}
