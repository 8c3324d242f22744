//! Decoded pictures that outlive a run: files of pictures in a folder, mapped into memory.
//!
//! A picture is known by the path of its file, the face's box and the side, and used while the file's length and time of change are
//! those that it was decoded from. Pictures are gathered in memory and written some at a time as a new file; nothing that has its
//! name is written again, so that runs beside each other, and killed ones, leave no half of anything.

mod files;
mod key;
mod segment;

use super::DataError;
use files::Files;
use key::identity;
pub(super) use key::{Identity, Key};
use segment::{Picture, Segment};
use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of pictures gathered in memory before they are written.
const GATHERED: usize = 32 << 20;

/// What is kept of decoded pictures. Cheap to clone; clones share everything. A folder's pictures that wait to be written are
/// written when the last clone goes.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    bound: u64,
    /// The folder, and the side of the pictures; nothing where they are kept in memory.
    folder: Option<(PathBuf, usize)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pictures: HashMap<Identity, Entry>,
    files: Files,
    /// What is to be written next.
    gathered: Vec<Picture>,
    /// Bytes in files and memory.
    used: u64,
    /// Why nothing is written any more.
    trouble: Option<DataError>,
    /// Whether that was told.
    told: bool,
}

#[derive(Debug)]
struct Entry {
    stamp: u64,
    place: Place,
    /// Whether a database of this process has it.
    claimed: bool,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<[u8]>),
    File { number: usize, slot: usize },
}

/// A picture's bytes, in memory or in a mapped file.
#[derive(Clone, Debug)]
pub(super) enum Pixels {
    Memory(Arc<[u8]>),
    Mapped { file: Arc<Segment>, slot: usize },
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Mapped { file, slot } => file.pixels(*slot),
        }
    }
}

