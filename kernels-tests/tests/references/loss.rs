use crate::{SEEDS, assert_close};
use kernels_tests::loss::*;
use kernels_tests::random::{Draw, check_gradient};

const LN_2: f64 = std::f64::consts::LN_2;

fn ln(x: f64) -> f64 {
    x.ln()
}

/// Labels of `batch` images that carry nothing.
pub fn unlabelled(batch: usize, units: usize) -> Labels {
    Labels {
        present: vec![true; batch],
        expression: vec![None; batch],
        action_units: vec![None; batch * units],
        valence_arousal: vec![None; batch],
    }
}

/// An objective of which only the term of one weight counts.
fn only(position: usize, mut objective: Objective) -> Objective {
    let on = |of: usize| if of == position { 1.0 } else { 0.0 };
    objective.weights = Weights {
        expression: on(EXPRESSION),
        action_units: on(ACTION_UNITS),
        valence_arousal: on(VALENCE_AROUSAL),
        distribution_matching: on(DISTRIBUTION_MATCHING),
        soft_co_annotation: on(SOFT_CO_ANNOTATION) + on(CO_ANNOTATED_UNITS),
    };
    objective
}

pub fn logits<'a>(expression: &'a [f64], action_units: &'a [f64], va: &'a [f64]) -> Logits<'a> {
    Logits {
        expression,
        action_units,
        valence_arousal: va,
    }
}

#[test]
fn expression_equals_hand_worked_values() {
    let mut objective = Objective::plain(2, 0, None);
    let mut labels = unlabelled(3, 0);
    labels.expression = vec![Some(0), Some(1), None];
    // p = (¼, ¾) three times.
    let z = [0.0, ln(3.0), 5.0, 5.0 + ln(3.0), 0.0, ln(3.0)];
    let out = objective.evaluate(logits(&z, &[], &[]), &labels);
    let want = (ln(4.0) + ln(4.0 / 3.0)) / 2.0;
    assert_close(
        "loss",
        &[out.losses.value[EXPRESSION], out.losses.value[TOTAL]],
        &[want; 2],
    );
    let want = [-0.375, 0.375, 0.125, -0.125, 0.0, 0.0];
    assert_close("gradient", &out.grad.expression.value, &want);

    objective.class_weights = vec![1.0, 3.0];
    objective.label_smoothing = 0.2;
    let out = objective.evaluate(logits(&z, &[], &[]), &labels);
    // Targets (0.9 · 1, 0.1 · 3) and (0.1 · 1, 0.9 · 3) over 1 + 3.
    let want = (0.9 * ln(4.0) + 0.3 * ln(4.0 / 3.0) + 0.1 * ln(4.0) + 2.7 * ln(4.0 / 3.0)) / 4.0;
    assert_close("weighted", &[out.losses.value[EXPRESSION]], &[want]);
    let want = [
        1.2 / 4.0 - 0.9,
        0.9 - 0.3,
        2.8 / 4.0 - 0.1,
        2.1 - 2.7,
        0.0,
        0.0,
    ];
    assert_close(
        "weighted gradient",
        &out.grad.expression.value,
        &want.map(|g| g / 4.0),
    );
}

#[test]
fn action_units_equal_hand_worked_values() {
    let mut objective = Objective::plain(0, 3, None);
    objective.positive_weights = vec![3.0, 1.0, 1.0];
    let mut labels = unlabelled(3, 3);
    labels.action_units[0] = Some(true);
    labels.action_units[1] = Some(false);
    labels.action_units[5] = Some(false);
    let z = [0.0, 0.0, 7.0, -4.0, 2.0, ln(3.0), 1.0, 1.0, 1.0];
    let out = objective.evaluate(logits(&[], &z, &[]), &labels);
    // (3 ln 2 + ln 2) / 2 and ln 4.
    assert_close("loss", &[out.losses.value[ACTION_UNITS]], &[2.0 * LN_2]);
    let want = [-0.375, 0.125, 0.0, 0.0, 0.0, 0.375, 0.0, 0.0, 0.0];
    assert_close("gradient", &out.grad.action_units.value, &want);
}

