//! The people of one seed: those of the training databases, those for validation and those for the test. Nobody is in two.

use super::{ExperimentError, FacesConfig, Gallery};
use crate::data::synthetic::{Faces, Shown};
use crate::gpu::Gpu;
use crate::objective::compound::DU2014;

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
    /// The few faces with compound expressions, the same number of each.
    pub shots: Gallery,
    /// People by whom options may be chosen.
    pub validation: Unseen,
    /// People by whom nothing may be chosen.
    pub test: Unseen,
}

impl World {
    /// Renders `databases` training databases, `shots` faces of each compound expression and the unseen people, with `size`
    /// pixels a side.
    ///
    /// # Errors
    /// [`ExperimentError::Kernel`], [`ExperimentError::Gpu`].
    pub fn render(
        gpu: &Gpu,
        seed: u64,
        faces: &FacesConfig,
        [databases, shots]: [usize; 2],
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
            shots: few(gpu, &group(behind + 2)?, shots, size)?,
            test: unseen(behind, 3, faces.test)?,
            validation: unseen(behind + 1, 5, faces.validation)?,
        })
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> usize {
        let unseen = [&self.test, &self.validation];
        let unseen = unseen.into_iter().flat_map(|it| [&it.basic, &it.compound]);
        let all = self.train.iter().chain(unseen).chain([&self.shots]);
        all.map(Gallery::len).sum()
    }
}

/// `shots` faces of each compound expression, each of another person as far as there are enough.
fn few(gpu: &Gpu, stream: &Faces, shots: usize, size: usize) -> Result<Gallery, ExperimentError> {
    let classes = DU2014.len() as u64;
    let face = |place: u64| {
        // Below the number of people, a u32.
        let person = (place % u64::from(stream.people.end - stream.people.start)) as u32;
        let shown = Shown::Compound((place % classes) as usize);
        stream.portrait(stream.people.start + person, shown, place)
    };
    let faces: Vec<_> = (0..shots as u64 * classes).map(face).collect();
    Gallery::of(gpu, &faces, size)
}
