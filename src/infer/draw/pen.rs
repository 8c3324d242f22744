//! Shapes and text on an RGB picture, in units that grow with the picture.

use crate::picture::{FONT, PictureError, register_fonts};
use image::RgbImage;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Refused<'a> = DrawingAreaErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>;

/// Draws on one picture. Places and sizes are in units of `unit` pixels; what lies outside the picture is cut off.
pub(super) struct Pen<'a> {
    area: DrawingArea<BitMapBackend<'a>, Shift>,
    unit: f64,
}

impl<'a> Pen<'a> {
    pub(super) fn new(picture: &'a mut RgbImage, unit: f64) -> Self {
        register_fonts();
        let size = picture.dimensions();
        Self {
            area: BitMapBackend::with_buffer(picture, size).into_drawing_area(),
            unit,
        }
    }

    /// A place in pixels. Casts saturate, so a place far outside stays outside.
    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (
            (x * self.unit).round() as i32,
            (y * self.unit).round() as i32,
        )
    }

    fn drawn(result: Result<(), Refused<'a>>) -> Result<(), PictureError> {
        result.map_err(PictureError::drawing("the overlay"))
    }

    /// A filled rectangle from its upper left corner.
    pub(super) fn fill(
        &self,
        corner: (f64, f64),
        size: (f64, f64),
        color: RGBColor,
    ) -> Result<(), PictureError> {
        let (left, top) = self.at(corner);
        let (right, bottom) = self.at((corner.0 + size.0, corner.1 + size.1));
        // A bitmap's filled rectangle leaves its far corner out: these are its edges.
        let corners = [(left, top), (right, bottom)];
        Self::drawn(self.area.draw(&Rectangle::new(corners, color.filled())))
    }

    /// The outline of a rectangle, two units strong, inside it.
    pub(super) fn frame(
        &self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        color: RGBColor,
    ) -> Result<(), PictureError> {
        let edge = 2.0;
        self.fill((x, y), (width, edge), color)?;
        self.fill((x, y + height - edge), (width, edge), color)?;
        self.fill((x, y), (edge, height), color)?;
        self.fill((x + width - edge, y), (edge, height), color)
    }

    /// A disc, or its outline.
    pub(super) fn circle(
        &self,
        center: (f64, f64),
        radius: f64,
        color: RGBColor,
        filled: bool,
    ) -> Result<(), PictureError> {
        let style = ShapeStyle {
            color: color.to_rgba(),
            filled,
            stroke_width: 1,
        };
        let radius = (radius * self.unit).round();
        Self::drawn(
            self.area
                .draw(&Circle::new(self.at(center), radius as i32, style)),
        )
    }

    /// Text whose left, middle or right lies at x and whose middle lies at y.
    pub(super) fn text(
        &self,
        text: &str,
        place: (f64, f64),
        size: f64,
        color: RGBColor,
        anchor: HPos,
    ) -> Result<(), PictureError> {
        let style = Self::font(size * self.unit)
            .into_text_style(&self.area)
            .color(&color)
            .pos(Pos::new(anchor, VPos::Center));
        // The library's middle lies above that of the small letters.
        let place = self.at((place.0, place.1 + 0.12 * size));
        Self::drawn(self.area.draw_text(text, &style, place))
    }

    /// The text's width in units.
    pub(super) fn width(&self, text: &str, size: f64) -> f64 {
        let pixels = Self::font(size * self.unit).box_size(text);
        pixels.map_or(0.0, |(width, _)| f64::from(width) / self.unit)
    }

    /// The text, cut at its end where it is wider than `width` units.
    pub(super) fn shortened(&self, text: &str, size: f64, width: f64) -> String {
        let mut kept = text.to_owned();
        while self.width(&kept, size) > width && kept.pop().is_some() {}
        kept
    }

    fn font(pixels: f64) -> FontDesc<'static> {
        FontDesc::new(FontFamily::Name(FONT), pixels, FontStyle::Normal)
    }
}
