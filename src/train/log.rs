//! `log.jsonl`: what happened in a run, one JSON object a line, told apart by `kind`.
//!
//! The curves, the report and scripts read it. A number that JSON has no word for (NaN, infinity) is written as
//! `null` and read back as NaN.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use super::event::{Event, Losses, Outcome};

/// What goes wrong with a log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file cannot be made, read or written.
    #[error("cannot {action} the log {}: {source}; check the folder's rights and free space", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The log.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A finished line is no event.
    #[error("{}:{line}: not an event of a kinesic log: {source}; remove the line or the file", path.display())]
    Line {
        /// The log.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser met.
        source: serde_json::Error,
    },
    /// An event cannot be written as JSON.
    #[error("an event cannot be written to the log as JSON: {source}")]
    Encode {
        /// The serialiser's reason.
        source: serde_json::Error,
    },
}

/// Appends events to a log.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
    path: PathBuf,
}

impl LogWriter {
    /// Starts an empty log; an older one at `path` is emptied.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        let file = File::create(path).map_err(failed("make", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Continues the log at `path` after the checkpoint of `step`. Events of later steps go, with everything that
    /// has no step and was written after the first of them, and so does a half-written last line: the resumed run
    /// will write them again. The file is replaced in one rename. Where there is no log, an empty one is started.
    ///
    /// # Errors
    /// The file cannot be read or replaced, or a finished line is no event.
    pub fn resume(path: &Path, step: u64) -> Result<Self, LogError> {
        let text = match finished(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::create(path),
            Err(error) => return Err(failed("read", path)(error)),
        };
        let mut kept = String::with_capacity(text.len());
        let mut later = false;
        for (line, event) in parse(path, &text)? {
            let keep = event.step().map_or(!later, |of_event| of_event <= step);
            later |= !keep;
            if keep {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        replace(path, kept.as_bytes()).map_err(failed("shorten", path))?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(failed("open", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Appends one line, in one write.
    ///
    /// # Errors
    /// The event has no JSON form or the file cannot be written.
    pub fn write(&mut self, event: &Event) -> Result<(), LogError> {
        let mut line =
            serde_json::to_string(event).map_err(|source| LogError::Encode { source })?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(failed("write", &self.path))
    }
}

/// Reads a log, also one that is still being written: a half-written last line is left out.
///
/// # Errors
/// The file cannot be read, or a finished line is no event.
pub fn read(path: &Path) -> Result<Vec<Event>, LogError> {
    let text = finished(path).map_err(failed("read", path))?;
    Ok(parse(path, &text)?
        .into_iter()
        .map(|(_, event)| event)
        .collect())
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LogError + 'a {
    move |source| LogError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The log up to its last line feed. What stands behind it is half a line, perhaps even half a character.
fn finished(path: &Path) -> io::Result<String> {
    let mut bytes = fs::read(path)?;
    bytes.truncate(
        bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1),
    );
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The lines and their events.
fn parse<'a>(path: &Path, text: &'a str) -> Result<Vec<(&'a str, Event)>, LogError> {
    text.split('\n')
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| match serde_json::from_str(line) {
            Ok(event) => Ok((line, event)),
            Err(source) => Err(LogError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            }),
        })
        .collect()
}

/// Replaces a file by a complete one beside it, so that a kill at any time leaves the old or the new content.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.as_file()
        .set_permissions(fs::metadata(path)?.permissions())?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: u64, total: f32) -> Event {
        Event::Step {
            step,
            epoch: step as f64 / 10.0,
            images: step * 64,
            seconds: step as f64 * 0.25,
            images_per_second: 256.0,
            learning_rate: 1e-3,
            losses: Losses {
                named: vec![("expression".to_owned(), 1.5), ("total".to_owned(), total)],
            },
        }
    }

    fn warning(message: &str) -> Event {
        Event::Warning {
            message: message.to_owned(),
        }
    }

    fn validation(step: u64) -> Event {
        Event::Validation {
            step,
            database: "public".to_owned(),
            score: 0.5,
            metrics: serde_json::json!({"tasks": {"expression": {"accuracy": 0.5}}}),
        }
    }

    fn every_kind() -> Vec<Event> {
        vec![
            Event::Start {
                step: 0,
                total_steps: 10,
                version: "0.1.0".to_owned(),
                command: "kinesic train a.toml".to_owned(),
                adapter: "llvmpipe (Vulkan)".to_owned(),
                precision: "f32".to_owned(),
                batch: 64,
                seed: 1,
                parameters: 123,
                databases: vec![("fer".to_owned(), 28709)],
            },
            step(1, 2.0),
            validation(1),
            Event::BrokenImage {
                database: "fer".to_owned(),
                file: PathBuf::from("a \"b\".png"),
                reason: "not an image\nsecond line".to_owned(),
            },
            warning("f16 is missing: f32 is used"),
            Event::End {
                step: 1,
                seconds: 0.25,
                outcome: Outcome::Interrupted,
                broken_images: 1,
                best_score: Some(0.5),
                best_step: None,
            },
        ]
    }

    fn write_all(path: &Path, events: &[Event]) {
        let mut log = LogWriter::create(path).unwrap();
        for event in events {
            log.write(event).unwrap();
        }
    }

    #[test]
    fn every_kind_of_event_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        write_all(&path, &every_kind());
        assert_eq!(read(&path).unwrap(), every_kind());
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), every_kind().len());
        let kinds: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "start",
                "step",
                "validation",
                "broken_image",
                "warning",
                "end"
            ]
        );
    }

    #[test]
    fn a_loss_that_is_not_a_number_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        write_all(&path, &[step(1, f32::NAN)]);
        match &read(&path).unwrap()[0] {
            Event::Step { losses, .. } => {
                assert!(losses.get("total").unwrap().is_nan());
                assert_eq!(losses.get("expression"), Some(1.5));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn resume_drops_later_events_and_the_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let events = [
            step(1, 1.0),
            warning("early"),
            step(3, 1.0),
            warning("late"),
            step(2, 1.0),
            validation(2),
            validation(3),
        ];
        write_all(&path, &events);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"kind\":\"warning\",\"message\":\"\xC3")
            .unwrap();
        drop(file);
        assert_eq!(read(&path).unwrap(), events);
        let mut log = LogWriter::resume(&path, 2).unwrap();
        log.write(&step(3, 9.0)).unwrap();
        assert_eq!(
            read(&path).unwrap(),
            [
                step(1, 1.0),
                warning("early"),
                step(2, 1.0),
                validation(2),
                step(3, 9.0)
            ]
        );
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["log.jsonl"], "no temporary file stays");
    }

    #[test]
    fn resume_without_a_log_starts_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        LogWriter::resume(&path, 5)
            .unwrap()
            .write(&step(6, 1.0))
            .unwrap();
        assert_eq!(read(&path).unwrap(), [step(6, 1.0)]);
    }

    #[test]
    fn a_broken_line_is_named_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let good = serde_json::to_string(&step(1, 1.0)).unwrap();
        let text = format!("{good}\n{{\"kind\":\"stop\"}}\n{good}\n");
        fs::write(&path, &text).unwrap();
        assert!(matches!(read(&path), Err(LogError::Line { line: 2, .. })));
        assert!(matches!(
            LogWriter::resume(&path, 0),
            Err(LogError::Line { line: 2, .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
