//! The recorded inference pass of a network.

use crate::nn::Network;
use crate::tape::ops::ImageInput;
use crate::tape::{Graph, Recording, Shape, TapeError, Target, Value};

/// The shapes of a pass: a batch of square images, resampled on the GPU to the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Images {
    /// Images a batch.
    pub batch: usize,
    /// The side of the u8 images that are uploaded.
    pub source: usize,
    /// The side of the network's input.
    pub size: usize,
}

impl Images {
    /// Bytes of a batch of RGB images, whole words.
    pub const fn bytes(&self) -> usize {
        (self.batch * self.source * self.source * 3).next_multiple_of(4)
    }

    /// Records the normalised image `[N, H, W, 3]` from its inputs: pixels, matrices, image.
    ///
    /// # Errors
    /// None but a defect's.
    pub fn record(self, graph: &mut Graph) -> Result<(Value, Value, Value), TapeError> {
        let pixels = graph.input("images", Shape::raw(self.bytes() / 4));
        let matrices = graph.input("matrices", Shape::raw(8 * self.batch));
        let op = ImageInput {
            batch: self.batch,
            source: [self.source; 2],
            size: [self.size; 2],
        };
        let image = graph.layer("input", |graph| graph.record1(op, &[pixels, matrices]))?;
        Ok((pixels, matrices, image))
    }
}

/// An inference pass.
#[derive(Clone, Debug)]
pub struct InferencePass {
    /// The compiled dispatches.
    pub recording: Recording,
    /// Input: u8 RGB images.
    pub pixels: Value,
    /// Input: a 2 x 3 matrix (and two unused floats) an image.
    pub matrices: Value,
    /// Output: the logits.
    pub logits: Value,
    /// Output: the embedding.
    pub embedding: Value,
}

impl InferencePass {
    /// Records and compiles the pass.
    ///
    /// # Errors
    /// [`TapeError`] with the layer and shape at fault.
    pub fn new(network: &Network, images: Images, target: &Target) -> Result<Self, TapeError> {
        let mut graph = Graph::new();
        let (pixels, matrices, image) = images.record(&mut graph)?;
        let outputs = network.record(&mut graph, image, None)?;
        let kept = [outputs.logits, outputs.embedding];
        Ok(Self {
            recording: Recording::new(graph, &kept, target)?,
            pixels,
            matrices,
            logits: outputs.logits,
            embedding: outputs.embedding,
        })
    }
}
