//! Element by element kernels against their references.

use kernels_tests::harness::execute;
use kinesic::kernels::KernelError;
use kinesic::kernels::elementwise::{Relu, ReluGrad};

/// 1, workgroup - 1, workgroup, workgroup + 1 and a prime, in vec4s.
const COUNTS: [usize; 5] = [1, 63, 64, 65, 1009];

fn drawn(len: usize, phase: f32) -> Vec<f32> {
    (0..len)
        .map(|i| (i as f32 * 0.731 + phase).sin() * 3.0)
        .collect()
}

mod relu {
    use super::*;

    #[test]
    fn equals_its_formula() {
        for len in COUNTS.map(|count| count * 4) {
            let mut x = drawn(len, 0.0);
            x[0] = -0.0;
            let y = execute(&Relu { len }.call().unwrap(), &[&x]);
            let want: Vec<f32> = x.iter().map(|&x| if x > 0.0 { x } else { 0.0 }).collect();
            assert_eq!(y[0], want, "len {len}");
        }
    }

    #[test]
    fn rejects_lengths_that_are_not_whole_vectors() {
        for len in [0, 3, 5] {
            let error = Relu { len }.call().unwrap_err();
            assert!(matches!(error, KernelError::Argument { .. }), "{error}");
        }
    }
}

mod relu_grad {
    use super::*;

    #[test]
    fn passes_the_gradient_where_the_output_is_positive() {
        for len in COUNTS.map(|count| count * 4) {
            let grad_y = drawn(len, 1.0);
            let y: Vec<f32> = drawn(len, 0.0).iter().map(|x| x.max(0.0)).collect();
            let grad_x = execute(&ReluGrad { len }.call().unwrap(), &[&grad_y, &y]);
            let want: Vec<f32> = grad_y
                .iter()
                .zip(&y)
                .map(|(&g, &y)| if y > 0.0 { g } else { 0.0 })
                .collect();
            assert_eq!(grad_x[0], want, "len {len}");
        }
    }

    #[test]
    fn rejects_lengths_that_are_not_whole_vectors() {
        assert!(ReluGrad { len: 6 }.call().is_err());
    }
}
