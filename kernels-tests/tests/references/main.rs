//! Holds the float64 references against hand-worked values, finite differences and PyTorch's golden values.

mod conv;
mod elementwise;
mod gemm;
mod golden;
mod golden_loss;
mod image;
mod loss;
mod norm;
mod optim;
mod pool;
mod random;

/// Seeds of drawn cases; a failure prints its own.
const SEEDS: std::ops::Range<u64> = 0..8;

/// Equal but for the last few bits of float64.
fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}: number of elements");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        let close = (got - want).abs() <= 1e-12 * want.abs().max(1.0);
        assert!(close, "{what}: element {index} is {got}, not {want}");
    }
}
