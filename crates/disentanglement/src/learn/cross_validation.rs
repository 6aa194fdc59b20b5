//! The strength of a penalty, from the data.

use rayon::prelude::*;

use super::{Logistic, LogisticSettings, accuracy};
use crate::array::Matrix;

const FOLDS: usize = 5;
const STRENGTHS: usize = 10;

/// The logistic regression whose C, of ten from 1e-4 to 1e4, has the best mean accuracy over five
/// folds of neighbouring rows: scikit-learn's `LogisticRegressionCV(cv=KFold(5))`. The smallest of
/// equally good ones. With fewer than five rows, C = 1.
///
/// Every fit starts from that of the next smaller C and ends after 100 steps, like scikit-learn's. For
/// weak penalties that is before the minimum, so accuracies may differ from its by a percent.
pub fn logistic_with_best_c(features: &Matrix, classes: &[u32]) -> Logistic {
    let settings = LogisticSettings { steps: 100, tolerance: 1e-4, ..LogisticSettings::default() };
    let rows = classes.len();
    if rows < FOLDS {
        return Logistic::fit(features, classes, settings);
    }
    let step = |i: usize| 10f64.powf(-4.0 + 8.0 * i as f64 / (STRENGTHS - 1) as f64);
    let strengths: Vec<f64> = (0..STRENGTHS).map(step).collect();
    let select = |wanted: &dyn Fn(usize) -> bool| {
        let rows: Vec<usize> = (0..rows).filter(|row| wanted(*row)).collect();
        let values = rows.iter().flat_map(|row| features.row(*row)).copied().collect();
        let part = Matrix::from_vec(rows.len(), features.columns(), values);
        (part, rows.iter().map(|row| classes[*row]).collect::<Vec<u32>>())
    };
    let fold = |fold: usize| {
        // The first folds have one row more.
        let start = fold * (rows / FOLDS) + fold.min(rows % FOLDS);
        let held = start..start + rows / FOLDS + usize::from(fold < rows % FOLDS);
        let (train, train_classes) = select(&|row| !held.contains(&row));
        let (test, test_classes) = select(&|row| held.contains(&row));
        let mut last = None;
        let mut score = |c: &f64| {
            let settings = LogisticSettings { c: *c, ..settings };
            let fit = Logistic::fit_from(last.as_ref(), &train, &train_classes, settings);
            let score = accuracy(&fit, &test, &test_classes);
            last = Some(fit);
            score
        };
        strengths.iter().map(&mut score).collect::<Vec<f64>>()
    };
    let folds: Vec<Vec<f64>> = (0..FOLDS).into_par_iter().map(fold).collect();
    let means: Vec<f64> =
        (0..STRENGTHS).map(|i| folds.iter().map(|scores| scores[i]).sum()).collect();
    let c = strengths[super::argmax(&means)];
    Logistic::fit(features, classes, LogisticSettings { c, ..settings })
}
