//! The multi-task objective of Kollias, Sharmanska and Zafeiriou (arXiv:2105.03790), forward and gradient:
//!
//! L = w_expression L_expression + w_action_units L_action_units + w_valence_arousal L_valence_arousal
//!   + w_distribution_matching L_distribution_matching + w_soft_co_annotation (L_soft_co_annotation + L_co_annotated_units)
//!
//! over a batch whose images may each lack any label. A term that no image carries is 0, and so is its gradient.
//!
//! Magnitudes follow first-order error propagation, with a few rules: a logarithm or exponential of z has the error of z and
//! one rounding more, 1 − p has the magnitude 1 + p, a product the sum of each factor's magnitude times the other's value.

mod coupling;
mod labelled;

use crate::Reference;

/// The outputs of the network, row major; a task that is not declared has no columns.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    /// `[B,E]`, softmax.
    pub expression: &'a [f64],
    /// `[B,A]`, sigmoid.
    pub action_units: &'a [f64],
    /// `[B,2]`, valence and arousal.
    pub valence_arousal: &'a [f64],
}

/// The labels of a batch of B images.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// `[B]`: false for an image that only fills the batch; it counts nowhere.
    pub present: Vec<bool>,
    /// `[B]`: the class, below E.
    pub expression: Vec<Option<usize>>,
    /// `[B,A]`: whether the unit is on, where it is annotated.
    pub action_units: Vec<Option<bool>>,
    /// `[B]`: valence and arousal.
    pub valence_arousal: Vec<Option<[f64; 2]>>,
}

/// What distribution matching compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// H = −p log q.
    Positive,
    /// H = −p log q − (1 − p) log(1 − q).
    Bernoulli,
}

/// Where distribution matching passes no gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopGradient {
    /// It passes to the logits of both tasks.
    None,
    /// Not to the expressions.
    Q,
    /// Not to the action units.
    P,
}

/// The images that soft co-annotation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaOn {
    /// Those with action units and no expression.
    OnlyWithoutExpression,
    /// All with action units.
    AllWithAus,
}

/// The tables that couple expressions and action units.
#[derive(Clone, Debug, PartialEq)]
pub struct Tables {
    /// R `[E,A]` of distribution matching: 0/1 or weights in [0, 1].
    pub relatedness: Vec<f64>,
    /// W `[E,A]` of co-annotation: 1 prototypical, the weight where observational, else 0.
    pub co_annotation: Vec<f64>,
}

/// What multiplies each term in the total.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of the softmax cross entropy.
    pub expression: f64,
    /// Of the binary cross entropies.
    pub action_units: f64,
    /// Of 1 − (CCC_valence + CCC_arousal) / 2.
    pub valence_arousal: f64,
    /// Of distribution matching.
    pub distribution_matching: f64,
    /// Of co-annotation, both ways.
    pub soft_co_annotation: f64,
}

/// Below it a task's weight by uncertainty grows no more.
const FLOOR: f64 = 1e-3;

/// The objective: sizes, options and tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// E, the number of classes.
    pub expressions: usize,
    /// A, the number of units.
    pub units: usize,
    /// What multiplies each term.
    pub weights: Weights,
    /// Whether a labelled task's loss L counts by L / m + log m, m = max(L, 1e-3), where an image carries it.
    pub uncertainty: bool,
    /// `[E]`: the weight of an image by its class.
    pub class_weights: Vec<f64>,
    /// The share of a label that is spread evenly over all classes, in [0, 1).
    pub label_smoothing: f64,
    /// `[A]`: the weight of a unit that is on.
    pub positive_weights: Vec<f64>,
    /// Whether valence and arousal are the tanh of the logits; else they are the logits.
    pub tanh: bool,
    /// The tables; without them the three coupling terms are 0.
    pub tables: Option<Tables>,
    /// What distribution matching compares.
    pub form: Form,
    /// Where it passes no gradient.
    pub stop_gradient: StopGradient,
    /// The images that soft co-annotation takes.
    pub sca_on: ScaOn,
    /// Whether images with an expression and no action units are trained towards the row of W.
    pub co_annotate_aus: bool,
}

/// Gradients with respect to the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `[B,E]`.
    pub expression: Reference,
    /// `[B,A]`.
    pub action_units: Reference,
    /// `[B,2]`.
    pub valence_arousal: Reference,
}

/// What the objective gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The unweighted terms, then the total, at the positions that the constants of this module name.
    pub losses: Reference,
    /// Gradients of the total.
    pub grad: Gradients,
}

