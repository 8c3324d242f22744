//! Rendered faces with every label.

use super::ExperimentError;
use crate::data::synthetic::{ATTRIBUTES, Faces, Picture, Shown};
use crate::gpu::Gpu;
use crate::kernels::face::{Face, render};
use crate::objective::{Label, Labels, Task, TaskKind, Tasks};

/// Pictures with all that is known about them.
#[derive(Clone, Debug)]
pub struct Gallery {
    /// RGB bytes, picture after picture.
    pub pixels: Vec<u8>,
    /// What is true of each: expression, action units, valence and arousal, attributes, identity.
    pub labels: Vec<Labels>,
    /// What compound expression each shows, if any.
    pub compound: Vec<Option<&'static str>>,
    side: usize,
}

/// The tasks that synthetic faces carry labels for, in the order of [`Gallery::labels`].
pub(super) const KNOWN: [&str; 5] = [
    "expression",
    "action_units",
    "valence_arousal",
    "attributes",
    "identity",
];

/// Labels in the order of [`KNOWN`] as labels of `tasks`; `kept` says which of them to keep.
pub(super) fn labels_of(labels: &Labels, tasks: &Tasks, kept: impl Fn(&str) -> bool) -> Labels {
    labels.placed(tasks, |task| {
        KNOWN.iter().position(|name| *name == task && kept(name))
    })
}

/// The outputs of a task of [`KNOWN`]: of identity the first `people`.
pub(super) fn known(name: &str, people: u32) -> Option<Task> {
    let task = |kind, outputs| {
        Some(Task {
            name: name.to_owned(),
            kind,
            outputs,
        })
    };
    match name {
        "attributes" => task(TaskKind::Sigmoid, ATTRIBUTES.map(str::to_owned).into()),
        "identity" => {
            let outputs = (0..people).map(|person| person.to_string());
            task(TaskKind::Softmax, outputs.collect())
        }
        name => Tasks::affect().get(name).cloned(),
    }
}

/// What is true of a picture, in the order of [`KNOWN`].
fn labels(picture: &Picture) -> Labels {
    let truth = &picture.truth;
    let mut labels = Labels::from(truth.labels());
    labels.tasks.push(Label::Bits {
        mask: (1 << ATTRIBUTES.len()) - 1,
        on: truth.attribute_bits(),
    });
    labels.tasks.push(Label::Class(truth.identity));
    labels
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
            labels: pictures.iter().map(labels).collect(),
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

    /// Who is in each picture.
    pub(super) fn people(&self) -> Vec<u32> {
        let person = |labels: &Labels| match labels.tasks.last() {
            Some(Label::Class(person)) => *person,
            _ => u32::MAX,
        };
        self.labels.iter().map(person).collect()
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
