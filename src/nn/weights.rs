//! Weights on the host: initialisation, and to and from safetensors.

use super::{Network, layout};
use crate::random::Random;
use crate::tape::{Graph, Shape, Slot, TapeError};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use thiserror::Error;

/// The one entry of the metadata.
const METADATA: &str = "kinesic";

/// What is wrong with a weight file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Not a safetensors file, or a damaged one.
    #[error("not a whole safetensors file: {source}")]
    Format {
        /// The parser's reason.
        source: safetensors::SafeTensorError,
    },
    /// A tensor that the network needs is not there.
    #[error(
        "there is no tensor `{name}` of shape {allowed:?}: these are weights of another network"
    )]
    Missing {
        /// The tensor.
        name: String,
        /// The shape that the network needs.
        allowed: Vec<usize>,
    },
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {asked:?}, the network needs {allowed:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape in the file.
        asked: Vec<usize>,
        /// The shape that the network needs.
        allowed: Vec<usize>,
    },
    /// A tensor of another type.
    #[error("tensor `{name}` has type {asked:?}, only F32 is read")]
    Type {
        /// The tensor.
        name: String,
        /// The type in the file.
        asked: Dtype,
    },
    /// A value that no network can use.
    #[error("tensor `{name}` holds a value that is not finite")]
    NotFinite {
        /// The tensor.
        name: String,
    },
}

/// The parameters and running statistics of a network, flat and in the kernels' layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    parameter_slots: Vec<Slot>,
    state_slots: Vec<Slot>,
    /// The flat parameter buffer's contents.
    pub parameters: Vec<f32>,
    /// The flat state buffer's contents.
    pub states: Vec<f32>,
}

impl Weights {
    /// Weights of zeros for the parameters that a graph declares.
    pub fn zeroed(graph: &Graph) -> Self {
        Self {
            parameter_slots: graph.parameters().cloned().collect(),
            state_slots: graph.states().cloned().collect(),
            parameters: vec![0.0; graph.parameter_len()],
            states: vec![0.0; graph.state_len()],
        }
    }

    /// Freshly initialised weights: convolutions by He et al. 2015 (normal, fan out), fully connected layers uniform within
    /// 1/√fan_in, scales 1, biases 0, running mean 0 and variance 1. A pure function of the seed and the names.
    pub fn initialised(graph: &Graph, seed: u64) -> Self {
        let mut weights = Self::zeroed(graph);
        // On all cores: the 25 million of ResNet-50 take one core a second, a good part of the way to the first step.
        let mut slots: Vec<&Slot> = graph.parameters().collect();
        slots.sort_by_key(|slot| slot.offset);
        let (mut rest, mut begin) = (&mut weights.parameters[..], 0);
        let mut parts = Vec::new();
        for slot in slots {
            let (_, after) = rest.split_at_mut(slot.offset - begin);
            let (part, after) = after.split_at_mut(slot.shape.len());
            (rest, begin) = (after, slot.offset + slot.shape.len());
            parts.push((slot, part));
        }
        parts.into_par_iter().for_each(|(slot, part)| {
            layout::store(&slot.shape, &initial(slot, seed), part);
        });
        for slot in graph.states() {
            if slot.name.ends_with("running_var") {
                let range = slot.offset..slot.offset + slot.shape.channels();
                weights.states[range].fill(1.0);
            }
        }
        weights
    }

    /// The number of trained values, padding not counted.
    pub fn parameter_count(&self) -> u64 {
        let values = |slot: &Slot| slot.torch_shape.iter().product::<usize>() as u64;
        self.parameter_slots.iter().map(values).sum()
    }

    /// Calls `value(name, travelling shape)` for each parameter and stores what it gives, in the travelling layout.
    pub fn fill(&mut self, mut value: impl FnMut(&str, &[usize]) -> Vec<f32>) {
        for slot in &self.parameter_slots {
            let values = value(&slot.name, &slot.torch_shape);
            let range = slot.offset..slot.offset + slot.shape.len();
            layout::store(&slot.shape, &values, &mut self.parameters[range]);
        }
    }

