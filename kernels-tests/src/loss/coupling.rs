//! The three terms that let expressions and action units teach each other through a table.

use super::{
    Form, Labels, Logits, Objective, ScaOn, Softmax, StopGradient, Term, sigmoid, softplus,
};

/// q is clamped to [CLAMP, 1 − CLAMP].
const CLAMP: f64 = 1e-6;

/// The probability q of a unit that an image's expressions imply.
struct Implied {
    /// Σ_e p_e R[e][i] before the clamp.
    free: f64,
    free_magnitude: f64,
    /// q after the clamp.
    q: f64,
    /// Magnitude of q after the clamp.
    q_magnitude: f64,
    /// Whether the clamp acts, so that q has no gradient.
    clamped: bool,
}

impl Implied {
    fn of(softmax: &Softmax, relatedness: &[f64], units: usize, unit: usize) -> Self {
        let (mut free, mut free_magnitude) = (0.0, 0.0);
        for (e, p) in softmax.p.iter().enumerate() {
            let share = p * relatedness[e * units + unit];
            free += share;
            free_magnitude += share * softmax.log_magnitude[e];
        }
        let q = f64::clamp(free, CLAMP, 1.0 - CLAMP);
        let clamped = free != q;
        Self {
            free,
            free_magnitude,
            q,
            q_magnitude: if clamped { q } else { free_magnitude },
            clamped,
        }
    }

    /// Whether f32 may find q on the other side of a bound, where the gradient jumps.
    fn undecided(&self) -> bool {
        let above = 1.0 - CLAMP;
        (self.free / CLAMP - 1.0).abs() < 1e-4
            || (self.free - above).abs() < 8.0 * f64::powi(2.0, -24)
    }

    /// log q and its magnitude.
    fn log(&self) -> (f64, f64) {
        let value = self.q.ln();
        (value, value.abs() + self.q_magnitude / self.q)
    }

    /// log(1 − q) and its magnitude.
    fn log_other(&self) -> (f64, f64) {
        let value = (1.0 - self.q).ln();
        (
            value,
            value.abs() + (1.0 + self.q_magnitude) / (1.0 - self.q),
        )
    }

    /// 1 / q and its magnitude.
    fn inverse(&self) -> (f64, f64) {
        (1.0 / self.q, (1.0 + self.q_magnitude / self.q) / self.q)
    }

    /// 1 / (1 − q) and its magnitude.
    fn inverse_other(&self) -> (f64, f64) {
        let other = 1.0 - self.q;
        (
            1.0 / other,
            (1.0 + (1.0 + self.q_magnitude) / other) / other,
        )
    }
}

/// H(p, q) of one unit with ∂H/∂p and ∂H/∂q, each a value and its magnitude.
struct CrossEntropy {
    loss: (f64, f64),
    slope_p: (f64, f64),
    slope_q: (f64, f64),
}

impl CrossEntropy {
    /// −p log q, and −(1 − p) log(1 − q) where the form has it.
    fn of(form: Form, p: (f64, f64), implied: &Implied) -> Self {
        let negative = |(value, magnitude): (f64, f64)| (-value, magnitude);
        let mut out = Self {
            loss: negative(product(p, implied.log())),
            slope_p: negative(implied.log()),
            slope_q: negative(product(p, implied.inverse())),
        };
        if form == Form::Bernoulli {
            let other = (1.0 - p.0, 1.0 + p.1);
            out.loss = sum(out.loss, negative(product(other, implied.log_other())));
            out.slope_p = sum(out.slope_p, implied.log_other());
            out.slope_q = sum(out.slope_q, product(other, implied.inverse_other()));
        }
        if implied.clamped {
            out.slope_q = (0.0, 0.0);
        }
        out
    }
}

fn sum(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 + b.0, a.1 + b.1)
}

fn product(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 * b.0, a.1 * b.0.abs() + a.0.abs() * b.1)
}

