//! Every shape of the objective, and what its formulas promise.

use crate::case::{Carry, Case, Known, Sizes, affect, execute_all};
use kernels_tests::random::Draw;
use kinesic::kernels::KernelError;
use kinesic::kernels::loss::{Block, Columns, Objective, ValenceArousal};
use kinesic::objective::{Form, ObjectiveConfig, Relatedness, ScaOn, TaskWeighting};

/// 1, 2, workgroup - 1, workgroup, workgroup + 1 and a prime.
pub const BATCHES: [usize; 6] = [1, 2, 63, 64, 65, 257];
pub const SEED: u64 = 3;

#[test]
fn matches_reference_whoever_carries_labels() {
    for batch in BATCHES {
        for carry in [Carry::Mixed, Carry::None, Carry::All, Carry::One] {
            let mut draw = Draw::new("whoever carries", SEED);
            let mut case = Case::draw(&mut draw, affect(batch), 3.0, carry);
            case.config.co_annotate_aus = true;
            case.config.sca_on = ScaOn::AllWithAus;
            case.check(&format!("seed {SEED}, {carry:?}"));
            case.config.task_weighting = TaskWeighting::Uncertainty;
            case.check(&format!("seed {SEED}, {carry:?}, by uncertainty"));
        }
    }
}

#[test]
fn matches_reference_for_other_tasks() {
    let sizes = [
        (7, 0, 0),
        (0, 17, 0),
        (0, 0, 2),
        (2, 1, 0),
        (7, 0, 2),
        (0, 3, 2),
        (13, 33, 2),
        (64, 64, 2),
        (150, 40, 0),
        (255, 40, 0),
        (256, 0, 0),
        (1000, 40, 2),
    ];
    for (index, (classes, units, axes)) in sizes.into_iter().enumerate() {
        let sizes = Sizes {
            batch: 67,
            classes,
            units,
            axes,
        };
        let mut draw = Draw::new("other tasks", SEED + index as u64);
        let mut case = Case::draw(&mut draw, sizes, 3.0, Carry::Mixed);
        case.config.co_annotate_aus = true;
        case.check(&format!("seed {SEED} + {index}"));
    }
}

#[test]
fn matches_reference_for_faint_and_for_saturated_logits() {
    for (index, scale) in [1e-3, 12.0, 40.0].into_iter().enumerate() {
        for form in [Form::Positive, Form::Bernoulli] {
            let mut draw = Draw::new("saturated", SEED + index as u64);
            let mut case = Case::draw(&mut draw, affect(65), scale, Carry::Mixed);
            case.config.form = form;
            case.config.co_annotate_aus = true;
            case.check(&format!(
                "seed {SEED} + {index}, logits up to {scale}, {form:?}"
            ));
        }
    }
}

#[test]
fn stays_finite_where_everything_under_and_overflows() {
    for form in [Form::Positive, Form::Bernoulli] {
        let mut draw = Draw::new("overflows", SEED);
        let mut case = Case::draw(&mut draw, affect(65), 3e4, Carry::Mixed);
        case.config.form = form;
        case.config.co_annotate_aus = true;
        case.tanh = true;
        let given = case.run();
        for value in given.losses.iter().chain(&given.grad) {
            assert!(value.is_finite(), "{form:?}: {value}");
        }
    }
}

#[test]
fn matching_keeps_its_digits_where_q_is_almost_one_and_almost_zero() {
    for exponent in [2, 6, 9, 12] {
        let mut draw = Draw::new("almost one", SEED);
        let mut case = Case::draw(&mut draw, affect(64), 0.5, Carry::None);
        // Neutral, whose row of R has but one unit, nearly impossible; so q is nearly that of the others' full rows.
        let mut rows = [[1.0; 17]; 7];
        rows[0] = [0.0; 17];
        for row in &mut rows[1..] {
            row[4] = 0.0;
        }
        rows[0][4] = 1.0;
        case.table = Some(Relatedness::new(&rows).unwrap());
        for row in case.heads[0].chunks_exact_mut(7) {
            row[0] -= f64::from(exponent);
        }
        let (given, want) = (case.run(), case.reference());
        for (index, want) in want.grad.expression.value.iter().enumerate() {
            let got = f64::from(given.grad[index / 7 * 26 + index % 7]);
            let close = (got - want).abs() <= 1e-5 * want.abs();
            assert!(
                close,
                "exponent {exponent}: gradient {index} is {got}, want {want}"
            );
        }
    }
}

