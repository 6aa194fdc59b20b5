//! Disentanglement, completeness and informativeness.

use rayon::prelude::*;
use serde::Serialize;

use crate::array::{Labelled, Matrix};
use crate::learn::{
    Boosting, BoostingSettings, Classifier, Forest, ForestSettings, Lasso, LassoSettings, accuracy,
};
use crate::split::Split;

/// What predicts each factor from all latents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Predictor {
    /// Gradient-boosted trees, as in disentanglement_lib; informativeness is the accuracy.
    Boosting(BoostingSettings),
    /// A random forest, as in Eastwood and Williams 2018; informativeness is the accuracy.
    Forest(ForestSettings),
    /// The lasso on standardised codes and class numbers, as in Eastwood and Williams 2018;
    /// informativeness is 1 less their normalised root of the mean squared error.
    Lasso(LassoSettings),
}

impl Default for Predictor {
    fn default() -> Self {
        Self::Boosting(BoostingSettings::default())
    }
}

/// The result of [`dci`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dci {
    /// Σ_d ρ_d D_d
    pub disentanglement: f64,
    /// Σ_k w_k C_k
    pub completeness: f64,
    /// How well factors are predicted on the test rows, averaged over factors.
    pub informativeness: f64,
    /// The same on the training rows.
    pub informativeness_train: f64,
    /// D_d = 1 - H_K(R_d / Σ_k R_dk), `[D]`
    pub per_latent: Vec<f64>,
    /// C_k = 1 - H_D(R_k / Σ_d R_dk), `[K]`
    pub per_factor: Vec<f64>,
    /// How well each factor is predicted on the test rows, `[K]`.
    pub predictions: Vec<f64>,
    /// R: importance of each latent for each factor, [D, K].
    pub importance: Matrix,
}

/// How evenly each latent's importance spreads over factors, each factor's over latents, and how well
/// factors are predicted (Eastwood and Williams 2018, section 2). With R the importances, H_K the
/// entropy to base K, and ρ and w the shares of rows and columns in the sum of R.
///
/// Convention of disentanglement_lib (`dci.py`), including the 1e-11 that is added to R; what it calls
/// informativeness errors are accuracies. The ideal code scores 1 in all three, a constant one 0 in
/// the first two: where R is 0 everywhere, rows and columns weigh the same.
///
/// A constant factor is predicted always and has no importances; with one factor every latent counts
/// as disentangled, with one latent every factor as complete.
pub fn dci(split: &Split, predictor: Predictor) -> Dci {
    let Split { train, test } = split;
    let fit = |k: usize| {
        let of = |data: &Labelled| data.factors().factor(k);
        match predictor {
            Predictor::Boosting(settings) => {
                let fit = Boosting::fit(train.codes().matrix(), &of(train), settings);
                (fit.importances().to_vec(), accuracies(&fit, split, k))
            }
            Predictor::Forest(settings) => {
                let fit = Forest::fit(train.codes().matrix(), &of(train), settings);
                (fit.importances().to_vec(), accuracies(&fit, split, k))
            }
            Predictor::Lasso(settings) => lasso([train, test], k, settings),
        }
    };
    let fits: Vec<_> = (0..train.factors().count()).into_par_iter().map(fit).collect();
    let importance =
        Matrix::from_fn(train.codes().latents(), fits.len(), |d, k| fits[k].0[d].abs());
    let mean = |which: usize| fits.iter().map(|(_, of)| of[which]).sum::<f64>() / fits.len() as f64;
    let (per_latent, disentanglement) = evenness(&importance);
    let (per_factor, completeness) = evenness(&importance.transposed());
    Dci {
        disentanglement,
        completeness,
        informativeness: mean(1),
        informativeness_train: mean(0),
        per_latent,
        per_factor,
        predictions: fits.iter().map(|(_, of)| of[1]).collect(),
        importance,
    }
}

/// On training and test rows.
fn accuracies(fit: &dyn Classifier, split: &Split, k: usize) -> [f64; 2] {
    [&split.train, &split.test]
        .map(|data| accuracy(fit, data.codes().matrix(), &data.factors().factor(k)))
}