/// Position of the softmax cross entropy in [`Outcome::losses`].
pub const EXPRESSION: usize = 0;
/// Position of the binary cross entropies.
pub const ACTION_UNITS: usize = 1;
/// Position of 1 − (CCC_valence + CCC_arousal) / 2.
pub const VALENCE_AROUSAL: usize = 2;
/// Position of distribution matching.
pub const DISTRIBUTION_MATCHING: usize = 3;
/// Position of the co-annotation of expressions.
pub const SOFT_CO_ANNOTATION: usize = 4;
/// Position of the co-annotation of action units.
pub const CO_ANNOTATED_UNITS: usize = 5;
/// Position of the weighted total.
pub const TOTAL: usize = 6;

/// A term of the objective, unweighted.
#[derive(Clone, Debug)]
struct Term {
    /// One element.
    loss: Reference,
    grad: Gradients,
}

impl Objective {
    /// An objective with every weight 1 and every option at its default.
    pub fn plain(expressions: usize, units: usize, tables: Option<Tables>) -> Self {
        Self {
            expressions,
            units,
            weights: Weights {
                expression: 1.0,
                action_units: 1.0,
                valence_arousal: 1.0,
                distribution_matching: 1.0,
                soft_co_annotation: 1.0,
            },
            uncertainty: false,
            class_weights: vec![1.0; expressions],
            label_smoothing: 0.0,
            positive_weights: vec![1.0; units],
            tanh: false,
            tables,
            form: Form::Bernoulli,
            stop_gradient: StopGradient::None,
            sca_on: ScaOn::OnlyWithoutExpression,
            co_annotate_aus: false,
        }
    }

    /// All terms, the total and its gradients.
    pub fn evaluate(&self, logits: Logits, labels: &Labels) -> Outcome {
        self.check(logits, labels);
        let weights = self.weights;
        let terms = [
            (EXPRESSION, weights.expression),
            (ACTION_UNITS, weights.action_units),
            (VALENCE_AROUSAL, weights.valence_arousal),
            (DISTRIBUTION_MATCHING, weights.distribution_matching),
            (SOFT_CO_ANNOTATION, weights.soft_co_annotation),
            (CO_ANNOTATED_UNITS, weights.soft_co_annotation),
        ];
        let mut losses = Reference::zeros(TOTAL + 1);
        let mut grad = Gradients::zeros(logits);
        for (position, weight) in terms {
            let mut term = self.term(position, logits, labels);
            losses.accumulate(position, term.loss.value[0], term.loss.magnitude[0]);
            if self.uncertainty && position <= VALENCE_AROUSAL {
                self.weigh(position, labels, &mut term);
            }
            // A weight of 0 switches a term off, even one whose magnitude is infinite.
            if weight != 0.0 {
                losses.accumulate_scaled(TOTAL, weight, &term.loss);
                grad.accumulate_scaled(weight, &term.grad);
            }
        }
        Outcome { losses, grad }
    }

    /// [`Outcome::losses`]'s values alone: the function to take finite differences of.
    pub fn losses(&self, logits: Logits, labels: &Labels) -> Vec<f64> {
        self.evaluate(logits, labels).losses.value
    }

    fn term(&self, position: usize, logits: Logits, labels: &Labels) -> Term {
        let mut term = Term {
            loss: Reference::zeros(1),
            grad: Gradients::zeros(logits),
        };
        match (position, &self.tables) {
            (EXPRESSION, _) => self.expression(logits, labels, &mut term),
            (ACTION_UNITS, _) => self.action_units(logits, labels, &mut term),
            (VALENCE_AROUSAL, _) => self.valence_arousal(logits, labels, &mut term),
            (_, None) => {}
            (DISTRIBUTION_MATCHING, Some(tables)) => {
                self.distribution_matching(&tables.relatedness, logits, labels, &mut term);
            }
            (SOFT_CO_ANNOTATION, Some(tables)) => {
                self.soft_co_annotation(&tables.co_annotation, logits, labels, &mut term);
            }
            (_, Some(tables)) => {
                self.co_annotated_units(&tables.co_annotation, logits, labels, &mut term);
            }
        }
        term
    }