#[test]
fn weighting_by_uncertainty_is_of_the_labelled_tasks_and_has_a_floor() {
    let mut draw = Draw::new("uncertainty", SEED);
    let mut case = Case::draw(&mut draw, affect(65), 3.0, Carry::Mixed);
    let fixed = case.run();
    case.config.task_weighting = TaskWeighting::Uncertainty;
    let given = case.run();
    assert_eq!(given.losses[..6], fixed.losses[..6], "the terms themselves");
    // Without couplings: the gradient that there was, over its task's loss.
    let mut alone = case.clone();
    alone.config.distribution_matching = 0.0;
    alone.config.soft_co_annotation = 0.0;
    let given = alone.run();
    alone.config.task_weighting = TaskWeighting::Fixed;
    let fixed = alone.run();
    for (index, (weighed, plain)) in given.grad.iter().zip(&fixed.grad).enumerate() {
        let loss = match index % 26 {
            0..7 => fixed.losses[0],
            7..24 => fixed.losses[1],
            _ => fixed.losses[2],
        };
        let want = plain / loss;
        let close = (weighed - want).abs() <= 1e-5 * want.abs();
        assert!(close, "gradient {index} is {weighed}, want {want}");
    }
    let total: f32 = fixed.losses[..3].iter().map(|loss| 1.0 + loss.ln()).sum();
    assert!(
        (given.losses[6] - total).abs() < 1e-5,
        "{}",
        given.losses[6]
    );
}

#[test]
fn certain_tasks_are_weighed_by_a_thousand_and_no_more() {
    let mut draw = Draw::new("certain", SEED);
    let mut case = Case::draw(&mut draw, affect(65), 3.0, Carry::Mixed);
    case.config = ObjectiveConfig::default();
    let sure = |right: bool| if right { 12.0 } else { -12.0 };
    for (image, label) in case.labels.iter().enumerate() {
        for (class, z) in case.heads[0][7 * image..][..7].iter_mut().enumerate() {
            *z = sure(label.expression == Some(class as u32));
        }
        for (unit, z) in case.heads[1][17 * image..][..17].iter_mut().enumerate() {
            *z = sure(label.au_value >> unit & 1 == 1);
        }
    }
    let fixed = case.run();
    assert!(fixed.losses[1] > 0.0 && fixed.losses[1] < 1e-3);
    case.config.task_weighting = TaskWeighting::Uncertainty;
    case.check("certain");
    let given = case.run();
    let mut units = (0..given.grad.len()).filter(|index| (7..24).contains(&(index % 26)));
    let unit = units.find(|&index| fixed.grad[index] != 0.0).unwrap();
    let ratio = given.grad[unit] / fixed.grad[unit];
    assert!((ratio - 1000.0).abs() < 0.1, "{ratio}");
}

#[test]
fn concordance_keeps_its_digits_on_a_narrow_spread_far_from_zero() {
    let mut draw = Draw::new("narrow", SEED);
    let mut case = Case::draw(&mut draw, affect(257), 1.0, Carry::All);
    for (index, label) in case.labels.iter_mut().enumerate() {
        let y = [draw.uniform(), draw.uniform()].map(|u| (0.9 + u / 1024.0) as f32);
        label.valence_arousal = Some(y);
        for (p, y) in case.heads[2][2 * index..][..2].iter_mut().zip(y) {
            *p = f64::from((f64::from(y) + draw.uniform() / 4096.0) as f32);
        }
    }
    case.check("narrow");
    let losses = case.run().losses;
    // The spread of p about y is a quarter of y's own: 1 - CCC = (1/16) / (2 + 1/16), within the error of 257 draws.
    assert!((losses[2] - 0.0303).abs() < 0.005, "{}", losses[2]);
}

#[test]
fn concordance_keeps_its_digits_where_it_is_almost_one() {
    let mut draw = Draw::new("almost alike", SEED);
    let mut case = Case::draw(&mut draw, affect(65), 1.0, Carry::All);
    for (label, row) in case.labels.iter().zip(case.heads[2].chunks_exact_mut(2)) {
        for (p, y) in row.iter_mut().zip(label.valence_arousal.unwrap()) {
            *p = f64::from((f64::from(y) + draw.uniform() / 4096.0) as f32);
        }
    }
    let (given, want) = (case.run(), case.reference());
    let (got, want) = (f64::from(given.losses[2]), want.losses.value[2]);
    assert!(want < 1e-7, "1 - CCC is {want}, meant to be tiny");
    let close = (got - want).abs() <= 1e-5 * want;
    assert!(close, "1 - CCC is {got}, want {want}");
}

