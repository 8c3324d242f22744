//! Matrix products and the linear layer. Matrices are row major.

use crate::Reference;

/// Rows of the left factor, columns of the right one, and the length of the sums between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GemmShape {
    /// Rows of the product.
    pub m: usize,
    /// Columns of the product.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
}

impl GemmShape {
    fn check(self, a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), self.m * self.k, "elements of a of {self:?}");
        assert_eq!(b.len(), self.k * self.n, "elements of b of {self:?}");
    }
}

/// a · b with a `[M,K]` and b `[K,N]`: `y[i,j] = Σₗ a[i,l] b[l,j]`.
pub fn matmul(shape: GemmShape, a: &[f64], b: &[f64]) -> Reference {
    shape.check(a, b);
    let GemmShape { m, n, k } = shape;
    let mut y = Reference::zeros(m * n);
    for i in 0..m {
        for l in 0..k {
            y.add_scaled(i * n, a[i * k + l], &b[l * n..(l + 1) * n]);
        }
    }
    y
}

/// aᵀ · b with a `[K,M]` and b `[K,N]`: `y[i,j] = Σₗ a[l,i] b[l,j]`.
pub fn matmul_at_b(shape: GemmShape, a: &[f64], b: &[f64]) -> Reference {
    shape.check(a, b);
    matmul(shape, &crate::transposed(a, shape.k), b)
}

/// a · bᵀ with a `[M,K]` and b `[N,K]`: `y[i,j] = Σₗ a[i,l] b[j,l]`.
pub fn matmul_a_bt(shape: GemmShape, a: &[f64], b: &[f64]) -> Reference {
    shape.check(a, b);
    matmul(shape, a, &crate::transposed(b, shape.n))
}

/// A fully connected layer: `n` rows of `c` inputs, `k` outputs, weight `[K,C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// Rows (images).
    pub n: usize,
    /// Inputs of a row.
    pub c: usize,
    /// Outputs of a row.
    pub k: usize,
}

/// y = x · weightᵀ + bias: `y[n,k] = bias[k] + Σ_c x[n,c] weight[k,c]`.
pub fn linear(shape: LinearShape, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Reference {
    let LinearShape { n, c, k } = shape;
    let mut y = matmul_a_bt(GemmShape { m: n, n: k, k: c }, x, weight);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), k, "elements of the bias");
        for index in 0..n * k {
            y.add(index, bias[index % k]);
        }
    }
    y
}

/// Gradient of [`linear`] with respect to x: grad_y · weight.
pub fn linear_grad_input(shape: LinearShape, grad_y: &[f64], weight: &[f64]) -> Reference {
    let LinearShape { n, c, k } = shape;
    matmul(GemmShape { m: n, n: c, k }, grad_y, weight)
}

/// Gradient of [`linear`] with respect to the weight: grad_yᵀ · x.
pub fn linear_grad_weight(shape: LinearShape, x: &[f64], grad_y: &[f64]) -> Reference {
    let LinearShape { n, c, k } = shape;
    matmul_at_b(GemmShape { m: k, n: c, k: n }, grad_y, x)
}

/// Gradient of [`linear`] with respect to the bias: the column sums of grad_y.
pub fn linear_grad_bias(shape: LinearShape, grad_y: &[f64]) -> Reference {
    crate::elementwise::column_sums(grad_y, shape.k)
}
