//! Pictures of predictions: faces framed and numbered, with a panel for each beside the photo.

mod panel;
mod pen;

use super::Prediction;
use crate::picture::{PALETTE, PictureError};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use pen::Pen;
use plotters::prelude::RGBColor;
use plotters::style::text_anchor::HPos;

const WHITE: RGBColor = RGBColor(255, 255, 255);
/// A photo whose shorter side is below this is enlarged by a whole factor, so that its face and its text go together.
const LEAST: u32 = 320;
/// Its longer side stays below this in that.
const MOST: u32 = 2048;
/// Pixels of the shorter side above which text and lines grow with the photo.
const GROWS: f64 = 700.0;

/// One face of a photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face<'a> {
    /// x, y, width and height in the photo's pixels; none where the whole photo is the face.
    pub bounds: Option<[f32; 4]>,
    /// What the network says of it.
    pub prediction: &'a Prediction,
}

/// The photo with its faces framed and numbered, and to its right, where it hides nothing, a panel for each face:
/// expressions as bars, action units as columns, valence and arousal as a point on a dial, the compound expression.
/// Photos with a side below 320 pixels are enlarged. Without faces or
/// pixels the photo comes back as it is.
///
/// # Errors
/// [`PictureError::Draw`] where the plotting library refuses.
pub fn overlay(photo: &RgbImage, faces: &[Face<'_>]) -> Result<RgbImage, PictureError> {
    if faces.is_empty() || photo.is_empty() {
        return Ok(photo.clone());
    }
    let shorter = photo.width().min(photo.height()).max(1);
    let longer = photo.width().max(photo.height());
    let factor = LEAST.div_ceil(shorter).min(MOST / longer).max(1);
    let (width, height) = (photo.width() * factor, photo.height() * factor);
    let unit = (f64::from(shorter * factor) / GROWS).max(1.0);
    let panel_height = faces
        .iter()
        .map(|face| panel::height(face.prediction))
        .fold(0.0, f64::max);
    let rows = ((f64::from(height) / unit / panel_height) as usize).clamp(1, faces.len());
    let columns = faces.len().div_ceil(rows);
    let right = (panel::WIDTH * unit * columns as f64).ceil() as u32;
    let below = (panel_height * unit * rows as f64).ceil() as u32;
    let mut canvas = RgbImage::from_pixel(width + right, height.max(below), Rgb([255; 3]));
    if factor == 1 {
        imageops::replace(&mut canvas, photo, 0, 0);
    } else {
        let large = imageops::resize(photo, width, height, FilterType::Triangle);
        imageops::replace(&mut canvas, &large, 0, 0);
    }
    let pen = Pen::new(&mut canvas, unit);
    let size = (f64::from(width) / unit, f64::from(height) / unit);
    for (index, face) in faces.iter().enumerate() {
        let color = PALETTE[index % PALETTE.len()];
        if let Some(bounds) = face.bounds {
            let scaled = bounds.map(|side| f64::from(side) * f64::from(factor) / unit);
            frame(&pen, scaled, size, index + 1, color)?;
        }
        let corner = (
            size.0 + panel::WIDTH * (index / rows) as f64,
            panel_height * (index % rows) as f64,
        );
        panel::draw(&pen, corner, index + 1, face.prediction, color)?;
    }
    drop(pen);
    Ok(canvas)
}

/// The face's frame, kept to the photo, with its number in the upper left corner.
fn frame(
    pen: &Pen<'_>,
    [x, y, width, height]: [f64; 4],
    photo: (f64, f64),
    number: usize,
    color: RGBColor,
) -> Result<(), PictureError> {
    if ![x, y, width, height].iter().all(|side| side.is_finite()) {
        return Ok(());
    }
    let (left, top) = (x.clamp(0.0, photo.0), y.clamp(0.0, photo.1));
    let (right, bottom) = (
        (x + width).clamp(left, photo.0),
        (y + height).clamp(top, photo.1),
    );
    if right - left < 4.0 || bottom - top < 4.0 {
        return Ok(()); // Outside, or too small to be seen.
    }
    pen.frame((left, top), (right - left, bottom - top), color)?;
    let number = number.to_string();
    let tag = pen.width(&number, 14.0) + 10.0;
    pen.fill((left, top), (tag, 18.0), color)?;
    pen.text(
        &number,
        (left + tag / 2.0, top + 9.0),
        14.0,
        WHITE,
        HPos::Center,
    )
}

#[cfg(test)]
mod tests;