fn lasso([train, test]: [&Labelled; 2], k: usize, settings: LassoSettings) -> (Vec<f64>, [f64; 2]) {
    let codes = train.codes().matrix();
    let scales: Vec<_> = (0..codes.columns()).map(|d| standard(codes.column(d))).collect();
    let standardised = |codes: &Matrix| {
        Matrix::from_fn(codes.rows(), codes.columns(), |i, d| {
            (codes[[i, d]] - scales[d].0) / scales[d].1
        })
    };
    let classes = |data: &Labelled| data.factors().factor(k).into_iter().map(f64::from);
    let (mean, deviation) = standard(classes(train));
    let target = |data| classes(data).map(|y| (y - mean) / deviation).collect::<Vec<_>>();
    let fit = Lasso::fit(&standardised(codes), &target(train), settings);
    let informativeness = [train, test].map(|data| {
        let predicted = fit.predict(&standardised(data.codes().matrix()));
        let errors = predicted.iter().zip(target(data)).map(|(p, y)| (p - y) * (p - y));
        1.0 - (errors.sum::<f64>() / data.len() as f64).sqrt()
    });
    (fit.weights, informativeness)
}

/// Mean and standard deviation, the latter 1 where all values are equal.
pub(crate) fn standard(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let first = values.clone().next().unwrap_or(0.0);
    let count = values.clone().count().max(1) as f64;
    // Shifted, so that equal values have no variance from rounding.
    let shift = values.clone().map(|x| x - first).sum::<f64>() / count;
    let squares = values.map(|x| (x - first - shift) * (x - first - shift)).sum::<f64>();
    let deviation = (squares / count).sqrt();
    (first + shift, if deviation > 0.0 { deviation } else { 1.0 })
}

/// For each row 1 - its entropy to the base of the number of columns; and their mean, weighted by the
/// rows' sums.
fn evenness(importance: &Matrix) -> (Vec<f64>, f64) {
    let base = (importance.columns() as f64).ln();
    let each: Vec<f64> = (0..importance.rows())
        .map(|row| {
            let row: Vec<f64> = importance.row(row).iter().map(|x| x + 1e-11).collect();
            let sum: f64 = row.iter().sum();
            let entropy: f64 = row.iter().map(|x| -(x / sum) * (x / sum).ln()).sum();
            if row.len() < 2 { 1.0 } else { 1.0 - entropy / base }
        })
        .collect();
    let sums: Vec<f64> =
        (0..importance.rows()).map(|row| importance.row(row).iter().sum()).collect();
    let total: f64 = sums.iter().sum();
    let mean = each.iter().zip(sums).map(|(value, sum)| {
        value * if total > 0.0 { sum / total } else { 1.0 / importance.rows() as f64 }
    });
    let mean = mean.sum();
    (each, mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::grid;

    fn score(predictor: Predictor, code: impl Fn(&[i64]) -> Vec<f64>) -> Dci {
        let split = Split::draw(&grid(code), 320, 160, &mut Random::new(0, 0)).unwrap();
        dci(&split, predictor)
    }

    #[test]
    fn ideal_permuted_and_constant_codes() {
        let forest = ForestSettings { trees: 30, ..ForestSettings::default() };
        let lasso = LassoSettings { alpha: 0.02, ..LassoSettings::default() };
        for (predictor, least) in [
            (Predictor::default(), 0.99),
            (Predictor::Forest(forest), 0.8),
            (Predictor::Lasso(lasso), 0.9),
        ] {
            let ideal = score(predictor, |y| vec![y[0] as f64, y[1] as f64, y[2] as f64]);
            assert!(ideal.disentanglement > least && ideal.completeness > least, "{ideal:?}");
            assert!(ideal.informativeness > 0.97, "{ideal:?}");
            let permuted =
                score(predictor, |y| vec![-3.0 * y[2] as f64, y[0] as f64 + 7.0, y[1] as f64]);
            assert!((permuted.disentanglement - ideal.disentanglement).abs() < 0.02);
            let constant = score(predictor, |_| vec![1.5, 2.0]);
            assert!(constant.disentanglement.abs() < 1e-9 && constant.completeness.abs() < 1e-9);
        }
    }
}
