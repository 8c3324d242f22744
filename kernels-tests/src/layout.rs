//! Weights between the layout in which they travel (OIHW) and the kernels'.

use crate::conv::Conv2dShape;
use crate::harness::pad;
use kinesic::kernels::{conv, padded};

impl From<Conv2dShape> for conv::Conv2dShape {
    fn from(shape: Conv2dShape) -> Self {
        let Conv2dShape {
            n,
            h,
            w,
            c,
            k,
            r,
            s,
            stride,
            padding,
        } = shape;
        Self {
            n,
            h,
            w,
            c,
            k,
            r,
            s,
            stride,
            padding,
        }
    }
}

/// Where OIHW element `index` lies in [R,S,C,K].
fn filter_at(shape: &Conv2dShape, index: usize) -> usize {
    let window = shape.r * shape.s;
    let (tap, c, k) = (
        index % window,
        index / window % shape.c,
        index / (window * shape.c),
    );
    (tap * padded(shape.c) + c) * padded(shape.k) + k
}

/// OIHW to the kernels' `[R,S,C,K]`, padded with zeros.
pub fn filters(shape: &Conv2dShape, oihw: &[f64]) -> Vec<f32> {
    let mut out = vec![0.0; shape.r * shape.s * padded(shape.c) * padded(shape.k)];
    for (index, &value) in oihw.iter().enumerate() {
        out[filter_at(shape, index)] = value as f32;
    }
    out
}

/// The inverse of [`filters`].
///
/// # Panics
/// When the padding is not exactly zero: kernels keep it so.
pub fn unfilters(what: &str, shape: &Conv2dShape, stored: &[f32]) -> Vec<f32> {
    let mut left = stored.to_vec();
    let out = (0..shape.weight_len())
        .map(|index| std::mem::take(&mut left[filter_at(shape, index)]))
        .collect();
    assert!(
        left.iter().all(|&value| value == 0.0),
        "{what}: the weight's padding is not zero"
    );
    out
}

/// `[C,1,R,S]` to the kernels' `[R,S,C]` of a depthwise convolution, padded with zeros.
pub fn depthwise_filters(shape: &Conv2dShape, oihw: &[f64]) -> Vec<f32> {
    let window = shape.r * shape.s;
    let rsc: Vec<f64> = (0..window * shape.c)
        .map(|i| oihw[i % shape.c * window + i / shape.c])
        .collect();
    pad(&rsc, shape.c)
}

/// The inverse of [`depthwise_filters`].
///
/// # Panics
/// When the padding is not exactly zero: kernels keep it so.
pub fn depthwise_unfilters(what: &str, shape: &Conv2dShape, stored: &[f32]) -> Vec<f32> {
    let window = shape.r * shape.s;
    let rsc = crate::harness::unpad(what, stored, shape.c);
    (0..window * shape.c)
        .map(|i| rsc[i % window * shape.c + i / window])
        .collect()
}

/// Values as f16, two in the word of an f32: what `half_filters` makes of an even number of them.
pub fn half_words(values: &[f32]) -> Vec<f32> {
    let bits = |value: f32| u32::from(half::f16::from_f32(value).to_bits());
    let pairs = values.chunks_exact(2);
    pairs
        .map(|pair| f32::from_bits(bits(pair[0]) | (bits(pair[1]) << 16)))
        .collect()
}
