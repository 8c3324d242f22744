//! The demonstration's report.

use super::{Demo, SIDE};
use crate::data::synthetic::{Faces, Shown};
use crate::experiment::{ExperimentError, MEASURES};
use crate::gpu::{Gpu, describe};
use crate::kernels::face::{Face, render};
use crate::objective::{ACTION_UNITS, EXPRESSIONS, Label};
use crate::picture::png;
use crate::train::report::{Cell, Curve, Picture, Report, Row, Series, Shading, Table, Tile};
use image::RgbImage;

/// The side of a picture on a contact sheet.
const SHEET: usize = 96;

/// Puts the report together; renders its contact sheets on the device.
///
/// # Errors
/// [`ExperimentError`].
pub fn page(gpu: &Gpu, demo: &Demo, command: &str) -> Result<Report, ExperimentError> {
    let [uncoupled, coupled] = &demo.outcomes;
    let pictures = [sheet(gpu)?, predictions(demo)?];
    let series = |outcome: &super::Outcome| Series {
        name: outcome.name.to_owned(),
        points: outcome.losses.clone(),
    };
    Ok(Report {
        title: "kinesic: one network, three databases".to_owned(),
        summary: format!(
            "{} faces were drawn on the GPU as three databases of different people: one knows only the expression, one only the 17 action units, one only valence and arousal. The same small network was trained on all three twice, for {} steps each: without coupling, and with distribution matching and soft co-annotation, by which the tasks teach each other. Both were then asked about people whom they had never seen.",
            demo.pictures, demo.steps
        ),
        findings: Vec::new(),
        panels: Vec::new(),
        facts: facts(gpu, demo, command),
        tables: vec![comparison(demo), units(demo), confusion(coupled), confusion(uncoupled)],
        curves: vec![Curve {
            title: "Training loss".to_owned(),
            x_label: "step".to_owned(),
            y_label: "weighted sum of the terms".to_owned(),
            series: vec![series(uncoupled), series(coupled)],
        }],
        pictures: pictures.into(),
        notes: vec![
            "Chance is the share of the most frequent expression, the F1 of always answering yes, 0 for the concordance correlation, and 1/15 for compound expressions.".to_owned(),
            "The losses of the two networks have different terms and are not to be compared with each other.".to_owned(),
            "One seed and a short training: a difference between the two columns of a few percent is noise.".to_owned(),
        ],
        metrics: serde_json::to_value(demo.numbers()).unwrap_or_default(),
    })
}

