//! What a decoded picture is known by.

use std::path::Path;
use std::time::UNIX_EPOCH;

/// Raised when [`decode`](crate::data::decode) gives other bytes for the same file; a test holds it against a drawn picture.
const DECODER: u32 = 1;

/// FNV-1a, 64 bits.
const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x100_0000_01B3;
/// FNV-1a, 128 bits.
const OFFSET_128: u128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D;
const PRIME_128: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;

/// Which picture: the file's path, the face's box and the side.
pub(in crate::data) type Identity = u128;

/// A picture, and the state of the file that it is decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) struct Key {
    pub(super) identity: Identity,
    /// Of the file's length and the time of its last change.
    pub(super) stamp: u64,
}

impl Key {
    /// The key of a file as it is now; nothing where it cannot be read, or has no time of change.
    pub(in crate::data) fn now(identity: Identity, path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        let changed = file.modified().ok()?;
        // Times before 1970 count backwards.
        let nanoseconds = match changed.duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos().cast_signed(),
            Err(before) => -before.duration().as_nanos().cast_signed(),
        };
        let words = [
            file.len().to_le_bytes().to_vec(),
            nanoseconds.to_le_bytes().to_vec(),
        ];
        Some(Self {
            identity,
            stamp: checksum(&words.concat()),
        })
    }
}

/// The identity of a picture of `side` x `side` from a file and a face's box.
pub(super) fn identity(path: &Path, face: Option<[f32; 4]>, side: usize) -> Identity {
    let absolute = std::path::absolute(path);
    let path = absolute.as_deref().unwrap_or(path);
    let mut bytes = path.as_os_str().as_encoded_bytes().to_vec();
    // No path has a zero byte.
    bytes.push(0);
    bytes.extend(DECODER.to_le_bytes());
    bytes.extend((side as u64).to_le_bytes());
    for value in face.into_iter().flatten() {
        bytes.extend(value.to_bits().to_le_bytes());
    }
    bytes.into_iter().fold(OFFSET_128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME_128)
    })
}

/// FNV-1a over words of 8 bytes, the last filled up with zeros: every change of a single word changes it.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    let step = |hash: u64, word: [u8; 8]| (hash ^ u64::from_le_bytes(word)).wrapping_mul(PRIME);
    let mut hash = OFFSET;
    for word in &mut words {
        let mut full = [0; 8];
        full.copy_from_slice(word);
        hash = step(hash, full);
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    step(hash, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    #[test]
    fn every_part_of_an_identity_counts() {
        let base = identity(Path::new("/a/b.png"), None, 8);
        assert_eq!(base, identity(Path::new("/a/b.png"), None, 8));
        let full = Some([0.0, 0.0, 8.0, 8.0]);
        for other in [
            identity(Path::new("/a/c.png"), None, 8),
            identity(Path::new("/a/b.png"), None, 9),
            identity(Path::new("/a/b.png"), full, 8),
            identity(Path::new("/a/b.png"), Some([0.0, 0.0, 8.0, 8.5]), 8),
        ] {
            assert_ne!(base, other);
        }
        let here = std::env::current_dir().unwrap().join("b.png");
        assert_eq!(
            identity(Path::new("b.png"), full, 8),
            identity(&here, full, 8)
        );
    }

    #[test]
    fn a_checksum_sees_each_bit_and_the_length_of_a_word() {
        let bytes: Vec<u8> = (0..37).collect();
        let whole = checksum(&bytes);
        for bit in 0..8 * bytes.len() {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&other), whole, "bit {bit}");
        }
        assert_ne!(checksum(&bytes[..36]), whole);
    }

    #[test]
    fn the_decoder_gives_the_bytes_that_its_number_stands_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let drawn = RgbImage::from_fn(41, 23, |x, y| {
            Rgb([(5 * x + y) as u8, (x * y) as u8, (x ^ (3 * y)) as u8])
        });
        drawn.save(&path).unwrap();
        let pixels = crate::data::decode(&path, Some([3.0, 2.0, 30.0, 19.0]), 16).unwrap();
        assert_eq!(
            (DECODER, checksum(&pixels)),
            (1, 10_405_827_272_511_090_580),
            "decode gives other bytes than before: raise DECODER, so that no cache of old ones is used"
        );
    }
}
