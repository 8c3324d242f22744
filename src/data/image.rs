//! Decoding.

use super::DataError;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, RgbImage};
use std::io::Cursor;
use std::path::Path;

/// Decodes a file, cuts out the face's box where one is given, and resizes to `size` x `size`; RGB bytes, row by row. Grey
/// images have three equal channels, and transparency is dropped.
///
/// Photos are turned as their EXIF orientation says, so a box counts pixels of the picture as viewers show it; what of it
/// lies outside the picture is cut off.
///
/// # Errors
/// [`DataError::Read`], [`DataError::Image`] for a file that is no image, damaged or truncated, [`DataError::Box`].
pub fn decode(path: &Path, face: Option<[f32; 4]>, size: usize) -> Result<Vec<u8>, DataError> {
    guarded(path, || Ok(resize(cut(path, open(path)?, face)?, size)))
}

/// Decodes a whole photo, turned as its EXIF orientation says.
///
/// # Errors
/// As [`decode`].
pub fn photo(path: &Path) -> Result<RgbImage, DataError> {
    guarded(path, || Ok(open(path)?.into_rgb8()))
}

/// Reads a picture's header without its pixels, and checks that the face's box, where one is given, lies in it at least in part.
///
/// # Errors
/// As [`decode`], but for damage behind the header.
pub fn check_header(path: &Path, face: Option<[f32; 4]>) -> Result<(), DataError> {
    let read = |source| DataError::Read {
        path: path.to_owned(),
        source,
    };
    let reason = |error: image::ImageError| DataError::Image {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    guarded(path, || {
        let reader = ImageReader::open(path).map_err(read)?;
        let reader = reader.with_guessed_format().map_err(read)?;
        let mut decoder = reader.into_decoder().map_err(reason)?;
        let (mut width, mut height) = decoder.dimensions();
        let turned = decoder.orientation().is_ok_and(|orientation| {
            use image::metadata::Orientation::{
                Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH,
            };
            matches!(
                orientation,
                Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH
            )
        });
        if turned {
            (width, height) = (height, width);
        }
        face.map_or(Ok(()), |face| bounds(path, face, width, height).map(|_| ()))
    })
}

/// A decoder that gives up in a panic is one more damaged file, not the end of a run.
fn guarded<T>(
    path: &Path,
    decode: impl FnOnce() -> Result<T, DataError> + std::panic::UnwindSafe,
) -> Result<T, DataError> {
    std::panic::catch_unwind(decode).unwrap_or_else(|_| {
        Err(DataError::Image {
            path: path.to_owned(),
            reason: "the decoder failed on it".to_owned(),
        })
    })
}

fn open(path: &Path) -> Result<DynamicImage, DataError> {
    let read = |source| DataError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::read(path).map_err(read)?;
    picture(&bytes).map_err(|reason| DataError::Image {
        path: path.to_owned(),
        reason,
    })
}

fn picture(bytes: &[u8]) -> Result<DynamicImage, String> {
    let format = image::guess_format(bytes)
        .map_err(|_| "not an image in a format that is read (PNG, JPEG, BMP, WebP)".to_owned())?;
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format)
        .into_decoder()
        .map_err(|error| error.to_string())?;
    // A photo whose orientation cannot be read is shown as it is.
    let orientation = decoder.orientation();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    // The JPEG decoder fills what is missing with grey.
    if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
        return Err("truncated: the JPEG's end marker is missing".to_owned());
    }
    if let Ok(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}

/// Whether a JPEG has its end marker, by a walk over its segments (ITU T.81, annex B).
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(found) = bytes[at.min(bytes.len())..]
        .windows(2)
        // Within the compressed data, FF is followed by 00 or a restart marker.
        .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0x01 | 0xD0..=0xD7 | 0xFF))
    {
        at += found + 2;
        if bytes[at - 1] == 0xD9 {
            return true;
        }
        let Some(length) = bytes.get(at..at + 2) else {
            return false;
        };
        at += usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    false
}