#[test]
fn concordance_below_the_guard_has_a_divisor_that_does_not_move() {
    let mut draw = Draw::new("guarded", SEED);
    let mut case = Case::draw(&mut draw, affect(65), 1.0, Carry::All);
    // Multiples of 2^-20 about 0, so that their sums are exact: variances of 1e-9 are a tenth of the guard.
    let mut small = || (draw.uniform() * 64.0).round() / f64::powi(2.0, 20);
    for (label, row) in case
        .labels
        .iter_mut()
        .zip(case.heads[2].chunks_exact_mut(2))
    {
        let y = [small(), small()];
        label.valence_arousal = Some(y.map(|y| y as f32));
        row.copy_from_slice(&y.map(|y| y + small()));
    }
    let (given, want) = (case.run(), case.reference());
    let got = f64::from(given.losses[2]);
    let loss = want.losses.value[2];
    assert!(
        (0.1..0.9).contains(&loss),
        "{loss} is no loss that the guard reaches"
    );
    assert!((got - loss).abs() <= 1e-5 * loss, "{got}, want {loss}");
    let grads = &want.grad.valence_arousal.value;
    let largest = grads
        .iter()
        .fold(0.0_f64, |most, grad| most.max(grad.abs()));
    for (index, &want) in grads.iter().enumerate() {
        let got = f64::from(given.grad[index / 2 * 26 + 24 + index % 2]);
        let close = (got - want).abs() <= 1e-5 * largest;
        assert!(close, "gradient {index} is {got}, want {want}");
    }
}

#[test]
fn concordance_of_constants_is_guarded_and_of_one_image_is_nothing() {
    let mut draw = Draw::new("constants", SEED);
    let mut case = Case::draw(&mut draw, affect(9), 1.0, Carry::All);
    for label in &mut case.labels {
        label.valence_arousal = Some([0.25, -0.5]);
    }
    for row in case.heads[2].chunks_exact_mut(2) {
        row.copy_from_slice(&[0.25, -0.5]);
    }
    let given = case.run();
    assert_eq!(given.losses[2], 1.0);
    let axes = |row: &[f32]| row[24..].iter().all(|&value| value == 0.0);
    assert!(given.grad.chunks_exact(26).all(axes));

    let given = Case::draw(&mut draw, affect(9), 1.0, Carry::One).run();
    assert_eq!(given.losses[2], 0.0);
    assert!(given.grad.chunks_exact(26).all(axes));
}

#[test]
fn a_missing_label_and_an_absent_image_contribute_nothing() {
    let mut draw = Draw::new("missing", SEED);
    let mut case = Case::draw(&mut draw, affect(70), 3.0, Carry::All);
    case.config = ObjectiveConfig::default();
    for image in [0, 13, 69] {
        case.labels[image] = Known::default();
    }
    for image in [5, 64] {
        case.labels[image].absent = true;
    }
    let given = case.run();
    for image in [0, 5, 13, 64, 69] {
        let row = &given.grad[image * 26..][..26];
        assert_eq!(row, [0.0; 26], "image {image}");
    }
    assert_eq!(given.losses[7], 68.0);
    case.check("missing");

    // The same images alone, in the same order, give the same values up to the order of the sums.
    let kept: Vec<_> = (0..70)
        .filter(|&image| !case.labels[image].absent)
        .collect();
    let mut alone = case.clone();
    alone.sizes.batch = kept.len();
    alone.labels = kept.iter().map(|&image| case.labels[image]).collect();
    for (head, outputs) in [(0, 7), (1, 17), (2, 2)] {
        let rows = kept
            .iter()
            .flat_map(|&image| &case.heads[head][image * outputs..][..outputs]);
        alone.heads[head] = rows.copied().collect();
    }
    for (with, without) in given.losses.iter().zip(alone.run().losses) {
        assert!(
            (with - without).abs() <= 4.0 * f32::EPSILON * with.abs(),
            "{with} {without}"
        );
    }
}

