//! Least squares with an L1 penalty.

use crate::array::Matrix;

/// How to fit a [`Lasso`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LassoSettings {
    /// Strength of the penalty.
    pub alpha: f64,
    /// Passes over the features at most.
    pub passes: usize,
    /// Stop where a pass changes no prediction's contribution by more than this share of the target's
    /// standard deviation.
    pub tolerance: f64,
}

impl Default for LassoSettings {
    /// alpha 0.1, as UDR has it.
    fn default() -> Self {
        Self { alpha: 0.1, passes: 1000, tolerance: 1e-10 }
    }
}

/// scikit-learn's `Lasso`: minimises |y - X w - b|^2 / (2 N) + alpha |w|_1 by coordinate descent.
#[derive(Clone, Debug, PartialEq)]
pub struct Lasso {
    /// w, one for each feature; 0 for a constant one.
    pub weights: Vec<f64>,
    /// b
    pub intercept: f64,
}

impl Lasso {
    /// Fits `features` [N, D] to `target` `[N]`.
    pub fn fit(features: &Matrix, target: &[f64], settings: LassoSettings) -> Self {
        Gram::new(features).fit(target, settings)
    }

    /// The prediction for each row.
    pub fn predict(&self, features: &Matrix) -> Vec<f64> {
        let predict = |row: usize| {
            let products = features.row(row).iter().zip(&self.weights).map(|(x, w)| x * w);
            self.intercept + products.sum::<f64>()
        };
        (0..features.rows()).map(predict).collect()
    }
}

/// What several targets share: the features, centred, and their products.
pub(crate) struct Gram {
    means: Vec<f64>,
    /// [D, N], centred
    columns: Matrix,
    /// [D, D], divided by N
    products: Matrix,
}

impl Gram {
    pub(crate) fn new(features: &Matrix) -> Self {
        let rows = features.rows().max(1) as f64;
        let means: Vec<f64> =
            (0..features.columns()).map(|d| features.column(d).sum::<f64>() / rows).collect();
        let columns = Matrix::from_fn(features.columns(), features.rows(), |d, i| {
            features[[i, d]] - means[d]
        });
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let products = Matrix::from_fn(means.len(), means.len(), |a, b| {
            dot(columns.row(a), columns.row(b)) / rows
        });
        Self { means, columns, products }
    }

    pub(crate) fn fit(&self, target: &[f64], settings: LassoSettings) -> Lasso {
        let rows = target.len().max(1) as f64;
        let mean = target.iter().sum::<f64>() / rows;
        let variance = target.iter().map(|y| (y - mean) * (y - mean)).sum::<f64>() / rows;
        let count = self.means.len();
        // The slope of the squared error by each weight: x'(y - X w) / N.
        let mut slopes: Vec<f64> = (0..count)
            .map(|d| {
                self.columns.row(d).iter().zip(target).map(|(x, y)| x * (y - mean)).sum::<f64>()
                    / rows
            })
            .collect();
        let mut weights = vec![0.0; count];
        for _ in 0..settings.passes {
            let mut largest: f64 = 0.0;
            for d in 0..count {
                let own = self.products[[d, d]];
                // A constant feature, but for rounding, explains nothing.
                if own <= 1e-24 * (1.0 + self.means[d] * self.means[d]) {
                    continue;
                }
                let alone = slopes[d] + own * weights[d];
                let weight = alone.signum() * (alone.abs() - settings.alpha).max(0.0) / own;
                let change = weight - weights[d];
                if change != 0.0 {
                    for (slope, product) in slopes.iter_mut().zip(self.products.row(d)) {
                        *slope -= product * change;
                    }
                    weights[d] = weight;
                    largest = largest.max(change * change * own);
                }
            }
            if largest <= settings.tolerance * settings.tolerance * variance {
                break;
            }
        }
        let shift: f64 = self.means.iter().zip(&weights).map(|(mean, w)| mean * w).sum();
        Lasso { intercept: mean - shift, weights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn no_small_change_of_a_weight_lowers_the_objective() {
        let mut random = Random::new(1, 0);
        let features = Matrix::from_fn(200, 4, |_, d| if d == 3 { 2.5 } else { random.normal() });
        let target: Vec<f64> =
            (0..200).map(|i| 2.0 * features[[i, 0]] - 0.05 * features[[i, 1]] + 1.0).collect();
        let lasso = Lasso::fit(&features, &target, LassoSettings::default());
        let objective = |lasso: &Lasso| {
            let errors =
                lasso.predict(&features).into_iter().zip(&target).map(|(p, y)| (p - y).powi(2));
            let size: f64 = lasso.weights.iter().map(|w| w.abs()).sum();
            errors.sum::<f64>() / 400.0 + 0.1 * size
        };
        assert_eq!((lasso.weights[1], lasso.weights[3]), (0.0, 0.0));
        let least = objective(&lasso);
        for d in 0..3 {
            for change in [-1e-4, 1e-4] {
                let mut other = lasso.clone();
                other.weights[d] += change;
                assert!(objective(&other) > least);
            }
        }
    }
}
