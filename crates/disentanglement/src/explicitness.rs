//! Explicitness.

use rayon::prelude::*;
use serde::Serialize;

use crate::array::{Labelled, Matrix};
use crate::dci::standard;
use crate::learn::{Logistic, LogisticSettings};
use crate::split::Split;

/// The result of [`explicitness`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explicitness {
    /// The mean of `per_factor`.
    pub score: f64,
    /// The mean area over the classes of each factor on the test rows, `[K]`.
    pub per_factor: Vec<f64>,
    /// The same on the training rows.
    pub train: Vec<f64>,
}

/// How well a logistic regression from all latents ranks the rows of each class before the others
/// (Ridgeway and Mozer 2018): the area under the ROC curve, one class against the rest, averaged over
/// classes and factors. 0.5 is chance, which a constant code scores, and 1 perfect.
///
/// Convention of disentanglement_lib (`modularity_explicitness.py`): codes standardised with the
/// training rows' mean and deviation, C = 1, the area not rescaled to [0, 1].
///
/// A constant latent is 0 after standardising (there 0 / 0). A class that no test row or every test
/// row has, has no area and is left out (there an error); a factor without any class left counts as
/// 0.5. A class that no training row has is ranked by chance, 0.5.
pub fn explicitness(split: &Split) -> Explicitness {
    let codes = split.train.codes().matrix();
    let scales: Vec<_> = (0..codes.columns()).map(|d| standard(codes.column(d))).collect();
    let standardised = |data: &Labelled| {
        let codes = data.codes().matrix();
        Matrix::from_fn(codes.rows(), codes.columns(), |i, d| {
            (codes[[i, d]] - scales[d].0) / scales[d].1
        })
    };
    let features = [standardised(&split.train), standardised(&split.test)];
    let areas = |k: usize| {
        let classes = [&split.train, &split.test].map(|data| data.factors().factor(k));
        let fit = Logistic::fit(&features[0], &classes[0], LogisticSettings::default());
        [0, 1].map(|part| mean_area(&fit, &features[part], &classes[part]))
    };
    let areas: Vec<_> = (0..split.train.factors().count()).into_par_iter().map(areas).collect();
    let [train, per_factor] = [0, 1].map(|part| areas.iter().map(|area| area[part]).collect());
    let per_factor: Vec<f64> = per_factor;
    let score = per_factor.iter().sum::<f64>() / per_factor.len() as f64;
    Explicitness { score, per_factor, train }
}

fn mean_area(fit: &Logistic, features: &Matrix, classes: &[u32]) -> f64 {
    let probabilities = fit.probabilities(features);
    let mut known = classes.to_vec();
    known.sort_unstable();
    known.dedup();
    let area = |class: &u32| {
        let scores: Vec<f64> = match fit.classes().iter().position(|other| other == class) {
            Some(column) => probabilities.column(column).collect(),
            None => vec![0.0; classes.len()],
        };
        let positive: Vec<bool> = classes.iter().map(|other| other == class).collect();
        area_under_curve(&scores, &positive)
    };
    let areas: Vec<f64> = known.iter().filter_map(area).collect();
    if areas.is_empty() { 0.5 } else { areas.iter().sum::<f64>() / areas.len() as f64 }
}

/// The chance that a positive row has a higher score than a negative one, where equal scores count
/// half; `None` if there are not both.
fn area_under_curve(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let positives = positive.iter().filter(|positive| **positive).count();
    let negatives = positive.len() - positives;
    // Mann and Whitney: from the positives' ranks, equal scores sharing the mean of theirs.
    let (mut ranks, mut start) = (0.0, 0);
    for tie in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let rank = start as f64 + (tie.len() + 1) as f64 / 2.0;
        ranks += rank * tie.iter().filter(|row| positive[**row]).count() as f64;
        start += tie.len();
    }
    let least = (positives * (positives + 1)) as f64 / 2.0;
    (positives > 0 && negatives > 0).then(|| (ranks - least) / (positives * negatives) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::grid;

    #[test]
    fn areas_of_known_rankings() {
        let area = |scores: &[f64], positive| area_under_curve(scores, positive);
        assert_eq!(area(&[0.1, 0.2, 0.3], &[false, true, true]), Some(1.0));
        assert_eq!(area(&[0.1, 0.1, 0.1], &[false, true, true]), Some(0.5));
        assert_eq!(area(&[0.4, 0.2, 0.3], &[false, true, false]), Some(0.0));
        assert_eq!(area(&[0.4, 0.2], &[true, true]), None);
    }

    #[test]
    fn told_constant_and_missing() {
        let split = |code: fn(&[i64]) -> Vec<f64>| {
            Split::draw(&grid(code), 320, 160, &mut Random::new(0, 0)).unwrap()
        };
        let one_hot =
            split(|y| (0..12).map(|i| f64::from(u8::from(y[i / 4] == i as i64 % 4))).collect());
        assert!(explicitness(&one_hot).score > 0.999);
        assert_eq!(explicitness(&split(|_| vec![1.0, 2.0])).score, 0.5);
        let few = Split::draw(&one_hot.train.select(&[0, 1, 2]), 2, 1, &mut Random::new(0, 0));
        assert_eq!(explicitness(&few.unwrap()).score, 0.5);
    }
}