impl Objective {
    /// Mean over all images of Σ_i H(p_i, q_i), p_i = sigmoid(logit i), q_i = Σ_e p_e R[e][i] clamped.
    ///
    /// Where rounding may move q across a bound of the clamp, the magnitude of that image's expression gradient is infinite.
    pub(super) fn distribution_matching(
        &self,
        relatedness: &[f64],
        logits: Logits,
        labels: &Labels,
        term: &mut Term,
    ) {
        let (classes, units) = (self.expressions, self.units);
        let share = 1.0 / labels.images().count() as f64;
        for image in labels.images() {
            let row = image * classes;
            let softmax = Softmax::of(&logits.expression[row..row + classes]);
            for unit in 0..units {
                let index = image * units + unit;
                let (p, p_magnitude) = sigmoid(logits.action_units[index]);
                let implied = Implied::of(&softmax, relatedness, units, unit);
                let entropy = CrossEntropy::of(self.form, (p, p_magnitude), &implied);
                let (loss, magnitude) = entropy.loss;
                term.loss.accumulate(0, share * loss, share * magnitude);
                if self.stop_gradient != StopGradient::P {
                    // d p / d logit = p (1 − p).
                    let bend = product((p, p_magnitude), (1.0 - p, 1.0 + p_magnitude));
                    let (slope, magnitude) = product(entropy.slope_p, bend);
                    let gradient = &mut term.grad.action_units;
                    gradient.accumulate(index, share * slope, share * magnitude);
                }
                if self.stop_gradient != StopGradient::Q {
                    for (e, &p) in softmax.p.iter().enumerate() {
                        // d q / d logit e = p_e (R[e][i] − q).
                        let related = relatedness[e * units + unit];
                        let bend = product(
                            (p, p * softmax.log_magnitude[e]),
                            (related - implied.free, related + implied.free_magnitude),
                        );
                        let (slope, magnitude) = product(entropy.slope_q, bend);
                        let magnitude = if implied.undecided() {
                            f64::INFINITY
                        } else {
                            share * magnitude
                        };
                        let gradient = &mut term.grad.expression;
                        gradient.accumulate(row + e, share * slope, magnitude);
                    }
                }
            }
        }
    }

    /// Mean over the images with action units that [`ScaOn`] takes of −Σ_e q_e log p_e, q = softmax of
    /// s_e = Σ_i W[e][i] [unit i annotated and on].
    pub(super) fn soft_co_annotation(
        &self,
        co_annotation: &[f64],
        logits: Logits,
        labels: &Labels,
        term: &mut Term,
    ) {
        let (classes, units) = (self.expressions, self.units);
        let carried: Vec<(usize, Vec<(usize, bool)>)> = labels
            .images()
            .filter(|&image| self.sca_on == ScaOn::AllWithAus || labels.expression[image].is_none())
            .map(|image| (image, labels.annotated(image, units)))
            .filter(|(_, annotated)| !annotated.is_empty())
            .collect();
        let share = 1.0 / carried.len() as f64;
        for (image, annotated) in &carried {
            let row = image * classes;
            let softmax = Softmax::of(&logits.expression[row..row + classes]);
            let on = annotated.iter().filter(|(_, on)| *on);
            let on: Vec<usize> = on.map(|&(unit, _)| unit).collect();
            let score = |e| on.iter().map(|unit| co_annotation[e * units + unit]).sum();
            let scores: Vec<f64> = (0..classes).map(score).collect();
            let target = Softmax::of(&scores);
            for e in 0..classes {
                let q = (target.p[e], target.p[e] * target.log_magnitude[e]);
                let log_p = (softmax.log_p[e], softmax.log_magnitude[e]);
                let (loss, magnitude) = product(q, log_p);
                term.loss.accumulate(0, -share * loss, share * magnitude);
                let p = (softmax.p[e], softmax.p[e] * softmax.log_magnitude[e]);
                let gradient = &mut term.grad.expression;
                gradient.accumulate(row + e, share * (p.0 - q.0), share * (p.1 + q.1));
            }
        }
    }

    /// The other way: mean over the images with an expression y, no annotated unit and a row W[y] that is not zero, of
    /// Σ_i W[y][i] softplus(−z_i) / Σ_i W[y][i].
    pub(super) fn co_annotated_units(
        &self,
        co_annotation: &[f64],
        logits: Logits,
        labels: &Labels,
        term: &mut Term,
    ) {
        let units = self.units;
        let table_row = |y: usize| &co_annotation[y * units..(y + 1) * units];
        let carried: Vec<(usize, &[f64])> = labels
            .images()
            .filter(|&image| self.co_annotate_aus && labels.annotated(image, units).is_empty())
            .filter_map(|image| labels.expression[image].map(|y| (image, table_row(y))))
            .filter(|(_, weights)| weights.iter().sum::<f64>() > 0.0)
            .collect();
        for (image, weights) in &carried {
            let share = 1.0 / (carried.len() as f64 * weights.iter().sum::<f64>());
            for (unit, weight) in weights.iter().enumerate() {
                let index = image * units + unit;
                let z = logits.action_units[index];
                let factor = weight * share;
                let (loss, magnitude) = softplus(-z);
                term.loss.accumulate(0, factor * loss, factor * magnitude);
                let (p, magnitude) = sigmoid(z);
                let gradient = &mut term.grad.action_units;
                gradient.accumulate(index, factor * (p - 1.0), factor * (1.0 + magnitude));
            }
        }
    }
}