#[test]
fn valence_and_arousal_equal_hand_worked_values() {
    let mut objective = Objective::plain(0, 0, None);
    let mut labels = unlabelled(3, 0);
    labels.valence_arousal[0] = Some([-1.0, 0.0]);
    labels.valence_arousal[2] = Some([1.0, 0.0]);
    let z = [-0.5, 0.0, 9.0, 9.0, 0.5, 0.0];
    let out = objective.evaluate(logits(&[], &[], &z), &labels);
    // Valence: cov ½, D = 1 + ¼, CCC 0.8. Arousal is constant: the guard makes its CCC 0.
    assert_close("loss", &[out.losses.value[VALENCE_AROUSAL]], &[0.6]);
    let want = [0.24, 0.0, 0.0, 0.0, -0.24, 0.0];
    assert_close("gradient", &out.grad.valence_arousal.value, &want);

    objective.tanh = true;
    let z = z
        .map(f64::atanh)
        .map(|z| if z.is_finite() { z } else { 9.0 });
    let out = objective.evaluate(logits(&[], &[], &z), &labels);
    assert_close("tanh", &[out.losses.value[VALENCE_AROUSAL]], &[0.6]);
    let want = [0.18, 0.0, 0.0, 0.0, -0.18, 0.0];
    assert_close("tanh gradient", &out.grad.valence_arousal.value, &want);

    labels.valence_arousal[2] = None;
    let out = objective.evaluate(logits(&[], &[], &z), &labels);
    assert_eq!(out.losses.value, [0.0; 7]);
    assert_eq!(out.grad.valence_arousal.value, [0.0; 6]);
}

#[test]
fn distribution_matching_equals_hand_worked_values() {
    let tables = Tables {
        relatedness: vec![1.0, 0.0, 0.5, 0.0, 0.0, 0.5],
        co_annotation: vec![0.0; 6],
    };
    let mut objective = Objective::plain(2, 3, Some(tables));
    let labels = unlabelled(1, 3);
    let (z, units) = ([0.0, 0.0], [ln(3.0), 0.0, 0.0]);
    let all = logits(&z, &units, &[]);
    // p = (¾, ½, ½), q = (½, clamped 1e-6, ½).
    let (low, high) = (ln(1e-6), ln(1.0 - 1e-6));
    let out = objective.evaluate(all, &labels);
    let want = LN_2 - 0.5 * low - 0.5 * high + LN_2;
    assert_close(
        "bernoulli",
        &[out.losses.value[DISTRIBUTION_MATCHING]],
        &[want],
    );
    // ∂H/∂q₀ = −¾ / ½ + ¼ / ½ = −1, ∂q₀/∂z = ±¼.
    assert_close("to expressions", &out.grad.expression.value, &[-0.25, 0.25]);
    let want = [0.0, 0.25 * (high - low), 0.0];
    assert_close("to units", &out.grad.action_units.value, &want);

    objective.form = Form::Positive;
    let out = objective.evaluate(all, &labels);
    let want = 0.75 * LN_2 - 0.5 * low + 0.5 * LN_2;
    assert_close(
        "positive",
        &[out.losses.value[DISTRIBUTION_MATCHING]],
        &[want],
    );
    // ∂H/∂q₂ has no say: both rows of R are ½ there.
    assert_close(
        "to expressions",
        &out.grad.expression.value,
        &[-0.375, 0.375],
    );
    let want = [0.1875 * LN_2, -0.25 * low, 0.25 * LN_2];
    assert_close("to units", &out.grad.action_units.value, &want);

    objective.stop_gradient = StopGradient::Q;
    let stopped = objective.evaluate(all, &labels);
    assert_eq!(stopped.grad.expression.value, [0.0; 2]);
    assert_eq!(stopped.grad.action_units, out.grad.action_units);
    objective.stop_gradient = StopGradient::P;
    let stopped = objective.evaluate(all, &labels);
    assert_eq!(stopped.grad.expression, out.grad.expression);
    assert_eq!(stopped.grad.action_units.value, [0.0; 3]);
    assert_eq!(stopped.losses, out.losses);
}

