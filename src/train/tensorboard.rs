//! TensorBoard event files: scalars that `tensorboard --logdir RUN` plots.
//!
//! A file is a sequence of TFRecords. Each holds one `Event` message, encoded here by hand, since of protobuf only
//! four field kinds are needed:
//!
//! ```text
//! record:  length u64 | masked CRC-32C of length u32 | data | masked CRC-32C of data u32      (little endian)
//! Event:   1 wall_time double | 2 step int64 | 3 file_version string | 5 summary Summary
//! Summary: 1 repeated Value { 1 tag string | 2 simple_value float }
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

/// What goes wrong with an event file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TensorBoardError {
    /// The folder or the file cannot be made, read or written.
    #[error("cannot {action} the TensorBoard events at {}: {source}; check the folder's rights and free space", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// One decoded event of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Seconds since 1970.
    pub wall_time: f64,
    /// The training step.
    pub step: u64,
    /// `brain.Event:2` in the first record of a file, absent elsewhere.
    pub file_version: Option<String>,
    /// The scalars: tag and value.
    pub scalars: Vec<(String, f32)>,
}

/// Writes scalars to one event file, record by record.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// Makes a new event file in `folder` (which is made too) and writes the version record.
    ///
    /// # Errors
    /// Folder or file cannot be made or written.
    pub fn create(folder: &Path) -> Result<Self, TensorBoardError> {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        let host = host_name();
        let mut seconds = wall_time() as u64;
        loop {
            // A second run within the same second gets the next free name instead of overwriting the first.
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.{host}"));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut writer = Self { file, path };
                    writer.write(&Record {
                        wall_time: seconds as f64,
                        step: 0,
                        file_version: Some("brain.Event:2".to_owned()),
                        scalars: Vec::new(),
                    })?;
                    return Ok(writer);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => seconds += 1,
                Err(error) => return Err(failed("make", &path)(error)),
            }
        }
    }

    /// Continues the newest event file of `folder` after `step`: from its first record of a later step or its first
    /// torn record on, everything is cut off. Makes a new file where there is none.
    ///
    /// # Errors
    /// Folder or file cannot be read or written.
    pub fn resume(folder: &Path, step: u64) -> Result<Self, TensorBoardError> {
        let Some(path) = newest(folder)? else {
            return Self::create(folder);
        };
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        let mut keep = 0;
        while let Some((record, end)) = next_record(&bytes, keep) {
            if record.step > step {
                break;
            }
            keep = end;
        }
        if keep == 0 {
            // Not even the version record is whole: nothing in it is worth keeping.
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            return Self::create(folder);
        }
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        file.set_len(keep as u64)
            .map_err(failed("shorten", &path))?;
        Ok(Self { file, path })
    }

    /// The file that is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the scalars of one step, tag and value, under the present time. Tags may hold `/`, which groups plots.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scalars(&mut self, step: u64, scalars: &[(&str, f32)]) -> Result<(), TensorBoardError> {
        self.write(&Record {
            wall_time: wall_time(),
            step,
            file_version: None,
            scalars: scalars
                .iter()
                .map(|&(tag, value)| (tag.to_owned(), value))
                .collect(),
        })
    }

    fn write(&mut self, record: &Record) -> Result<(), TensorBoardError> {
        // One write a record, so that a kill leaves at most the last one torn.
        self.file
            .write_all(&frame(&encode(record)))
            .map_err(failed("write", &self.path))
    }
}

/// Reads the records of an event file up to its end or to the first torn one.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Vec<Record>, TensorBoardError> {
    let bytes = fs::read(path).map_err(failed("read", path))?;
    let mut records = Vec::new();
    let mut at = 0;
    while let Some((record, end)) = next_record(&bytes, at) {
        records.push(record);
        at = end;
    }
    Ok(records)
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> TensorBoardError + 'a {
    move |source| TensorBoardError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn wall_time() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