impl Cache {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self::memory(0)
    }

    /// Keeps up to so many bytes of pictures in memory.
    pub fn memory(bytes: usize) -> Self {
        Self(Arc::new(Kept {
            bound: bytes as u64,
            folder: None,
            state: Mutex::default(),
        }))
    }

    /// Keeps pictures of `side` x `side` in files of a folder, which is made where it is missing. The folder's files take up to
    /// so many bytes, those of other sides and databases among them; of these the ones that were not used for longest make room.
    ///
    /// # Errors
    /// [`DataError::Cache`] where the folder cannot be made or read.
    pub fn open(folder: &Path, side: usize, bytes: u64) -> Result<Self, DataError> {
        let error = |source| DataError::Cache {
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(error)?;
        let mut files = Files::scan(folder, side).map_err(error)?;
        let used = files.shrink(bytes);
        let mut pictures = HashMap::new();
        for (number, slot, key) in files.keys() {
            let entry = Entry {
                stamp: key.stamp,
                place: Place::File { number, slot },
                claimed: false,
            };
            pictures.insert(key.identity, entry);
        }
        Ok(Self(Arc::new(Kept {
            bound: bytes,
            folder: Some((folder.to_owned(), side)),
            state: Mutex::new(State {
                pictures,
                files,
                used,
                ..State::default()
            }),
        })))
    }

    /// Why pictures are no longer written, where that is so: told once. They are kept in memory from then on.
    pub fn trouble(&self) -> Option<String> {
        let mut state = self.0.state();
        let text = state.trouble.as_ref()?.to_string();
        (!std::mem::replace(&mut state.told, true)).then_some(text)
    }

    /// The identity of a picture where it may lie in a file; its file is then not removed to make room.
    pub(super) fn claim(
        &self,
        path: &Path,
        face: Option<[f32; 4]>,
        side: usize,
    ) -> Option<Identity> {
        let (_, ours) = self.0.folder.as_ref()?;
        if *ours != side {
            return None;
        }
        let identity = identity(path, face, side);
        let mut state = self.0.state();
        let State {
            pictures, files, ..
        } = &mut *state;
        if let Some(entry) = pictures.get_mut(&identity)
            && let Place::File { number, .. } = entry.place
            && !std::mem::replace(&mut entry.claimed, true)
        {
            files.claim(number);
        }
        Some(identity)
    }

    /// The picture of a key, and whether it will be found like that again.
    pub(super) fn find(&self, key: Key) -> Option<(Pixels, bool)> {
        let mut state = self.0.state();
        let entry = state.pictures.get(&key.identity)?;
        if entry.stamp != key.stamp {
            state.discard(key.identity);
            return None;
        }
        match entry.place.clone() {
            Place::Memory(bytes) => Some((Pixels::Memory(bytes), state.trouble.is_some())),
            Place::File { number, slot } => {
                let file = state.files.segment(number)?;
                // Reading it takes a while.
                drop(state);
                if file.is_sound(slot) {
                    return Some((Pixels::Mapped { file, slot }, true));
                }
                self.0.state().discard(key.identity);
                None
            }
        }
    }

    /// Takes a decoded picture, where there is room; whether the caller should hold on to it, as it stays in memory. Without a
    /// key it cannot be found in a file again.
    pub(super) fn keep(&self, key: Option<Key>, pixels: &Arc<[u8]>) -> bool {
        let mut state = self.0.state();
        let Some((folder, side)) = self.0.folder.as_ref().filter(|_| state.trouble.is_none())
        else {
            return state.reserve(pixels.len() as u64, self.0.bound);
        };
        let Some(key) = key else {
            return false;
        };
        let before = segment::len(*side, state.gathered.len());
        let more = if state.gathered.is_empty() { 0 } else { before };
        let cost = segment::len(*side, state.gathered.len() + 1) - more;
        if state.pictures.contains_key(&key.identity) || !state.reserve(cost, self.0.bound) {
            return false;
        }
        let entry = Entry {
            stamp: key.stamp,
            place: Place::Memory(pixels.clone()),
            claimed: true,
        };
        state.pictures.insert(key.identity, entry);
        state.gathered.push((key, pixels.clone()));
        if state.gathered.len() * pixels.len() >= GATHERED {
            let pictures = std::mem::take(&mut state.gathered);
            // Others go on while this thread writes.
            drop(state);
            self.0.write(folder, *side, &pictures);
        }
        false
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes pictures to a file of their own, from which they are read from then on.
    fn write(&self, folder: &Path, side: usize, pictures: &[Picture]) {
        let written = segment::write(folder, side, pictures);
        let opened = written.and_then(|path| match Segment::open(&path) {
            Some(segment) => Ok((path, segment)),
            None => Err(std::io::Error::other(format!(
                "{} does not read back",
                path.display()
            ))),
        });
        let mut state = self.state();
        match opened {
            Ok((path, segment)) => {
                let number = state
                    .files
                    .add(path, segment::len(side, pictures.len()), segment);
                for (slot, (key, _)) in pictures.iter().enumerate() {
                    if let Some(entry) = state.pictures.get_mut(&key.identity) {
                        entry.place = Place::File { number, slot };
                    }
                    state.files.claim(number);
                }
            }
            Err(source) => {
                state.trouble = Some(DataError::Cache {
                    path: folder.to_owned(),
                    source,
                });
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let pictures = std::mem::take(&mut self.state().gathered);
        if let (Some((folder, side)), false) = (&self.folder, pictures.is_empty()) {
            self.write(folder, *side, &pictures);
        }
    }
}

impl State {
    /// Forgets a picture whose source changed or whose pixels are damaged; those in memory wait to be written as they are.
    fn discard(&mut self, identity: Identity) {
        let Some(entry) = self.pictures.get(&identity) else {
            return;
        };
        if let Place::File { number, .. } = entry.place {
            if entry.claimed {
                self.files.release(number);
            }
            self.pictures.remove(&identity);
        }
    }

    /// Makes room for so many bytes more, of files that no database of this process has; whether there is room.
    fn reserve(&mut self, bytes: u64, bound: u64) -> bool {
        while self.used + bytes > bound {
            let Some((number, freed)) = self.files.remove_oldest() else {
                return false;
            };
            self.used -= freed;
            let of = |entry: &Entry| matches!(entry.place, Place::File { number: of, .. } if of == number);
            self.pictures.retain(|_, entry| !of(entry));
        }
        self.used += bytes;
        true
    }
}

#[cfg(test)]
mod tests;
