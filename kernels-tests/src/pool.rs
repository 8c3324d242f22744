//! Max, average and global average pooling of NHWC activations, and their gradients.

use crate::Reference;

/// A pooling layer; pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub n: usize,
    /// Height of the input in pixels.
    pub h: usize,
    /// Width of the input in pixels.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Height and width of the window.
    pub window: [usize; 2],
    /// Input pixels from one window to the next.
    pub stride: [usize; 2],
    /// Rows and columns of −∞ on each side, at most half the window; 0 for average pooling.
    pub padding: [usize; 2],
}

impl PoolShape {
    /// Height of the output: ⌊(H + 2·padding − window) / stride⌋ + 1.
    pub fn out_h(&self) -> usize {
        (self.h + 2 * self.padding[0] - self.window[0]) / self.stride[0] + 1
    }

    /// Width of the output: ⌊(W + 2·padding − window) / stride⌋ + 1.
    pub fn out_w(&self) -> usize {
        (self.w + 2 * self.padding[1] - self.window[1]) / self.stride[1] + 1
    }

    /// Elements of the input, N·H·W·C.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output, N·P·Q·C.
    pub fn output_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.c
    }

    /// For each output pixel, numbered over N·P·Q, the input pixels of its window that lie on the image, numbered over
    /// N·H·W, in row-major order and each with its place in the window.
    fn windows(&self) -> Vec<Vec<(usize, usize)>> {
        let mut windows = Vec::new();
        for n in 0..self.n {
            for p in 0..self.out_h() {
                for q in 0..self.out_w() {
                    windows.push(self.window_at(n, p * self.stride[0], q * self.stride[1]));
                }
            }
        }
        windows
    }

    /// The window whose corner is at (top, left) of the padded image.
    fn window_at(&self, n: usize, top: usize, left: usize) -> Vec<(usize, usize)> {
        let mut pixels = Vec::new();
        for r in 0..self.window[0] {
            for s in 0..self.window[1] {
                let y = (top + r).wrapping_sub(self.padding[0]);
                let x = (left + s).wrapping_sub(self.padding[1]);
                if y < self.h && x < self.w {
                    pixels.push(((n * self.h + y) * self.w + x, r * self.window[1] + s));
                }
            }
        }
        pixels
    }

    fn check(&self, what: &str, found: usize, wanted: usize) {
        assert_eq!(found, wanted, "elements of {what} of {self:?}");
        for axis in 0..2 {
            assert!(2 * self.padding[axis] <= self.window[axis], "{self:?}");
        }
    }
}

/// What max pooling gives.
#[derive(Clone, Debug)]
pub struct MaxPool {
    /// The largest element of each window; no sum, the magnitude is |y|.
    pub y: Reference,
    /// Its place in the window, r · (width of the window) + s; of equal elements the first, as PyTorch chooses.
    pub place: Vec<usize>,
    /// Its position in x.
    source: Vec<usize>,
}

/// Largest element of every window of finite x.
pub fn max_pool(shape: &PoolShape, x: &[f64]) -> MaxPool {
    shape.check("x", x.len(), shape.input_len());
    let mut y = Vec::with_capacity(shape.output_len());
    let mut place = Vec::with_capacity(shape.output_len());
    let mut source = Vec::with_capacity(shape.output_len());
    for window in shape.windows() {
        for c in 0..shape.c {
            let (mut at, mut first) = window[0];
            for &(pixel, tap) in &window[1..] {
                if x[pixel * shape.c + c] > x[at * shape.c + c] {
                    (at, first) = (pixel, tap);
                }
            }
            y.push(x[at * shape.c + c]);
            place.push(first);
            source.push(at * shape.c + c);
        }
    }
    let y = Reference::exact(&y);
    MaxPool { y, place, source }
}

/// Gradient of [`max_pool`] with respect to x: each window sends its gradient to the element that it chose.
pub fn max_pool_grad(shape: &PoolShape, x: &[f64], grad_y: &[f64]) -> Reference {
    shape.check("grad_y", grad_y.len(), shape.output_len());
    let mut grad_x = Reference::zeros(x.len());
    for (&source, &grad_y) in max_pool(shape, x).source.iter().zip(grad_y) {
        grad_x.add(source, grad_y);
    }
    grad_x
}

/// Mean of every window; there is no padding.
pub fn avg_pool(shape: &PoolShape, x: &[f64]) -> Reference {
    shape.check("x", x.len(), shape.input_len());
    assert_eq!(shape.padding, [0, 0], "average pooling pads nothing");
    let share = 1.0 / (shape.window[0] * shape.window[1]) as f64;
    let mut y = Reference::zeros(shape.output_len());
    for (output, window) in shape.windows().iter().enumerate() {
        for (pixel, _) in window {
            let row = &x[pixel * shape.c..(pixel + 1) * shape.c];
            y.add_scaled(output * shape.c, share, row);
        }
    }
    y
}

/// Gradient of [`avg_pool`] with respect to x: an equal share of the gradient of each window that an element is in.
pub fn avg_pool_grad(shape: &PoolShape, grad_y: &[f64]) -> Reference {
    shape.check("grad_y", grad_y.len(), shape.output_len());
    assert_eq!(shape.padding, [0, 0], "average pooling pads nothing");
    let share = 1.0 / (shape.window[0] * shape.window[1]) as f64;
    let mut grad_x = Reference::zeros(shape.input_len());
    for (output, window) in shape.windows().iter().enumerate() {
        let row = &grad_y[output * shape.c..(output + 1) * shape.c];
        for (pixel, _) in window {
            grad_x.add_scaled(pixel * shape.c, share, row);
        }
    }
    grad_x
}

/// Mean over the `pixels` of each image: x `[N,pixels,C]` to y `[N,C]`.
pub fn global_avg_pool(n: usize, pixels: usize, c: usize, x: &[f64]) -> Reference {
    assert_eq!(x.len(), n * pixels * c, "elements of x");
    let mut y = Reference::zeros(n * c);
    for (row, x) in x.chunks_exact(c).enumerate() {
        y.add_scaled(row / pixels * c, 1.0 / pixels as f64, x);
    }
    y
}

/// Gradient of [`global_avg_pool`] with respect to x: grad_y / pixels on every pixel.
pub fn global_avg_pool_grad(n: usize, pixels: usize, c: usize, grad_y: &[f64]) -> Reference {
    assert_eq!(grad_y.len(), n * c, "elements of grad_y");
    let mut grad_x = Reference::zeros(n * pixels * c);
    for row in 0..n * pixels {
        let image = row / pixels;
        let grad_y = &grad_y[image * c..(image + 1) * c];
        grad_x.add_scaled(row * c, 1.0 / pixels as f64, grad_y);
    }
    grad_x
}