/// The machine's name as far as the environment or the kernel tells it, safe as a part of a file name.
fn host_name() -> String {
    let name = std::env::var("HOSTNAME")
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .or_else(|_| fs::read_to_string("/proc/sys/kernel/hostname"))
        .unwrap_or_default();
    let safe: String = name
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        .collect();
    if safe.is_empty() {
        "localhost".to_owned()
    } else {
        safe
    }
}

/// The event file of `folder` that was made last. Names sort by time, as their seconds have a fixed width.
fn newest(folder: &Path) -> Result<Option<PathBuf>, TensorBoardError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("list", folder)(error)),
    };
    let mut last: Option<PathBuf> = None;
    for entry in entries {
        let path = entry.map_err(failed("list", folder))?.path();
        let ours = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("events.out.tfevents."));
        if ours && last.as_ref().is_none_or(|last| *last < path) {
            last = Some(path);
        }
    }
    Ok(last)
}

/// CRC-32C (Castagnoli): reflected polynomial 0x82F63B78, all ones at the start and inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// TFRecord's mask, which keeps a checksum of data that itself holds checksums from being weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(data.len() + 16);
    bytes.extend(length);
    bytes.extend(masked(crc32c(&length)).to_le_bytes());
    bytes.extend(data);
    bytes.extend(masked(crc32c(data)).to_le_bytes());
    bytes
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A length-delimited field: wire type 2.
fn put_bytes(bytes: &mut Vec<u8>, field: u8, value: &[u8]) {
    bytes.push(field << 3 | 2);
    put_varint(bytes, value.len() as u64);
    bytes.extend(value);
}

fn encode(record: &Record) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(record.wall_time.to_le_bytes());
    event.push(2 << 3);
    put_varint(&mut event, record.step);
    if let Some(version) = &record.file_version {
        put_bytes(&mut event, 3, version.as_bytes());
    }
    let mut summary = Vec::new();
    for (tag, scalar) in &record.scalars {
        let mut value = Vec::new();
        put_bytes(&mut value, 1, tag.as_bytes());
        value.push(2 << 3 | 5);
        value.extend(scalar.to_le_bytes());
        put_bytes(&mut summary, 1, &value);
    }
    if !summary.is_empty() {
        put_bytes(&mut event, 5, &summary);
    }
    event
}

/// The record at byte `at` and the offset behind it; none where it is torn, fails its checksum or is no event.
fn next_record(bytes: &[u8], at: usize) -> Option<(Record, usize)> {
    let length_bytes = bytes.get(at..at + 8)?;
    let word = |from: usize| {
        Some(u32::from_le_bytes(
            bytes.get(from..from + 4)?.try_into().ok()?,
        ))
    };
    if word(at + 8)? != masked(crc32c(length_bytes)) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(length_bytes.try_into().ok()?)).ok()?;
    let end = (at + 12).checked_add(length)?;
    let data = bytes.get(at + 12..end)?;
    let whole = word(end)? == masked(crc32c(data));
    Some((decode(data).filter(|_| whole)?, end + 4))
}

/// One protobuf field's value: only the kinds that events use.
enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = take_varint(bytes)?;
    let mut take = |length: usize| {
        let (head, tail) = bytes.split_at_checked(length)?;
        *bytes = tail;
        Some(head)
    };
    let field = match key & 7 {
        0 => Field::Varint(take_varint(bytes)?),
        1 => Field::Fixed64(take(8)?.try_into().ok()?),
        2 => {
            let length = usize::try_from(take_varint(bytes)?).ok()?;
            let (head, tail) = bytes.split_at_checked(length)?;
            *bytes = tail;
            Field::Bytes(head)
        }
        5 => Field::Fixed32(take(4)?.try_into().ok()?),
        _ => return None,
    };
    Some((key >> 3, field))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn decode(mut event: &[u8]) -> Option<Record> {
    let mut record = Record {
        wall_time: 0.0,
        step: 0,
        file_version: None,
        scalars: Vec::new(),
    };
    while !event.is_empty() {
        match take_field(&mut event)? {
            (1, Field::Fixed64(time)) => record.wall_time = f64::from_le_bytes(time),
            (2, Field::Varint(step)) => record.step = step,
            (3, Field::Bytes(version)) => record.file_version = Some(text(version)?),
            (5, Field::Bytes(mut summary)) => {
                while !summary.is_empty() {
                    if let (1, Field::Bytes(value)) = take_field(&mut summary)? {
                        record.scalars.push(decode_value(value)?);
                    }
                }
            }
            _ => {}
        }
    }
    Some(record)
}

