//! From bytes to activations: an affine crop of every image, scaled to [-1, 1].

use crate::Reference;

/// A batch of equally large images and the size of their crops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropShape {
    /// Images.
    pub n: usize,
    /// Height of an image in pixels.
    pub h: usize,
    /// Width of an image in pixels.
    pub w: usize,
    /// Channels of an image: 1 (grey) or 3.
    pub c: usize,
    /// Height of a crop.
    pub out_h: usize,
    /// Width of a crop.
    pub out_w: usize,
}

/// An image's bytes with its border repeated outwards for ever.
struct Plane<'a> {
    shape: &'a CropShape,
    bytes: &'a [u8],
    channel: usize,
}

impl Plane<'_> {
    fn at(&self, y: i64, x: i64) -> f64 {
        let y = y.clamp(0, self.shape.h as i64 - 1) as usize;
        let x = x.clamp(0, self.shape.w as i64 - 1) as usize;
        f64::from(self.bytes[(y * self.shape.w + x) * self.shape.c + self.channel])
    }

    /// The largest difference between neighbours along x and along y in the cell at (y, x) and the cells around it: a bound
    /// of the slope there, also where rounding moves a position into the next cell.
    fn slopes(&self, y: i64, x: i64) -> [f64; 2] {
        let mut slopes = [0.0_f64; 2];
        for y in y - 1..=y + 2 {
            for x in x - 1..=x + 2 {
                let here = self.at(y, x);
                slopes[0] = slopes[0].max((self.at(y, x + 1) - here).abs());
                slopes[1] = slopes[1].max((self.at(y + 1, x) - here).abs());
            }
        }
        slopes
    }
}

/// Crops `images`, bytes `[N,H,W,C]`, to `[N,out_h,out_w,3]`: v / 127.5 − 1 of the bilinear interpolation at
///
/// (source x, source y) = matrix · (x + ½, y + ½, 1) − ½,
///
/// with the 2 x 3 `matrices` `[N,2,3]` row major, first the row of source x; beyond the border its pixels are repeated, and a
/// grey image gives three equal channels.
///
/// The magnitude holds the interpolation's terms and the rounding of the position times a bound of the image's slope.
pub fn crop(shape: &CropShape, images: &[u8], matrices: &[f64]) -> Reference {
    let size = shape.h * shape.w * shape.c;
    assert!(shape.c == 1 || shape.c == 3, "channels of {shape:?}");
    assert_eq!(images.len(), shape.n * size, "bytes of {shape:?}");
    assert_eq!(matrices.len(), shape.n * 6, "elements of the matrices");
    let mut out = Reference::zeros(shape.n * shape.out_h * shape.out_w * 3);
    for n in 0..shape.n {
        let matrix = &matrices[n * 6..(n + 1) * 6];
        for y in 0..shape.out_h {
            for x in 0..shape.out_w {
                for channel in 0..3 {
                    let plane = Plane {
                        shape,
                        bytes: &images[n * size..(n + 1) * size],
                        channel: channel.min(shape.c - 1),
                    };
                    let (value, magnitude) = sample(&plane, matrix, x, y);
                    let pixel = (n * shape.out_h + y) * shape.out_w + x;
                    out.set(pixel * 3 + channel, value, magnitude);
                }
            }
        }
    }
    out
}

/// Value and magnitude of the output pixel (x, y).
fn sample(plane: &Plane, matrix: &[f64], x: usize, y: usize) -> (f64, f64) {
    let position = [x as f64 + 0.5, y as f64 + 0.5, 1.0];
    let mut source = Reference::zeros(2);
    for (row, coefficients) in matrix.chunks_exact(3).enumerate() {
        for (coefficient, position) in coefficients.iter().zip(position) {
            source.add(row, coefficient * position);
        }
        source.add(row, -0.5);
    }
    let corner = [source.value[0].floor(), source.value[1].floor()];
    let [right, low] = [source.value[0] - corner[0], source.value[1] - corner[1]];
    let [left, top] = [corner[0] as i64, corner[1] as i64];
    let value = (1.0 - low) * (1.0 - right) * plane.at(top, left)
        + (1.0 - low) * right * plane.at(top, left + 1)
        + low * (1.0 - right) * plane.at(top + 1, left)
        + low * right * plane.at(top + 1, left + 1);
    let slopes = plane.slopes(top, left);
    let moved = source.magnitude[0] * slopes[0] + source.magnitude[1] * slopes[1];
    (value / 127.5 - 1.0, (value + moved) / 127.5 + 1.0)
}
