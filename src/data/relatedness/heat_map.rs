//! The picture of an estimated table.

use super::{Estimate, Relatedness};
use crate::picture::{FONT, PictureError, register_fonts};
use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A cell's width and height in pixels.
const CELL: (i32, i32) = (56, 40);
/// Above the cells: the title and the columns' names.
const TOP: i32 = 96;
/// Below the cells: the scale and what the marks mean.
const BOTTOM: i32 = 92;
const MARGIN: i32 = 24;
/// Rows that a picture has; of a larger table those with the most images.
const MOST_ROWS: usize = 50;
/// Of a cell without images.
const EMPTY: RGBColor = RGBColor(200, 200, 200);
/// Around the cells that a second table has.
const MARK: RGBColor = RGBColor(213, 94, 0);

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

impl Estimate {
    /// Draws the weights as a heat map, white for 0 to dark blue for 1, with each number in its cell; cells without an image are
    /// grey. The cells that `marked`, a table of the same shape, has a weight for are framed. Of more than 50 rows, those with
    /// the most images are drawn.
    ///
    /// # Errors
    /// [`PictureError::Draw`] when the text cannot be drawn.
    pub fn heat_map(&self, marked: Option<(&str, &Relatedness)>) -> Result<RgbImage, PictureError> {
        register_fonts();
        let mut rows: Vec<usize> = (0..self.rows.len()).collect();
        if rows.len() > MOST_ROWS {
            rows.sort_by_key(|row| std::cmp::Reverse(self.row_images[*row]));
            rows.truncate(MOST_ROWS);
        }
        let shape = (self.rows.len(), self.columns.len());
        let marked = marked.filter(|(_, table)| (table.classes(), table.action_units()) == shape);
        let map = Map::new(self, rows);
        // Some hundred cells of some ten pixels: far below 2³¹.
        #[allow(clippy::cast_sign_loss)]
        let size = (map.size.0 as u32, map.size.1 as u32);
        let mut picture = RgbImage::from_pixel(size.0, size.1, image::Rgb([255; 3]));
        let area = BitMapBackend::with_buffer(&mut picture, size).into_drawing_area();
        map.names(&area)?;
        map.cells(&area, marked.map(|(_, table)| table))?;
        map.legend(&area, marked.map(|(name, _)| name))?;
        area.present()
            .map_err(PictureError::drawing("a heat map"))?;
        drop(area);
        Ok(picture)
    }
}

/// Where everything stands.
struct Map<'a> {
    estimate: &'a Estimate,
    rows: Vec<usize>,
    left: i32,
    top: i32,
    size: (i32, i32),
}

fn font(pixels: i32) -> FontDesc<'static> {
    FontDesc::new(FontFamily::Name(FONT), f64::from(pixels), FontStyle::Normal)
}

fn width(text: &str, pixels: i32) -> i32 {
    let size = font(pixels).box_size(text);
    size.map_or(0, |(width, _)| i32::try_from(width).unwrap_or(i32::MAX))
}

fn text(
    area: &Area<'_>,
    words: &str,
    at: (i32, i32),
    pixels: i32,
    color: RGBColor,
    anchor: HPos,
) -> Result<(), PictureError> {
    let style = font(pixels)
        .into_text_style(area)
        .color(&color)
        .pos(Pos::new(anchor, VPos::Center));
    area.draw_text(words, &style, at)
        .map_err(PictureError::drawing("a heat map's text"))
}

fn fill(area: &Area<'_>, corners: [(i32, i32); 2], color: RGBColor) -> Result<(), PictureError> {
    area.draw(&Rectangle::new(corners, color.filled()))
        .map_err(PictureError::drawing("a heat map's cells"))
}

