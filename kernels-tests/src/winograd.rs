//! What Winograd's F(4×4, 3×3) adds up (Lavin and Gray, arXiv:1509.09308, for the points 0, ±√½, ±√2, ∞).
//!
//! For each element of a 3 × 3 convolution at stride 1, or of a gradient of it, the sum of the absolute terms of the method. Its
//! roundings are shares of this, not of the much smaller sum of the absolute products that the convolution is.

use crate::conv::Conv2dShape;
use std::f64::consts::{FRAC_1_SQRT_2 as NEAR, SQRT_2 as FAR};

/// |Bt|, |G| and |At|: of a window's rows, of a filter's, and of the positions.
const B: [[f64; 6]; 6] = [
    [1.0, 0.0, 2.5, 0.0, 1.0, 0.0],
    [0.0, 2.0 * NEAR, 2.0, NEAR, 1.0, 0.0],
    [0.0, 2.0 * NEAR, 2.0, NEAR, 1.0, 0.0],
    [0.0, 0.5 * FAR, 0.5, FAR, 1.0, 0.0],
    [0.0, 0.5 * FAR, 0.5, FAR, 1.0, 0.0],
    [0.0, 1.0, 0.0, 2.5, 0.0, 1.0],
];
const G: [[f64; 3]; 6] = [
    [1.0, 0.0, 0.0],
    [2.0 / 3.0, 2.0 / 3.0 * NEAR, 1.0 / 3.0],
    [2.0 / 3.0, 2.0 / 3.0 * NEAR, 1.0 / 3.0],
    [1.0 / 6.0, FAR / 6.0, 1.0 / 3.0],
    [1.0 / 6.0, FAR / 6.0, 1.0 / 3.0],
    [0.0, 0.0, 1.0],
];
const A: [[f64; 6]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, NEAR, NEAR, FAR, FAR, 0.0],
    [0.0, 0.5, 0.5, 2.0, 2.0, 0.0],
    [0.0, 0.5 * NEAR, 0.5 * NEAR, 2.0 * FAR, 2.0 * FAR, 1.0],
];

/// The factors of a pixel of a window, a tap of a filter and a pixel of a tile at a position.
fn b(position: usize, pixel: usize) -> f64 {
    B[position / 6][pixel / 6] * B[position % 6][pixel % 6]
}

fn g(position: usize, tap: usize) -> f64 {
    G[position / 6][tap / 3] * G[position % 6][tap % 3]
}

fn a(position: usize, pixel: usize) -> f64 {
    A[pixel / 4][position / 6] * A[pixel % 4][position % 6]
}

/// The tiles of a convolution's output.
struct Tiles<'a> {
    shape: &'a Conv2dShape,
    rows: usize,
    columns: usize,
}

impl<'a> Tiles<'a> {
    fn new(shape: &'a Conv2dShape) -> Self {
        Self {
            shape,
            rows: shape.out_h().div_ceil(4),
            columns: shape.out_w().div_ceil(4),
        }
    }

    fn count(&self) -> usize {
        self.shape.n * self.rows * self.columns
    }

    /// Image, row and column of a tile's first pixel.
    fn corner(&self, tile: usize) -> (usize, usize, usize) {
        let (line, tx) = (tile / self.columns, tile % self.columns);
        (line / self.rows, 4 * (line % self.rows), 4 * tx)
    }

    /// The input pixel, of all images, that a pixel of a tile's window is; none outside the image.
    fn input(&self, tile: usize, pixel: usize) -> Option<usize> {
        let Conv2dShape { h, w, padding, .. } = *self.shape;
        let (image, y, x) = self.corner(tile);
        let row = (y + pixel / 6).checked_sub(padding[0])?;
        let column = (x + pixel % 6).checked_sub(padding[1])?;
        (row < h && column < w).then_some((image * h + row) * w + column)
    }

    /// The output pixel that a pixel of a tile is.
    fn output(&self, tile: usize, pixel: usize) -> Option<usize> {
        let (ho, wo) = (self.shape.out_h(), self.shape.out_w());
        let (image, y, x) = self.corner(tile);
        let (row, column) = (y + pixel / 4, x + pixel % 4);
        (row < ho && column < wo).then_some((image * ho + row) * wo + column)
    }

    /// `[36, C, K]` of OIHW filters.
    fn u(&self, weight: &[f64]) -> Vec<f64> {
        let (c, k) = (self.shape.c, self.shape.k);
        let mut u = vec![0.0; 36 * c * k];
        for (index, u) in u.iter_mut().enumerate() {
            let (position, ck) = (index / (c * k), index % (c * k));
            for tap in 0..9 {
                *u += g(position, tap) * weight[((ck % k) * c + ck / k) * 9 + tap].abs();
            }
        }
        u
    }

