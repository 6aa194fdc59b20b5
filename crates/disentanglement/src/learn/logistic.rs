//! Logistic regression.

use multiversion::multiversion;
use rayon::prelude::*;

use super::exponential::softmax;
use super::lbfgs::{Stop, minimise};
use super::{Classifier, argmax, counts, present};
use crate::array::Matrix;

/// Rows whose losses one task adds up. Fixed, so that the number of threads changes no sum.
const CHUNK: usize = 512;

/// How to fit a [`Logistic`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticSettings {
    /// Inverse strength of the L2 penalty; infinite for none.
    pub c: f64,
    /// Whether every class has the same weight, however many rows it has.
    pub balanced: bool,
    /// Steps of L-BFGS at most.
    pub steps: usize,
    /// Stop where no component of the gradient of the mean loss is larger.
    pub tolerance: f64,
}

impl Default for LogisticSettings {
    /// C = 1, as in scikit-learn, but nearer to the minimum than its 1e-4.
    fn default() -> Self {
        Self { c: 1.0, balanced: false, steps: 1000, tolerance: 1e-6 }
    }
}

/// Logistic regression with intercepts, which are not penalised: scikit-learn's `LogisticRegression`.
///
/// It minimises C sum_i w_i loss_i + |W|^2 / 2, divided by C sum_i w_i; the loss is the cross-entropy
/// of a softmax over the classes, or for two classes of a sigmoid, as scikit-learn does.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    classes: Vec<u32>,
    /// [D + 1, outputs]; the last row holds the intercepts. One output for two classes.
    weights: Matrix,
}

impl Logistic {
    /// Fits `features` [N, D] to `classes` `[N]`.
    pub fn fit(features: &Matrix, classes: &[u32], settings: LogisticSettings) -> Self {
        Self::fit_from(None, features, classes, settings)
    }

    /// The same minimum from another start, such as that of a similar penalty.
    pub(crate) fn fit_from(
        start: Option<&Self>,
        features: &Matrix,
        classes: &[u32],
        settings: LogisticSettings,
    ) -> Self {
        assert_eq!(features.rows(), classes.len(), "a class for each row");
        let (known, places) = present(classes);
        let outputs = if known.len() <= 2 { known.len().saturating_sub(1) } else { known.len() };
        let [rows, columns] = [features.columns() + 1, outputs];
        let start = start.filter(|start| start.classes == known).map(|start| &start.weights);
        let start = start.map_or_else(|| vec![0.0; rows * columns], |w| w.values().to_vec());
        if outputs == 0 {
            return Self { classes: known, weights: Matrix::zeros(rows, columns) };
        }
        let counts = counts(&places, known.len());
        let weight = |place: &usize| match settings.balanced {
            true => classes.len() as f64 / (known.len() * counts[*place]) as f64,
            false => 1.0,
        };
        let sample_weights: Vec<f64> = places.iter().map(weight).collect();
        let total: f64 = sample_weights.iter().sum();
        let problem =
            Problem { features, places: &places, sample_weights: &sample_weights, outputs };
        let strength = 1.0 / (settings.c * total);
        let loss = |weights: &[f64], gradient: &mut [f64]| {
            let penalised = features.columns() * outputs;
            let mut value = problem.loss(weights, gradient) / total;
            gradient.iter_mut().for_each(|g| *g /= total);
            for (g, w) in gradient.iter_mut().zip(weights).take(penalised) {
                value += 0.5 * strength * w * w;
                *g += strength * w;
            }
            value
        };
        let stop = Stop { gradient: settings.tolerance, steps: settings.steps };
        let curvature = Curvature::new(features, &sample_weights, strength);
        let weights = minimise(loss, |by| curvature.invert(by, outputs), start, stop);
        Self { classes: known, weights: Matrix::from_vec(rows, columns, weights) }
    }

