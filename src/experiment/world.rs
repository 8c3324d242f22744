//! The people of one seed: those of the training databases, those for validation and those for the test. Nobody is in two.

use super::{ExperimentError, FacesConfig, Gallery};
use crate::data::synthetic::Faces;
use crate::gpu::Gpu;

/// The most training databases; the people for validation and test are numbered behind theirs.
pub const MOST_DATABASES: usize = 3;

/// Pictures of people on whom nothing is trained.
#[derive(Clone, Debug)]
pub struct Unseen {
    /// Showing basic expressions.
    pub basic: Gallery,
    /// Showing compound expressions.
    pub compound: Gallery,
}

/// All pictures of one seed.
#[derive(Clone, Debug)]
pub struct World {
    /// The training databases, with every label; a training uses some of the labels.
    pub train: Vec<Gallery>,
    /// People by whom options may be chosen.
    pub validation: Unseen,
    /// People by whom nothing may be chosen.
    pub test: Unseen,
}

impl World {
    /// Renders `databases` training databases and the unseen people, with `size` pixels a side.
    ///
    /// # Errors
    /// [`ExperimentError::Kernel`], [`ExperimentError::Gpu`].
    pub fn render(
        gpu: &Gpu,
        seed: u64,
        faces: &FacesConfig,
        databases: usize,
        size: usize,
    ) -> Result<Self, ExperimentError> {
        let group = |index: u32| {
            let first = index * faces.people;
            Faces::new(seed, first..first + faces.people)
        };
        // Pictures have numbers of their own too, a range of 2^32 for each gallery.
        let gallery = |stream: &Faces, range: u64, count| {
            Gallery::render(gpu, stream, range << 32, count, size)
        };
        let mut train = Vec::new();
        for index in 0..databases.min(MOST_DATABASES) as u32 {
            train.push(gallery(&group(index)?, u64::from(index), faces.pictures)?);
        }
        let unseen = |index: u32, range, count| -> Result<Unseen, ExperimentError> {
            let stream = group(index)?;
            let compound = Faces {
                compound: 1.0,
                ..stream.clone()
            };
            Ok(Unseen {
                basic: gallery(&stream, range, count)?,
                compound: gallery(&compound, range + 1, count)?,
            })
        };
        let behind = MOST_DATABASES as u32;
        Ok(Self {
            train,
            test: unseen(behind, 3, faces.test)?,
            validation: unseen(behind + 1, 5, faces.validation)?,
        })
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> usize {
        let unseen = [&self.test, &self.validation];
        let unseen = unseen.into_iter().flat_map(|it| [&it.basic, &it.compound]);
        self.train.iter().chain(unseen).map(Gallery::len).sum()
    }
}