#[test]
fn a_clamped_q_passes_no_gradient() {
    let tables = Tables {
        relatedness: vec![1.0, 0.0],
        co_annotation: vec![0.0; 2],
    };
    let objective = Objective::plain(2, 1, Some(tables));
    let labels = unlabelled(1, 1);
    // q = 1 / (1 + exp(z)): below 1e-6, above 1 − 1e-6, within.
    for (z, q) in [(16.0, 1e-6), (-16.0, 1.0 - 1e-6)] {
        let out = objective.evaluate(logits(&[0.0, z], &[0.0], &[]), &labels);
        let want = -0.5 * ln(q) - 0.5 * ln(1.0 - q);
        assert_close("loss", &[out.losses.value[DISTRIBUTION_MATCHING]], &[want]);
        assert_eq!(out.grad.expression.value, [0.0; 2]);
        assert!(out.grad.expression.magnitude.iter().all(|m| m.is_finite()));
    }
    // ∂H/∂q = −½ / q + ½ / (1 − q) and ∂q/∂z = ± q (1 − q) give ± (q − ½).
    let out = objective.evaluate(logits(&[0.0, 13.0], &[0.0], &[]), &labels);
    let slope = 1.0 / (1.0 + 13.0_f64.exp()) - 0.5;
    assert_close("within", &out.grad.expression.value, &[slope, -slope]);
    // On a bound f32 may fall either way.
    let out = objective.evaluate(logits(&[0.0, ln(1e6 - 1.0)], &[0.0], &[]), &labels);
    assert!(
        out.grad
            .expression
            .magnitude
            .iter()
            .all(|m| m.is_infinite())
    );
}

/// Two classes with the rows (0, 0) and (1, ln 3 − 1) of W. Image 0 has both units on, so that s = (0, ln 3) and q = (¼, ¾);
/// image 1 a unit and an expression; image 2 only an expression.
fn co_annotated() -> (Objective, Labels) {
    let tables = Tables {
        relatedness: vec![0.5; 4],
        co_annotation: vec![0.0, 0.0, 1.0, ln(3.0) - 1.0],
    };
    let mut labels = unlabelled(3, 2);
    labels.action_units = vec![Some(true), Some(true), Some(false), None, None, None];
    labels.expression = vec![None, Some(0), Some(1)];
    let objective = Objective::plain(2, 2, Some(tables));
    (only(SOFT_CO_ANNOTATION, objective), labels)
}

#[test]
fn soft_co_annotation_equals_hand_worked_values() {
    let (mut objective, labels) = co_annotated();
    let z = [ln(3.0), 0.0, 0.0, ln(7.0), 0.0, 0.0];
    let all = logits(&z, &[0.0; 6], &[]);
    let out = objective.evaluate(all, &labels);
    let first = 0.25 * ln(4.0 / 3.0) + 0.75 * ln(4.0);
    let values = &out.losses.value;
    assert_close(
        "loss",
        &[values[SOFT_CO_ANNOTATION], values[TOTAL]],
        &[first; 2],
    );
    let want = [0.5, -0.5, 0.0, 0.0, 0.0, 0.0];
    assert_close("gradient", &out.grad.expression.value, &want);

    objective.sca_on = ScaOn::AllWithAus;
    let out = objective.evaluate(all, &labels);
    // Image 1: nothing is on, q = (½, ½); p = (⅛, ⅞).
    let second = (ln(8.0) + ln(8.0 / 7.0)) / 2.0;
    let value = out.losses.value[SOFT_CO_ANNOTATION];
    assert_close("all", &[value], &[(first + second) / 2.0]);
    let want = [0.25, -0.25, -0.1875, 0.1875, 0.0, 0.0];
    assert_close("gradient", &out.grad.expression.value, &want);
    assert_eq!(out.grad.action_units.value, [0.0; 6]);
}