fn decode_value(mut value: &[u8]) -> Option<(String, f32)> {
    let (mut tag, mut scalar) = (String::new(), 0.0);
    while !value.is_empty() {
        match take_field(&mut value)? {
            (1, Field::Bytes(name)) => tag = text(name)?,
            (2, Field::Fixed32(number)) => scalar = f32::from_le_bytes(number),
            _ => {}
        }
    }
    Some((tag, scalar))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_gives_the_published_check_values() {
        assert_eq!(crc32c(b""), 0);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        // RFC 3720, B.4: 32 bytes of zeros, of ones, ascending.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&ascending), 0x46DD_794E);
    }

    #[test]
    fn encodes_a_scalar_as_worked_by_hand() {
        let record = Record {
            wall_time: 1.0,
            step: 300,
            file_version: None,
            scalars: vec![("ab".to_owned(), 0.5)],
        };
        let by_hand = [
            0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, // wall_time 1.0
            0x10, 0xAC, 0x02, // step 300
            0x2A, 11, 0x0A, 9, 0x0A, 2, b'a', b'b', 0x15, 0, 0, 0,
            0x3F, // summary { value { tag, 0.5 } }
        ];
        assert_eq!(encode(&record), by_hand);
        assert_eq!(decode(&by_hand), Some(record));
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path()).unwrap();
        writer
            .scalars(
                1,
                &[("loss/total", 2.5), ("loss/expression", f32::MIN_POSITIVE)],
            )
            .unwrap();
        writer.scalars(1 << 40, &[("loss/total", -1.0)]).unwrap();
        let records = read(writer.path()).unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!(
            records[1].scalars,
            [
                ("loss/total".to_owned(), 2.5),
                ("loss/expression".to_owned(), f32::MIN_POSITIVE)
            ]
        );
        assert_eq!((records[2].step, records[2].scalars[0].1), (1 << 40, -1.0));
        assert!(records[1].wall_time > 1.6e9);
    }

    #[test]
    fn resume_drops_later_steps_and_a_torn_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path()).unwrap();
        for step in 1..=5 {
            writer
                .scalars(step, &[("loss/total", step as f32)])
                .unwrap();
        }
        let bytes = fs::read(writer.path()).unwrap();
        fs::write(writer.path(), &bytes[..bytes.len() - 3]).unwrap();
        assert_eq!(read(writer.path()).unwrap().last().unwrap().step, 4);
        let mut resumed = EventWriter::resume(folder.path(), 3).unwrap();
        assert_eq!(resumed.path(), writer.path());
        resumed.scalars(4, &[("loss/total", 40.0)]).unwrap();
        let steps: Vec<_> = read(resumed.path())
            .unwrap()
            .iter()
            .map(|record| record.step)
            .collect();
        assert_eq!(steps, [0, 1, 2, 3, 4]);
        assert_eq!(read(resumed.path()).unwrap()[4].scalars[0].1, 40.0);
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let record = Record {
            wall_time: 0.0,
            step: 7,
            file_version: None,
            scalars: vec![("t".to_owned(), 1.0)],
        };
        let bytes = frame(&encode(&record));
        assert_eq!(next_record(&bytes, 0), Some((record, bytes.len())));
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 0x10;
            assert_eq!(next_record(&broken, 0), None, "byte {at}");
        }
    }

    #[test]
    fn a_second_run_in_the_same_folder_keeps_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = EventWriter::create(folder.path()).unwrap();
        let second = EventWriter::create(folder.path()).unwrap();
        assert_ne!(first.path(), second.path());
        assert_eq!(
            newest(folder.path()).unwrap().as_deref(),
            Some(second.path())
        );
    }
}
