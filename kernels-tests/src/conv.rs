//! Convolution (cross-correlation, as every framework has it), full and depthwise, and its gradients.
//!
//! Activations are NHWC, weights OIHW: `[K,C,R,S]`, depthwise `[C,1,R,S]`.

use crate::Reference;

/// A two-dimensional convolution; pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dShape {
    /// Images.
    pub n: usize,
    /// Height of the input in pixels.
    pub h: usize,
    /// Width of the input in pixels.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Output channels; of a depthwise convolution, as many as input channels.
    pub k: usize,
    /// Height of the filter.
    pub r: usize,
    /// Width of the filter.
    pub s: usize,
    /// Input pixels from one output pixel to the next.
    pub stride: [usize; 2],
    /// Rows and columns of zeros on each side.
    pub padding: [usize; 2],
}

impl Conv2dShape {
    /// Height of the output: ⌊(H + 2·padding − R) / stride⌋ + 1.
    pub fn out_h(&self) -> usize {
        (self.h + 2 * self.padding[0] - self.r) / self.stride[0] + 1
    }

    /// Width of the output: ⌊(W + 2·padding − S) / stride⌋ + 1.
    pub fn out_w(&self) -> usize {
        (self.w + 2 * self.padding[1] - self.s) / self.stride[1] + 1
    }