#[test]
fn co_annotated_units_equal_hand_worked_values() {
    let (mut objective, mut labels) = co_annotated();
    let units = [0.0, 0.0, 0.0, 0.0, ln(3.0), 0.0];
    let all = logits(&[0.0; 6], &units, &[]);
    let before = objective.evaluate(all, &labels);
    assert_eq!(before.losses.value[CO_ANNOTATED_UNITS], 0.0);
    objective.co_annotate_aus = true;
    let out = objective.evaluate(all, &labels);
    // Image 2 towards (1, ln 3 − 1), whose sum is ln 3.
    let want = (ln(4.0 / 3.0) + (ln(3.0) - 1.0) * LN_2) / ln(3.0);
    assert_close("loss", &[out.losses.value[CO_ANNOTATED_UNITS]], &[want]);
    let more = out.losses.value[TOTAL] - before.losses.value[TOTAL];
    assert_close("total", &[more], &[want]);
    let (first, second) = (-0.25 / ln(3.0), -0.5 * (ln(3.0) - 1.0) / ln(3.0));
    let want = [0.0, 0.0, 0.0, 0.0, first, second];
    assert_close("gradient", &out.grad.action_units.value, &want);

    // An expression without units of its own says nothing about units.
    labels.expression[2] = Some(0);
    let out = objective.evaluate(all, &labels);
    assert_eq!(out.losses.value[CO_ANNOTATED_UNITS], 0.0);
    assert_eq!(out.grad.action_units.value, [0.0; 6]);
}

/// A drawn objective with its batch.
struct Case {
    objective: Objective,
    labels: Labels,
    expression: Vec<f64>,
    units: Vec<f64>,
    va: Vec<f64>,
}

fn drawn_labels(draw: &mut Draw, batch: usize, objective: &Objective) -> Labels {
    let mut labels = unlabelled(batch, objective.units);
    for image in 0..batch {
        labels.present[image] = draw.chance(0.9);
        labels.expression[image] = draw
            .chance(0.5)
            .then(|| draw.int(0..=objective.expressions - 1));
        if draw.chance(0.5) {
            let row = image * objective.units;
            for label in &mut labels.action_units[row..row + objective.units] {
                *label = draw.chance(0.7).then(|| draw.chance(0.5));
            }
        }
        let va = [draw.uniform(), draw.uniform()];
        labels.valence_arousal[image] = draw.chance(0.6).then_some(va);
    }
    labels
}

#[test]
fn uncertainty_equals_hand_worked_values() {
    let mut objective = Objective::plain(2, 1, None);
    objective.uncertainty = true;
    objective.weights.action_units = 3.0;
    let mut labels = unlabelled(2, 1);
    labels.expression = vec![Some(0), None];
    labels.action_units = vec![None, Some(true)];
    // p = (¼, ¾): a loss of ln 4 with gradients ∓¾. A unit at p = ½: a loss of ln 2 with a gradient of -½.
    let z = [0.0, ln(3.0), 1.0, 1.0];
    let out = objective.evaluate(logits(&z, &[0.0, 0.0], &[]), &labels);
    let (expression, unit) = (ln(4.0), LN_2);
    let total = 1.0 + ln(expression) + 3.0 * (1.0 + ln(unit));
    let found = [EXPRESSION, ACTION_UNITS, VALENCE_AROUSAL, TOTAL].map(|it| out.losses.value[it]);
    assert_close("losses", &found, &[expression, unit, 0.0, total]);
    let want = [-0.75 / expression, 0.75 / expression, 0.0, 0.0];
    assert_close("expression", &out.grad.expression.value, &want);
    let want = [0.0, -3.0 * 0.5 / unit];
    assert_close("unit", &out.grad.action_units.value, &want);
    // Below the floor the weight is 1000: the loss of a unit at p = 1 - 1e-5 is 1e-5, to the digits that are compared.
    let sure = (1.0 - 1e-5_f64).ln() - 1e-5_f64.ln();
    let out = objective.evaluate(logits(&z, &[0.0, sure], &[]), &labels);
    let small = -(1.0 - 1e-5_f64).ln();
    let total = 1.0 + ln(expression) + 3.0 * (1000.0 * small + ln(1e-3));
    assert_close("floor", &[out.losses.value[TOTAL]], &[total]);
    assert_close(
        "slope",
        &out.grad.action_units.value,
        &[0.0, -3.0 * 1000.0 * 1e-5],
    );
}

