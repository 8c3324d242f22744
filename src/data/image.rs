//! Decoding.

use super::DataError;
use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, RgbImage};
use std::path::Path;

/// Decodes a file, cuts out the face's box where one is given, and resizes to `size` x `size`; RGB bytes, row by row. Grey
/// images have three equal channels.
///
/// # Errors
/// [`DataError::Read`], [`DataError::Image`] for a file that is no image or damaged, [`DataError::Box`].
pub fn decode(path: &Path, face: Option<[f32; 4]>, size: usize) -> Result<Vec<u8>, DataError> {
    Ok(resize(&cut(path, open(path)?, face)?, size))
}

fn open(path: &Path) -> Result<DynamicImage, DataError> {
    let read = |source| DataError::Read {
        path: path.to_owned(),
        source,
    };
    let image = |reason: String| DataError::Image {
        path: path.to_owned(),
        reason,
    };
    let reader = ImageReader::open(path)
        .map_err(read)?
        .with_guessed_format()
        .map_err(read)?;
    if reader.format().is_none() {
        return Err(image(
            "not an image in a format that is read (PNG, JPEG, BMP, WebP)".to_owned(),
        ));
    }
    reader.decode().map_err(|error| image(error.to_string()))
}

fn cut(path: &Path, picture: DynamicImage, face: Option<[f32; 4]>) -> Result<RgbImage, DataError> {
    let picture = picture.into_rgb8();
    let Some(found) = face else {
        return Ok(picture);
    };
    let (width, height) = picture.dimensions();
    // Clamped to the picture, so the casts are exact or round towards the inside.
    let side = |start: f32, len: f32, most: u32| {
        let first = start.clamp(0.0, most as f32) as u32;
        let last = (start + len).clamp(0.0, most as f32) as u32;
        (first, last.saturating_sub(first))
    };
    let (x, w) = side(found[0], found[2], width);
    let (y, h) = side(found[1], found[3], height);
    if w == 0 || h == 0 {
        return Err(DataError::Box {
            path: path.to_owned(),
            found,
            width,
            height,
        });
    }
    Ok(image::imageops::crop_imm(&picture, x, y, w, h).to_image())
}

fn resize(picture: &RgbImage, size: usize) -> Vec<u8> {
    let size = size as u32;
    if picture.dimensions() == (size, size) {
        return picture.as_raw().clone();
    }
    image::imageops::resize(picture, size, size, FilterType::Triangle).into_raw()
}

/// The matrix that takes images as they are, one for each of `count` images, as the image input's kernel wants them.
pub fn identity_matrix(count: usize) -> Vec<f32> {
    [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0].repeat(count)
}
