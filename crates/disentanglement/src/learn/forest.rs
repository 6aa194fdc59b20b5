//! Random forests.

use std::ops::Range;

use rayon::prelude::*;

use super::{Classifier, argmax, present};
use crate::array::Matrix;
use crate::random::Random;

/// How to fit a [`Forest`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForestSettings {
    /// Number of trees.
    pub trees: usize,
    /// Levels of splits at most.
    pub depth: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for ForestSettings {
    /// scikit-learn's 100 trees, as deep as it takes.
    fn default() -> Self {
        Self { trees: 100, depth: usize::MAX, seed: 0 }
    }
}

/// A random forest (Breiman 2001): scikit-learn's `RandomForestClassifier`. Every tree has a bootstrap
/// of the rows, and every split looks at sqrt(D) features that vary in its rows, by Gini's impurity.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    classes: Vec<u32>,
    trees: Vec<Vec<Node>>,
    importances: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Split {
        feature: usize,
        threshold: f64,
        right: usize,
    },
    /// Shares of the classes.
    Leaf(Vec<f64>),
}

impl Forest {
    /// Fits `features` [N, D] to `classes` `[N]`.
    pub fn fit(features: &Matrix, classes: &[u32], settings: ForestSettings) -> Self {
        assert_eq!(features.rows(), classes.len(), "a class for each row");
        let (known, places) = present(classes);
        let grow = |tree: usize| {
            let mut random = Random::new(settings.seed, tree as u64);
            let count = classes.len();
            let rows = (0..count).map(|_| random.below(count)).collect();
            let importances = vec![0.0; features.columns()];
            let (classes, depth) = (known.len(), settings.depth);
            let nodes = Vec::new();
            let mut grower =
                Grower { features, places: &places, classes, rows, nodes, importances, random };
            grower.grow(0..count, depth);
            normalise(&mut grower.importances);
            (grower.nodes, grower.importances)
        };
        let trees: Vec<_> = (0..settings.trees).into_par_iter().map(grow).collect();
        let mut importances = vec![0.0; features.columns()];
        for (_, part) in &trees {
            importances.iter_mut().zip(part).for_each(|(to, from)| *to += from);
        }
        normalise(&mut importances);
        let trees = trees.into_iter().map(|(nodes, _)| nodes).collect();
        Self { classes: known, trees, importances }
    }

    /// The mean over the trees of each feature's share in what the impurity was lowered by; all 0 where
    /// no tree has a split.
    pub fn importances(&self) -> &[f64] {
        &self.importances
    }
}

impl Classifier for Forest {
    fn predict(&self, features: &Matrix) -> Vec<u32> {
        let class = |row: usize| {
            let row = features.row(row);
            let mut shares = vec![0.0; self.classes.len()];
            for tree in &self.trees {
                let leaf = leaf(tree, row);
                shares.iter_mut().zip(leaf).for_each(|(to, from)| *to += from);
            }
            self.classes[argmax(&shares)]
        };
        (0..features.rows()).into_par_iter().with_min_len(64).map(class).collect()
    }
}

fn leaf<'a>(tree: &'a [Node], row: &[f64]) -> &'a [f64] {
    let mut at = 0;
    loop {
        match &tree[at] {
            Node::Leaf(shares) => return shares,
            Node::Split { feature, threshold, right } => {
                at = if f64::from(row[*feature] as f32) > *threshold { *right } else { at + 1 };
            }
        }
    }
}

fn normalise(values: &mut [f64]) {
    let total: f64 = values.iter().sum();
    if total > 0.0 {
        values.iter_mut().for_each(|x| *x /= total);
    }
}

struct Grower<'a> {
    features: &'a Matrix,
    places: &'a [usize],
    classes: usize,
    /// Rows, those of a node together.
    rows: Vec<usize>,
    /// A node, all its left part, then its right part.
    nodes: Vec<Node>,
    importances: Vec<f64>,
    random: Random,
}

