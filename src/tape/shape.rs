//! Shapes and their storage.

use crate::kernels::padded;

/// The logical dimensions of a value and the number of elements it is stored in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    dims: Vec<usize>,
    len: usize,
}

impl Shape {
    /// Rows of channels, `[.., C]`, each row padded to whole vectors.
    pub fn rows(dims: &[usize]) -> Self {
        let (last, rest) = dims
            .split_last()
            .map_or((0, [].as_slice()), |(l, r)| (*l, r));
        Self {
            dims: dims.to_vec(),
            len: rest.iter().product::<usize>() * padded(last),
        }
    }

    /// A convolution's weight `[R, S, C, K]`, both channel counts padded.
    pub fn conv_weight(r: usize, s: usize, c: usize, k: usize) -> Self {
        Self {
            dims: vec![r, s, c, k],
            len: r * s * padded(c) * padded(k),
        }
    }

    /// A fully connected layer's weight `[C, K]`, both padded.
    pub fn matrix(c: usize, k: usize) -> Self {
        Self {
            dims: vec![c, k],
            len: padded(c) * padded(k),
        }
    }

    /// `len` elements without structure or padding.
    pub fn raw(len: usize) -> Self {
        Self {
            dims: vec![len],
            len,
        }
    }

    /// The logical dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The stored elements, padding included.
    #[allow(clippy::len_without_is_empty)] // no value is empty
    pub fn len(&self) -> usize {
        self.len
    }

    /// The shape in which a parameter of these dimensions travels: OIHW for `[R, S, C, K]`, `[C, 1, R, S]` for a depthwise
    /// `[R, S, C]`, `[K, C]` for `[C, K]`.
    pub(super) fn torch(&self) -> Vec<usize> {
        match *self.dims {
            [r, s, c, k] => vec![k, c, r, s],
            [r, s, c] => vec![c, 1, r, s],
            [c, k] => vec![k, c],
            _ => self.dims.clone(),
        }
    }

    /// `[N, H, W, C]` of an activation.
    pub fn nhwc(&self) -> Option<[usize; 4]> {
        self.dims.as_slice().try_into().ok()
    }

    /// The last dimension and the number of rows before it.
    pub fn channels(&self) -> usize {
        self.dims.last().copied().unwrap_or(0)
    }

    /// The product of all dimensions but the last.
    pub fn row_count(&self) -> usize {
        self.dims.iter().rev().skip(1).product()
    }
}
