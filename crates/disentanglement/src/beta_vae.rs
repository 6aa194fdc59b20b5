//! The score of Higgins et al. 2017.

use rayon::prelude::*;
use serde::Serialize;

use crate::array::Matrix;
use crate::error::{Error, Result};
use crate::learn::{Logistic, LogisticSettings, Softmax, SoftmaxSettings, accuracy};
use crate::random::Random;
use crate::source::{Draw, Source};

/// The classifier that guesses the fixed factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Guesser {
    /// scikit-learn's logistic regression with C = 1, as in disentanglement_lib.
    Logistic,
    /// A linear layer with a softmax, fitted with Adagrad, as in Higgins et al. 2017.
    Softmax(SoftmaxSettings),
}

/// Settings of [`beta_vae`].
#[derive(Clone, Debug, PartialEq)]
pub struct BetaVaeSettings {
    /// The factors that may be fixed; all if empty.
    pub factors: Vec<usize>,
    /// Pairs L whose differences are averaged.
    pub pairs: usize,
    /// Differences to learn from.
    pub train: usize,
    /// Differences to test on.
    pub test: usize,
    /// The classifier.
    pub guesser: Guesser,
}

/// As in disentanglement_lib (`beta_vae_sklearn.gin`): all factors, 64 pairs, 10,000 and 5,000.
impl Default for BetaVaeSettings {
    fn default() -> Self {
        let (pairs, train, test) = (64, 10_000, 5_000);
        Self { factors: Vec::new(), pairs, train, test, guesser: Guesser::Logistic }
    }
}

/// The result of [`beta_vae`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BetaVaeScore {
    /// Accuracy on the test differences.
    pub score: f64,
    /// Accuracy on the training differences.
    pub train_accuracy: f64,
}

/// How well a linear classifier tells which factor two images share (Higgins et al. 2017, Algorithm
/// 1). For each training or test point a factor y is drawn, then L pairs of images in which the second
/// has the first one's class of y; the features are
///
/// z_diff = 1/L Σ_l |z₁,l - z₂,l|, one for each latent.
///
/// The ideal code scores 1, a constant one the share of the most frequent factor, about 1/K. Constant
/// latents are features that say nothing. A constant factor shares its class in all pairs; it stays a
/// possible answer.
///
/// # Errors
/// If there is no factor to fix, or the source fails.
pub fn beta_vae(
    source: &dyn Source,
    settings: &BetaVaeSettings,
    random: &mut Random,
) -> Result<BetaVaeScore> {
    let all: Vec<usize> = (0..source.sizes().len()).collect();
    let factors = if settings.factors.is_empty() { &all } else { &settings.factors };
    if let Some(factor) = factors.iter().find(|factor| **factor >= all.len()) {
        return Err(Error::Shape {
            what: "factors to fix".into(),
            expected: format!("factors below {}", all.len()),
            found: factor.to_string(),
        });
    }
    let [train, test] = [settings.train, settings.test].map(|points| {
        let seed = random.seed();
        let point = |i| difference(source, factors, settings.pairs, &mut Random::new(seed, i));
        let points: Result<Vec<_>> = (0..points as u64).into_par_iter().map(point).collect();
        points.map(|points| {
            let (factors, rows): (Vec<u32>, Vec<_>) = points.into_iter().unzip();
            (Matrix::from_vec(factors.len(), source.latents(), rows.concat()), factors)
        })
    });
    let ((train, train_factors), (test, test_factors)) = (train?, test?);
    let score = |guesser: &dyn crate::learn::Classifier| BetaVaeScore {
        score: accuracy(guesser, &test, &test_factors),
        train_accuracy: accuracy(guesser, &train, &train_factors),
    };
    Ok(match settings.guesser {
        Guesser::Logistic => {
            score(&Logistic::fit(&train, &train_factors, LogisticSettings::default()))
        }
        Guesser::Softmax(softmax) => score(&Softmax::fit(&train, &train_factors, softmax, random)),
    })
}

/// A factor and the mean difference of pairs that share it.
fn difference(
    source: &dyn Source,
    factors: &[usize],
    pairs: usize,
    random: &mut Random,
) -> Result<(u32, Vec<f64>)> {
    let factor = factors[random.below(factors.len())];
    let first = source.draw(&vec![None; pairs], random)?;
    let class = |row: usize| Some(Draw { factor, class: first.factors().row(row)[factor] });
    let like: Vec<_> = (0..pairs).map(class).collect();
    let second = source.draw(&like, random)?;
    let mut sums = vec![0.0; source.latents()];
    for row in 0..pairs {
        let both = first.codes().row(row).iter().zip(second.codes().row(row));
        sums.iter_mut().zip(both).for_each(|(sum, (a, b))| *sum += (a - b).abs());
    }
    sums.iter_mut().for_each(|sum| *sum /= pairs as f64);
    Ok((factor as u32, sums))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Pool;
    use crate::testing::grid;

    fn score(code: impl Fn(&[i64]) -> Vec<f64>, guesser: Guesser) -> f64 {
        let settings =
            BetaVaeSettings { train: 500, test: 300, guesser, ..BetaVaeSettings::default() };
        let pool = Pool::new(grid(code)).unwrap();
        beta_vae(&pool, &settings, &mut Random::new(0, 0)).unwrap().score
    }

    #[test]
    fn ideal_and_constant_codes() {
        for guesser in [Guesser::Logistic, Guesser::Softmax(SoftmaxSettings::default())] {
            let ideal = score(|y| vec![y[2] as f64, y[0] as f64, 9.0, y[1] as f64], guesser);
            assert_eq!(ideal, 1.0);
            assert!((score(|_| vec![1.0, 2.0], guesser) - 1.0 / 3.0).abs() < 0.1);
        }
    }

    #[test]
    fn an_unknown_factor_is_refused() {
        let pool = Pool::new(grid(|_| vec![0.0])).unwrap();
        let settings = BetaVaeSettings { factors: vec![1, 3], ..BetaVaeSettings::default() };
        let error = beta_vae(&pool, &settings, &mut Random::new(0, 0)).unwrap_err();
        assert!(error.to_string().contains("below 3"), "{error}");
    }
}
