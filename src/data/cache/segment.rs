//! A file of decoded pictures: written whole, then mapped.
//!
//! All numbers are little-endian. 64 bytes of header: [`MAGIC`], the side (u32), the count (u32), the checksum of side, count and
//! entries (u64), zeros. Then an entry a picture, 32 bytes: its identity (u128), the stamp of its source (u64), the checksum of its
//! pixels (u64). Then the pictures, RGB bytes, and the end of the file.

use super::key::{Key, checksum};
use crate::mapped;
use memmap2::Mmap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"knspix\0\x01";
const HEADER: usize = 64;
pub(super) const ENTRY: usize = 32;
/// How the files' names end, and those of files that are being written.
pub(super) const ENDING: &str = "pictures";
pub(super) const WRITING: &str = "writing";

/// What is to be written: pictures with their keys.
pub(super) type Picture = (Key, Arc<[u8]>);

/// A mapped file whose header and length are right. Pixels are checked when they are asked for.
#[derive(Debug)]
pub(in crate::data) struct Segment {
    map: Mmap,
    side: usize,
    count: usize,
}

/// The bytes of a file of so many pictures.
pub(super) fn len(side: usize, count: usize) -> u64 {
    (HEADER + count * (ENTRY + 3 * side * side)) as u64
}

/// Whether a file begins as these files do: what does not is someone else's, and left alone.
pub(super) fn is_ours(path: &Path) -> bool {
    let mut magic = [0; MAGIC.len()];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok()) && magic == MAGIC
}

/// Writes pictures of one side as a new file of the folder: under another name first, so that the file is there whole or not
/// at all. Its name comes from its contents.
pub(super) fn write(folder: &Path, side: usize, pictures: &[Picture]) -> io::Result<PathBuf> {
    let mut index = [side as u32, pictures.len() as u32]
        .map(u32::to_le_bytes)
        .concat();
    for (key, pixels) in pictures {
        index.extend(key.identity.to_le_bytes());
        index.extend(key.stamp.to_le_bytes());
        index.extend(checksum(pixels).to_le_bytes());
    }
    let sum = checksum(&index);
    let (shape, entries) = index.split_at(8);
    let mut header = [&MAGIC[..], shape, &sum.to_le_bytes()].concat();
    header.resize(HEADER, 0);
    let mut file = tempfile::Builder::new()
        .suffix(&format!(".{WRITING}"))
        .tempfile_in(folder)?;
    file.write_all(&header)?;
    file.write_all(entries)?;
    for (_, pixels) in pictures {
        file.write_all(pixels)?;
    }
    // Else the name could reach the disk before the bytes do.
    file.as_file().sync_all()?;
    let path = folder.join(format!("{side}-{sum:016x}.{ENDING}"));
    match file.persist(&path) {
        // Some systems replace no file that is mapped; one of this name has these bytes.
        Err(failed) if !path.exists() => Err(failed.error),
        _ => Ok(path),
    }
}

impl Segment {
    /// Maps a file; nothing where it is not whole.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let map = mapped::read_only(&File::open(path).ok()?).ok()?;
        let word = |at: usize| Some(u32::from_le_bytes(map.get(at..at + 4)?.try_into().ok()?));
        if map.get(..MAGIC.len())? != MAGIC {
            return None;
        }
        let (side, count) = (word(8)? as usize, word(12)? as usize);
        let pixels = side.checked_mul(side)?.checked_mul(3)?;
        let whole = pixels.checked_add(ENTRY)?.checked_mul(count)?;
        if map.len() != whole.checked_add(HEADER)? {
            return None;
        }
        let index = [&map[8..16], &map[HEADER..HEADER + count * ENTRY]].concat();
        let sum = u64::from_le_bytes(map[16..24].try_into().ok()?);
        (checksum(&index) == sum).then_some(Self { map, side, count })
    }

    /// The side of its pictures.
    pub(super) fn side(&self) -> usize {
        self.side
    }

    /// The keys of its pictures.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let entries = self.map[HEADER..][..self.count * ENTRY].chunks_exact(ENTRY);
        entries.map(|entry| {
            let (mut identity, mut stamp) = ([0; 16], [0; 8]);
            identity.copy_from_slice(&entry[..16]);
            stamp.copy_from_slice(&entry[16..24]);
            Key {
                identity: u128::from_le_bytes(identity),
                stamp: u64::from_le_bytes(stamp),
            }
        })
    }

    /// The pixels of a picture.
    pub(super) fn pixels(&self, slot: usize) -> &[u8] {
        let bytes = 3 * self.side * self.side;
        &self.map[HEADER + self.count * ENTRY + slot * bytes..][..bytes]
    }

    /// Whether the pixels of a picture are those that were written.
    pub(super) fn is_sound(&self, slot: usize) -> bool {
        let sum = &self.map[HEADER + slot * ENTRY + 24..][..8];
        checksum(self.pixels(slot)).to_le_bytes() == sum
    }
}
