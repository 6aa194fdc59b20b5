//! Gradient-boosted classification trees.

use multiversion::multiversion;
use rayon::prelude::*;

use super::exponential::softmax;
use super::logistic::sigmoid;
use super::tree::{self, LEAVES, Scratch, Sorted, Tree};
use super::{Classifier, argmax, counts, present};
use crate::array::Matrix;
use crate::random::Random;

/// Rows whose probabilities or predictions one task computes.
const CHUNK: usize = 256;

/// How to fit a [`Boosting`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoostingSettings {
    /// Stages, each of one tree per class; for two classes, of one.
    pub stages: usize,
    /// Share of each tree's answer that is added.
    pub learning_rate: f64,
    /// Seed that decides between equally good splits.
    pub seed: u64,
}

impl Default for BoostingSettings {
    /// scikit-learn's: 100 stages, learning rate 0.1.
    fn default() -> Self {
        Self { stages: 100, learning_rate: 0.1, seed: 0 }
    }
}

/// Boosted trees of depth 3 with the multinomial deviance (Friedman 2001, algorithm 6): scikit-learn's
/// `GradientBoostingClassifier` with its defaults. Only which of equally good splits is taken is random.
#[derive(Clone, Debug, PartialEq)]
pub struct Boosting {
    classes: Vec<u32>,
    /// Logits before any tree.
    start: Vec<f64>,
    /// [stage, output]; one output for two classes.
    stages: Vec<Vec<Tree>>,
    learning_rate: f64,
    importances: Vec<f64>,
}

impl Boosting {
    /// Fits `features` [N, D] to `classes` `[N]`.
    pub fn fit(features: &Matrix, classes: &[u32], settings: BoostingSettings) -> Self {
        assert_eq!(features.rows(), classes.len(), "a class for each row");
        let (known, places) = present(classes);
        let counts = counts(&places, known.len());
        let mut boosting = Self {
            start: start(&counts),
            classes: known,
            stages: Vec::new(),
            learning_rate: settings.learning_rate,
            importances: vec![0.0; features.columns()],
        };
        let sorted = Sorted::new(features);
        let outputs = boosting.start.len();
        // [output, row]
        let mut logits: Vec<Vec<f64>> =
            boosting.start.iter().map(|logit| vec![*logit; classes.len()]).collect();
        let stages = if outputs == 0 { 0 } else { settings.stages };
        for stage in 0..stages {
            let residuals = residuals(&logits, &places);
            let fit = |scratch: &mut Scratch, (output, (residual, logits)): Task<'_>| {
                let mut random = Random::new(settings.seed, (stage * outputs + output) as u64);
                let mut importances = vec![0.0; features.columns()];
                let mut tree = tree::fit(&sorted, residual, &mut importances, scratch, &mut random);
                tree.leaves = leaves(residual, &scratch.leaf, outputs);
                for (logit, leaf) in logits.iter_mut().zip(&scratch.leaf) {
                    *logit += settings.learning_rate * tree.leaves[usize::from(*leaf)];
                }
                (tree, importances)
            };
            let each = residuals.par_iter().zip(&mut logits).enumerate();
            let fitted: Vec<_> = each.map_init(|| Scratch::new(&sorted), fit).collect();
            let (trees, importances): (_, Vec<_>) = fitted.into_iter().unzip();
            boosting.stages.push(trees);
            for part in importances {
                boosting.importances.iter_mut().zip(part).for_each(|(to, from)| *to += from);
            }
        }
        let total: f64 = boosting.importances.iter().sum();
        if total > 0.0 {
            boosting.importances.iter_mut().for_each(|x| *x /= total);
        }
        boosting
    }

    /// The share of each feature in what all trees lowered the squared error by: scikit-learn's
    /// `feature_importances_`. All 0 where no tree has a split.
    pub fn importances(&self) -> &[f64] {
        &self.importances
    }
}

impl Classifier for Boosting {
    fn predict(&self, features: &Matrix) -> Vec<u32> {
        let class = |row: usize| {
            let row = features.row(row);
            let mut logits = self.start.clone();
            for trees in &self.stages {
                for (logit, tree) in logits.iter_mut().zip(trees) {
                    *logit += self.learning_rate * tree.predict(row);
                }
            }
            match logits[..] {
                [] => self.classes[0],
                [logit] => self.classes[usize::from(logit > 0.0)],
                _ => self.classes[argmax(&logits)],
            }
        };
        (0..features.rows()).into_par_iter().with_min_len(CHUNK).map(class).collect()
    }
}