    /// Elements of the input, N·H·W·C.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output, N·P·Q·K.
    pub fn output_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.k
    }

    /// Elements of the full weight, K·C·R·S.
    pub fn weight_len(&self) -> usize {
        self.k * self.c * self.r * self.s
    }

    /// Elements of the depthwise weight, C·R·S.
    pub fn depthwise_weight_len(&self) -> usize {
        self.c * self.r * self.s
    }

    /// Calls `visit(input pixel, output pixel, tap)` for every filter tap of every output pixel that lies on the image; pixels
    /// are numbered over N·H·W and N·P·Q, taps over R·S.
    fn taps(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let (out_h, out_w) = (self.out_h(), self.out_w());
        for n in 0..self.n {
            for p in 0..out_h {
                for q in 0..out_w {
                    for r in 0..self.r {
                        for s in 0..self.s {
                            // The position in the padded image, which begins `padding` before the image.
                            let y = p * self.stride[0] + r;
                            let x = q * self.stride[1] + s;
                            let on_image = (self.padding[0]..self.padding[0] + self.h).contains(&y)
                                && (self.padding[1]..self.padding[1] + self.w).contains(&x);
                            if on_image {
                                let row = n * self.h + y - self.padding[0];
                                visit(
                                    row * self.w + x - self.padding[1],
                                    (n * out_h + p) * out_w + q,
                                    r * self.s + s,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

fn check(what: &str, shape: &Conv2dShape, found: usize, wanted: usize) {
    assert_eq!(found, wanted, "elements of {what} of {shape:?}");
}

fn with_bias(shape: &Conv2dShape, mut y: Reference, bias: Option<&[f64]>) -> Reference {
    if let Some(bias) = bias {
        check("bias", shape, bias.len(), shape.k);
        for index in 0..y.value.len() {
            y.add(index, bias[index % shape.k]);
        }
    }
    y
}

/// `y[n,p,q,k] = bias[k] + Σ x[n, p·stride + r − padding, q·stride + s − padding, c] · weight[k,c,r,s]` over r, s and c.
pub fn conv2d(shape: &Conv2dShape, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Reference {
    check("x", shape, x.len(), shape.input_len());
    check("weight", shape, weight.len(), shape.weight_len());
    let (channels, outputs) = (shape.c, shape.k);
    // [K,C,tap] to [C,tap,K], so that the inner loop runs along memory.
    let rows = crate::transposed(weight, outputs);
    let mut y = Reference::zeros(shape.output_len());
    shape.taps(|input, output, tap| {
        for c in 0..channels {
            let row = (c * shape.r * shape.s + tap) * outputs;
            let weights = &rows[row..row + outputs];
            y.add_scaled(output * outputs, x[input * channels + c], weights);
        }
    });
    with_bias(shape, y, bias)
}

/// Gradient of [`conv2d`] with respect to x: every product of the sum, sent back.
pub fn conv2d_grad_input(shape: &Conv2dShape, grad_y: &[f64], weight: &[f64]) -> Reference {
    check("grad_y", shape, grad_y.len(), shape.output_len());
    check("weight", shape, weight.len(), shape.weight_len());
    let (channels, outputs) = (shape.c, shape.k);
    // [K·C,tap] to [tap,K·C], so that the inner loop runs along memory.
    let rows = crate::transposed(weight, outputs * channels);
    let mut grad_x = Reference::zeros(shape.input_len());
    shape.taps(|input, output, tap| {
        for k in 0..outputs {
            let row = (tap * outputs + k) * channels;
            let weights = &rows[row..row + channels];
            grad_x.add_scaled(input * channels, grad_y[output * outputs + k], weights);
        }
    });
    grad_x
}

/// The gradient of 3 × 3 filters at stride 1 with respect to the input as a convolution of the output's gradient: its shape and filters.
///
/// # Panics
/// When there are more than two zeros around the input.
pub fn turned(shape: &Conv2dShape, weight: &[f64]) -> (Conv2dShape, Vec<f64>) {
    let (c, k) = (shape.c, shape.k);
    let turned = Conv2dShape {
        h: shape.out_h(),
        w: shape.out_w(),
        c: k,
        k: c,
        padding: shape.padding.map(|zeros| 2 - zeros),
        ..*shape
    };
    let at = |index: usize| {
        let (filter, tap) = (index / 9, index % 9);
        weight[((filter % k) * c + filter / k) * 9 + 8 - tap]
    };
    (turned, (0..9 * c * k).map(at).collect())
}

/// For each element of [`conv2d`] of 3 × 3 filters at stride 1 the sum of the absolute terms that Winograd's F(4×4, 3×3) adds up:
/// |At| · Σ_c (|G| |g| |Gt| ⊙ |Bt| |d| |B|) · |A| (arXiv:1509.09308, for the points 0, ±1, ±2, ∞). Its roundings are shares of this,
/// not of the much smaller Σ |x · weight|.
pub fn winograd_magnitude(shape: &Conv2dShape, x: &[f64], weight: &[f64]) -> Vec<f64> {
    const B: [[f64; 6]; 6] = [
        [4.0, 0.0, 5.0, 0.0, 1.0, 0.0],
        [0.0, 4.0, 4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, 4.0, 1.0, 1.0, 0.0],
        [0.0, 2.0, 1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, 1.0, 2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, 5.0, 0.0, 1.0],
    ];
    const G: [[f64; 3]; 6] = [
        [1.0 / 4.0, 0.0, 0.0],
        [1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0],
        [1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    const A: [[f64; 6]; 4] = [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, 1.0, 2.0, 2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, 1.0, 8.0, 8.0, 1.0],
    ];
    let (c, k) = (shape.c, shape.k);
    let mut u = vec![0.0; 36 * c * k]; // [6, 6, C, K]
    for (position, row) in u.chunks_exact_mut(c * k).enumerate() {
        for (ck, u) in row.iter_mut().enumerate() {
            for tap in 0..9 {
                let g = weight[((ck % k) * c + ck / k) * 9 + tap].abs();
                *u += G[position / 6][tap / 3] * G[position % 6][tap % 3] * g;
            }
        }
    }
    let (ho, wo) = (shape.out_h(), shape.out_w());
    let mut magnitude = vec![0.0; shape.output_len()];
    for tile in 0..shape.n * ho.div_ceil(4) * wo.div_ceil(4) {
        let (line, tx) = (tile / wo.div_ceil(4), tile % wo.div_ceil(4));
        let (image, ty) = (line / ho.div_ceil(4), line % ho.div_ceil(4));
        for position in 0..36 {
            let mut v = vec![0.0; c];
            for at in 0..36 {
                let row = (4 * ty + at / 6).checked_sub(shape.padding[0]);
                let column = (4 * tx + at % 6).checked_sub(shape.padding[1]);
                if let (Some(row), Some(column)) = (row, column)
                    && row < shape.h
                    && column < shape.w
                {
                    let b = B[position / 6][at / 6] * B[position % 6][at % 6];
                    let first = ((image * shape.h + row) * shape.w + column) * c;
                    for (v, x) in v.iter_mut().zip(&x[first..]) {
                        *v += b * x.abs();
                    }
                }
            }
            for channel in 0..k {
                let column = u[position * c * k..].iter().skip(channel).step_by(k);
                let m: f64 = v.iter().zip(column).map(|(v, u)| v * u).sum();
                for pixel in 0..16 {
                    let (y, x) = (4 * ty + pixel / 4, 4 * tx + pixel % 4);
                    if y < ho && x < wo {
                        let a = A[pixel / 4][position / 6] * A[pixel % 4][position % 6];
                        magnitude[((image * ho + y) * wo + x) * k + channel] += a * m;
                    }
                }
            }
        }
    }
    magnitude
}

/// Gradient of [`conv2d`] with respect to the weight, OIHW.
pub fn conv2d_grad_weight(shape: &Conv2dShape, x: &[f64], grad_y: &[f64]) -> Reference {
    check("x", shape, x.len(), shape.input_len());
    check("grad_y", shape, grad_y.len(), shape.output_len());
    let (channels, outputs) = (shape.c, shape.k);
    let mut rows = Reference::zeros(shape.weight_len());
    shape.taps(|input, output, tap| {
        let gradients = &grad_y[output * outputs..(output + 1) * outputs];
        for c in 0..channels {
            let row = (c * shape.r * shape.s + tap) * outputs;
            rows.add_scaled(row, x[input * channels + c], gradients);
        }
    });
    // [C,tap,K] to [K,C,tap].
    let back = |values: &[f64]| crate::transposed(values, channels * shape.r * shape.s);
    Reference {
        value: back(&rows.value),
        magnitude: back(&rows.magnitude),
    }
}

/// Gradient of [`conv2d`] or [`depthwise`] with respect to the bias: Σ over n, p, q of grad_y.
pub fn conv2d_grad_bias(shape: &Conv2dShape, grad_y: &[f64]) -> Reference {
    check("grad_y", shape, grad_y.len(), shape.output_len());
    crate::elementwise::column_sums(grad_y, shape.k)
}

/// `y[n,p,q,c] = bias[c] + Σ x[n, p·stride + r − padding, q·stride + s − padding, c] · weight[c,0,r,s]` over r and s.
pub fn depthwise(
    shape: &Conv2dShape,
    x: &[f64],
    weight: &[f64],
    bias: Option<&[f64]>,
) -> Reference {
    check_depthwise(shape, x.len(), weight.len(), shape.output_len());
    let mut y = Reference::zeros(shape.output_len());
    shape.taps(|input, output, tap| {
        for c in 0..shape.c {
            let term = x[input * shape.c + c] * weight[c * shape.r * shape.s + tap];
            y.add(output * shape.c + c, term);
        }
    });
    with_bias(shape, y, bias)
}

/// Gradient of [`depthwise`] with respect to x.
pub fn depthwise_grad_input(shape: &Conv2dShape, grad_y: &[f64], weight: &[f64]) -> Reference {
    check_depthwise(shape, shape.input_len(), weight.len(), grad_y.len());
    let mut grad_x = Reference::zeros(shape.input_len());
    shape.taps(|input, output, tap| {
        for c in 0..shape.c {
            let term = grad_y[output * shape.c + c] * weight[c * shape.r * shape.s + tap];
            grad_x.add(input * shape.c + c, term);
        }
    });
    grad_x
}

/// Gradient of [`depthwise`] with respect to the weight, `[C,1,R,S]`.
pub fn depthwise_grad_weight(shape: &Conv2dShape, x: &[f64], grad_y: &[f64]) -> Reference {
    let weights = shape.depthwise_weight_len();
    check_depthwise(shape, x.len(), weights, grad_y.len());
    let mut grad_weight = Reference::zeros(weights);
    shape.taps(|input, output, tap| {
        for c in 0..shape.c {
            let term = x[input * shape.c + c] * grad_y[output * shape.c + c];
            grad_weight.add(c * shape.r * shape.s + tap, term);
        }
    });
    grad_weight
}

fn check_depthwise(shape: &Conv2dShape, inputs: usize, weights: usize, outputs: usize) {
    check("k", shape, shape.k, shape.c);
    check("x", shape, inputs, shape.input_len());
    check("weight", shape, weights, shape.depthwise_weight_len());
    check("grad_y", shape, outputs, shape.output_len());
}
