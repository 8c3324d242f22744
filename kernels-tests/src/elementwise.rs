//! Element by element kernels, and the sums over rows that undo a broadcast.

use crate::Reference;

/// max(x, 0). No sum: the magnitude is |y|.
pub fn relu(x: &[f64]) -> Reference {
    let mut y = Reference::zeros(x.len());
    for (index, &x) in x.iter().enumerate() {
        y.add(index, if x > 0.0 { x } else { 0.0 });
    }
    y
}

/// Gradient of [`relu`] from its output: grad_y where y > 0, else 0 (at 0 as PyTorch: 0).
pub fn relu_grad(grad_y: &[f64], y: &[f64]) -> Reference {
    assert_eq!(grad_y.len(), y.len(), "elements of y");
    let mut grad_x = Reference::zeros(y.len());
    for (index, (&grad_y, &y)) in grad_y.iter().zip(y).enumerate() {
        grad_x.add(index, if y > 0.0 { grad_y } else { 0.0 });
    }
    grad_x
}

/// a + b.
pub fn add(a: &[f64], b: &[f64]) -> Reference {
    assert_eq!(a.len(), b.len(), "elements of b");
    let mut y = Reference::zeros(a.len());
    for (index, (&a, &b)) in a.iter().zip(b).enumerate() {
        y.add(index, a);
        y.add(index, b);
    }
    y
}

/// max(a + b, 0), the end of a residual block. The magnitude is that of the sum, as an element just below zero may round to
/// one just above.
pub fn add_relu(a: &[f64], b: &[f64]) -> Reference {
    let mut y = add(a, b);
    for value in &mut y.value {
        *value = value.max(0.0);
    }
    y
}

/// x `[M,C]` plus bias `[C]` on every row.
pub fn bias_add(x: &[f64], bias: &[f64]) -> Reference {
    let channels = bias.len();
    assert_eq!(x.len() % channels, 0, "elements of x");
    let mut y = Reference::zeros(x.len());
    for (index, &x) in x.iter().enumerate() {
        y.add(index, x);
        y.add(index, bias[index % channels]);
    }
    y
}

/// Σ over the rows of x [M, channels]: the gradient of a bias, and the sum behind a mean.
pub fn column_sums(x: &[f64], channels: usize) -> Reference {
    assert_eq!(x.len() % channels, 0, "elements of x");
    let mut sums = Reference::zeros(channels);
    for (index, &x) in x.iter().enumerate() {
        sums.add(index % channels, x);
    }
    sums
}
