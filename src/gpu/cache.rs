//! The file that keeps compiled pipelines between runs: the driver's bytes behind a seal that tells damage.

use std::path::{Path, PathBuf};

/// Names the format. Whose device the bytes belong to, and which driver's they are, wgpu and the driver find in the bytes.
const MAGIC: &[u8; 8] = b"kinpipe1";

/// The file of an adapter in a folder; `None` for backends whose pipelines wgpu cannot keep.
pub(super) fn path(folder: &Path, info: &wgpu::AdapterInfo) -> Option<PathBuf> {
    wgpu::util::pipeline_cache_key(info).map(|key| folder.join(key))
}

/// The bytes of a file: magic, FNV-1a of the data, data.
pub(super) fn seal(data: &[u8]) -> Vec<u8> {
    [MAGIC, &hash(data).to_le_bytes(), data].concat()
}

/// The data of a sealed file; `None` where it is of another kind or damaged.
pub(super) fn open(file: &[u8]) -> Option<&[u8]> {
    let rest = file.strip_prefix(MAGIC)?;
    let (sum, data) = rest.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*sum) == hash(data)).then_some(data)
}

/// FNV-1a of 64 bits (Fowler, Noll and Vo): tells damage, not malice; the folder is the user's own.
fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Writes `bytes` unless the file holds them already. Readers, and other processes that write, see whole files only.
pub(super) fn store(path: &Path, bytes: &[u8]) -> std::io::Result<bool> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What is left of it; the reason is the first failure.
        let _ = std::fs::remove_file(&beside);
    }
    written?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens() {
        for data in [&b""[..], b"x", &[7; 1000]] {
            assert_eq!(open(&seal(data)), Some(data));
        }
    }

    #[test]
    fn damage_does_not_open() {
        let whole = seal(b"some compiled pipeline");
        assert_eq!(open(b""), None);
        for cut in 0..whole.len() {
            assert_eq!(open(&whole[..cut]), None, "cut at {cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 4;
            assert_eq!(open(&flipped), None, "flipped at {cut}");
        }
    }

    #[test]
    fn a_file_is_written_whole_and_only_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new folder").join("file");
        assert!(store(&path, b"one").unwrap());
        assert!(!store(&path, b"one").unwrap());
        assert!(store(&path, b"two").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file is left");
    }
}
