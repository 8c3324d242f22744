//! What the network says of one face, as a panel beside the picture.

use super::pen::Pen;
use crate::infer::{Answer, Prediction};
use crate::picture::PictureError;
use plotters::prelude::RGBColor;
use plotters::style::text_anchor::HPos;

/// A panel's width in units.
pub(super) const WIDTH: f64 = 270.0;
const MARGIN: f64 = 14.0;
const INNER: f64 = WIDTH - 2.0 * MARGIN;
/// The distance of two bars.
const LINE: f64 = 18.0;
const TEXT: f64 = 14.0;
/// Columns of action units, or lines of classes, that fit; of more outputs the likeliest are listed instead.
const COLUMNS: usize = 20;
/// Names that a list shows.
const LISTED: usize = 8;

const INK: RGBColor = RGBColor(32, 36, 40);
const QUIET: RGBColor = RGBColor(110, 118, 126);
const TRACK: RGBColor = RGBColor(222, 226, 230);
const OFF: RGBColor = RGBColor(160, 168, 176);

/// A panel's height in units: it depends on the tasks alone, so all faces of a model have equal panels.
pub(super) fn height(prediction: &Prediction) -> f64 {
    let answers = prediction.tasks.iter().map(|(_, answer)| answer);
    2.0 * MARGIN + 26.0 + answers.map(section).sum::<f64>()
}

/// The height of what is said for a task.
fn section(answer: &Answer) -> f64 {
    match answer {
        Answer::Classes(classes) if classes.len() <= COLUMNS => classes.len() as f64 * LINE,
        Answer::Detections(units) if columns(units) => 92.0,
        Answer::Classes(_) | Answer::Likeliest(_) | Answer::Detections(_) => {
            26.0 + LISTED as f64 * LINE
        }
        Answer::Values(values) if dialled(values) => 122.0,
        Answer::Values(values) => values.len() as f64 * LINE,
    }
}

/// Whether values are those of the dial.
fn dialled(values: &[(String, f32)]) -> bool {
    matches!(values, [(x, _), (y, _)] if x == "valence" && y == "arousal")
}

/// The headline of a face.
pub(super) fn headline(number: usize, prediction: &Prediction) -> String {
    let (name, p) = prediction.top();
    if prediction
        .tasks
        .iter()
        .all(|(_, answer)| answer.top().is_none())
    {
        return number.to_string();
    }
    format!("{number}  {name} {}", percent(p))
}

fn percent(p: f32) -> String {
    if p.is_finite() {
        format!("{:.0} %", 100.0 * p.clamp(0.0, 1.0))
    } else {
        "?".to_owned()
    }
}

/// 0 to 1, and 0 for what is no number.
fn share(p: f32) -> f64 {
    if p.is_finite() {
        f64::from(p.clamp(0.0, 1.0))
    } else {
        0.0
    }
}

/// Whether the outputs are action units (`au1`, `au12`) and few enough for a column each.
fn columns(units: &[(String, f32)]) -> bool {
    !units.is_empty()
        && units.len() <= COLUMNS
        && units.iter().all(|(name, _)| number(name).is_some())
}

fn number(name: &str) -> Option<&str> {
    let digits = name.strip_prefix("au")?;
    (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())).then_some(digits)
}

/// Draws the panel with its upper left corner at `corner`.
pub(super) fn draw(
    pen: &Pen<'_>,
    corner: (f64, f64),
    number: usize,
    prediction: &Prediction,
    color: RGBColor,
) -> Result<(), PictureError> {
    let (x, mut y) = (corner.0 + MARGIN, corner.1 + MARGIN);
    pen.text(
        &headline(number, prediction),
        (x, y + 8.0),
        17.0,
        color,
        HPos::Left,
    )?;
    y += 26.0;
    for (_, answer) in &prediction.tasks {
        match answer {
            Answer::Detections(units) if columns(units) => {
                unit_columns(pen, (x, y), units, color)?;
            }
            Answer::Classes(classes) if classes.len() <= COLUMNS => {
                for (line, (name, p)) in classes.iter().enumerate() {
                    let place = (x, y + LINE * line as f64);
                    bar(pen, place, 92.0, (name, *p), color)?;
                }
            }
            Answer::Classes(outputs) | Answer::Likeliest(outputs) | Answer::Detections(outputs) => {
                likeliest(pen, (x, y), outputs, color)?;
            }
            Answer::Values(values) if dialled(values) => {
                let axes = (values[0].1, values[1].1);
                dial(pen, (x, y), axes, prediction.compound, color)?;
            }
            Answer::Values(values) => {
                for (line, (name, value)) in values.iter().enumerate() {
                    let middle = y + LINE * (line as f64 + 0.5);
                    pen.text(&signed(name, *value), (x, middle), TEXT, INK, HPos::Left)?;
                }
            }
        }
        y += section(answer);
    }
    Ok(())
}