    /// Puts L / m + log m in place of a labelled task's loss L.
    fn weigh(&self, position: usize, labels: &Labels, term: &mut Term) {
        let carried = labels.images().filter(|&image| match position {
            EXPRESSION => self.expressions > 0 && labels.expression[image].is_some(),
            ACTION_UNITS => !labels.annotated(image, self.units).is_empty(),
            _ => labels.valence_arousal[image].is_some(),
        });
        let least = if position == VALENCE_AROUSAL { 2 } else { 1 };
        if carried.count() < least {
            return;
        }
        let (loss, magnitude) = (term.loss.value[0], term.loss.magnitude[0]);
        let m = loss.max(FLOOR);
        // d log m = d m / m, and a quotient has the errors of both.
        let error = magnitude / m;
        term.loss = Reference::zeros(1);
        term.loss
            .accumulate(0, loss / m + m.ln(), 1.0 + m.ln().abs() + 2.0 * error);
        let grad = &mut term.grad;
        for part in [
            &mut grad.expression,
            &mut grad.action_units,
            &mut grad.valence_arousal,
        ] {
            for (value, size) in part.value.iter_mut().zip(&mut part.magnitude) {
                *size = (*size + value.abs() * error) / m;
                *value /= m;
            }
        }
    }

    fn check(&self, logits: Logits, labels: &Labels) {
        let (batch, e, a) = (labels.present.len(), self.expressions, self.units);
        let va = logits.valence_arousal.len();
        assert_eq!(logits.expression.len(), batch * e, "expression logits");
        assert_eq!(logits.action_units.len(), batch * a, "action unit logits");
        assert!(va == 0 || va == batch * 2, "valence and arousal");
        assert_eq!(labels.expression.len(), batch, "expression labels");
        assert_eq!(labels.action_units.len(), batch * a, "action unit labels");
        assert_eq!(
            labels.valence_arousal.len(),
            batch,
            "valence and arousal labels"
        );
        assert_eq!(self.class_weights.len(), e, "class weights");
        assert_eq!(self.positive_weights.len(), a, "positive weights");
        if let Some(tables) = &self.tables {
            assert_eq!(tables.relatedness.len(), e * a, "R");
            assert_eq!(tables.co_annotation.len(), e * a, "W");
        }
    }
}

impl Labels {
    /// Images that are present, in order.
    fn images(&self) -> impl Iterator<Item = usize> {
        (0..self.present.len()).filter(|&image| self.present[image])
    }

    /// The annotated units of an image of `units`, each with whether it is on.
    fn annotated(&self, image: usize, units: usize) -> Vec<(usize, bool)> {
        let row = &self.action_units[image * units..(image + 1) * units];
        let row = row.iter().enumerate();
        row.filter_map(|(unit, on)| on.map(|on| (unit, on)))
            .collect()
    }
}

impl Gradients {
    fn zeros(logits: Logits) -> Self {
        Self {
            expression: Reference::zeros(logits.expression.len()),
            action_units: Reference::zeros(logits.action_units.len()),
            valence_arousal: Reference::zeros(logits.valence_arousal.len()),
        }
    }

    fn accumulate_scaled(&mut self, factor: f64, other: &Self) {
        self.expression
            .accumulate_scaled(0, factor, &other.expression);
        self.action_units
            .accumulate_scaled(0, factor, &other.action_units);
        self.valence_arousal
            .accumulate_scaled(0, factor, &other.valence_arousal);
    }
}

/// The softmax of a row.
struct Softmax {
    /// p_e = exp(z_e) / Σ exp(z).
    p: Vec<f64>,
    /// log p_e = z_e − log Σ exp(z).
    log_p: Vec<f64>,
    /// Magnitude of log p_e, which is the magnitude of p_e divided by p_e.
    log_magnitude: Vec<f64>,
}

impl Softmax {
    fn of(z: &[f64]) -> Self {
        let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = most + z.iter().map(|z| (z - most).exp()).sum::<f64>().ln();
        let log_p: Vec<f64> = z.iter().map(|z| z - log_sum).collect();
        Self {
            p: log_p.iter().map(|log_p| log_p.exp()).collect(),
            log_p,
            log_magnitude: z.iter().map(|z| 1.0 + z.abs() + log_sum.abs()).collect(),
        }
    }
}

/// 1 / (1 + exp(−z)) and its magnitude.
fn sigmoid(z: f64) -> (f64, f64) {
    let small = (-z.abs()).exp();
    let p = if z >= 0.0 { 1.0 } else { small } / (1.0 + small);
    // d p / p = (1 − p) d z.
    (p, p * (1.0 + (1.0 - p) * z.abs()))
}

/// log(1 + exp(z)) and its magnitude, that of max(z, 0) + log(1 + exp(−|z|)).
fn softplus(z: f64) -> (f64, f64) {
    let value = z.max(0.0) + (-z.abs()).exp().ln_1p();
    (value, z.max(0.0) + 1.0)
}