impl Grower<'_> {
    fn grow(&mut self, range: Range<usize>, depth: usize) {
        let mut counts = vec![0.0; self.classes];
        self.rows[range.clone()].iter().for_each(|row| counts[self.places[*row]] += 1.0);
        let total = range.len() as f64;
        let squares: f64 = counts.iter().map(|count| count * count).sum();
        // Of N rows the impurity, times N.
        let impurity = total - squares / total.max(1.0);
        let split = (depth > 0 && impurity > 1e-12).then(|| self.split(&range, &counts)).flatten();
        let Some((feature, threshold, rest)) = split else {
            let shares = counts.iter().map(|count| count / total.max(1.0)).collect();
            return self.nodes.push(Node::Leaf(shares));
        };
        self.importances[feature] += impurity - rest;
        let goes_right = |row: &usize| self.features[[*row, feature]] as f32 as f64 > threshold;
        let (left, right): (Vec<usize>, Vec<usize>) =
            self.rows[range.clone()].iter().partition(|row| !goes_right(row));
        let middle = range.start + left.len();
        self.rows[range.start..middle].copy_from_slice(&left);
        self.rows[middle..range.end].copy_from_slice(&right);
        let at = self.nodes.len();
        self.nodes.push(Node::Split { feature, threshold, right: 0 });
        self.grow(range.start..middle, depth - 1);
        let next = self.nodes.len();
        if let Node::Split { right, .. } = &mut self.nodes[at] {
            *right = next;
        }
        self.grow(middle..range.end, depth - 1);
    }

    /// Feature, threshold, and the impurity of both parts, times their sizes.
    fn split(&mut self, range: &Range<usize>, counts: &[f64]) -> Option<(usize, f64, f64)> {
        let wanted = (self.features.columns() as f64).sqrt().floor().max(1.0) as usize;
        let mut best: Option<(usize, f64, f64)> = None;
        let mut looked = 0;
        let mut sorted: Vec<(f32, usize)> = Vec::with_capacity(range.len());
        for feature in self.random.permutation(self.features.columns()) {
            if looked == wanted {
                break;
            }
            sorted.clear();
            let value = |row: &usize| (self.features[[*row, feature]] as f32, self.places[*row]);
            sorted.extend(self.rows[range.clone()].iter().map(value));
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let ends = [sorted.first()?.0, sorted.last()?.0];
            if ends[1] <= ends[0] + 1e-7 {
                continue;
            }
            looked += 1;
            // Sums of squared counts on both sides, kept up row by row.
            let (mut left, mut right) = (vec![0.0; counts.len()], counts.to_vec());
            let (mut left_squares, mut right_squares) =
                (0.0, counts.iter().map(|count| count * count).sum::<f64>());
            for (i, pair) in sorted.windows(2).enumerate() {
                let (low, place) = pair[0];
                left_squares += 2.0 * left[place] + 1.0;
                right_squares -= 2.0 * right[place] - 1.0;
                left[place] += 1.0;
                right[place] -= 1.0;
                let high = pair[1].0;
                if high <= low + 1e-7 {
                    continue;
                }
                let [n_left, n_right] = [(i + 1) as f64, (sorted.len() - i - 1) as f64];
                let rest = n_left - left_squares / n_left + n_right - right_squares / n_right;
                if best.is_none_or(|(_, _, least)| rest < least) {
                    let middle = f64::from(low) / 2.0 + f64::from(high) / 2.0;
                    let threshold = if middle < f64::from(high) { middle } else { f64::from(low) };
                    best = Some((feature, threshold, rest));
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::accuracy;

    #[test]
    fn learns_what_no_line_separates_and_from_which_features() {
        let mut random = Random::new(0, 0);
        let features = Matrix::from_fn(600, 3, |_, _| random.uniform());
        let class = |row: usize| {
            let [a, b] = [features[[row, 0]], features[[row, 2]]].map(|x| u32::from(x > 0.5));
            2 * a + b
        };
        let classes: Vec<u32> = (0..600).map(class).collect();
        let settings = ForestSettings { trees: 20, ..ForestSettings::default() };
        let fit = Forest::fit(&features, &classes, settings);
        assert!(accuracy(&fit, &features, &classes) > 0.99);
        assert!(fit.importances()[1] < 0.2);
        assert_eq!(fit, Forest::fit(&features, &classes, settings));
        let fit = Forest::fit(&features, &[5; 600], settings);
        assert_eq!((fit.predict(&features)[0], fit.importances()), (5, &[0.0; 3][..]));
    }
}
