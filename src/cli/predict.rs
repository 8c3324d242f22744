//! `kinesic predict`.

use super::{Common, Failure, load_model, print};
use crate::data::{Row, Table, decode, photo};
use crate::infer::draw::{Face, overlay};
use crate::infer::{Answer, Model, Prediction, Predictor, Reader};
use crate::picture::png;
use crate::train::write_atomically;
use clap::{Args, ValueEnum};
use rayon::prelude::*;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Crop {
    /// The whole picture is the face, or the table's box
    Given,
    /// Faces are found in the picture: not there yet
    Detect,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic predict runs/demo/weights.safetensors faces/ --csv faces.csv"
)]
pub(super) struct PredictArgs {
    /// The weights, written by `train` or `demo`
    weights: PathBuf,
    /// Photos, folders of photos, or tables
    #[arg(required = true)]
    input: Vec<PathBuf>,
    /// Writes one row a face
    #[arg(long, value_name = "F")]
    csv: Option<PathBuf>,
    /// Writes one JSON object a face
    #[arg(long, value_name = "F")]
    jsonl: Option<PathBuf>,
    /// The folder of predictions.csv and predictions.jsonl
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Draws each photo with its predictions beside it, into the folder overlays of --out
    #[arg(long, requires = "out")]
    overlay: bool,
    /// Where the faces are
    #[arg(long, value_enum, default_value_t = Crop::Given)]
    crop: Crop,
    /// Images a batch
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
}

/// One face.
#[derive(Serialize)]
struct Record {
    image: PathBuf,
    #[serde(rename = "box")]
    face: Option<[f32; 4]>,
    #[serde(flatten)]
    prediction: Prediction,
}

const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "bmp", "webp"];

pub(super) fn run(common: &Common, args: &PredictArgs) -> Result<(), Failure> {
    if args.crop == Crop::Detect {
        return Err(Failure::Input(anyhow::anyhow!(
            "--crop detect is not there yet: give pictures of one face each, or a table with x,y,w,h"
        )));
    }
    let model = load_model(&args.weights)?;
    let mut rows = Vec::new();
    for input in &args.input {
        rows.extend(faces(input)?);
    }
    // Every picture is read before anything is written.
    let records = predict(common, &model, args.batch as usize, &rows)?;
    if let Some(folder) = &args.out {
        write_atomically(&folder.join("predictions.csv"), csv(&records).as_bytes())?;
        write_atomically(
            &folder.join("predictions.jsonl"),
            jsonl(&records)?.as_bytes(),
        )?;
        if args.overlay {
            overlays(&records, &folder.join("overlays"))?;
        }
    }
    if let Some(path) = &args.csv {
        write_atomically(path, csv(&records).as_bytes())?;
    }
    if let Some(path) = &args.jsonl {
        write_atomically(path, jsonl(&records)?.as_bytes())?;
    }
    if common.json.is_some() {
        return common.report(&records, String::new);
    }
    print(&text(&records))
}

/// The pictures that an argument stands for.
pub(super) fn faces(input: &Path) -> Result<Vec<Row>, Failure> {
    let ending = |path: &Path| {
        path.extension()
            .map(|ending| ending.to_string_lossy().to_lowercase())
            .unwrap_or_default()
    };
    if input.is_dir() {
        let entries = std::fs::read_dir(input).map_err(|error| {
            Failure::Input(anyhow::Error::new(error).context(input.display().to_string()))
        })?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| ENDINGS.contains(&ending(path).as_str()));
        paths.sort();
        if paths.is_empty() {
            return Err(Failure::Input(anyhow::anyhow!(
                "{}: no picture in this folder",
                input.display()
            )));
        }
        return Ok(paths.into_iter().map(Row::unlabelled).collect());
    }
    if ["csv", "jsonl", "ndjson"].contains(&ending(input).as_str()) {
        let table = Table::read(input).map_err(Failure::input)?;
        table
            .warnings
            .iter()
            .for_each(|warning| eprintln!("{warning}"));
        return Ok(table.rows);
    }
    Ok(vec![Row::unlabelled(input.to_owned())])
}

/// Decodes and predicts batch by batch, so that only one batch of pictures is held.
fn predict(
    common: &Common,
    model: &Model,
    batch: usize,
    rows: &[Row],
) -> Result<Vec<Record>, Failure> {
    let gpu = common.gpu()?;
    let batch = batch.min(rows.len());
    let predictor = gpu.block_on(Predictor::new(&gpu, model, batch))?;
    let reader = Reader::new(&model.tasks);
    let mut records = Vec::with_capacity(rows.len());
    for rows in rows.chunks(batch) {
        let decoded: Vec<_> = rows
            .par_iter()
            .map(|row| decode(&row.image, row.face, model.size))
            .collect();
        // The first bad file in order is the one that is named.
        let pictures: Result<Vec<_>, _> = decoded.into_iter().collect();
        let pixels = pictures.map_err(Failure::input)?.concat();
        let outputs = gpu.block_on(predictor.run_all(&pixels))?;
        for (row, output) in rows.iter().zip(outputs) {
            records.push(Record {
                image: row.image.clone(),
                face: row.face,
                prediction: reader.read(&output.logits)?,
            });
        }
    }
    Ok(records)
}