    /// The classes that occurred, in rising order: the columns of [`Logistic::probabilities`].
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// [N, classes]
    pub fn probabilities(&self, features: &Matrix) -> Matrix {
        let mut all = Matrix::zeros(features.rows(), self.classes.len());
        let mut logits = vec![0.0; self.weights.columns()];
        for row in 0..features.rows() {
            apply(self.weights.values(), features.row(row), &mut logits);
            let to = all.row_mut(row);
            match logits[..] {
                [] => to.fill(1.0),
                [logit] => to.copy_from_slice(&[sigmoid(-logit), sigmoid(logit)]),
                _ => {
                    softmax(&mut logits);
                    to.copy_from_slice(&logits);
                }
            }
        }
        all
    }
}

impl Classifier for Logistic {
    fn predict(&self, features: &Matrix) -> Vec<u32> {
        let probabilities = self.probabilities(features);
        (0..features.rows()).map(|row| self.classes[argmax(probabilities.row(row))]).collect()
    }
}

/// What bounds the Hessian of the mean loss for each output (Böhning 1992): X'X / 2N, with the penalty,
/// as its Cholesky factor. Features of different size or that go together need no more steps than others.
struct Curvature(Matrix);

impl Curvature {
    fn new(features: &Matrix, sample_weights: &[f64], strength: f64) -> Self {
        let size = features.columns() + 1;
        let mut matrix = Matrix::zeros(size, size);
        let mut row = vec![1.0; size];
        let total: f64 = sample_weights.iter().sum();
        for (i, weight) in sample_weights.iter().enumerate() {
            row[..size - 1].copy_from_slice(features.row(i));
            for a in 0..size {
                let factor = 0.5 * weight / total * row[a];
                let to = &mut matrix.row_mut(a)[..=a];
                to.iter_mut().zip(&row).for_each(|(to, x)| *to += factor * x);
            }
        }
        for a in 0..size {
            let penalty = if a + 1 < size { strength } else { 0.0 };
            // A constant feature leaves nothing beside the intercept; a little makes it invertible.
            matrix[[a, a]] = matrix[[a, a]] * (1.0 + 1e-9) + penalty + 1e-300;
        }
        // In place, row by row.
        for a in 0..size {
            for b in 0..=a {
                let dot: f64 = (0..b).map(|c| matrix[[a, c]] * matrix[[b, c]]).sum();
                let rest = matrix[[a, b]] - dot;
                let least = 1e-9 * matrix[[a, a]].max(1e-150);
                matrix[[a, b]] =
                    if a == b { rest.max(least).sqrt() } else { rest / matrix[[b, b]] };
            }
        }
        Self(matrix)
    }

    /// Solves for each column of `by` [D + 1, outputs] in place.
    fn invert(&self, by: &mut [f64], outputs: usize) {
        let (lower, size) = (&self.0, self.0.rows());
        let at = |row: usize, output: usize| row * outputs + output;
        for output in 0..outputs {
            for a in 0..size {
                let known: f64 = (0..a).map(|b| lower[[a, b]] * by[at(b, output)]).sum();
                by[at(a, output)] = (by[at(a, output)] - known) / lower[[a, a]];
            }
            for a in (0..size).rev() {
                let known: f64 = (a + 1..size).map(|b| lower[[b, a]] * by[at(b, output)]).sum();
                by[at(a, output)] = (by[at(a, output)] - known) / lower[[a, a]];
            }
        }
    }
}

struct Problem<'a> {
    features: &'a Matrix,
    places: &'a [usize],
    sample_weights: &'a [f64],
    outputs: usize,
}

