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