/// An output with its residuals and logits.
type Task<'a> = (usize, (&'a Vec<f64>, &'a mut Vec<f64>));

/// The logits of the classes' shares; of the second one for two classes.
fn start(counts: &[usize]) -> Vec<f64> {
    let logs: Vec<f64> = counts.iter().map(|count| (*count as f64).ln()).collect();
    match logs[..] {
        [] | [_] => Vec::new(),
        [first, second] => vec![second - first],
        _ => {
            let mean = logs.iter().sum::<f64>() / logs.len() as f64;
            logs.iter().map(|log| log - mean).collect()
        }
    }
}

/// Whether a row has the output's class, less the probability of that: [output, row].
fn residuals(logits: &[Vec<f64>], places: &[usize]) -> Vec<Vec<f64>> {
    if let [logits] = logits {
        let residual = |(logit, place): (&f64, &usize)| *place as f64 - sigmoid(*logit);
        return vec![logits.iter().zip(places).map(residual).collect()];
    }
    let mut residuals = vec![vec![0.0; places.len()]; logits.len()];
    let mut chunks: Vec<Vec<&mut [f64]>> = Vec::new();
    chunks.resize_with(places.len().div_ceil(CHUNK), Vec::new);
    for residual in &mut residuals {
        let parts = residual.chunks_mut(CHUNK);
        chunks.iter_mut().zip(parts).for_each(|(chunk, part)| chunk.push(part));
    }
    chunks.into_par_iter().enumerate().for_each(|(chunk, mut to)| {
        chunk_residuals(logits, places, chunk * CHUNK, &mut to);
    });
    residuals
}

/// Of the rows that begin at `first`.
#[multiversion(targets("x86_64+avx2"))]
fn chunk_residuals(logits: &[Vec<f64>], places: &[usize], first: usize, to: &mut [&mut [f64]]) {
    let mut row_logits = vec![0.0; logits.len()];
    for i in 0..to[0].len() {
        let row = first + i;
        for (to, from) in row_logits.iter_mut().zip(logits) {
            *to = from[row];
        }
        softmax(&mut row_logits);
        for (to, p) in to.iter_mut().zip(&row_logits) {
            to[i] = -p;
        }
        to[places[row]][i] += 1.0;
    }
}

/// One step of Newton's method in each leaf (Friedman 2001, equation 32).
fn leaves(residual: &[f64], leaf: &[u8], outputs: usize) -> [f64; LEAVES] {
    let (mut sums, mut curvatures) = ([0.0; LEAVES], [0.0; LEAVES]);
    for (residual, leaf) in residual.iter().zip(leaf) {
        sums[usize::from(*leaf)] += residual;
        // The residual is -p or 1 - p.
        curvatures[usize::from(*leaf)] += residual.abs() * (1.0 - residual.abs());
    }
    let factor = if outputs == 1 { 1.0 } else { (outputs - 1) as f64 / outputs as f64 };
    let mut values = [0.0; LEAVES];
    for ((value, sum), curvature) in values.iter_mut().zip(sums).zip(curvatures) {
        if f64::abs(curvature) > 1e-150 {
            *value = factor * sum / curvature;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::accuracy;

    #[test]
    fn learns_what_no_line_separates_and_from_which_features() {
        let mut random = Random::new(0, 0);
        let features = Matrix::from_fn(400, 3, |_, _| random.uniform());
        for count in [2, 4] {
            let class = |row: usize| {
                let [a, b] = [features[[row, 0]], features[[row, 2]]].map(|x| u32::from(x > 0.5));
                if count == 2 { u32::from(a != b) } else { 2 * a + b }
            };
            let classes: Vec<u32> = (0..400).map(class).collect();
            let fit = Boosting::fit(&features, &classes, BoostingSettings::default());
            assert!(accuracy(&fit, &features, &classes) > 0.98);
            assert!(fit.importances()[1] < 0.2);
            assert!((fit.importances().iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn constant_features_and_a_single_class_are_no_trouble() {
        let features = Matrix::from_fn(10, 2, |_, _| 0.5);
        let classes = [3, 3, 3, 3, 3, 3, 3, 1, 1, 1];
        let fit = Boosting::fit(&features, &classes, BoostingSettings::default());
        assert_eq!((fit.predict(&features)[9], fit.importances()), (3, &[0.0, 0.0][..]));
        let fit = Boosting::fit(&features, &[5; 10], BoostingSettings::default());
        assert_eq!(fit.predict(&features), [5; 10]);
    }
}
