//! Rendered faces with every label.

use super::ExperimentError;
use crate::data::synthetic::{Faces, Picture, Shown};
use crate::gpu::Gpu;
use crate::kernels::face::{Face, render};
use crate::objective::Labels;

/// Pictures with all that is known about them.
#[derive(Clone, Debug)]
pub struct Gallery {
    /// RGB bytes, picture after picture.
    pub pixels: Vec<u8>,
    /// What is true of each.
    pub labels: Vec<Labels>,
    /// What compound expression each shows, if any.
    pub compound: Vec<Option<&'static str>>,
    side: usize,
}

/// The face before a camera that someone holds: cut from brows to chin as face detectors do, closer to upright, in soft light
/// and in focus. The wider world of [`Faces`] asks for more training than a demonstration has time for.
fn studio(face: Face) -> Face {
    Face {
        yaw: 0.4 * face.yaw,
        pitch: 0.4 * face.pitch,
        roll: 0.4 * face.roll,
        scale: 1.4 * face.scale,
        shift_y: 0.28 + 0.5 * (face.shift_y - 0.06),
        shift_x: 0.5 * face.shift_x,
        light_x: 0.4 * face.light_x,
        blur: 0.0,
        noise: 0.3 * face.noise,
        ..face
    }
}

impl Gallery {
    /// Renders `count` pictures of a stream from number `first` on.
    ///
    /// # Errors
    /// [`ExperimentError::Kernel`].
    pub(super) fn render(
        gpu: &Gpu,
        stream: &Faces,
        first: u64,
        count: usize,
        side: usize,
    ) -> Result<Self, ExperimentError> {
        let pictures = (first..first + count as u64).map(|index| stream.picture(index));
        Self::of(gpu, &pictures.collect::<Vec<_>>(), side)
    }

    /// Renders some pictures.
    ///
    /// # Errors
    /// [`ExperimentError::Kernel`].
    pub(super) fn of(
        gpu: &Gpu,
        pictures: &[Picture],
        side: usize,
    ) -> Result<Self, ExperimentError> {
        let faces: Vec<Face> = pictures
            .iter()
            .map(|picture| studio(picture.face))
            .collect();
        let pixels = match faces.as_slice() {
            [] => Vec::new(),
            faces => gpu.block_on(render(gpu, faces, side))?,
        };
        Ok(Self {
            pixels,
            labels: pictures
                .iter()
                .map(|picture| picture.truth.labels().into())
                .collect(),
            compound: pictures
                .iter()
                .map(|picture| match picture.truth.shown {
                    shown @ Shown::Compound(_) => Some(shown.name()),
                    Shown::Basic(_) => None,
                })
                .collect(),
            side,
        })
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The bytes of a picture.
    pub fn picture(&self, index: usize) -> &[u8] {
        let bytes = self.side * self.side * 3;
        &self.pixels[index * bytes..][..bytes]
    }

    /// The first pictures.
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        Self {
            pixels: self.pixels[..count * self.side * self.side * 3].to_vec(),
            labels: self.labels[..count].to_vec(),
            compound: self.compound[..count].to_vec(),
            side: self.side,
        }
    }
}