    /// `[36, tiles, channels]` of the `pixels` of each tile, each with its factor.
    fn transformed(
        &self,
        values: &[f64],
        channels: usize,
        pixels: usize,
        factor: fn(usize, usize) -> f64,
        at: fn(&Self, usize, usize) -> Option<usize>,
    ) -> Vec<f64> {
        let mut out = vec![0.0; 36 * self.count() * channels];
        for (row, out) in out.chunks_exact_mut(channels).enumerate() {
            let (position, tile) = (row / self.count(), row % self.count());
            for pixel in 0..pixels {
                let Some(first) = at(self, tile, pixel) else {
                    continue;
                };
                let values = &values[first * channels..];
                for (out, value) in out.iter_mut().zip(values) {
                    *out += factor(position, pixel) * value.abs();
                }
            }
        }
        out
    }

    fn v(&self, x: &[f64]) -> Vec<f64> {
        self.transformed(x, self.shape.c, 36, b, Self::input)
    }

    fn w(&self, grad_y: &[f64]) -> Vec<f64> {
        self.transformed(grad_y, self.shape.k, 16, a, Self::output)
    }
}

/// For each element of [`conv2d`](crate::conv::conv2d): |At| · Σ_c (|G| |g| |Gt| ⊙ |Bt| |d| |B|) · |A|.
pub fn magnitude(shape: &Conv2dShape, x: &[f64], weight: &[f64]) -> Vec<f64> {
    let tiles = Tiles::new(shape);
    let (c, k) = (shape.c, shape.k);
    let (u, v) = (tiles.u(weight), tiles.v(x));
    let mut magnitude = vec![0.0; shape.output_len()];
    for (row, v) in v.chunks_exact(c).enumerate() {
        let (position, tile) = (row / tiles.count(), row % tiles.count());
        let mut m = vec![0.0; k];
        for (v, u) in v.iter().zip(u[position * c * k..].chunks_exact(k)) {
            m.iter_mut().zip(u).for_each(|(m, u)| *m += v * u);
        }
        for pixel in 0..16 {
            if let Some(first) = tiles.output(tile, pixel) {
                let sums = magnitude[first * k..].iter_mut();
                sums.zip(&m)
                    .for_each(|(sum, m)| *sum += a(position, pixel) * m);
            }
        }
    }
    magnitude
}

/// For each element of [`conv2d_grad_input`](crate::conv::conv2d_grad_input): |B| · Σ_k (|G| |g| |Gt| ⊙ |A| |grad y| |At|) · |Bt|, of all
/// windows that have the pixel.
pub fn grad_input_magnitude(shape: &Conv2dShape, grad_y: &[f64], weight: &[f64]) -> Vec<f64> {
    let tiles = Tiles::new(shape);
    let (c, k) = (shape.c, shape.k);
    let (u, w) = (tiles.u(weight), tiles.w(grad_y));
    let mut magnitude = vec![0.0; shape.input_len()];
    for (row, w) in w.chunks_exact(k).enumerate() {
        let (position, tile) = (row / tiles.count(), row % tiles.count());
        let u = u[position * c * k..].chunks_exact(k).take(c);
        let m: Vec<f64> = u
            .map(|u| w.iter().zip(u).map(|(w, u)| w * u).sum())
            .collect();
        for pixel in 0..36 {
            if let Some(first) = tiles.input(tile, pixel) {
                let sums = magnitude[first * c..].iter_mut();
                sums.zip(&m)
                    .for_each(|(sum, m)| *sum += b(position, pixel) * m);
            }
        }
    }
    magnitude
}

/// For each element of [`conv2d_grad_weight`](crate::conv::conv2d_grad_weight), OIHW: |Gt| · Σ_t (|Bt| |d| |B| ⊙ |A| |grad y| |At|) · |G|.
pub fn grad_weight_magnitude(shape: &Conv2dShape, x: &[f64], grad_y: &[f64]) -> Vec<f64> {
    let tiles = Tiles::new(shape);
    let (c, k) = (shape.c, shape.k);
    let (v, w) = (tiles.v(x), tiles.w(grad_y));
    let mut m = vec![0.0; 36 * c * k];
    for (row, (v, w)) in v.chunks_exact(c).zip(w.chunks_exact(k)).enumerate() {
        let first = row / tiles.count() * c * k;
        for (m, v) in m[first..].chunks_exact_mut(k).zip(v) {
            m.iter_mut().zip(w).for_each(|(m, w)| *m += v * w);
        }
    }
    let mut magnitude = vec![0.0; shape.weight_len()];
    for (index, sum) in magnitude.iter_mut().enumerate() {
        let (filter, tap) = (index / 9, index % 9);
        for position in 0..36 {
            *sum += g(position, tap) * m[position * c * k + filter % c * k + filter / c];
        }
    }
    magnitude
}
