//! What is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// A line of a file, counted from 1; none for what came from `--set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line(pub Option<usize>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Text that is not TOML, or a value of the wrong type.
    #[error("{}{line}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line.
        line: Line,
        /// What the parser says.
        reason: String,
    },
    /// A key that nothing reads.
    #[error("{}{line}: unknown key `{key}`; the nearest known key is `{nearest}`", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line.
        line: Line,
        /// The dotted key.
        key: String,
        /// The known key with the fewest edits.
        nearest: String,
    },
    /// A `--set` that cannot be applied.
    #[error("--set {text}: {reason}")]
    Set {
        /// The argument.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A value outside its range.
    #[error("{}{line}: {key} = {asked}, but it must be {allowed}", path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The line.
        line: Line,
        /// The dotted key.
        key: String,
        /// The value.
        asked: String,
        /// What it may be.
        allowed: String,
    },
}
