//! The linear classifier of Higgins et al. 2017.

use super::exponential::softmax;
use super::logistic::apply;
use super::{Classifier, argmax, present};
use crate::array::Matrix;
use crate::random::Random;

/// How to fit a [`Softmax`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxSettings {
    /// Learning rate of Adagrad.
    pub learning_rate: f64,
    /// Rows in a step, drawn with replacement.
    pub batch: usize,
    /// Number of steps.
    pub steps: usize,
}

impl Default for SoftmaxSettings {
    /// Adagrad with 1e-2 (Higgins et al. 2017, section 3); 10,000 steps of 10 rows as in Kim and Mnih
    /// 2018.
    fn default() -> Self {
        Self { learning_rate: 1e-2, batch: 10, steps: 10_000 }
    }
}

/// One linear layer with a softmax and cross-entropy, fitted with Adagrad from weights 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    classes: Vec<u32>,
    /// [D + 1, classes]; the last row holds the intercepts.
    weights: Vec<f64>,
}

impl Softmax {
    /// Fits `features` [N, D] to `classes` `[N]`; `random` draws the rows.
    pub fn fit(
        features: &Matrix,
        classes: &[u32],
        settings: SoftmaxSettings,
        random: &mut Random,
    ) -> Self {
        assert_eq!(features.rows(), classes.len(), "a class for each row");
        let (known, places) = present(classes);
        let count = known.len();
        let mut weights = vec![0.0; (features.columns() + 1) * count];
        let mut squares = vec![0.0; weights.len()];
        let mut logits = vec![0.0; count];
        let steps = if count < 2 { 0 } else { settings.steps };
        for _ in 0..steps {
            let mut gradient = vec![0.0; weights.len()];
            for _ in 0..settings.batch {
                let row = random.below(features.rows());
                apply(&weights, features.row(row), &mut logits);
                softmax(&mut logits);
                logits[places[row]] -= 1.0;
                let with_one = features.row(row).iter().chain(&[1.0]);
                for (x, to) in with_one.zip(gradient.chunks_exact_mut(count)) {
                    to.iter_mut().zip(&logits).for_each(|(to, g)| *to += x * g);
                }
            }
            for ((w, s), g) in weights.iter_mut().zip(&mut squares).zip(gradient) {
                let g = g / settings.batch as f64;
                *s += g * g;
                *w -= settings.learning_rate * g / (f64::sqrt(*s) + 1e-10);
            }
        }
        Self { classes: known, weights }
    }
}

impl Classifier for Softmax {
    fn predict(&self, features: &Matrix) -> Vec<u32> {
        let mut logits = vec![0.0; self.classes.len()];
        let class = |row| {
            apply(&self.weights, features.row(row), &mut logits);
            self.classes[argmax(&logits)]
        };
        (0..features.rows()).map(class).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::accuracy;

    #[test]
    fn learns_which_feature_is_smallest() {
        let mut random = Random::new(0, 0);
        let classes: Vec<u32> = (0..600).map(|_| random.below(3) as u32).collect();
        let features = Matrix::from_fn(600, 3, |row, column| {
            let own = classes[row] as usize == column;
            random.uniform() * if own { 0.1 } else { 1.0 }
        });
        let fit = Softmax::fit(&features, &classes, SoftmaxSettings::default(), &mut random);
        assert!(accuracy(&fit, &features, &classes) > 0.8);
    }
}
