//! The three terms that compare an output with its own label.

use super::{Labels, Logits, Objective, Softmax, Term, sigmoid, softplus};
use crate::Reference;

/// Below this the denominator of CCC is taken as this.
const LEAST_DENOMINATOR: f64 = 1e-8;

impl Objective {
    /// Σ_images Σ_e c_e t_e (−log p_e) / Σ_images c_y with class weights c and the smoothed label t_e = (1 − s) [e = y] + s / E:
    /// PyTorch's weighted mean.
    pub(super) fn expression(&self, logits: Logits, labels: &Labels, term: &mut Term) {
        let classes = self.expressions;
        let carried: Vec<(usize, usize)> = labels
            .images()
            .filter_map(|image| labels.expression[image].map(|class| (image, class)))
            .collect();
        let mass: f64 = carried.iter().map(|&(_, y)| self.class_weights[y]).sum();
        if classes == 0 || mass == 0.0 {
            return;
        }
        for (image, y) in carried {
            let row = image * classes;
            let softmax = Softmax::of(&logits.expression[row..row + classes]);
            let target: Vec<f64> = (0..classes)
                .map(|e| {
                    let own = if e == y {
                        1.0 - self.label_smoothing
                    } else {
                        0.0
                    };
                    self.class_weights[e] * (own + self.label_smoothing / classes as f64) / mass
                })
                .collect();
            let whole: f64 = target.iter().sum();
            for (e, &target) in target.iter().enumerate() {
                let magnitude = softmax.log_magnitude[e];
                term.loss
                    .accumulate(0, -target * softmax.log_p[e], target * magnitude);
                let p = whole * softmax.p[e];
                term.grad
                    .expression
                    .accumulate(row + e, p - target, p * magnitude + target);
            }
        }
    }

    /// Per image the sum over its annotated units of b y softplus(−z) + (1 − y) softplus(z), divided by their number; the mean
    /// over images that have any. b is the positive weight.
    pub(super) fn action_units(&self, logits: Logits, labels: &Labels, term: &mut Term) {
        let units = self.units;
        let carried: Vec<(usize, Vec<(usize, bool)>)> = labels
            .images()
            .map(|image| (image, labels.annotated(image, units)))
            .filter(|(_, annotated)| !annotated.is_empty())
            .collect();
        for (image, annotated) in &carried {
            let share = 1.0 / (carried.len() * annotated.len()) as f64;
            for &(unit, on) in annotated {
                let index = image * units + unit;
                let z = logits.action_units[index];
                let (p, p_magnitude) = sigmoid(z);
                let (weight, (loss, loss_magnitude), slope, slope_magnitude) = if on {
                    let weight = self.positive_weights[unit];
                    (weight, softplus(-z), p - 1.0, p_magnitude + 1.0)
                } else {
                    (1.0, softplus(z), p, p_magnitude)
                };
                let factor = weight * share;
                term.loss
                    .accumulate(0, factor * loss, factor * loss_magnitude);
                let gradient = &mut term.grad.action_units;
                gradient.accumulate(index, factor * slope, factor * slope_magnitude);
            }
        }
    }

    /// 1 − (CCC_valence + CCC_arousal) / 2 over the images that carry them; 0 where fewer than two do.
    pub(super) fn valence_arousal(&self, logits: Logits, labels: &Labels, term: &mut Term) {
        let carried: Vec<(usize, [f64; 2])> = labels
            .images()
            .filter_map(|image| labels.valence_arousal[image].map(|label| (image, label)))
            .collect();
        if logits.valence_arousal.is_empty() || carried.len() < 2 {
            return;
        }
        term.loss.add(0, 1.0);
        for axis in 0..2 {
            let label: Vec<f64> = carried.iter().map(|(_, label)| label[axis]).collect();
            let at: Vec<usize> = carried.iter().map(|(image, _)| image * 2 + axis).collect();
            let output = |&index: &usize| {
                let z = logits.valence_arousal[index];
                if self.tanh { z.tanh() } else { z }
            };
            let predicted: Vec<f64> = at.iter().map(output).collect();
            let (ccc, grad) = concordance(&label, &predicted);
            term.loss
                .accumulate(0, -ccc.value[0] / 2.0, ccc.magnitude[0] / 2.0);
            for (place, &index) in at.iter().enumerate() {
                let p = predicted[place];
                let (slope, slope_magnitude) = if self.tanh {
                    (1.0 - p * p, 1.0 + p * p)
                } else {
                    (1.0, 1.0)
                };
                term.grad.valence_arousal.accumulate(
                    index,
                    -grad.value[place] * slope / 2.0,
                    (grad.magnitude[place] * slope + grad.value[place].abs() * slope_magnitude)
                        / 2.0,
                );
            }
        }
    }
}

/// C = 2 cov(y, p) / D, D = var(y) + var(p) + (mean y − mean p)², population moments, and its gradient with respect to p,
/// (2 / N) ((y − mean y) − C (p − mean y)) / D; where D is guarded it is a constant and the second part is missing.
fn concordance(y: &[f64], p: &[f64]) -> (Reference, Reference) {
    let n = y.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    let spread = |values: &[f64]| values.iter().map(|value| value.abs()).sum::<f64>() / n;
    let (y_mean, p_mean) = (mean(y), mean(p));
    let (y_spread, p_spread) = (spread(y), spread(p));
    let mut cov = Reference::zeros(1);
    let mut below = Reference::zeros(1);
    for (y, p) in y.iter().zip(p) {
        let (dy, dp) = (y - y_mean, p - p_mean);
        let (dy_magnitude, dp_magnitude) = (y.abs() + y_spread, p.abs() + p_spread);
        let mixed = dy.abs() * dp_magnitude + dp.abs() * dy_magnitude;
        cov.accumulate(0, dy * dp / n, mixed / n);
        let squares = 2.0 * (dy.abs() * dy_magnitude + dp.abs() * dp_magnitude);
        below.accumulate(0, (dy * dy + dp * dp) / n, squares / n);
    }
    let apart = y_mean - p_mean;
    below.accumulate(0, apart * apart, 2.0 * apart.abs() * (y_spread + p_spread));
    let guarded = below.value[0] < LEAST_DENOMINATOR;
    let d = below.value[0].max(LEAST_DENOMINATOR);
    let d_error = if guarded {
        1.0
    } else {
        1.0 + below.magnitude[0] / d
    };
    let c = 2.0 * cov.value[0] / d;
    let mut ccc = Reference::zeros(1);
    ccc.accumulate(0, c, 2.0 * cov.magnitude[0] / d + c.abs() * d_error);
    let mut grad = Reference::zeros(y.len());
    for (index, (y, p)) in y.iter().zip(p).enumerate() {
        let dy = y - y_mean;
        let pull = if guarded { 0.0 } else { c * (p - y_mean) };
        let pull_magnitude = if guarded {
            0.0
        } else {
            ccc.magnitude[0] * (p - y_mean).abs() + c.abs() * (p.abs() + y_spread)
        };
        let inner = dy - pull;
        let inner_magnitude = y.abs() + y_spread + pull_magnitude;
        let magnitude = inner_magnitude + inner.abs() * d_error;
        grad.accumulate(index, 2.0 / n * inner / d, 2.0 / n * magnitude / d);
    }
    (ccc, grad)
}