impl Problem<'_> {
    /// The sum of losses; its gradient by the weights [D + 1, outputs] replaces `gradient`.
    fn loss(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let chunks: Vec<(f64, Vec<f64>)> = self
            .places
            .par_chunks(CHUNK)
            .enumerate()
            .map(|(chunk, places)| {
                let mut gradient = vec![0.0; weights.len()];
                let sum = add_losses(self, weights, chunk * CHUNK, places, &mut gradient);
                (sum, gradient)
            })
            .collect();
        gradient.fill(0.0);
        let mut total = 0.0;
        for (sum, part) in chunks {
            total += sum;
            gradient.iter_mut().zip(part).for_each(|(to, from)| *to += from);
        }
        total
    }
}

/// The losses of some rows, which begin at `first`; their gradient is added to `gradient`. Vectors only
/// make it faster: they run along outputs, whose sums are apart, so every processor gives the same.
#[multiversion(targets("x86_64+avx2"))]
fn add_losses(
    problem: &Problem<'_>,
    weights: &[f64],
    first: usize,
    places: &[usize],
    gradient: &mut [f64],
) -> f64 {
    let &Problem { features, sample_weights, outputs, .. } = problem;
    let mut logits = vec![0.0; outputs];
    let mut sum = 0.0;
    for (row, place) in (first..).zip(places) {
        let x = features.row(row);
        apply(weights, x, &mut logits);
        let loss = if let [logit] = logits[..] {
            let sign = if *place == 1 { 1.0 } else { -1.0 };
            logits[0] = sigmoid(logit) - *place as f64;
            softplus(-sign * logit)
        } else {
            let own = logits[*place];
            let log_sum = softmax(&mut logits);
            logits[*place] -= 1.0;
            log_sum - own
        };
        let weight = sample_weights[row];
        sum += weight * loss;
        for g in logits.iter_mut() {
            *g *= weight;
        }
        let (rows, intercepts) = gradient.split_at_mut(x.len() * outputs);
        for (x, to) in x.iter().zip(rows.chunks_exact_mut(outputs)) {
            for (to, g) in to.iter_mut().zip(&logits) {
                *to += x * g;
            }
        }
        for (to, g) in intercepts.iter_mut().zip(&logits) {
            *to += g;
        }
    }
    sum
}

/// `to` = x W + intercepts, W row by row [D + 1, outputs].
#[inline(always)]
pub(super) fn apply(weights: &[f64], x: &[f64], to: &mut [f64]) {
    let (rows, intercepts) = weights.split_at(x.len() * to.len());
    to.copy_from_slice(intercepts);
    for (x, row) in x.iter().zip(rows.chunks_exact(to.len().max(1))) {
        for (to, w) in to.iter_mut().zip(row) {
            *to += x * w;
        }
    }
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let mut random = Random::new(3, 0);
        let features = Matrix::from_fn(700, 3, |_, _| random.normal());
        for count in [2, 4] {
            let places: Vec<usize> = (0..700).map(|_| random.below(count)).collect();
            let sample_weights: Vec<f64> = (0..700).map(|_| random.uniform()).collect();
            let outputs = if count == 2 { 1 } else { count };
            let problem = Problem {
                features: &features,
                places: &places,
                sample_weights: &sample_weights,
                outputs,
            };
            let mut weights: Vec<f64> = (0..4 * outputs).map(|_| random.normal()).collect();
            let mut gradient = vec![0.0; weights.len()];
            problem.loss(&weights, &mut gradient);
            for i in 0..weights.len() {
                let mut value = |change: f64| {
                    weights[i] += change;
                    let value = problem.loss(&weights, &mut vec![0.0; gradient.len()]);
                    weights[i] -= change;
                    value
                };
                let slope = (value(1e-5) - value(-1e-5)) / 2e-5;
                assert!((slope - gradient[i]).abs() < 1e-4, "{slope} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn one_class_alone_is_always_predicted() {
        let features = Matrix::from_fn(5, 2, |row, _| row as f64);
        let logistic = Logistic::fit(&features, &[7; 5], LogisticSettings::default());
        assert_eq!(logistic.predict(&features), [7; 5]);
        assert_eq!(logistic.probabilities(&features)[[0, 0]], 1.0);
    }
}
