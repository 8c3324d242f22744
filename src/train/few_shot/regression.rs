//! Softmax regression: a linear head on features that stay as they are.

/// A linear head: a row of weights and a bias for each class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    /// `[classes, features]`.
    pub(super) weights: Vec<f32>,
    /// `[classes]`.
    pub(super) biases: Vec<f32>,
}

/// Steps at most; convergence on a few hundred faces takes some hundreds.
const STEPS: usize = 2000;
/// The largest gradient at which nothing is left to find.
const TOLERANCE: f64 = 1e-6;
/// A feature that varies less is constant.
const CONSTANT: f64 = 1e-6;

/// Rows of features, brought to mean 0 and deviation 1, and a last feature that is 1.
struct Standardised {
    rows: Vec<Vec<f64>>,
    means: Vec<f64>,
    /// One over the deviation; 0 for a constant feature.
    scales: Vec<f64>,
}

impl Standardised {
    fn of(features: &[&[f32]]) -> Self {
        let (count, width) = (features.len() as f64, features[0].len());
        let column = |f: usize| features.iter().map(move |row| f64::from(row[f]));
        let means: Vec<f64> = (0..width).map(|f| column(f).sum::<f64>() / count).collect();
        let scale = |(f, mean): (usize, &f64)| {
            let variance = column(f).map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            match variance.sqrt() > CONSTANT {
                true => variance.sqrt().recip(),
                false => 0.0,
            }
        };
        let scales: Vec<f64> = means.iter().enumerate().map(scale).collect();
        let row = |row: &&[f32]| {
            let moments = means.iter().zip(&scales);
            let values = row.iter().zip(moments);
            let values = values.map(|(&x, (mean, scale))| (f64::from(x) - mean) * scale);
            values.chain([1.0]).collect()
        };
        Self {
            rows: features.iter().map(row).collect(),
            means,
            scales,
        }
    }

    /// The largest eigenvalue of the mean of the rows' outer products, by the power method.
    fn largest(&self) -> f64 {
        let mut vector = vec![1.0; self.rows[0].len()];
        let mut value = 1.0;
        for _ in 0..50 {
            let mut next = vec![0.0; vector.len()];
            for row in &self.rows {
                let along = dot(row, &vector) / self.rows.len() as f64;
                next.iter_mut().zip(row).for_each(|(n, x)| *n += along * x);
            }
            value = dot(&next, &next).sqrt();
            vector = next.iter().map(|x| x / value.max(1e-300)).collect();
        }
        value
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Head {
    /// Minimises mean cross entropy + ridge / 2 · |weights|² over rows of `features`, each standardised over the rows, by
    /// Nesterov's accelerated gradient. `labels` are below `classes`; there is at least one row.
    pub(super) fn fit(features: &[&[f32]], labels: &[u32], classes: usize, ridge: f64) -> Self {
        let data = Standardised::of(features);
        let width = data.rows[0].len();
        // The Hessian of the softmax cross entropy is at most half the rows' second moments (Böhning 1992).
        let step = 1.0 / (0.5 * 1.01 * data.largest() + ridge);
        let mut current = vec![0.0; classes * width];
        let mut ahead = current.clone();
        let mut momentum = 1.0_f64;
        for _ in 0..STEPS {
            let slope = gradient(&data.rows, labels, &ahead, classes, ridge);
            if slope.iter().all(|value| value.abs() < TOLERANCE) {
                break;
            }
            let next: Vec<f64> = ahead
                .iter()
                .zip(&slope)
                .map(|(w, g)| w - step * g)
                .collect();
            let moved: Vec<f64> = next.iter().zip(&current).map(|(a, b)| a - b).collect();
            // Against the slope the momentum overshoots, and begins anew (O'Donoghue and Candès 2015).
            if dot(&slope, &moved) > 0.0 {
                momentum = 1.0;
            }
            let grown = 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt());
            let push = (momentum - 1.0) / grown;
            ahead = next.iter().zip(&moved).map(|(w, m)| w + push * m).collect();
            (current, momentum) = (next, grown);
        }
        Self::unstandardised(&ahead, &data, classes)
    }

    /// The head on the features as they are.
    fn unstandardised(weights: &[f64], data: &Standardised, classes: usize) -> Self {
        let width = data.means.len();
        let mut head = Self {
            weights: Vec::with_capacity(classes * width),
            biases: Vec::with_capacity(classes),
        };
        for row in weights.chunks_exact(width + 1) {
            let scaled: Vec<f64> = row.iter().zip(&data.scales).map(|(w, s)| w * s).collect();
            let bias = row[width] - dot(&scaled, &data.means);
            head.weights.extend(scaled.iter().map(|&w| w as f32));
            head.biases.push(bias as f32);
        }
        head
    }
}

/// Of mean cross entropy + ridge / 2 · |weights|², the biases (the last of each row) left out of the square.
fn gradient(
    rows: &[Vec<f64>],
    labels: &[u32],
    weights: &[f64],
    classes: usize,
    ridge: f64,
) -> Vec<f64> {
    let width = rows[0].len();
    let free = |(place, w): (usize, &f64)| match place % width == width - 1 {
        true => 0.0,
        false => ridge * w,
    };
    let mut slope: Vec<f64> = weights.iter().enumerate().map(free).collect();
    for (row, &label) in rows.iter().zip(labels) {
        let logits: Vec<f64> = weights.chunks_exact(width).map(|w| dot(w, row)).collect();
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|z| (z - most).exp()).sum();
        for class in 0..classes {
            let p = (logits[class] - most).exp() / sum;
            let off = (p - f64::from(u8::from(class == label as usize))) / rows.len() as f64;
            let part = &mut slope[class * width..][..width];
            part.iter_mut().zip(row).for_each(|(s, x)| *s += off * x);
        }
    }
    slope
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predict(head: &Head, features: &[f32]) -> usize {
        let width = features.len();
        let logit = |class: usize| {
            let row = &head.weights[class * width..][..width];
            head.biases[class] + row.iter().zip(features).map(|(w, x)| w * x).sum::<f32>()
        };
        let classes = 0..head.biases.len();
        classes
            .max_by(|a, b| logit(*a).total_cmp(&logit(*b)))
            .unwrap()
    }

