//! Regression trees of three levels with exact splits: thousands of them over the same rows.

use std::ops::Range;

use crate::array::Matrix;
use crate::random::Random;

/// Levels of splits, as in scikit-learn's boosting.
const DEPTH: usize = 3;
/// Leaves of a whole tree.
pub(super) const LEAVES: usize = 1 << DEPTH;
/// Inner nodes of a whole tree.
const NODES: usize = LEAVES - 1;

/// Features as f32, as scikit-learn's trees see them, and the rows in rising order of each.
pub(super) struct Sorted {
    /// [D, N]
    values: Vec<Vec<f32>>,
    /// [D, N]: rows
    order: Vec<Vec<u32>>,
    /// 1 / n
    inverse: Vec<f64>,
}

impl Sorted {
    pub(super) fn new(features: &Matrix) -> Self {
        let column = |d| features.column(d).map(|x| x as f32).collect();
        let values: Vec<Vec<f32>> = (0..features.columns()).map(column).collect();
        let order = |values: &Vec<f32>| {
            let mut order: Vec<u32> = (0..values.len() as u32).collect();
            order.sort_by(|a, b| values[*a as usize].total_cmp(&values[*b as usize]));
            order
        };
        let order = values.iter().map(order).collect();
        let inverse = (0..=features.rows()).map(|n| 1.0 / n.max(1) as f64).collect();
        Self { values, order, inverse }
    }

    fn rows(&self) -> usize {
        self.inverse.len() - 1
    }
}

/// Rows whose feature is at most the threshold go left.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Split {
    feature: usize,
    threshold: f64,
}

/// A tree. The children of node i are 2 i + 1 and 2 i + 2; nodes from [`NODES`] on are leaves. A
/// node without a split sends all rows left.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tree {
    splits: [Option<Split>; NODES],
    /// What each leaf adds to a prediction.
    pub(super) leaves: [f64; LEAVES],
}

impl Tree {
    /// What it adds to a row's prediction.
    pub(super) fn predict(&self, row: &[f64]) -> f64 {
        let mut node = 0;
        while node < NODES {
            let right = self.splits[node]
                .is_some_and(|split| f64::from(row[split.feature] as f32) > split.threshold);
            node = 2 * node + 1 + usize::from(right);
        }
        self.leaves[node - NODES]
    }
}

/// Buffers for trees over the same rows.
pub(super) struct Scratch {
    /// [D, N]: rows, those of a node together and in rising order of the feature.
    order: Vec<Vec<u32>>,
    /// Whether each row goes right.
    right: Vec<bool>,
    spare: Vec<u32>,
    /// The leaf of each row, from 0.
    pub(super) leaf: Vec<u8>,
}

impl Scratch {
    pub(super) fn new(sorted: &Sorted) -> Self {
        let rows = sorted.rows();
        Self {
            order: vec![vec![0; rows]; sorted.order.len()],
            right: vec![false; rows],
            spare: vec![0; rows],
            leaf: vec![0; rows],
        }
    }
}

