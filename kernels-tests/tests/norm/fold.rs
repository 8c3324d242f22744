//! The affine maps of many layers at once.

use super::problem::{EPS, Problem};
use kernels_tests::Reference;
use kernels_tests::harness::{compare, execute, unpad};
use kinesic::kernels::norm::{BatchNormFoldLayers, FoldedLayer};
use kinesic::kernels::{KernelError, padded};

const LAYER: FoldedLayer = FoldedLayer {
    gamma: 0,
    beta: 8,
    mean: 0,
    variance: 8,
    affine: 0,
    channels: 5,
    eps: EPS,
};

/// scale and shift.
fn maps(problem: &Problem, eps: f32) -> [Reference; 2] {
    let mut maps = [0; 2].map(|_| Reference::zeros(problem.channels));
    for c in 0..problem.channels {
        // The kernel sees values of 24 bits.
        let [var, mean, gamma, beta] = [
            &problem.running_var,
            &problem.running_mean,
            &problem.gamma,
            &problem.beta,
        ]
        .map(|values| f64::from(values[c] as f32));
        let scale = gamma / (var + f64::from(eps)).sqrt();
        maps[0].add(c, scale);
        maps[1].add(c, beta);
        maps[1].add(c, -mean * scale);
    }
    maps
}

#[test]
fn of_all_layers_match_references() {
    // One more than a workgroup's lanes do at once.
    let wide = Problem::drawn(20, (2, 515));
    let problems: Vec<_> = Problem::all().chain([wide]).collect();
    let (mut parameters, mut states, mut layers) = (Vec::new(), Vec::new(), Vec::new());
    // The maps lie in the other order than the parameters; layers differ in eps.
    let mut end: usize = problems.iter().map(|p| 2 * padded(p.channels)).sum();
    for (problem, index) in problems.iter().zip(1_u8..) {
        let width = padded(problem.channels);
        let first = parameters.len();
        end -= 2 * width;
        layers.push(FoldedLayer {
            gamma: first + width,
            beta: first,
            mean: first,
            variance: first + width,
            affine: end,
            channels: problem.channels,
            eps: EPS * f32::from(index),
        });
        parameters.extend(
            [&problem.beta, &problem.gamma]
                .map(|v| problem.pad(v))
                .concat(),
        );
        let (mean, var) = (&problem.running_mean, &problem.running_var);
        states.extend([mean, var].map(|v| problem.pad(v)).concat());
    }
    let kernel = BatchNormFoldLayers { layers: &layers };
    let words = kernel.table().unwrap();
    let table: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
    let got = execute(&kernel.call().unwrap(), &[&table, &parameters, &states]).remove(0);
    for (problem, layer) in problems.iter().zip(&layers) {
        let width = padded(layer.channels);
        let rows = got[layer.affine..layer.affine + 2 * width].chunks_exact(width);
        for (row, want) in rows.zip(maps(problem, layer.eps)) {
            let what = format!("map of {}", problem.what);
            compare(&what, &unpad(&what, row, layer.channels), &want, 4);
        }
    }
}

#[test]
fn rejects_no_layers_no_channels_and_rows_within_vectors() {
    let none = FoldedLayer {
        channels: 0,
        ..LAYER
    };
    let within = FoldedLayer { beta: 6, ..LAYER };
    for layers in [&[][..], &[none], &[LAYER, within]] {
        let error = BatchNormFoldLayers { layers }.call().unwrap_err();
        assert!(matches!(error, KernelError::Argument { .. }), "{error}");
    }
}

#[test]
fn rejects_an_eps_that_is_not_positive() {
    let layers = [FoldedLayer { eps: 0.0, ..LAYER }];
    let error = BatchNormFoldLayers { layers: &layers }.call().unwrap_err();
    assert!(
        matches!(error, KernelError::Constant { name: "eps", .. }),
        "{error}"
    );
}