    /// As [`Weights::fill`], for the states.
    pub fn fill_states(&mut self, mut value: impl FnMut(&str, &[usize]) -> Vec<f32>) {
        for slot in &self.state_slots {
            let values = value(&slot.name, &slot.torch_shape);
            let range = slot.offset..slot.offset + slot.shape.len();
            layout::store(&slot.shape, &values, &mut self.states[range]);
        }
    }

    /// A parameter-like flat buffer (the parameters or their gradients) as travelling tensors: name and values.
    pub fn take<'a>(&'a self, flat: &'a [f32]) -> impl Iterator<Item = (&'a str, Vec<f32>)> {
        self.parameter_slots.iter().map(|slot| {
            let stored = &flat[slot.offset..slot.offset + slot.shape.len()];
            (slot.name.as_str(), layout::take(&slot.shape, stored))
        })
    }

    /// A state in the travelling layout.
    pub fn state(&self, name: &str) -> Option<Vec<f32>> {
        let slot = self.state_slots.iter().find(|slot| slot.name == name)?;
        let stored = &self.states[slot.offset..slot.offset + slot.shape.len()];
        Some(layout::take(&slot.shape, stored))
    }

    /// The file: all parameters and states under torchvision's names in OIHW, with `metadata`.
    ///
    /// # Errors
    /// [`WeightsError::Format`], which only a defect of this crate can cause.
    pub fn to_safetensors(
        &self,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<u8>, WeightsError> {
        self.to_safetensors_with(metadata, &[])
    }

    /// As [`Weights::to_safetensors`], with more flat buffers laid out like the parameters (an optimiser's moments), each
    /// under the parameters' names behind a prefix.
    ///
    /// # Errors
    /// As [`Weights::to_safetensors`].
    pub fn to_safetensors_with(
        &self,
        metadata: HashMap<String, String>,
        extra: &[(&str, &[f32])],
    ) -> Result<Vec<u8>, WeightsError> {
        let parameters = ("", &self.parameter_slots, self.parameters.as_slice());
        let states = ("", &self.state_slots, self.states.as_slice());
        let extra = extra
            .iter()
            .map(|(prefix, flat)| (*prefix, &self.parameter_slots, *flat));
        let mut tensors = Vec::new();
        for (prefix, slots, flat) in [parameters, states].into_iter().chain(extra) {
            for slot in slots {
                let stored = &flat[slot.offset..slot.offset + slot.shape.len()];
                let values = layout::take(&slot.shape, stored);
                let bytes = bytemuck::cast_slice::<f32, u8>(&values).to_vec();
                tensors.push((format!("{prefix}{}", slot.name), slot, bytes));
            }
        }
        let format = |source| WeightsError::Format { source };
        let views: Result<Vec<_>, _> = tensors
            .iter()
            .map(|(name, slot, bytes)| {
                let view = TensorView::new(Dtype::F32, slot.torch_shape.clone(), bytes);
                Ok((name.as_str(), view.map_err(format)?))
            })
            .collect();
        // One entry holds all: the format keeps entries in the order of a hash, and equal weights shall be equal files.
        let sorted: BTreeMap<_, _> = metadata.into_iter().collect();
        let text = serde_json::to_string(&sorted).unwrap_or_default();
        let metadata = HashMap::from([(METADATA.to_owned(), text)]);
        safetensors::serialize(views?, Some(metadata)).map_err(format)
    }

    /// The metadata of a weight file.
    ///
    /// # Errors
    /// [`WeightsError::Format`].
    pub fn metadata(file: &[u8]) -> Result<HashMap<String, String>, WeightsError> {
        let (_, metadata) =
            SafeTensors::read_metadata(file).map_err(|source| WeightsError::Format { source })?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(METADATA));
        // Another program's file has none, or none that is meant for us.
        Ok(text
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default())
    }

    /// A flat buffer laid out like the parameters, from the tensors whose names begin with `prefix`.
    ///
    /// # Errors
    /// As [`Weights::load`].
    pub fn parameters_with_prefix(
        &self,
        file: &[u8],
        prefix: &str,
    ) -> Result<Vec<f32>, WeightsError> {
        let tensors =
            SafeTensors::deserialize(file).map_err(|source| WeightsError::Format { source })?;
        let mut flat = vec![0.0; self.parameters.len()];
        for slot in &self.parameter_slots {
            let values = values(&tensors, slot, prefix)?;
            let range = slot.offset..slot.offset + slot.shape.len();
            layout::store(&slot.shape, &values, &mut flat[range]);
        }
        Ok(flat)
    }

    /// Reads a file written by [`Weights::to_safetensors`] or with torchvision's tensors. Tensors that the network does not
    /// have are ignored. With `head` false, a head of another shape keeps its initial values: for pretrained trunks.
    ///
    /// # Errors
    /// [`WeightsError`], naming the tensor and both shapes.
    pub fn load(&mut self, file: &[u8], head: bool) -> Result<(), WeightsError> {
        let tensors =
            SafeTensors::deserialize(file).map_err(|source| WeightsError::Format { source })?;
        let mut loaded = self.clone();
        let all = [
            (&self.parameter_slots, &mut loaded.parameters),
            (&self.state_slots, &mut loaded.states),
        ];
        for (slots, flat) in all {
            for slot in slots {
                let is_head =
                    slot.name.starts_with("fc.") || slot.name.starts_with("classifier.6.");
                match values(&tensors, slot, "") {
                    Ok(values) => {
                        let range = slot.offset..slot.offset + slot.shape.len();
                        layout::store(&slot.shape, &values, &mut flat[range]);
                    }
                    Err(WeightsError::Shape { .. } | WeightsError::Missing { .. })
                        if is_head && !head => {}
                    Err(error) => return Err(error),
                }
            }
        }
        *self = loaded;
        Ok(())
    }
}