/// Fits a tree to `target`, without values in its leaves: [`Scratch::leaf`] says which rows are in
/// which. Adds to `importances` `[D]` by how much each feature lowered the squared error.
///
/// Friedman's criterion, the default of boosting, chooses the same splits as the squared error. Which
/// of equally good ones it takes, `random` draws: in small nodes many are, and the first feature's
/// would make that feature important.
pub(super) fn fit(
    sorted: &Sorted,
    target: &[f64],
    importances: &mut [f64],
    scratch: &mut Scratch,
    random: &mut Random,
) -> Tree {
    let mut splits = [None; NODES];
    // The rows of each node of a level, as places in every order.
    let mut nodes = Vec::from([Range { start: 0, end: sorted.rows() }]);
    for level in 0..DEPTH {
        let order = if level == 0 { &sorted.order } else { &scratch.order };
        let mut children = Vec::with_capacity(2 * nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            let mut middle = node.end;
            if let Some(best) = best_split(sorted, order, target, node, random) {
                middle = best.middle;
                splits[nodes.len() - 1 + i] = Some(best.split);
                importances[best.split.feature] += best.gain;
                let order = &order[best.split.feature];
                order[node.start..middle]
                    .iter()
                    .for_each(|row| scratch.right[*row as usize] = false);
                order[middle..node.end].iter().for_each(|row| scratch.right[*row as usize] = true);
            }
            children.extend([node.start..middle, middle..node.end]);
        }
        if level + 1 < DEPTH {
            let pairs = nodes.iter().zip(children.chunks_exact(2));
            let pairs: Vec<_> = pairs.map(|(node, pair)| (node.clone(), pair[0].end)).collect();
            for d in 0..sorted.order.len() {
                let to = &mut scratch.order[d];
                if level == 0 {
                    to.copy_from_slice(&sorted.order[d]);
                }
                for (node, middle) in &pairs {
                    let left = middle - node.start;
                    partition(&mut to[node.clone()], left, &scratch.right, &mut scratch.spare);
                }
            }
        } else {
            let order = &scratch.order[0];
            for (i, (node, pair)) in nodes.iter().zip(children.chunks_exact(2)).enumerate() {
                let split = pair[0].end < node.end;
                for row in &order[node.clone()] {
                    let right = split && scratch.right[*row as usize];
                    scratch.leaf[*row as usize] = (2 * i + usize::from(right)) as u8;
                }
            }
        }
        nodes = children;
    }
    Tree { splits, leaves: [0.0; LEAVES] }
}

struct Best {
    split: Split,
    /// The first place of the right child.
    middle: usize,
    /// By how much the squared error is lower.
    gain: f64,
}

/// The split of a node that lowers the squared error most, if one does.
fn best_split(
    sorted: &Sorted,
    order: &[Vec<u32>],
    target: &[f64],
    node: &Range<usize>,
    random: &mut Random,
) -> Option<Best> {
    let count = node.len();
    let (mut sum, mut squares) = (0.0, 0.0);
    for row in &order.first()?[node.clone()] {
        let value = target[*row as usize];
        sum += value;
        squares += value * value;
    }
    let mean = sum / count as f64;
    // scikit-learn's test for a pure node.
    if count < 2 || squares / count as f64 - mean * mean <= f64::EPSILON {
        return None;
    }
    let mut best: Option<Best> = None;
    let mut highest = 0.0;
    // 1 / left and 1 / right after each row but the last.
    let left = &sorted.inverse[1..count];
    let right = sorted.inverse[1..count].iter().rev();
    let shares: Vec<f64> = left.iter().zip(right).map(|(a, b)| a * b).collect();
    for feature in random.permutation(order.len()) {
        let (order, values) = (&order[feature][node.clone()], &sorted.values[feature]);
        let mut sum = 0.0;
        for (i, share) in shares.iter().enumerate() {
            sum += target[order[i] as usize] - mean;
            let height = sum * sum * share;
            if height > highest {
                let [low, high] = [order[i], order[i + 1]].map(|row| values[row as usize]);
                // No less apart are values that scikit-learn tells apart.
                if high > low + 1e-7 {
                    highest = height;
                    let split = Split { feature, threshold: between(low, high) };
                    let (middle, gain) = (node.start + i + 1, height * count as f64);
                    best = Some(Best { split, middle, gain });
                }
            }
        }
    }
    best
}

/// The threshold between two neighbours: half way, unless that is the upper one.
fn between(low: f32, high: f32) -> f64 {
    let middle = f64::from(low) / 2.0 + f64::from(high) / 2.0;
    if middle < f64::from(high) { middle } else { f64::from(low) }
}

/// Moves the `left` rows that do not go right to the front; both parts keep their order.
fn partition(order: &mut [u32], left: usize, right: &[bool], spare: &mut [u32]) {
    if left == order.len() {
        return;
    }
    let (mut to_left, mut to_right) = (0, left);
    let spare = &mut spare[..order.len()];
    for row in order.iter() {
        let goes = right[*row as usize];
        // Without a branch: which way a row goes cannot be guessed.
        spare[if goes { to_right } else { to_left }] = *row;
        to_left += usize::from(!goes);
        to_right += usize::from(goes);
    }
    order.copy_from_slice(spare);
}