fn cut(path: &Path, picture: DynamicImage, face: Option<[f32; 4]>) -> Result<RgbImage, DataError> {
    let picture = picture.into_rgb8();
    let Some(found) = face else {
        return Ok(picture);
    };
    let (width, height) = picture.dimensions();
    let [x, y, w, h] = bounds(path, found, width, height)?;
    Ok(image::imageops::crop_imm(&picture, x, y, w, h).to_image())
}

/// What of a box lies in a picture: left, top, width and height.
fn bounds(path: &Path, found: [f32; 4], width: u32, height: u32) -> Result<[u32; 4], DataError> {
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
    Ok([x, y, w, h])
}

fn resize(picture: RgbImage, size: usize) -> Vec<u8> {
    let size = size as u32;
    if picture.dimensions() == (size, size) {
        return picture.into_raw();
    }
    image::imageops::resize(&picture, size, size, FilterType::Triangle).into_raw()
}

/// The matrix that takes images as they are, one for each of `count` images, as the image input's kernel wants them.
pub fn identity_matrix(count: usize) -> Vec<f32> {
    [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0].repeat(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb};
    use std::path::PathBuf;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }

        fn save(&self, name: &str, picture: &RgbImage) -> PathBuf {
            let path = self.0.path().join(name);
            picture.save(&path).unwrap();
            path
        }
    }

    /// Every pixel tells its place.
    fn places(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 7]))
    }

    #[test]
    fn lossless_formats_give_their_pixels() {
        let folder = Folder::new();
        let picture = places(9, 9);
        for name in ["a.png", "a.bmp", "misnamed.jpg"] {
            let path = if name == "misnamed.jpg" {
                let png = std::fs::read(folder.0.path().join("a.png")).unwrap();
                folder.write(name, &png)
            } else {
                folder.save(name, &picture)
            };
            assert_eq!(decode(&path, None, 9).unwrap(), *picture.as_raw(), "{name}");
        }
    }

    #[test]
    fn grey_has_three_equal_channels() {
        let folder = Folder::new();
        let path = folder.0.path().join("grey.png");
        let grey = GrayImage::from_fn(4, 4, |x, y| Luma([(16 * y + x) as u8]));
        grey.save(&path).unwrap();
        let wanted: Vec<u8> = grey.as_raw().iter().flat_map(|v| [*v; 3]).collect();
        assert_eq!(decode(&path, None, 4).unwrap(), wanted);
    }

    #[test]
    fn boxes_are_cut_out_and_clamped() {
        let folder = Folder::new();
        let path = folder.save("a.png", &places(20, 10));
        let cut = |face| decode(&path, Some(face), 4).unwrap();
        let wanted: Vec<u8> = (0..16).flat_map(|i| [5 + i % 4, 3 + i / 4, 7]).collect();
        assert_eq!(cut([5.0, 3.0, 4.0, 4.0]), wanted);
        let wanted: Vec<u8> = (0..16).flat_map(|i| [i % 4, i / 4, 7]).collect();
        assert_eq!(cut([-3.0, -2.0, 7.0, 6.0]), wanted);
        for face in [
            [20.0, 0.0, 5.0, 5.0],
            [-9.0, 0.0, 9.0, 5.0],
            [0.0, 99.0, 1e6, 1e6],
        ] {
            let error = decode(&path, Some(face), 4).unwrap_err();
            assert!(
                matches!(
                    error,
                    DataError::Box {
                        width: 20,
                        height: 10,
                        ..
                    }
                ),
                "{error}"
            );
        }
    }

    #[test]
    fn resizing_keeps_means_and_constants() {
        let folder = Folder::new();
        let flat = RgbImage::from_pixel(31, 17, Rgb([200, 3, 90]));
        let path = folder.save("flat.png", &flat);
        for size in [1, 5, 64] {
            assert_eq!(
                decode(&path, None, size).unwrap(),
                [200, 3, 90].repeat(size * size)
            );
        }
        // Halved by areas: a checkerboard of 0 and 200 turns into its mean away from the border.
        let board = RgbImage::from_fn(16, 16, |x, y| Rgb([200 * ((x + y) % 2) as u8; 3]));
        let path = folder.save("board.png", &board);
        let small = decode(&path, None, 8).unwrap();
        let inner: Vec<u8> = small
            .chunks(24)
            .skip(1)
            .take(6)
            .flat_map(|row| row[3..21].to_vec())
            .collect();
        assert!(inner.iter().all(|v| v.abs_diff(100) <= 1), "{inner:?}");
    }

    #[test]
    fn photos_are_turned_as_their_orientation_says() {
        let folder = Folder::new();
        let halves = RgbImage::from_fn(16, 16, |x, _| Rgb([if x < 8 { 250 } else { 5 }; 3]));
        let path = folder.save("a.jpg", &halves);
        let plain = std::fs::read(&path).unwrap();
        // EXIF, big endian, one entry: orientation 6, to be turned a quarter to the right.
        let exif = b"\xFF\xE1\x00\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let turned = [&plain[..2], exif, &plain[2..]].concat();
        let path = folder.write("turned.jpg", &turned);
        let pixels = decode(&path, None, 16).unwrap();
        let at = |x: usize, y: usize| pixels[3 * (16 * y + x)];
        assert!(
            at(2, 2) > 200 && at(13, 2) > 200,
            "{} {}",
            at(2, 2),
            at(13, 2)
        );
        assert!(at(2, 13) < 50 && at(13, 13) < 50);
    }

    #[test]
    fn rejects_truncated_files_of_every_format() {
        let folder = Folder::new();
        // Uneven enough that little of it compresses away.
        let picture = RgbImage::from_fn(64, 64, |x, y| {
            Rgb([(x * y * 7) as u8, (x ^ (y * 5)) as u8, (x + 3 * y) as u8])
        });
        for name in ["a.png", "a.jpg", "a.bmp", "a.webp"] {
            let path = folder.save(name, &picture);
            decode(&path, None, 64).unwrap();
            let whole = std::fs::read(&path).unwrap();
            for share in [0, 1, 2, 10, 50, 90, 99] {
                let part = &whole[..whole.len() * share / 100];
                let path = folder.write(name, part);
                let error = decode(&path, None, 64).unwrap_err();
                assert!(
                    matches!(error, DataError::Image { .. }),
                    "{name} {share} %: {error}"
                );
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn rejects_what_is_no_image() {
        let folder = Folder::new();
        let text = folder.write("text.png", b"image,expression\na.png,fear\n");
        let error = decode(&text, None, 8).unwrap_err();
        assert!(
            error.to_string().contains("text.png: not an image"),
            "{error}"
        );
        let missing = folder.0.path().join("missing.png");
        for path in [&missing, folder.0.path()] {
            let error = decode(path, None, 8).unwrap_err();
            assert!(matches!(error, DataError::Read { .. }), "{error}");
        }
        // A header that promises more than any memory holds.
        let mut huge = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        huge.extend(60_000_u32.to_le_bytes());
        huge.extend(60_000_u32.to_le_bytes());
        huge.extend(b"\x01\0\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let error = decode(&folder.write("huge.bmp", &huge), None, 8).unwrap_err();
        assert!(matches!(error, DataError::Image { .. }), "{error}");
    }

    #[test]
    fn a_jpeg_ends_with_its_own_end_marker() {
        let header = [0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 0xFF, 0xD9];
        let scan = [0xFF, 0xDA, 0, 3, 9, 1, 0xFF, 0, 0xFF, 0xD3, 5];
        let end = [0xFF, 0xFF, 0xD9, 0, 0];
        assert!(jpeg_ends(&[&header[..], &scan, &end].concat()));
        assert!(
            !jpeg_ends(&[&header[..], &scan].concat()),
            "a thumbnail's marker counted"
        );
        assert!(
            !jpeg_ends(&header[..3])
                && !jpeg_ends(&[])
                && !jpeg_ends(&[0xFF, 0xD8, 0xFF, 0xE0, 0xFF])
        );
    }
}
