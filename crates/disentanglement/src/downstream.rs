//! Downstream accuracy.

use rayon::prelude::*;
use serde::Serialize;

use crate::array::{Labelled, Matrix};
use crate::error::Result;
use crate::learn::{Boosting, BoostingSettings, accuracy, logistic_with_best_c};
use crate::random::Random;
use crate::split::Split;

/// Training rows in disentanglement_lib.
pub const DOWNSTREAM_SIZES: [usize; 4] = [10, 100, 1000, 10_000];

/// What learns the factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learner {
    /// Gradient-boosted trees with scikit-learn's defaults.
    Boosting,
    /// Logistic regression whose C is the best of ten between 1e-4 and 1e4 in five folds.
    Logistic,
}

/// The result of [`downstream`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Downstream {
    /// Training rows of each row of `accuracies`.
    pub sizes: Vec<usize>,
    /// Test accuracy of each factor, [size, K].
    pub accuracies: Matrix,
}

/// How well factors are learned from the codes of a few or many rows (Locatello et al. 2019, section
/// 5.5; disentanglement_lib's `downstream_task.py`): the test accuracy for each number of training rows.
/// Fewer training rows are the first ones of more.
///
/// Sizes above two thirds of the rows are left out, and at most what those leave is tested on, so own
/// data with few labels works.
///
/// # Errors
/// If there are too few rows for training and test.
pub fn downstream(
    data: &Labelled,
    sizes: &[usize],
    test: usize,
    learner: Learner,
    random: &mut Random,
) -> Result<Downstream> {
    let sizes = fitting(sizes, data.len());
    let most = sizes.iter().copied().max().unwrap_or(0);
    let split = Split::draw(data, most, test.min(data.len() - most), random)?;
    let (factors, test) = (data.factors().count(), &split.test);
    let score = |i: usize| {
        let (size, k) = (sizes[i / factors], i % factors);
        let rows: Vec<usize> = (0..size).collect();
        let train = split.train.select(&rows);
        let (features, classes) = (train.codes().matrix(), train.factors().factor(k));
        let tested = test.factors().factor(k);
        match learner {
            Learner::Boosting => {
                let fit = Boosting::fit(features, &classes, BoostingSettings::default());
                accuracy(&fit, test.codes().matrix(), &tested)
            }
            Learner::Logistic => {
                let fit = logistic_with_best_c(features, &classes);
                accuracy(&fit, test.codes().matrix(), &tested)
            }
        }
    };
    let scores = (0..sizes.len() * factors).into_par_iter().map(score).collect();
    Ok(Downstream { accuracies: Matrix::from_vec(sizes.len(), factors, scores), sizes })
}

/// The sizes that leave a third of the rows to test on.
pub(crate) fn fitting(sizes: &[usize], rows: usize) -> Vec<usize> {
    sizes.iter().copied().filter(|size| *size <= rows * 2 / 3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grid;

    #[test]
    fn more_rows_teach_more_and_too_many_are_left_out() {
        let data = grid(|y| vec![y[0] as f64, (y[1] * 3 + y[2]) as f64, 1.0]);
        for learner in [Learner::Boosting, Learner::Logistic] {
            let found =
                downstream(&data, &[5, 300, 5000], 100, learner, &mut Random::new(0, 0)).unwrap();
            assert_eq!(found.sizes, [5, 300]);
            let [few, many] = [0, 1].map(|row| found.accuracies.row(row).iter().sum::<f64>());
            assert!(many > few && found.accuracies[[1, 0]] == 1.0, "{found:?}");
        }
    }
}
