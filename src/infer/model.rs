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
    /// A file of another version of kinesic's format.
    #[error("the file has format `{asked}`, this version reads `{allowed}`")]
    Version {
        /// The format in the file.
        asked: String,
        /// The format that is read.
        allowed: &'static str,
    },
    /// A file that does not say what network its tensors belong to.
    #[error("the file's metadata has no usable `{key}`: it was not written by kinesic")]
    Metadata {
        /// The key.
        key: &'static str,
    },
}

/// The format and its version.
const FORMAT: &str = "kinesic 1";

impl Model {
    /// The file: safetensors with torchvision's names; the metadata says what network it is.
    ///
    /// # Errors
    /// [`WeightsError::Format`], which only a defect of this crate can cause.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, WeightsError> {
        let entries = [
            ("format", FORMAT.to_owned()),
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
        let format = get("format")?;
        if format != FORMAT {
            return Err(ModelError::Version {
                asked: format.clone(),
                allowed: FORMAT,
            });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let tasks = Tasks::affect();
        let network = Network {
            backbone: Backbone::Mobile,
            width: 0.5,
            depth: 1.0,
            outputs: tasks.logits(),
        };
        let weights = Weights::initialised(&network.declare(32).unwrap(), 3);
        Model {
            network,
            size: 32,
            tasks,
            weights,
        }
    }

    /// The file of a model with one entry of its metadata replaced, or removed.
    fn file(key: &str, value: Option<&str>) -> Vec<u8> {
        let model = model();
        let mut metadata = Weights::metadata(&model.to_safetensors().unwrap()).unwrap();
        metadata.remove(key).unwrap();
        if let Some(value) = value {
            metadata.insert(key.to_owned(), value.to_owned());
        }
        model.weights.to_safetensors(metadata).unwrap()
    }

    #[test]
    fn a_model_comes_back_with_the_same_bits() {
        let model = model();
        let bytes = model.to_safetensors().unwrap();
        assert!(Model::from_safetensors(&bytes).unwrap() == model);
        assert!(
            model.to_safetensors().unwrap() == bytes,
            "equal models are equal files"
        );
    }

    #[test]
    fn missing_and_unknown_metadata_is_named() {
        let unusable = [
            ("format", None),
            ("backbone", None),
            ("backbone", Some("resnet51")),
            ("tasks", Some("[]")),
            ("tasks", None),
            ("size", Some("0")),
            ("size", Some("-32")),
            ("width", Some("NaN")),
            ("depth", Some("0")),
        ];
        for (key, value) in unusable {
            match Model::from_safetensors(&file(key, value)) {
                Err(ModelError::Metadata { key: named }) => assert_eq!(named, key),
                other => panic!("{key} = {value:?}: {:?}", other.map(|model| model.network)),
            }
        }
        let error = Model::from_safetensors(&file("format", Some("kinesic 2"))).unwrap_err();
        assert!(
            matches!(&error, ModelError::Version { asked, .. } if asked == "kinesic 2"),
            "{error}"
        );
    }

    #[test]
    fn weights_of_another_shape_name_the_tensor_and_both_shapes() {
        let error = Model::from_safetensors(&file("width", Some("1"))).unwrap_err();
        let ModelError::Weights(WeightsError::Shape {
            name,
            asked,
            allowed,
        }) = &error
        else {
            panic!("{error}");
        };
        assert_eq!(name, "stem.conv.weight");
        assert_eq!((asked[0] * 2, &asked[1..]), (allowed[0], &allowed[1..]));
    }

    #[test]
    fn damaged_files_are_refused() {
        let whole = model().to_safetensors().unwrap();
        for bytes in [&[][..], b"not a weight file", &whole[..whole.len() - 1]] {
            let error = Model::from_safetensors(bytes).unwrap_err();
            assert!(
                matches!(error, ModelError::Weights(WeightsError::Format { .. })),
                "{error}"
            );
        }
    }
}
