//! What the twins of batch normalisation refuse.

use super::problem::{EPS, MOMENTUM};
use kinesic::kernels::norm::{
    BatchNormApply, BatchNormFinish, BatchNormFold, BatchNormGradFinish, BatchNormGradInput,
    BatchNormGradReduce, BatchNormStats, Mask, partials_len,
};
use kinesic::kernels::{Call, KernelError};

fn finish(rows: usize, eps: f32, momentum: f32) -> Result<Call, KernelError> {
    let channels = 4;
    BatchNormFinish {
        rows,
        channels,
        eps,
        momentum,
        group_rows: None,
    }
    .call()
}

fn every(rows: usize, channels: usize) -> [Result<Call, KernelError>; 6] {
    let (relu, mask, residual, training, eps) = (true, Mask::Output, true, true, EPS);
    let momentum = MOMENTUM;
    [
        BatchNormStats { rows, channels }.call(),
        BatchNormFinish {
            rows,
            channels,
            eps,
            momentum,
            group_rows: None,
        }
        .call(),
        BatchNormApply {
            mapped: false,
            rows,
            channels,
            residual,
            relu,
        }
        .call(),
        BatchNormGradReduce {
            rows,
            channels,
            mask,
        }
        .call(),
        BatchNormGradFinish {
            rows,
            channels,
            training,
            groups: None,
        }
        .call(),
        BatchNormGradInput {
            rows,
            channels,
            residual,
            mask,
        }
        .call(),
    ]
}

#[test]
fn rejects_empty_shapes() {
    for (rows, channels) in [(0, 4), (4, 0)] {
        for result in every(rows, channels) {
            let error = result.unwrap_err();
            assert!(matches!(error, KernelError::Argument { .. }), "{error}");
        }
        assert!(partials_len(rows, channels).is_err());
    }
    let (channels, eps) = (0, EPS);
    assert!(BatchNormFold { channels, eps }.call().is_err());
}

#[test]
fn rejects_groups_of_no_rows() {
    let finish = BatchNormFinish {
        rows: 8,
        channels: 4,
        eps: EPS,
        momentum: MOMENTUM,
        group_rows: Some(0),
    };
    let error = finish.call().unwrap_err();
    let named = matches!(
        error,
        KernelError::Argument {
            name: "group_rows",
            ..
        }
    );
    assert!(named, "{error}");
}

#[test]
fn rejects_shapes_beyond_the_indices() {
    for result in every(1 << 30, 8) {
        let error = result.unwrap_err();
        assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn rejects_training_on_a_single_row() {
    let error = finish(1, EPS, MOMENTUM).unwrap_err();
    assert!(
        matches!(error, KernelError::Argument { name: "rows", .. }),
        "{error}"
    );
}

#[test]
fn rejects_an_eps_that_is_not_positive() {
    for eps in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let folded = BatchNormFold { channels: 4, eps }.call();
        for result in [finish(8, eps, MOMENTUM), folded] {
            let error = result.unwrap_err();
            assert!(
                matches!(error, KernelError::Constant { name: "eps", .. }),
                "{error}"
            );
        }
    }
}

#[test]
fn rejects_a_momentum_outside_its_range() {
    for momentum in [-0.1, 1.1, f32::NAN] {
        let error = finish(8, EPS, momentum).unwrap_err();
        let named = matches!(
            error,
            KernelError::Constant {
                name: "momentum",
                ..
            }
        );
        assert!(named, "{error}");
    }
}
