//! The files of a cache's folder: which are used, and which make room.

use super::key::Key;
use super::segment::{ENDING, Segment, WRITING, is_ours};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// After so long, a file that is being written was left behind by a killed run.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The files of a folder that are this program's, oldest use first, then those of this process.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<Held>,
    opened: SystemTime,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
    /// Its pictures that databases of this process have.
    claimed: usize,
    /// Nothing where it has another side, is damaged or was removed.
    segment: Option<Arc<Segment>>,
    removed: bool,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            opened: SystemTime::now(),
        }
    }
}

impl Files {
    /// Reads the folder; pictures of `side` can be used.
    pub(super) fn scan(folder: &Path, side: usize) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            // A file that another run removed meanwhile is none.
            let Ok(data) = path.metadata() else { continue };
            let used = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let ending = path.extension().and_then(|ending| ending.to_str());
            if ending == Some(WRITING) {
                let age = found.opened.duration_since(used).unwrap_or_default();
                if age > ABANDONED {
                    // One that stays is no harm.
                    let _ = std::fs::remove_file(&path);
                }
            } else if ending == Some(ENDING) && is_ours(&path) {
                let segment = Segment::open(&path).filter(|segment| segment.side() == side);
                found.files.push(Held {
                    path,
                    bytes: data.len(),
                    used,
                    claimed: 0,
                    segment: segment.map(Arc::new),
                    removed: false,
                });
            }
        }
        found
            .files
            .sort_by_key(|file| (file.used, file.path.clone()));
        Ok(found)
    }

    /// Removes the files that were not used for longest until the rest fits; the bytes of the rest.
    pub(super) fn shrink(&mut self, bound: u64) -> u64 {
        let mut bytes = self.files.iter().map(|file| file.bytes).sum();
        for file in &mut self.files {
            if bytes <= bound {
                break;
            }
            if file.remove() {
                bytes -= file.bytes;
            }
        }
        bytes
    }

    /// The pictures that can be used: the file's number, the place in it, and the key.
    pub(super) fn keys(&self) -> impl Iterator<Item = (usize, usize, Key)> {
        self.files.iter().enumerate().flat_map(|(number, file)| {
            let keys = file.segment.iter().flat_map(|segment| segment.keys());
            keys.enumerate().map(move |(slot, key)| (number, slot, key))
        })
    }

    /// A file, unless it was removed.
    pub(super) fn segment(&self, number: usize) -> Option<Arc<Segment>> {
        self.files[number].segment.clone()
    }

    /// Takes in a new file; its number.
    pub(super) fn add(&mut self, path: PathBuf, bytes: u64, segment: Segment) -> usize {
        self.files.push(Held {
            path,
            bytes,
            used: SystemTime::now(),
            claimed: 0,
            segment: Some(Arc::new(segment)),
            removed: false,
        });
        self.files.len() - 1
    }

    /// A database has a picture of this file.
    pub(super) fn claim(&mut self, number: usize) {
        let file = &mut self.files[number];
        file.claimed += 1;
        if file.claimed == 1 && file.used < self.opened {
            // Says to later runs that it was used; where that cannot be said, it makes room earlier.
            let now = SystemTime::now();
            let opened = File::options().append(true).open(&file.path);
            let _ = opened.and_then(|opened| opened.set_modified(now));
        }
    }

    /// A picture of this file is of no use any more.
    pub(super) fn release(&mut self, number: usize) {
        self.files[number].claimed -= 1;
    }

    /// Removes the file that was not used for longest, of those that are neither used here nor were since this process looked,
    /// which may be those of runs beside it: its number, and the bytes that are free now.
    pub(super) fn remove_oldest(&mut self) -> Option<(usize, u64)> {
        for (number, file) in self.files.iter_mut().enumerate() {
            let idle = file.claimed == 0 && file.used <= self.opened && !file.removed;
            if idle && file.remove() {
                return Some((number, file.bytes));
            }
        }
        None
    }
}

impl Held {
    fn remove(&mut self) -> bool {
        // Some systems remove no file that is mapped.
        self.segment = None;
        let gone = match std::fs::remove_file(&self.path) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        self.removed |= gone;
        gone
    }
}