    /// Two classes at ±1 have weights ±w with (1 - σ(2 w)) = ridge w.
    #[test]
    fn two_classes_equal_hand_worked_values() {
        for ridge in [0.01, 0.1, 1.0] {
            let head = Head::fit(&[&[-1.0], &[1.0]], &[0, 1], 2, ridge);
            let w = f64::from(head.weights[1]);
            let rest = 1.0 / (1.0 + (2.0 * w).exp()) - ridge * w;
            assert!(rest.abs() < 1e-5, "ridge {ridge}: {w} leaves {rest}");
            assert!((head.weights[0] + head.weights[1]).abs() < 1e-5);
            assert!(head.biases.iter().all(|bias| bias.abs() < 1e-5));
        }
    }

    #[test]
    fn features_may_have_any_scale_and_place_and_be_constant() {
        let plain = Head::fit(&[&[-1.0, 0.0], &[1.0, 0.0]], &[0, 1], 2, 0.1);
        let moved = Head::fit(&[&[90.0, 7.0], &[110.0, 7.0]], &[0, 1], 2, 0.1);
        // w (x - 100) / 10.
        assert!((moved.weights[2] - plain.weights[2] / 10.0).abs() < 1e-5);
        assert!((moved.biases[1] + 10.0 * plain.weights[2]).abs() < 1e-3);
        assert_eq!((moved.weights[1], moved.weights[3]), (0.0, 0.0));
    }

    #[test]
    fn classes_without_examples_are_not_predicted() {
        let rows: [&[f32]; 4] = [&[0.0, 1.0], &[0.2, 0.9], &[1.0, 0.0], &[0.9, 0.3]];
        let labels = [2, 2, 0, 0];
        let head = Head::fit(&rows, &labels, 4, 0.01);
        for (row, label) in rows.iter().zip(labels) {
            assert_eq!(predict(&head, row), label as usize);
        }
        assert_eq!(head, Head::fit(&rows, &labels, 4, 0.01));
    }
}
