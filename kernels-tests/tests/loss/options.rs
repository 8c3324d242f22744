//! Every combination of the objective's options, for few classes and for many.

use crate::case::{Carry, Case, Sizes, affect};
use crate::objective::{BATCHES, SEED};
use kernels_tests::random::Draw;
use kinesic::objective::{
    Form, MatchingTable, ObjectiveConfig, ScaOn, StopGradient, TaskWeighting,
};

/// Every combination of the options that change a formula.
fn combinations() -> Vec<ObjectiveConfig> {
    let mut configs = vec![ObjectiveConfig::default()];
    let mut each = |set: &dyn Fn(&mut ObjectiveConfig, usize), count: usize| {
        let old = std::mem::take(&mut configs);
        for config in old {
            for choice in 0..count {
                let mut config = config.clone();
                set(&mut config, choice);
                configs.push(config);
            }
        }
    };
    each(
        &|config, i| config.form = [Form::Positive, Form::Bernoulli][i],
        2,
    );
    let stops = [StopGradient::None, StopGradient::Q, StopGradient::P];
    each(&|config, i| config.stop_gradient = stops[i], 3);
    let images = [ScaOn::WithoutExpression, ScaOn::AllWithAus];
    each(&|config, i| config.sca_on = images[i], 2);
    each(&|config, i| config.co_annotate_aus = i == 1, 2);
    let tables = [MatchingTable::Binary, MatchingTable::Weighted];
    each(&|config, i| config.matching_table = tables[i], 2);
    let weighting = [TaskWeighting::Fixed, TaskWeighting::Uncertainty];
    each(&|config, i| config.task_weighting = weighting[i], 2);
    configs
}

#[test]
fn matches_reference_with_every_option() {
    every_option("every option", |draw| affect(draw.pick(&BATCHES)));
}

/// So many that the lanes of a workgroup share an image.
#[test]
fn matches_reference_with_every_option_for_many_classes() {
    every_option("many classes", |draw| Sizes {
        batch: draw.pick(&[1, 3, 65]),
        classes: draw.pick(&[256, 300]),
        units: draw.pick(&[1, 17, 64]),
        axes: 2,
    });
}

fn every_option(what: &str, sizes: impl Fn(&mut Draw) -> Sizes) {
    let configs = combinations();
    assert_eq!(configs.len(), 96);
    for (index, config) in configs.into_iter().enumerate() {
        let mut draw = Draw::new(what, SEED + index as u64);
        let sizes = sizes(&mut draw);
        let mut case = Case::draw(&mut draw, sizes, 4.0, Carry::Mixed);
        let mut weight = || 0.25 + draw.int(0..=8) as f32 / 4.0;
        case.config = ObjectiveConfig {
            expression: weight(),
            action_units: weight(),
            valence_arousal: weight(),
            distribution_matching: weight(),
            soft_co_annotation: weight(),
            class_weights: (0..sizes.classes).map(|_| weight()).collect(),
            positive_weights: (0..sizes.units).map(|_| weight()).collect(),
            label_smoothing: draw.pick(&[0.0, 0.1, 0.5]),
            ..config
        };
        case.tanh = draw.chance(0.5);
        case.check(&format!("{what}, seed {SEED} + {index}"));
    }
}