fn facts(gpu: &Gpu, demo: &Demo, command: &str) -> Vec<(String, String)> {
    let [render, train, evaluate] = demo.seconds;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    [
        ("Adapter", describe(gpu.info())),
        (
            "Machine",
            format!(
                "{} {}, {cores} cores",
                std::env::consts::OS,
                std::env::consts::ARCH
            ),
        ),
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Command", command.to_owned()),
        (
            "Network",
            format!(
                "mobile, {SIDE} x {SIDE} pixels, {} parameters",
                demo.outcomes[0].model.weights.parameter_count()
            ),
        ),
        (
            "Rendering",
            format!("{render:.1} s for {} faces", demo.pictures),
        ),
        (
            "Training",
            format!(
                "{train:.1} s for both, {:.0} images/s",
                demo.images_per_second
            ),
        ),
        ("Evaluation", format!("{evaluate:.1} s")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The table that closes the demonstration: (name, chance, uncoupled, coupled).
pub(super) fn rows(demo: &Demo) -> Vec<(&'static str, [f64; 3])> {
    let [uncoupled, coupled] = &demo.outcomes;
    let columns = [
        uncoupled.evaluation.chances(),
        uncoupled.evaluation.values(),
        coupled.evaluation.values(),
    ];
    let row = |(index, (key, name)): (usize, &(&str, &'static str))| {
        let cell = |values: crate::experiment::Values| values[index].unwrap_or(f64::NAN);
        let name = match *key {
            "compound_accuracy" => "compound accuracy, zero-shot",
            _ => name,
        };
        (name, columns.map(cell))
    };
    // The mean over tasks is for grids, which compare it over several seeds.
    let measures = MEASURES.iter().enumerate().skip(1);
    let measured = measures.filter(|(index, _)| columns[2][*index].is_some());
    measured.map(row).collect()
}

fn comparison(demo: &Demo) -> Table {
    Table {
        title: "On people not seen in training".to_owned(),
        text: "Larger is better in every row.".to_owned(),
        corner: "metric".to_owned(),
        columns: ["chance", "uncoupled", "coupled"].map(str::to_owned).into(),
        rows: rows(demo)
            .iter()
            .map(|(name, values)| Row::numbers(name, values))
            .collect(),
        shading: Shading::Best,
        decimals: 3,
    }
}

fn units(demo: &Demo) -> Table {
    let f1 = |outcome: &super::Outcome, name: &str| {
        let units = outcome.evaluation.metrics.tasks.units("action_units");
        units
            .and_then(|units| units.f1.get(name)?.as_f64())
            .unwrap_or(f64::NAN)
    };
    Table {
        title: "F1 by action unit".to_owned(),
        corner: "action unit".to_owned(),
        columns: ["uncoupled", "coupled"].map(str::to_owned).into(),
        rows: ACTION_UNITS
            .iter()
            .map(|number| {
                let name = format!("au{number}");
                let [a, b] = &demo.outcomes;
                Row::numbers(&format!("AU {number}"), &[f1(a, &name), f1(b, &name)])
            })
            .collect(),
        shading: Shading::Best,
        decimals: 2,
        ..Table::default()
    }
}

fn confusion(outcome: &super::Outcome) -> Table {
    let counts = outcome
        .evaluation
        .metrics
        .tasks
        .classes("expression")
        .map(|task| task.confusion.clone());
    let rows = EXPRESSIONS
        .iter()
        .zip(counts.unwrap_or_default())
        .map(|(name, counts)| Row {
            name: (*name).to_owned(),
            cells: counts.into_iter().map(Cell::Count).collect(),
        });
    Table {
        title: format!("Expressions, {}", outcome.name),
        text: "Rows: what the face shows; columns: what the network says.".to_owned(),
        corner: "shown".to_owned(),
        columns: EXPRESSIONS.map(str::to_owned).into(),
        rows: rows.collect(),
        shading: Shading::Share,
        decimals: 0,
    }
}

/// A contact sheet: a person a row, an expression a column.
fn sheet(gpu: &Gpu) -> Result<Picture, ExperimentError> {
    let stream = Faces::new(1, 0..1000)?;
    let columns = EXPRESSIONS.len();
    let faces: Vec<Face> = (0..5 * columns as u32)
        .map(|place| {
            let (person, class) = (place / columns as u32, place % columns as u32);
            let portrait = stream.portrait(
                7 * person + 2,
                Shown::Basic(class as usize),
                u64::from(place),
            );
            portrait.face
        })
        .collect();
    let pixels = gpu.block_on(render(gpu, &faces, SHEET))?;
    let picture = tile(&pixels, SHEET, columns);
    Ok(Picture {
        title: "Synthetic faces".to_owned(),
        text: format!("Drawn by the GPU. Columns: {}.", EXPRESSIONS.join(", ")),
        tiles: vec![Tile {
            png: png(&picture)?,
            caption: "Five people, seven expressions".to_owned(),
            wide: true,
            ..Tile::default()
        }],
    })
}

/// Pictures of one size side by side, `columns` in a row.
pub fn tile(pixels: &[u8], side: usize, columns: usize) -> RgbImage {
    let pictures = pixels.len() / (3 * side * side);
    let rows = pictures.div_ceil(columns.max(1));
    let mut sheet = RgbImage::new((columns * side) as u32, (rows * side) as u32);
    for (index, picture) in pixels.chunks_exact(3 * side * side).enumerate() {
        let (left, top) = (index % columns * side, index / columns * side);
        for (place, pixel) in picture.chunks_exact(3).enumerate() {
            let (x, y) = (left + place % side, top + place / side);
            sheet.put_pixel(
                x as u32,
                y as u32,
                image::Rgb([pixel[0], pixel[1], pixel[2]]),
            );
        }
    }
    sheet
}

fn predictions(demo: &Demo) -> Result<Picture, ExperimentError> {
    let mut tiles = Vec::new();
    for (index, prediction) in demo.outcomes[1].predictions.iter().take(12).enumerate() {
        let picture = tile(demo.gallery.picture(index), SIDE, 1);
        let shown = match demo.gallery.labels[index].get(0) {
            Label::Class(class) => EXPRESSIONS[class as usize],
            _ => "no basic expression",
        };
        let mut bars: Vec<(String, f64)> = prediction
            .outputs("expression")
            .iter()
            .map(|(name, p)| (name.clone(), f64::from(*p)))
            .collect();
        bars.sort_by(|a, b| b.1.total_cmp(&a.1));
        bars.truncate(3);
        let on = prediction
            .outputs("action_units")
            .iter()
            .filter(|(_, p)| *p > 0.5);
        let on: Vec<String> = on
            .map(|(name, _)| name.trim_start_matches("au").to_owned())
            .collect();
        let axis = |value: Option<f32>| value.unwrap_or(0.0);
        tiles.push(Tile {
            png: png(&picture)?,
            caption: format!(
                "shows {shown}; AU {}; valence {:+.2}, arousal {:+.2}",
                if on.is_empty() {
                    "none".to_owned()
                } else {
                    on.join(" ")
                },
                axis(prediction.value("valence")),
                axis(prediction.value("arousal"))
            ),
            bars,
            wide: false,
        });
    }
    Ok(Picture {
        title: "What the coupled network says".to_owned(),
        text: "Faces of people not seen in training, at the size the network sees; the bars are its three most likely expressions.".to_owned(),
        tiles,
    })
}

/// The closing table as text.
pub fn text(demo: &Demo) -> String {
    let mut text = format!(
        "{:<30}{:>10}{:>12}{:>12}\n",
        "on people not seen in training", "chance", "uncoupled", "coupled"
    );
    for (name, [chance, uncoupled, coupled]) in rows(demo) {
        text += &format!("{name:<30}{chance:>10.3}{uncoupled:>12.3}{coupled:>12.3}\n");
    }
    text
}
