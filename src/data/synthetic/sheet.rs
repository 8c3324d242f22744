//! A contact sheet: what each action unit and each expression does to a face.

use super::{Faces, Shown};
use crate::kernels::face::Face;
use crate::objective::{ACTION_UNITS, EXPRESSIONS};
use crate::picture::{FONT, PictureError, register_fonts};
use image::{RgbImage, imageops};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The names of the action units, in the order of [`ACTION_UNITS`] (Ekman and Friesen's Facial Action Coding System).
pub const UNIT_NAMES: [&str; ACTION_UNITS.len()] = [
    "inner brow raiser",
    "outer brow raiser",
    "brow lowerer",
    "upper lid raiser",
    "cheek raiser",
    "lid tightener",
    "nose wrinkler",
    "upper lip raiser",
    "lip corner puller",
    "dimpler",
    "lip corner depressor",
    "chin raiser",
    "lip stretcher",
    "lip tightener",
    "lip pressor",
    "lips part",
    "jaw drop",
];

/// Faces a row.
const COLUMNS: usize = 9;
/// The intensities at which a person shows an action unit.
const INTENSITIES: [f32; 3] = [0.0, 0.5, 1.0];
/// How the three people of the action units' rows turn their heads, in radians.
const YAWS: [f32; 3] = [0.0, 0.3, -0.3];
/// Rows stand in this many blocks beside each other.
const BLOCKS: usize = 2;

/// The rows of a contact sheet, before and after they are painted.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    rows: Vec<(String, [Face; COLUMNS])>,
}

impl Sheet {
    /// A row for each action unit: three people at intensities 0, ½ and 1; then a row for each basic expression: nine
    /// pictures as training sees them, each of another person.
    pub fn new(stream: &Faces) -> Self {
        let people = models(stream);
        let units = (0..ACTION_UNITS.len()).map(|unit| {
            let row = std::array::from_fn(|column| {
                let person = column / INTENSITIES.len();
                let mut face = stream.passport(people[person]);
                let mut intensities = [0.0; ACTION_UNITS.len()];
                intensities[unit] = INTENSITIES[column % INTENSITIES.len()];
                face.set_action_units(&intensities);
                face.yaw = YAWS[person];
                face
            });
            (
                format!("AU {} {}", ACTION_UNITS[unit], UNIT_NAMES[unit]),
                row,
            )
        });
        let expressions = EXPRESSIONS.iter().enumerate().map(|(class, name)| {
            let row = std::array::from_fn(|column| {
                // 63 people.
                #[allow(clippy::cast_possible_truncation)]
                let number = (COLUMNS * class + column) as u32;
                let person = stream.people.start + number;
                let portrait = stream.portrait(person, Shown::Basic(class), u64::from(number));
                portrait.face
            });
            ((*name).to_owned(), row)
        });
        Self {
            rows: units.chain(expressions).collect(),
        }
    }

    /// The faces to paint, in the order in which [`Sheet::draw`] takes them.
    pub fn faces(&self) -> Vec<Face> {
        self.rows.iter().flat_map(|(_, row)| *row).collect()
    }

    /// Puts the painted faces (`pixels`, [faces, size, size, 3] bytes) together, with the rows' names.
    ///
    /// # Errors
    /// [`PictureError::Draw`] when the text cannot be drawn.
    pub fn draw(&self, pixels: &[u8], size: u32) -> Result<RgbImage, PictureError> {
        let label = 5 * size / 2;
        let gap = size / 8;
        let block = label + COLUMNS as u32 * size + 3 * gap;
        let deep = self.rows.len().div_ceil(BLOCKS);
        let (width, height) = (BLOCKS as u32 * block, deep as u32 * size + 2 * gap);
        let mut sheet = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
        let side = size as usize;
        let mut painted = pixels.chunks_exact(3 * side * side);
        let mut names = Vec::new();
        for (index, (name, row)) in self.rows.iter().enumerate() {
            let left = (index / deep) as u32 * block;
            let top = gap + (index % deep) as u32 * size;
            names.push((name.as_str(), left + label - gap, top + size / 2));
            for (column, bytes) in (0..row.len() as u32).zip(painted.by_ref()) {
                let x = left + label + column * size + column / 3 * gap;
                if let Some(face) = RgbImage::from_raw(size, size, bytes.to_vec()) {
                    imageops::replace(&mut sheet, &face, i64::from(x), i64::from(top));
                }
            }
        }
        write_names(&mut sheet, &names, f64::from(size) / 5.0)?;
        Ok(sheet)
    }
}

/// The first people of the stream with fair, brown and dark skin whose faces no glasses, beard or fringe covers; the first
/// person where there is none.
fn models(stream: &Faces) -> [u32; 3] {
    let tones = [0.5..1.0, 0.3..0.5, 0.0..0.3];
    tones.map(|tone| {
        let mut people = stream.people.clone().take(500);
        let bare = people.find(|&person| {
            let face = stream.passport(person);
            let covered = [face.glasses, face.beard, face.moustache, face.hair_fringe];
            tone.contains(&face.skin_r) && covered == [0.0; 4]
        });
        bare.unwrap_or(stream.people.start)
    })
}

/// Writes each name with its right end's middle at the point given.
fn write_names(
    sheet: &mut RgbImage,
    names: &[(&str, u32, u32)],
    height: f64,
) -> Result<(), PictureError> {
    register_fonts();
    let dimensions = sheet.dimensions();
    let area = BitMapBackend::with_buffer(sheet, dimensions).into_drawing_area();
    let anchor = Pos::new(HPos::Right, VPos::Center);
    let style = TextStyle::from((FONT, height).into_font())
        .color(&BLACK)
        .pos(anchor);
    for (name, x, y) in names {
        // A picture's coordinates are far below 2³¹.
        #[allow(clippy::cast_possible_wrap)]
        let at = (*x as i32, *y as i32);
        area.draw_text(name, &style, at)
            .map_err(PictureError::drawing("the contact sheet's names"))?;
    }
    area.present()
        .map_err(PictureError::drawing("the contact sheet"))
}