/// White for 0, dark blue for 1, with steps that look alike in between.
fn shade(weight: f64) -> RGBColor {
    const STOPS: [[f64; 3]; 4] = [
        [255.0, 255.0, 255.0],
        [171.0, 208.0, 230.0],
        [55.0, 135.0, 192.0],
        [8.0, 48.0, 107.0],
    ];
    let place = weight.clamp(0.0, 1.0) * 3.0;
    // Both ends are among the stops.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let stop = (place as usize).min(2);
    let part = place - stop as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let channel = |c: usize| (STOPS[stop][c] + part * (STOPS[stop + 1][c] - STOPS[stop][c])) as u8;
    RGBColor(channel(0), channel(1), channel(2))
}

impl<'a> Map<'a> {
    fn new(estimate: &'a Estimate, rows: Vec<usize>) -> Self {
        let names = rows.iter().map(|row| width(&estimate.rows[*row], 17));
        let left = MARGIN + names.max().unwrap_or(0).max(90) + 12;
        // Long names of columns stand at an angle of 90 degrees and need room.
        let turned = estimate.columns.iter().map(|name| width(name, 16));
        let top = TOP + turned.max().filter(|w| *w >= CELL.0).unwrap_or(0);
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let cells = count(estimate.columns.len()) * CELL.0;
        let size = (
            (left + cells + 90 + MARGIN).max(900),
            top + count(rows.len()) * CELL.1 + BOTTOM,
        );
        Self {
            estimate,
            rows,
            left,
            top,
            size,
        }
    }

    /// The upper left corner of a cell.
    fn corner(&self, row: usize, column: usize) -> (i32, i32) {
        let at = |place: usize, step: i32| i32::try_from(place).unwrap_or(i32::MAX) * step;
        (self.left + at(column, CELL.0), self.top + at(row, CELL.1))
    }

    fn title(&self) -> String {
        use super::{Classes, Detections};
        let class = match self.estimate.classes {
            Classes::Expression => "expression",
            Classes::Compound => "compound expression",
            Classes::Identity => "person",
        };
        let detection = match self.estimate.detections {
            Detections::ActionUnits => "action unit",
            Detections::Attributes => "attribute",
        };
        let images = self.estimate.images;
        let left_out = match self.estimate.rows.len() - self.rows.len() {
            0 => String::new(),
            count => format!("; {count} rows with fewer images are not shown"),
        };
        format!("How often each {detection} is on, by {class}: {images} images{left_out}")
    }

    fn names(&self, area: &Area<'_>) -> Result<(), PictureError> {
        let grey = RGBColor(90, 90, 90);
        text(area, &self.title(), (MARGIN, 30), 21, BLACK, HPos::Left)?;
        let turned = self.top > TOP;
        for (column, name) in self.estimate.columns.iter().enumerate() {
            let (x, y) = self.corner(0, column);
            let at = (x + CELL.0 / 2, y - 16);
            if turned {
                let style = font(16)
                    .transform(FontTransform::Rotate270)
                    .into_text_style(area)
                    .pos(Pos::new(HPos::Left, VPos::Center));
                area.draw_text(name, &style, (at.0, y - 8))
                    .map_err(PictureError::drawing("a heat map's text"))?;
            } else {
                text(area, name, at, 17, BLACK, HPos::Center)?;
            }
        }
        let end = self.corner(0, self.estimate.columns.len());
        if !turned {
            text(
                area,
                "AU",
                (self.left - 12, self.top - 16),
                15,
                grey,
                HPos::Right,
            )?;
        }
        text(
            area,
            "images",
            (end.0 + 84, self.top - 16),
            15,
            grey,
            HPos::Right,
        )?;
        for (place, row) in self.rows.iter().enumerate() {
            let y = self.corner(place, 0).1 + CELL.1 / 2;
            let name = &self.estimate.rows[*row];
            text(area, name, (self.left - 12, y), 17, BLACK, HPos::Right)?;
            let images = self.estimate.row_images[*row].to_string();
            text(area, &images, (end.0 + 84, y), 15, grey, HPos::Right)?;
        }
        Ok(())
    }