#[test]
fn repeats_bit_for_bit() {
    let many = Sizes {
        classes: 300,
        ..affect(9)
    };
    for sizes in [affect(257), many] {
        let mut draw = Draw::new("repeats", SEED);
        let case = Case::draw(&mut draw, sizes, 3.0, Carry::Mixed);
        let (first, second) = (case.run(), case.run());
        let bits = |values: &[f32]| {
            values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&first.losses), bits(&second.losses));
        assert_eq!(bits(&first.grad), bits(&second.grad));
    }
}

#[test]
fn columns_may_lie_anywhere() {
    let mut draw = Draw::new("anywhere", SEED);
    let case = Case::draw(&mut draw, affect(65), 3.0, Carry::Mixed);
    let objective = case.objective();
    let labels = objective.pack(&case.labels(), 65).unwrap();
    let plain = objective.kernel(65);
    let logits = case.logits(plain.width);
    let (losses, grad) = execute_all(&plain, &logits, &labels, objective.tables());
    // Valence and arousal first, a gap, the units, the expressions, and padding.
    let moved = Objective {
        width: 36,
        blocks: vec![Block {
            expression: Columns { start: 25, len: 7 },
            action_units: Columns { start: 7, len: 17 },
            valence_arousal: Some(ValenceArousal {
                column: 1,
                tanh: false,
            }),
            padding: Columns { start: 32, len: 3 },
            ..plain.blocks[0]
        }],
        ..plain
    };
    let column = |to: usize| match to {
        1..=2 => Some(to + 23),
        7..=23 => Some(to),
        25..=31 => Some(to - 25),
        _ => None,
    };
    let place = |from: &[f32], gap: f32| -> Vec<f32> {
        let rows = from.chunks_exact(28);
        rows.flat_map(|row| (0..36).map(|to| column(to).map_or(gap, |from| row[from])))
            .collect()
    };
    let logits = place(&logits, f32::NAN);
    let given = execute_all(&moved, &logits, &labels, objective.tables());
    assert_eq!(given.0, losses);
    // The padding becomes 0; columns that are neither a task's nor padding stay as they were.
    for (index, (got, want)) in given.1.iter().zip(place(&grad, f32::NAN)).enumerate() {
        let want = match index % 36 {
            32..=34 => 0.0,
            _ => want,
        };
        let same = *got == want || (got.is_nan() && want.is_nan());
        assert!(same, "gradient {index} is {got}, want {want}");
    }
}

#[test]
fn rejects_shapes_that_the_formulas_do_not_define() {
    let case = Case::draw(&mut Draw::new("rejects", SEED), affect(3), 1.0, Carry::None);
    let good = case.objective().kernel(3);
    assert!(good.calls(false, false).is_ok());
    let of = |change: &dyn Fn(&mut Block)| {
        let mut changed = good.clone();
        change(&mut changed.blocks[0]);
        changed
    };
    let twice = Block {
        coupled: false,
        action_units: Columns::default(),
        valence_arousal: None,
        ..good.blocks[0]
    };
    let bad = [
        Objective {
            batch: 0,
            ..good.clone()
        },
        Objective {
            width: 27,
            ..good.clone()
        },
        Objective {
            width: 24,
            ..good.clone()
        },
        Objective {
            blocks: Vec::new(),
            ..good.clone()
        },
        Objective {
            blocks: vec![good.blocks[0], twice],
            ..good.clone()
        },
        of(&|block| block.expression = Columns { start: 1, len: 7 }),
        of(&|block| block.action_units = Columns { start: 6, len: 17 }),
        of(&|block| {
            block.valence_arousal = Some(ValenceArousal {
                column: 23,
                tanh: true,
            });
        }),
        of(&|block| block.padding = Columns { start: 25, len: 3 }),
        of(&|block| block.expression = Columns::default()),
        Objective {
            width: 96,
            ..of(&|block| block.action_units = Columns { start: 28, len: 65 })
        },
    ];
    for problem in bad {
        let error = problem.calls(false, false).unwrap_err();
        assert!(
            matches!(error, KernelError::Argument { .. }),
            "{problem:?}: {error}"
        );
    }
    let large = Objective {
        batch: 1 << 27,
        ..good
    };
    let error = large.calls(false, false).unwrap_err();
    assert!(matches!(error, KernelError::TooLarge { .. }), "{error}");
}
