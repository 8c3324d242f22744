//! Between the layouts in which weights travel (OIHW) and those of the kernels.

use crate::kernels::padded;
use crate::tape::Shape;

/// Calls `visit(travelling index, stored index)` for every element of a parameter.
fn pairs(shape: &Shape, mut visit: impl FnMut(usize, usize)) {
    let mut index = 0;
    match *shape.dims() {
        [r, s, c, k] => {
            for k_ in 0..k {
                for c_ in 0..c {
                    for rs in 0..r * s {
                        visit(index, (rs * padded(c) + c_) * padded(k) + k_);
                        index += 1;
                    }
                }
            }
        }
        [r, s, c] => {
            for c_ in 0..c {
                for rs in 0..r * s {
                    visit(index, rs * padded(c) + c_);
                    index += 1;
                }
            }
        }
        [c, k] => {
            for k_ in 0..k {
                for c_ in 0..c {
                    visit(index, c_ * padded(k) + k_);
                    index += 1;
                }
            }
        }
        _ => (0..shape.channels()).for_each(|i| visit(i, i)),
    }
}

/// Stores a travelling tensor: `stored` has the shape's stored length and is zero in its padding.
pub(super) fn store(shape: &Shape, travelling: &[f32], stored: &mut [f32]) {
    pairs(shape, |from, to| stored[to] = travelling[from]);
}

/// Takes a tensor out of storage.
pub(super) fn take(shape: &Shape, stored: &[f32]) -> Vec<f32> {
    let mut travelling = vec![0.0; shape.dims().iter().product()];
    pairs(shape, |to, from| travelling[to] = stored[from]);
    travelling
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolutions_weight_is_stored_with_output_channels_last() {
        // K = 2, C = 1, R = 1, S = 2, in OIHW.
        let shape = Shape::conv_weight(1, 2, 1, 2);
        let mut stored = vec![0.0; shape.len()];
        store(&shape, &[1.0, 2.0, 3.0, 4.0], &mut stored);
        let mut want = vec![0.0; 32];
        (want[0], want[1], want[16], want[17]) = (1.0, 3.0, 2.0, 4.0);
        assert_eq!(stored, want);
    }

    #[test]
    fn taking_undoes_storing() {
        let shapes = [
            Shape::conv_weight(3, 2, 5, 7),
            Shape::rows(&[3, 3, 6]),
            Shape::matrix(9, 26),
            Shape::rows(&[13]),
        ];
        for shape in shapes {
            let len = shape.dims().iter().product::<usize>();
            let travelling: Vec<f32> = (0..len).map(|i| i as f32 + 1.0).collect();
            let mut stored = vec![0.0; shape.len()];
            store(&shape, &travelling, &mut stored);
            assert_eq!(take(&shape, &stored), travelling, "{:?}", shape.dims());
            let kept = stored.iter().filter(|&&x| x != 0.0).count();
            assert_eq!(kept, len, "padding of {:?}", shape.dims());
        }
    }
}