    fn cells(&self, area: &Area<'_>, marked: Option<&Relatedness>) -> Result<(), PictureError> {
        for (place, row) in self.rows.iter().enumerate() {
            for (column, (_, count, weight)) in self.estimate.row(*row).enumerate() {
                let (x, y) = self.corner(place, column);
                let inner = [(x + 1, y + 1), (x + CELL.0 - 1, y + CELL.1 - 1)];
                let empty = count.images == 0;
                let marked = marked.is_some_and(|table| table.row(*row)[column] > 0.0);
                let (colour, frame) = match marked {
                    true => (MARK, 3),
                    false => (RGBColor(225, 225, 225), 1),
                };
                fill(area, inner, colour)?;
                let inside = [
                    (inner[0].0 + frame, inner[0].1 + frame),
                    (inner[1].0 - frame, inner[1].1 - frame),
                ];
                fill(area, inside, if empty { EMPTY } else { shade(weight) })?;
                let ink = if !empty && weight > 0.5 { WHITE } else { BLACK };
                let at = (x + CELL.0 / 2, y + CELL.1 / 2);
                text(area, &format!("{weight:.2}"), at, 15, ink, HPos::Center)?;
            }
        }
        Ok(())
    }

    fn legend(&self, area: &Area<'_>, marked: Option<&str>) -> Result<(), PictureError> {
        let y = self.corner(self.rows.len(), 0).1 + 36;
        let middle = y + 9;
        let mut x = self.left;
        text(area, "0", (x - 8, middle), 15, BLACK, HPos::Right)?;
        for step in 0..100 {
            let corners = [(x + 2 * step, y), (x + 2 * step + 2, y + 18)];
            fill(area, corners, shade(f64::from(step) / 99.0))?;
        }
        x += 200;
        text(area, "1", (x + 8, middle), 15, BLACK, HPos::Left)?;
        x += 50;
        fill(area, [(x, y), (x + 26, y + 18)], EMPTY)?;
        let words = "no image";
        text(area, words, (x + 34, middle), 15, BLACK, HPos::Left)?;
        if let Some(name) = marked {
            x += 34 + width(words, 15) + 30;
            fill(area, [(x, y), (x + 26, y + 18)], MARK)?;
            fill(area, [(x + 3, y + 3), (x + 23, y + 15)], WHITE)?;
            text(area, name, (x + 34, middle), 15, BLACK, HPos::Left)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::relatedness::{Classes, Detections, load};
    use crate::data::{Row, Table};
    use std::path::PathBuf;

    #[test]
    fn cells_have_their_shade_and_marks_their_frame() {
        let mut row = Row::unlabelled(PathBuf::from("a.png"));
        row.affect.expression = Some(4);
        (row.affect.au_mask, row.affect.au_value) = (0x1ffff, 1 << 8);
        let table = Table {
            rows: vec![row],
            ..Table::default()
        };
        let estimate =
            Estimate::new(&[table], Classes::Expression, Detections::ActionUnits, 0.0).unwrap();
        let du = load("du2014").unwrap().table;
        let picture = estimate.heat_map(Some(("du2014", &du))).unwrap();
        let map = Map::new(&estimate, (0..7).collect());
        // The upper left of a cell's inside and of its frame.
        let pixel = |row: usize, column: usize, inset: i32| {
            let (x, y) = map.corner(row, column);
            let at = |place: i32| u32::try_from(place + inset).unwrap();
            picture.get_pixel(at(x), at(y)).0
        };
        let rgb = |RGBColor(r, g, b): RGBColor| [r, g, b];
        assert_eq!(pixel(4, 8, 6), rgb(shade(1.0)), "AU 12 is on");
        assert_eq!(pixel(4, 8, 2), rgb(MARK), "and Du's table has it");
        assert_eq!(pixel(4, 0, 6), rgb(shade(0.0)), "AU 1 is off");
        assert_ne!(pixel(4, 0, 2), rgb(MARK));
        assert_eq!(pixel(0, 8, 6), rgb(EMPTY), "no image of neutral");
    }
}
