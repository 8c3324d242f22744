//! Layers, initialisation, the backbones and the head.
//!
//! A [`Backbone`] records its graph from the normalised image to an embedding and one linear head of all tasks' logits.
//! Parameters bear torchvision's names (ResNet, VGG) and travel in its layouts; [`Weights`] moves them to and from safetensors.

mod layers;
mod layout;
mod mobile;
mod resnet;
mod vgg;
mod weights;

use crate::tape::{Graph, TapeError, Value};
use std::fmt;
use std::str::FromStr;

pub use layers::{Conv2d, batch_norm, depthwise, linear, relu};
pub use weights::{Weights, WeightsError};

/// A trunk of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backbone {
    /// ResNet-18.
    Resnet18,
    /// ResNet-34.
    Resnet34,
    /// ResNet-50.
    Resnet50,
    /// VGG-16 without batch normalisation.
    Vgg16,
    /// A small depthwise separable network.
    Mobile,
}

impl Backbone {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Resnet18,
        Self::Resnet34,
        Self::Resnet50,
        Self::Vgg16,
        Self::Mobile,
    ];

    /// The name in configurations and weight files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Resnet34 => "resnet34",
            Self::Resnet50 => "resnet50",
            Self::Vgg16 => "vgg16",
            Self::Mobile => "mobile",
        }
    }

    /// The name of the layer that gives the logits.
    pub const fn head(self) -> &'static str {
        match self {
            Self::Vgg16 => "classifier.6",
            _ => "fc",
        }
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of no backbone.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{asked}` is no backbone; there are resnet18, resnet34, resnet50, vgg16 and mobile")]
pub struct UnknownBackbone {
    asked: String,
}

impl FromStr for Backbone {
    type Err = UnknownBackbone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL
            .into_iter()
            .find(|backbone| backbone.name() == text);
        found.ok_or_else(|| UnknownBackbone {
            asked: text.to_owned(),
        })
    }
}

/// What a network is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// The trunk.
    pub backbone: Backbone,
    /// Scales the channels of [`Backbone::Mobile`].
    pub width: f32,
    /// Scales the number of blocks of [`Backbone::Mobile`].
    pub depth: f32,
    /// The number of logits of all tasks together.
    pub outputs: usize,
}

/// What a recorded network computes.
#[derive(Clone, Copy, Debug)]
pub struct Outputs {
    /// `[N, C]`: the trunk's features, by which faces are compared.
    pub embedding: Value,
    /// `[N, outputs]`: the tasks' logits side by side.
    pub logits: Value,
}

impl Network {
    /// Records the network on a normalised image `[N, H, W, 3]`. With `training`, the `schedule` input (see the kernels of
    /// `optim`) drives dropout and batch normalisation uses the batch's statistics and updates the running ones.
    ///
    /// # Errors
    /// [`TapeError::Window`] when the image is too small for the trunk.
    pub fn record(
        &self,
        graph: &mut Graph,
        image: Value,
        training: Option<Value>,
    ) -> Result<Outputs, TapeError> {
        use resnet::Block::{Basic, Bottleneck};
        let train = training.is_some();
        let embedding = match self.backbone {
            Backbone::Resnet18 => resnet::record(graph, image, Basic, [2, 2, 2, 2], train)?,
            Backbone::Resnet34 => resnet::record(graph, image, Basic, [3, 4, 6, 3], train)?,
            Backbone::Resnet50 => resnet::record(graph, image, Bottleneck, [3, 4, 6, 3], train)?,
            Backbone::Vgg16 => vgg::record(graph, image, training)?,
            Backbone::Mobile => mobile::record(graph, image, self.width, self.depth, train)?,
        };
        let logits = linear(graph, self.backbone.head(), embedding, self.outputs)?;
        Ok(Outputs { embedding, logits })
    }
}
