//! `kinesic faces`.

use super::{Common, Failure};
use crate::data::synthetic::{ATTRIBUTES, Faces, Picture, Sheet, Shown, Truth};
use crate::demo::tile;
use crate::gpu::Gpu;
use crate::kernels::face::{Face, render};
use crate::objective::ACTION_UNITS;
use crate::picture::png;
use crate::train::write_atomically;
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(
    after_help = "Example: kinesic faces --count 100 --seed 1 --size 112 --out faces --sheet faces/sheet.png"
)]
pub(super) struct FacesArgs {
    /// How many faces
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// The seed of people and pictures
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The side of the pictures in pixels, even
    #[arg(long, default_value_t = 112, value_parser = clap::value_parser!(u32).range(8..=2048))]
    size: u32,
    /// The folder of the pictures and of table.csv
    #[arg(long, default_value = "faces")]
    out: PathBuf,
    /// The number of different people
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    people: u32,
    /// The share of compound expressions
    #[arg(long, default_value_t = 0.0)]
    compound: f32,
    /// Also draws a contact sheet: a row an action unit at three intensities, a row an expression
    #[arg(long, value_name = "PNG")]
    sheet: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    faces: usize,
    table: PathBuf,
}

/// Faces rendered and written at once.
const CHUNK: u64 = 256;

pub(super) fn run(common: &Common, args: &FacesArgs) -> Result<(), Failure> {
    if args.size % 2 == 1 || !(0.0..=1.0).contains(&args.compound) {
        return Err(Failure::Input(anyhow::anyhow!(
            "--size must be even and --compound within 0 and 1; they are {} and {}",
            args.size,
            args.compound
        )));
    }
    let gpu = common.gpu()?;
    let stream = Faces {
        compound: args.compound,
        ..Faces::new(args.seed, 0..args.people).map_err(Failure::work)?
    };
    let side = args.size as usize;
    let mut table = header();
    let mut first = 0;
    while first < args.count as u64 {
        let last = (first + CHUNK).min(args.count as u64);
        let pictures: Vec<Picture> = (first..last).map(|index| stream.picture(index)).collect();
        let faces: Vec<Face> = pictures.iter().map(|picture| picture.face).collect();
        let pixels = gpu.block_on(render(&gpu, &faces, side))?;
        for (offset, pixels) in pixels.chunks_exact(3 * side * side).enumerate() {
            let name = format!("face-{:06}.png", first as usize + offset);
            write_png(&args.out.join(&name), pixels, side, 1)?;
            row(&mut table, &name, &pictures[offset].truth);
        }
        first = last;
    }
    let path = args.out.join("table.csv");
    write_atomically(&path, table.as_bytes())?;
    if let Some(sheet) = &args.sheet {
        contact_sheet(&gpu, sheet, &stream, args.size)?;
    }
    let report = Report {
        faces: args.count,
        table: path,
    };
    common.report(&report, || {
        format!(
            "{} faces, labels in {}\n",
            report.faces,
            report.table.display()
        )
    })
}

fn write_png(path: &Path, pixels: &[u8], side: usize, columns: usize) -> Result<(), Failure> {
    let bytes = png(&tile(pixels, side, columns)).map_err(Failure::work)?;
    Ok(write_atomically(path, &bytes)?)
}

fn header() -> String {
    let mut text = "image,expression,valence,arousal,compound,identity".to_owned();
    for number in ACTION_UNITS {
        let _ = write!(text, ",au{number}");
    }
    for attribute in ATTRIBUTES {
        let _ = write!(text, ",{attribute}");
    }
    text + "\n"
}

fn row(table: &mut String, name: &str, truth: &Truth) {
    let (expression, compound) = match truth.shown {
        shown @ Shown::Basic(_) => (shown.name(), ""),
        shown @ Shown::Compound(_) => ("", shown.name()),
    };
    let [valence, arousal] = truth.valence_arousal;
    let _ = write!(
        table,
        "{name},{expression},{valence:.4},{arousal:.4},{compound},person-{}",
        truth.identity
    );
    for on in truth.action_units.iter().chain(&truth.attributes) {
        table.push_str(if *on { ",1" } else { ",0" });
    }
    table.push('\n');
}

/// What each action unit and each expression does to a face.
fn contact_sheet(gpu: &Gpu, path: &Path, stream: &Faces, size: u32) -> Result<(), Failure> {
    let sheet = Sheet::new(stream);
    let pixels = gpu.block_on(render(gpu, &sheet.faces(), size as usize))?;
    let picture = sheet.draw(&pixels, size).map_err(Failure::work)?;
    let bytes = png(&picture).map_err(Failure::work)?;
    Ok(write_atomically(path, &bytes)?)
}