/// A value with its name.
fn signed(name: &str, value: f32) -> String {
    if value.is_finite() {
        format!("{name} {value:+.2}")
    } else {
        format!("{name} ?")
    }
}

/// A name in `room` units, a bar and a percentage.
fn bar(
    pen: &Pen<'_>,
    (x, y): (f64, f64),
    room: f64,
    (name, p): (&str, f32),
    color: RGBColor,
) -> Result<(), PictureError> {
    let (left, width, middle) = (x + room, INNER - 44.0 - room, y + LINE / 2.0);
    pen.text(
        &pen.shortened(name, TEXT, room - 4.0),
        (x, middle),
        TEXT,
        INK,
        HPos::Left,
    )?;
    pen.fill((left, middle - 4.0), (width, 8.0), TRACK)?;
    pen.fill((left, middle - 4.0), (width * share(p), 8.0), color)?;
    pen.text(&percent(p), (x + INNER, middle), TEXT, INK, HPos::Right)
}

/// A column for each action unit with its number below; those above one half stand out.
fn unit_columns(
    pen: &Pen<'_>,
    (x, y): (f64, f64),
    units: &[(String, f32)],
    color: RGBColor,
) -> Result<(), PictureError> {
    pen.text("action units", (x, y + 14.0), TEXT, QUIET, HPos::Left)?;
    let (top, height, pitch) = (y + 28.0, 42.0, INNER / units.len() as f64);
    for (index, (name, p)) in units.iter().enumerate() {
        let left = x + pitch * index as f64;
        let (width, tall, on) = (pitch - 4.0, height * share(*p), *p > 0.5);
        pen.fill((left, top), (width, height), TRACK)?;
        let column = if on { color } else { OFF };
        pen.fill((left, top + height - tall), (width, tall), column)?;
        let place = (left + width / 2.0, top + height + 9.0);
        let ink = if on { INK } else { OFF };
        pen.text(number(name).unwrap_or(name), place, 9.5, ink, HPos::Center)?;
    }
    Ok(())
}

/// The most probable outputs as bars: for attributes and people, which are many and have long names.
fn likeliest(
    pen: &Pen<'_>,
    (x, y): (f64, f64),
    units: &[(String, f32)],
    color: RGBColor,
) -> Result<(), PictureError> {
    pen.text("most likely", (x, y + 14.0), TEXT, QUIET, HPos::Left)?;
    let mut sorted: Vec<_> = units.iter().collect();
    sorted.sort_by(|a, b| share(b.1).total_cmp(&share(a.1)));
    for (index, (name, p)) in sorted.into_iter().take(LISTED).enumerate() {
        bar(
            pen,
            (x, y + 26.0 + LINE * index as f64),
            150.0,
            (name, *p),
            color,
        )?;
    }
    Ok(())
}

/// Valence to the right, arousal upwards, both in [-1, 1], on a circle of radius 1; the numbers beside it.
fn dial(
    pen: &Pen<'_>,
    (x, y): (f64, f64),
    (valence, arousal): (f32, f32),
    compound: Option<&str>,
    color: RGBColor,
) -> Result<(), PictureError> {
    let radius = 46.0;
    let center = (x + radius, y + 12.0 + radius);
    pen.circle(center, radius, TRACK, true)?;
    pen.circle(center, radius, OFF, false)?;
    pen.fill(
        (center.0 - radius, center.1 - 0.5),
        (2.0 * radius, 1.0),
        OFF,
    )?;
    pen.fill(
        (center.0 - 0.5, center.1 - radius),
        (1.0, 2.0 * radius),
        OFF,
    )?;
    if valence.is_finite() && arousal.is_finite() {
        let place = |value: f32| f64::from(value.clamp(-1.0, 1.0)) * radius;
        let dot = (center.0 + place(valence), center.1 - place(arousal));
        pen.circle(dot, 5.5, RGBColor(255, 255, 255), true)?;
        pen.circle(dot, 4.0, color, true)?;
    }
    let left = x + 2.0 * radius + 16.0;
    pen.text(
        &signed("valence", valence),
        (left, center.1 - 30.0),
        TEXT,
        INK,
        HPos::Left,
    )?;
    pen.text(
        &signed("arousal", arousal),
        (left, center.1 - 12.0),
        TEXT,
        INK,
        HPos::Left,
    )?;
    if let Some(compound) = compound {
        // The names are two words, and the place is one word wide.
        for (index, word) in compound.split_whitespace().take(2).enumerate() {
            let place = (left, center.1 + 14.0 + LINE * index as f64);
            pen.text(word, place, TEXT, QUIET, HPos::Left)?;
        }
    }
    Ok(())
}
