//! What everything that draws shares: the font, the colours, the PNG bytes.

use std::error::Error as StdError;
use std::io::Cursor;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Once;

use image::{ExtendedColorType, ImageEncoder, RgbImage, codecs::png::PngEncoder};
use plotters::style::RGBColor;
#[cfg(not(target_arch = "wasm32"))]
use plotters::style::{FontStyle, register_font};
use thiserror::Error;

/// The font family's name: also CSS's generic name, so that text measured here fits where a browser draws it.
pub const FONT: &str = "sans-serif";

/// Eight colours that stay apart for most colour-blind readers, on white and on black (after Okabe and Ito, 2008).
pub const PALETTE: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(110, 110, 110),
    RGBColor(148, 85, 55),
];

/// What goes wrong with a picture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The plotting library refuses.
    #[error("cannot draw {what}: {source}")]
    Draw {
        /// What was to be drawn.
        what: &'static str,
        /// The library's reason.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The PNG encoder refuses.
    #[error("cannot encode a picture of {width} x {height} as PNG: {source}")]
    Encode {
        /// Pixels a row.
        width: u32,
        /// Rows.
        height: u32,
        /// The encoder's reason.
        source: image::ImageError,
    },
}

impl PictureError {
    /// Names what was drawn when the library refused.
    pub(crate) fn drawing<E: StdError + Send + Sync + 'static>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Draw {
            what,
            source: Box::new(source),
        }
    }
}

/// Makes DejaVu Sans known to plotters as [`FONT`]. Call it before text is drawn; later calls do nothing. In a browser it does
/// nothing: plotters takes the page's fonts there.
pub fn register_fonts() {
    #[cfg(not(target_arch = "wasm32"))]
    register_compiled_in_fonts();
}

#[cfg(not(target_arch = "wasm32"))]
fn register_compiled_in_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The faces are compiled in. Were one refused, drawing text would give plotters' "font unavailable".
        let _ = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
        let _ = register_font(FONT, FontStyle::Bold, dejavu::sans::bold());
    });
}

/// The picture as the bytes of a PNG file, 8 bits a channel.
///
/// # Errors
/// The encoder refuses, for instance a picture without pixels.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>, PictureError> {
    let (width, height) = picture.dimensions();
    let mut bytes = Cursor::new(Vec::new());
    PngEncoder::new(&mut bytes)
        .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(|source| PictureError::Encode {
            width,
            height,
            source,
        })?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn png_bytes_decode_to_the_same_pixels() {
        let picture = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8 * 50, y as u8 * 80, 7]));
        let decoded = image::load_from_memory(&png(&picture).unwrap())
            .unwrap()
            .to_rgb8();
        assert_eq!(decoded, picture);
    }
}