/// One picture a photo, numbered in the order given, as photos of two folders may share a name.
fn overlays(records: &[Record], folder: &Path) -> Result<(), Failure> {
    let photos: Vec<&[Record]> = records.chunk_by(|a, b| a.image == b.image).collect();
    let digits = photos.len().to_string().len();
    photos
        .par_iter()
        .enumerate()
        .try_for_each(|(index, faces)| {
            let image = &faces[0].image;
            let drawn: Vec<Face<'_>> = faces
                .iter()
                .map(|record| Face {
                    bounds: record.face,
                    prediction: &record.prediction,
                })
                .collect();
            let photo = photo(image).map_err(Failure::input)?;
            let bytes = overlay(&photo, &drawn)
                .and_then(|picture| png(&picture))
                .map_err(Failure::work)?;
            let name = image.file_stem().unwrap_or_default().to_string_lossy();
            let name = format!("{:0digits$}-{name}.png", index + 1);
            Ok(write_atomically(&folder.join(name), &bytes)?)
        })
}

fn jsonl(records: &[Record]) -> Result<String, Failure> {
    let mut text = String::new();
    for record in records {
        text += &serde_json::to_string(record).map_err(Failure::work)?;
        text.push('\n');
    }
    Ok(text)
}

/// A cell that may hold commas or quotes.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// The box in pixels, empty where the whole picture is the face; for each task the most likely class under the task's name,
/// probabilities in 0 to 1 and values in -1 to 1 under the outputs' names; the compound expression. Of a task with very many classes
/// the most likely one, and its probability.
fn csv(records: &[Record]) -> String {
    let mut text = "image,x,y,w,h".to_owned();
    let first = records.first().map_or(&[][..], |it| &it.prediction.tasks);
    for (column, _) in first.iter().flat_map(|(name, answer)| cells(name, answer)) {
        let _ = write!(text, ",{}", quoted(&column));
    }
    text += ",compound\n";
    for record in records {
        text += &quoted(&record.image.display().to_string());
        match record.face {
            Some(face) => face.iter().for_each(|side| {
                let _ = write!(text, ",{side}");
            }),
            None => text += ",,,,",
        }
        let tasks = record.prediction.tasks.iter();
        for (_, cell) in tasks.flat_map(|(name, answer)| cells(name, answer)) {
            let _ = write!(text, ",{}", quoted(&cell));
        }
        let _ = writeln!(text, ",{}", record.prediction.compound.unwrap_or_default());
    }
    text
}

/// The columns of a task, each with what it says.
fn cells(task: &str, answer: &Answer) -> Vec<(String, String)> {
    let (top, p) = answer.top().unwrap_or_default();
    let top = (task.to_owned(), top.to_owned());
    let number = |value: f32| format!("{value:.5}");
    let outputs = || {
        let outputs = answer.outputs().iter();
        outputs.map(|(name, value)| (name.to_string(), number(*value)))
    };
    match answer {
        Answer::Likeliest(_) => vec![top, (format!("{task}_probability"), number(p))],
        Answer::Classes(_) => [top].into_iter().chain(outputs()).collect(),
        Answer::Values(_) | Answer::Detections(_) => outputs().collect(),
    }
}

/// A column for each task, and one for compound expressions.
fn text(records: &[Record]) -> String {
    let width = records
        .iter()
        .map(|r| r.image.display().to_string().chars().count())
        .max()
        .unwrap_or(5)
        .clamp(5, 48);
    let mut text = format!("{:<width$}", "image");
    for (name, answer) in records.first().map_or(&[][..], |it| &it.prediction.tasks) {
        match answer {
            Answer::Classes(_) | Answer::Likeliest(_) => text += &format!("  {name:<24}"),
            Answer::Values(values) => {
                values
                    .iter()
                    .for_each(|(name, _)| text += &format!("{name:>9}"));
            }
            Answer::Detections(_) => {}
        }
    }
    text += &format!("  {:<24}", "compound");
    for (name, answer) in records.first().map_or(&[][..], |it| &it.prediction.tasks) {
        if let Answer::Detections(_) = answer {
            text += &format!("  {}", name.replace('_', " "));
        }
    }
    text += "\n";
    records
        .iter()
        .for_each(|record| text += &line(record, width));
    text
}

/// What is said of a face: classes, values, the compound expression, and what is on.
fn line(record: &Record, width: usize) -> String {
    let name = record.image.display().to_string();
    let count = name.chars().count();
    let name: String = name.chars().skip(count.saturating_sub(width)).collect();
    let prediction = &record.prediction;
    let mut text = format!("{name:<width$}");
    for (_, answer) in &prediction.tasks {
        if let Some((top, p)) = answer.top() {
            text += &format!("  {:<24}", format!("{top} {:.0} %", 100.0 * p));
        }
        if let Answer::Values(values) = answer {
            values
                .iter()
                .for_each(|(_, value)| text += &format!("{value:>+9.2}"));
        }
    }
    text += &format!("  {:<24}", prediction.compound.unwrap_or("-"));
    for (_, answer) in &prediction.tasks {
        if let Answer::Detections(outputs) = answer {
            let on = outputs.iter().filter(|(_, p)| *p > 0.5);
            let on: Vec<&str> = on.map(|(name, _)| unit_number(name)).collect();
            text += &match on.is_empty() {
                true => "  none".to_owned(),
                false => format!("  {}", on.join(" ")),
            };
        }
    }
    text + "\n"
}

/// The number of an action unit, any other name as it is.
fn unit_number(name: &str) -> &str {
    let number = name.strip_prefix("au");
    number
        .filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
        .unwrap_or(name)
}