fn drawn_case(seed: u64) -> Case {
    let mut draw = Draw::new("loss", seed);
    let (batch, classes, units) = (draw.int(1..=9), draw.int(1..=6), draw.int(1..=7));
    let table = |draw: &mut Draw| {
        (0..classes * units)
            .map(|_| draw.pick(&[0.0, 0.3, 0.5, 1.0]))
            .collect()
    };
    let (relatedness, co_annotation) = (table(&mut draw), table(&mut draw));
    let tables = Tables {
        relatedness,
        co_annotation,
    };
    let mut objective = Objective::plain(classes, units, Some(tables));
    let mut positive = || 1.25 + draw.uniform();
    objective.weights = Weights {
        expression: positive(),
        action_units: positive(),
        valence_arousal: positive(),
        distribution_matching: positive(),
        soft_co_annotation: positive(),
    };
    objective.class_weights = (0..classes).map(|_| positive()).collect();
    objective.positive_weights = (0..units).map(|_| positive()).collect();
    objective.label_smoothing = draw.pick(&[0.0, 0.1]);
    objective.tanh = draw.chance(0.5);
    objective.form = draw.pick(&[Form::Positive, Form::Bernoulli]);
    objective.sca_on = draw.pick(&[ScaOn::OnlyWithoutExpression, ScaOn::AllWithAus]);
    objective.co_annotate_aus = draw.chance(0.5);
    objective.uncertainty = draw.chance(0.5);
    let labels = drawn_labels(&mut draw, batch, &objective);
    Case {
        expression: draw.tensor(batch * classes, 3.0),
        units: draw.tensor(batch * units, 3.0),
        va: draw.tensor(batch * 2, 1.0),
        objective,
        labels,
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for seed in 0..5 * SEEDS.end {
        let Case {
            objective,
            labels,
            expression,
            units,
            va,
        } = drawn_case(seed);
        let name = |of: &str| format!("loss, {of}, seed {seed}");
        let total = |all: Logits| vec![objective.losses(all, &labels)[TOTAL]];
        // The upstream gradients of the terms are the drawn weights.
        let grad = objective
            .evaluate(logits(&expression, &units, &va), &labels)
            .grad;
        check_gradient(
            &name("expression"),
            &expression,
            &grad.expression.value,
            &[1.0],
            |z| total(logits(z, &units, &va)),
        );
        check_gradient(
            &name("units"),
            &units,
            &grad.action_units.value,
            &[1.0],
            |z| total(logits(&expression, z, &va)),
        );
        check_gradient(&name("va"), &va, &grad.valence_arousal.value, &[1.0], |z| {
            total(logits(&expression, &units, z))
        });
    }
}

#[test]
fn absent_images_count_nowhere() {
    for seed in SEEDS {
        let Case {
            objective,
            labels,
            expression,
            units,
            va,
        } = drawn_case(seed);
        let (classes, batch) = (objective.expressions, labels.present.len());
        let whole = objective.evaluate(logits(&expression, &units, &va), &labels);
        // The same images and one more, in front, that is absent but fully labelled.
        let mut more = labels.clone();
        more.present.insert(0, false);
        more.expression.insert(0, Some(0));
        more.valence_arousal.insert(0, Some([0.5, -0.5]));
        more.action_units
            .splice(0..0, vec![Some(true); objective.units]);
        let extended = |values: &[f64]| [&vec![0.7; values.len() / batch], values].concat();
        let (e, a, v) = (extended(&expression), extended(&units), extended(&va));
        let out = objective.evaluate(logits(&e, &a, &v), &more);
        assert_eq!(out.losses, whole.losses, "seed {seed}");
        assert_eq!(out.grad.expression.value[..classes], vec![0.0; classes]);
        assert_eq!(
            out.grad.expression.value[classes..],
            whole.grad.expression.value
        );
        assert_eq!(
            out.grad.action_units.value[objective.units..],
            whole.grad.action_units.value
        );
        assert_eq!(
            out.grad.valence_arousal.value[2..],
            whole.grad.valence_arousal.value
        );
    }
}

#[test]
fn magnitudes_bound_the_values() {
    for seed in SEEDS {
        let Case {
            objective,
            labels,
            expression,
            units,
            va,
        } = drawn_case(seed);
        let out = objective.evaluate(logits(&expression, &units, &va), &labels);
        let grad = &out.grad;
        for sums in [
            &out.losses,
            &grad.expression,
            &grad.action_units,
            &grad.valence_arousal,
        ] {
            for (value, magnitude) in sums.value.iter().zip(&sums.magnitude) {
                let bound = value.is_finite() && value.abs() <= magnitude * (1.0 + 1e-12);
                assert!(bound, "seed {seed}: {value}, {magnitude}");
            }
        }
    }
}
