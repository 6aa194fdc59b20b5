//! The classifiers and regressions behind scores, as scikit-learn defines them.
//!
//! They predict classes of one factor from codes. A class that does not occur in the training rows
//! is never predicted; where only one occurs, it always is.

mod boosting;
mod cross_validation;
mod exponential;
mod forest;
mod lasso;
mod lbfgs;
mod logistic;
mod softmax;
mod svm;
mod tree;

pub use boosting::{Boosting, BoostingSettings};
pub use cross_validation::logistic_with_best_c;
pub use forest::{Forest, ForestSettings};
pub(crate) use lasso::Gram;
pub use lasso::{Lasso, LassoSettings};
pub use logistic::{Logistic, LogisticSettings};
pub use softmax::{Softmax, SoftmaxSettings};
pub use svm::{LinearSvm, SvmSettings};

use crate::array::Matrix;

/// Something that predicts a class from a row of features.
pub trait Classifier: Sync {
    /// The class of each row of `features` [N, D].
    fn predict(&self, features: &Matrix) -> Vec<u32>;
}

/// The share of rows that get their class. Of no rows: 0.
pub fn accuracy(classifier: &dyn Classifier, features: &Matrix, classes: &[u32]) -> f64 {
    let right = classifier.predict(features).iter().zip(classes).filter(|(a, b)| a == b).count();
    right as f64 / classes.len().max(1) as f64
}

/// The classes that occur, in rising order, and each row's place among them.
fn present(classes: &[u32]) -> (Vec<u32>, Vec<usize>) {
    let mut known = classes.to_vec();
    known.sort_unstable();
    known.dedup();
    let place = |class: &u32| known.partition_point(|other| other < class);
    let places = classes.iter().map(place).collect();
    (known, places)
}

/// How many rows have each of `count` classes.
fn counts(places: &[usize], count: usize) -> Vec<usize> {
    let mut counts = vec![0; count];
    places.iter().for_each(|place| counts[*place] += 1);
    counts
}

/// Where the largest value is; the first of equal ones.
pub(crate) fn argmax(values: &[f64]) -> usize {
    let better = |best: usize, i: usize| if values[i] > values[best] { i } else { best };
    (1..values.len()).fold(0, better)
}
