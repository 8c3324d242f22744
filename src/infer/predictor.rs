//! Runs a model on batches of images.

use super::{Images, InferencePass, Model};
use crate::gpu::Gpu;
use crate::tape::{Plan, Store, TapeError, Target};

/// A model compiled for batches of one size.
#[derive(Debug)]
pub struct Predictor {
    plan: Plan,
    pass: InferencePass,
    images: Images,
    width: usize,
    embedding: usize,
}

/// What the network says of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The logits of all tasks side by side, padding included.
    pub logits: Vec<f32>,
    /// The trunk's features, by which faces are compared.
    pub embedding: Vec<f32>,
}

impl Predictor {
    /// Compiles a model for batches of `batch` images and uploads its weights.
    ///
    /// # Errors
    /// [`TapeError`].
    pub async fn new(gpu: &Gpu, model: &Model, batch: usize) -> Result<Self, TapeError> {
        let pass = Self::pass(model, batch, &Target::of(gpu).fixed())?;
        let store = Store::new(gpu, &pass.recording, false).await?;
        let weights = &model.weights;
        gpu.queue.write_buffer(
            &store.parameters,
            0,
            bytemuck::cast_slice(&weights.parameters),
        );
        if !weights.states.is_empty() {
            gpu.queue
                .write_buffer(&store.states, 0, bytemuck::cast_slice(&weights.states));
        }
        Self::on(gpu, model, batch, pass, &store).await
    }

    /// Compiles a model for batches of `batch` images on weights that are on the device already, such as those in training.
    ///
    /// # Errors
    /// [`TapeError`].
    pub async fn with_store(
        gpu: &Gpu,
        model: &Model,
        batch: usize,
        store: &Store,
    ) -> Result<Self, TapeError> {
        let pass = Self::pass(model, batch, &Target::of(gpu))?;
        Self::on(gpu, model, batch, pass, store).await
    }

    fn pass(model: &Model, batch: usize, target: &Target) -> Result<InferencePass, TapeError> {
        InferencePass::new(&model.network, images(model, batch), target)
    }

    async fn on(
        gpu: &Gpu,
        model: &Model,
        batch: usize,
        pass: InferencePass,
        store: &Store,
    ) -> Result<Self, TapeError> {
        let plan = Plan::new(gpu, pass.recording.clone(), store).await?;
        Ok(Self {
            embedding: plan.len(pass.embedding) / batch,
            width: plan.len(pass.logits) / batch,
            images: images(model, batch),
            plan,
            pass,
        })
    }

    /// Images a batch.
    pub fn batch(&self) -> usize {
        self.images.batch
    }

    /// The compiled plan: its input and output buffers may be used on the device.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs one batch: RGB bytes padded to whole words, and eight floats an image (see
    /// [`kernels::image`](crate::kernels::image)).
    ///
    /// # Errors
    /// [`TapeError::Length`] for another number of bytes or floats; [`TapeError::Gpu`].
    pub async fn run(&self, pixels: &[u8], matrices: &[f32]) -> Result<Vec<Output>, TapeError> {
        self.plan.write(self.pass.pixels, pixels)?;
        self.plan
            .write(self.pass.matrices, bytemuck::cast_slice(matrices))?;
        self.plan.submit();
        let logits = self.plan.read(self.pass.logits).await?;
        let embeddings = self.plan.read(self.pass.embedding).await?;
        let rows = logits
            .chunks_exact(self.width)
            .zip(embeddings.chunks_exact(self.embedding));
        Ok(rows
            .map(|(logits, embedding)| Output {
                logits: logits.to_vec(),
                embedding: embedding.to_vec(),
            })
            .collect())
    }

    /// Runs any number of images, as many batches as it takes; `pixels` are RGB bytes without padding.
    ///
    /// # Errors
    /// [`TapeError::Gpu`].
    pub async fn run_all(&self, pixels: &[u8]) -> Result<Vec<Output>, TapeError> {
        let image = self.images.source * self.images.source * 3;
        let matrices = crate::data::identity_matrix(self.images.batch);
        let mut outputs = Vec::new();
        for chunk in pixels.chunks(image * self.images.batch) {
            let mut padded = chunk.to_vec();
            padded.resize(self.images.bytes(), 0);
            let batch = self.run(&padded, &matrices).await?;
            outputs.extend(batch.into_iter().take(chunk.len() / image));
        }
        Ok(outputs)
    }
}

fn images(model: &Model, batch: usize) -> Images {
    Images {
        batch,
        source: model.size,
        size: model.size,
    }
}
