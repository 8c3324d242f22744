//! What is wrong with data, with file and line.

use std::path::PathBuf;
use thiserror::Error;

/// An error in annotations or images.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A table without rows.
    #[error("{}: the table has no rows", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Pairs that are all of one person, or all of two.
    #[error("{}: `same` is {same} in every row; verification needs pairs of one person and pairs of two", path.display())]
    OneAnswer {
        /// The file.
        path: PathBuf,
        /// What every row says.
        same: u8,
    },
    /// A header without a column that must be there.
    #[error("{}:{line}: the header has no column `{column}`; it has: {}", path.display(), found.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The header's line.
        line: usize,
        /// The column.
        column: &'static str,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// A column that stands twice, under one name or two.
    #[error("{}:{line}: the column `{column}` stands there twice", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The header's line.
        line: usize,
        /// The column, as it is spelt the second time.
        column: String,
    },
    /// A split that no row belongs to.
    #[error("{}: no row belongs to the split `{asked}`; {}", path.display(), splits(found))]
    Split {
        /// The file.
        path: PathBuf,
        /// The split.
        asked: String,
        /// The splits that are there.
        found: Vec<String>,
    },
    /// A row that is not a row of the table.
    #[error("{}:{line}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What the reader says.
        reason: String,
    },
    /// A cell that its column does not allow.
    #[error("{}:{line}: {column} is `{found}`, but it must be {allowed}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: String,
        /// The cell.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// A file that is no image, or a damaged one.
    #[error("{}: {reason}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        reason: String,
    },
    /// A face box outside its image.
    #[error("{}: the face box {found:?} (x, y, w, h) has no pixel of the {width} x {height} image", path.display())]
    Box {
        /// The image.
        path: PathBuf,
        /// The box.
        found: [f32; 4],
        /// The image's width.
        width: u32,
        /// The image's height.
        height: u32,
    },
    /// Too many damaged images.
    #[error(
        "database `{database}`: {broken} of {images} images are broken, more than 1 %; the first: {first}"
    )]
    TooManyBroken {
        /// The database.
        database: String,
        /// The broken images.
        broken: usize,
        /// All of its images.
        images: usize,
        /// The first one's error.
        first: String,
    },
    /// A relatedness table that cannot be used.
    #[error("relatedness table `{name}`: {reason}")]
    Relatedness {
        /// The table's name or path.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Tables without an image that carries the two kinds of labels that are to be related.
    #[error(
        "no image carries both {} and {}: there are {with_class} with {}, {with_detection} with {}",
        article(class),
        article(detection),
        article(class),
        article(detection)
    )]
    NotBoth {
        /// The label that has classes.
        class: String,
        /// The label that is detected.
        detection: String,
        /// Images that carry the first.
        with_class: u64,
        /// Images that carry the second.
        with_detection: u64,
    },
    /// A task whose outputs the training tables do not tell.
    #[error("task `{task}`: {found}; {advice}")]
    Outputs {
        /// The task.
        task: String,
        /// What the tables have.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// A number of imagined images that is none.
    #[error("smoothing is {asked}, but it must be a finite number, 0 or more")]
    Smoothing {
        /// The number.
        asked: f64,
    },
    /// A database's weight that is no share.
    #[error("database `{database}`: weight = {asked}, but it must be a number above 0")]
    Weight {
        /// The database.
        database: String,
        /// The weight.
        asked: f64,
    },
    /// Weights that leave nothing for the databases without one.
    #[error(
        "the weights of the databases sum to {given} and leave no part of a batch to those without one: \
         give every database a weight, or make their sum less than 1"
    )]
    FullWeights {
        /// The sum.
        given: f64,
    },
    /// A batch with less room than one image for each database.
    #[error(
        "a batch of {batch} has no room for an image of each of {databases} databases: raise train.batch"
    )]
    SmallBatch {
        /// Images a batch.
        batch: usize,
        /// Databases.
        databases: usize,
    },
    /// A folder for decoded images that cannot be used.
    #[error("{}: the folder of decoded images cannot be used: {source}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Batches end early because the thread that makes them does.
    #[error("the thread that makes batches has ended")]
    Worker,
    /// Nothing to read batches from.
    #[error("no database is given; add a [[data]] entry")]
    NoDatabase,
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

fn splits(found: &[String]) -> String {
    match found {
        [] => "the table has no column `split`, or an empty one".to_owned(),
        found => format!("the table has: {}", found.join(", ")),
    }
}
