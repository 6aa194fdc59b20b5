//! Separated attribute predictability.

use rayon::prelude::*;
use serde::Serialize;

use crate::array::{Labelled, Matrix};
use crate::learn::{LinearSvm, SvmSettings, accuracy};
use crate::split::Split;

/// The result of [`sap`] and [`sap_continuous`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sap {
    /// The mean of `gaps`.
    pub score: f64,
    /// For each factor the best latent's prediction less the second best's, `[K]`.
    pub gaps: Vec<f64>,
    /// How well each latent alone predicts each factor, [D, K].
    pub predictions: Matrix,
}

/// The gap between the two latents that predict a factor best, averaged over factors (Kumar et al.
/// 2018), where each latent's prediction is the test accuracy of a linear SVM on it alone.
///
/// Convention of disentanglement_lib (`sap_score.py`): C = 0.01, balanced classes, latents as they
/// are. It is not invariant: the penalty hurts latents of a small scale more.
///
/// A constant latent, and every latent for a constant factor, predicts one class always; with one
/// latent the second best is 0.
pub fn sap(split: &Split, settings: SvmSettings) -> Sap {
    let Split { train, test } = split;
    let (latents, factors) = (train.codes().latents(), train.factors().count());
    let classes = |data: &Labelled| (0..factors).map(|k| data.factors().factor(k)).collect();
    let (train_classes, test_classes): (Vec<_>, Vec<_>) = (classes(train), classes(test));
    let predict = |i: usize| {
        let (d, k) = (i / factors, i % factors);
        let svm = LinearSvm::fit(&train.codes().latent(d), &train_classes[k], settings);
        let column = Matrix::from_vec(test.len(), 1, test.codes().latent(d));
        accuracy(&svm, &column, &test_classes[k])
    };
    let values = (0..latents * factors).into_par_iter().map(predict).collect();
    Sap::of(Matrix::from_vec(latents, factors, values))
}

/// [`sap`] for factors whose classes are steps of a continuous quantity: a latent's prediction is its
/// squared correlation with the class numbers, 0 if its variance is at most 1e-12.
pub fn sap_continuous(data: &Labelled) -> Sap {
    let factors: Vec<Vec<f64>> = (0..data.factors().count())
        .map(|k| data.factors().factor(k).into_iter().map(f64::from).collect())
        .collect();
    let latents: Vec<_> = (0..data.codes().latents()).map(|d| data.codes().latent(d)).collect();
    Sap::of(Matrix::from_fn(latents.len(), factors.len(), |d, k| {
        let [own, both, other] = moments(&latents[d], &factors[k]);
        if own <= 1e-12 || other <= 0.0 { 0.0 } else { both * both / (own * other) }
    }))
}

/// Variance of the first, covariance, variance of the second, divided by N - 1.
fn moments(a: &[f64], b: &[f64]) -> [f64; 3] {
    let count = a.len() as f64;
    let [mean_a, mean_b] = [a, b].map(|x| x.iter().sum::<f64>() / count);
    let mut sums = [0.0; 3];
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        sums[0] += a * a;
        sums[1] += a * b;
        sums[2] += b * b;
    }
    sums.map(|sum| sum / (count - 1.0).max(1.0))
}

impl Sap {
    fn of(predictions: Matrix) -> Self {
        let gap = |k: usize| {
            let mut column: Vec<f64> = predictions.column(k).collect();
            column.sort_by(|a, b| b.total_cmp(a));
            column[0] - column.get(1).copied().unwrap_or(0.0)
        };
        let gaps: Vec<f64> = (0..predictions.columns()).map(gap).collect();
        let score = gaps.iter().sum::<f64>() / gaps.len() as f64;
        Self { score, gaps, predictions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::grid;

    #[test]
    fn ideal_duplicated_and_constant_codes() {
        let split = |code: fn(&[i64]) -> Vec<f64>| {
            Split::draw(&grid(code), 320, 160, &mut Random::new(0, 0)).unwrap()
        };
        let settings = SvmSettings { c: 100.0 };
        let ideal = sap(&split(|y| vec![y[0] as f64, y[1] as f64, y[2] as f64]), settings);
        // The second best latent still guesses as well as chance.
        assert!(ideal.score > 0.3 && ideal.predictions[[0, 0]] > 0.99, "{ideal:?}");
        let twice = sap(&split(|y| vec![y[1] as f64, y[1] as f64]), settings);
        assert_eq!(twice.gaps[1], 0.0);
        assert_eq!(sap(&split(|_| vec![1.0, 1.0]), settings).score, 0.0);
        let continuous = sap_continuous(&grid(|y| vec![-2.0 * y[0] as f64, y[1] as f64, 1.0]));
        assert!((continuous.gaps[0] - 1.0).abs() < 1e-12 && continuous.gaps[2] < 1e-12);
    }
}