fn values(tensors: &SafeTensors<'_>, slot: &Slot, prefix: &str) -> Result<Vec<f32>, WeightsError> {
    let name = format!("{prefix}{}", slot.name);
    let allowed = slot.torch_shape.clone();
    let Ok(view) = tensors.tensor(&name) else {
        return Err(WeightsError::Missing { name, allowed });
    };
    if view.shape() != allowed {
        return Err(WeightsError::Shape {
            name,
            asked: view.shape().to_vec(),
            allowed,
        });
    }
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => bytemuck::pod_collect_to_vec(view.data()),
        asked => return Err(WeightsError::Type { name, asked }),
    };
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(WeightsError::NotFinite { name })
    }
}

fn initial(slot: &Slot, seed: u64) -> Vec<f32> {
    let random = Random::new(seed, &slot.name);
    let len = slot.torch_shape.iter().product::<usize>() as u64;
    let uniform = |bound: f32| (0..len).map(|i| bound * random.uniform(i)).collect();
    match *slot.shape.dims() {
        [r, s, c, k] => {
            let fan_out = if slot.torch_shape.len() == 2 {
                r * s * c
            } else {
                r * s * k
            };
            normal(&random, len, (2.0 / fan_out as f32).sqrt())
        }
        [r, s, _] => normal(&random, len, (2.0 / (r * s) as f32).sqrt()),
        [c, _] => uniform(1.0 / (c as f32).sqrt()),
        _ if slot.name.ends_with("weight") => vec![1.0; len as usize],
        _ => vec![0.0; len as usize],
    }
}

fn normal(random: &Random, len: u64, deviation: f32) -> Vec<f32> {
    // On all cores: the 25 million of ResNet-50 take one core a second, which is a good part of the way to the first step.
    let draws = (0..len as usize).into_par_iter();
    draws.map(|i| deviation * random.normal(i as u64)).collect()
}

/// The head's parameters do not reach into the trunk, so a recorded graph of either mode declares the same slots.
impl Network {
    /// A graph that declares the network's parameters and states on images of `size`, without anything to run.
    ///
    /// # Errors
    /// [`TapeError::Window`] when the image is too small for the trunk.
    pub fn declare(&self, size: usize) -> Result<Graph, TapeError> {
        let mut graph = Graph::new();
        let image = graph.input("image", Shape::rows(&[1, size, size, 3]));
        self.record(&mut graph, image, None)?;
        Ok(graph)
    }
}
