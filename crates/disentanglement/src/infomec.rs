//! InfoM, InfoE and InfoC.

use rayon::prelude::*;
use serde::Serialize;

use crate::array::{Labelled, Matrix};
use crate::dci::standard;
use crate::information::entropy;
use crate::learn::{Logistic, LogisticSettings};
use crate::random::Random;

/// Neighbours in the estimate of information.
const NEIGHBOURS: usize = 10;

/// Latents whose range is at most this share of the largest one are not active.
const ACTIVE_RANGE: f64 = 0.05;

/// The result of [`infomec`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InfoMec {
    /// InfoM: how far each active latent tells one factor only.
    pub modularity: f64,
    /// InfoE: how well factors are predicted from all latents.
    pub explicitness: f64,
    /// InfoC: how far each factor is told by one active latent only.
    pub compactness: f64,
    /// Which latents are active, `[D]`.
    pub active: Vec<bool>,
    /// I(z_d; v_k) / H(v_k), [D, K]; 0 for inactive latents and constant factors.
    pub information: Matrix,
}

/// Modularity, explicitness and compactness of Hsu et al. 2023 (`infomec.py` of their code):
///
/// InfoM = (mean_d max_k I_dk / Σ_k I_dk - 1/K) / (1 - 1/K) over active latents, InfoC the same over
/// factors with active latents for k, and InfoE = mean_k (H₀ - H_k) / H₀, where H_k is the mean
/// cross-entropy of a logistic regression without penalty and with balanced classes, on the rows it
/// was fitted to, and H₀ = ln |V_k| what it is without latents.
///
/// I is the estimate by 10 nearest neighbours of the same class (Ross 2014; scikit-learn's
/// `mutual_info_classif`), as a share of the factor's entropy. A latent is active if its range is
/// more than a twentieth of the largest. `random` draws the noise of 1e-10 that tells equal values
/// apart.
///
/// Where nothing is told of a factor or by a latent, its ratio counts as the least, 1/K or 1/D; so a
/// constant code scores 0 in all three. Constant factors are left out. With one factor InfoM is 1,
/// with one active latent InfoC is 1.
pub fn infomec(data: &Labelled, random: &mut Random) -> InfoMec {
    let (codes, factors) = (data.codes(), data.factors());
    let latents: Vec<Vec<f64>> = (0..codes.latents()).map(|d| codes.latent(d)).collect();
    let ranges: Vec<f64> = latents.iter().map(|z| range(z)).collect();
    let largest = ranges.iter().copied().fold(0.0, f64::max);
    let active: Vec<bool> =
        ranges.iter().map(|r| *r > 0.0 && *r > ACTIVE_RANGE * largest).collect();
    let classes: Vec<Vec<u32>> = (0..factors.count()).map(|k| factors.factor(k)).collect();
    let entropies: Vec<f64> = classes.iter().map(|classes| entropy(classes)).collect();

    let noisy: Vec<Vec<f64>> = latents.iter().map(|z| scaled_with_noise(z, random)).collect();
    let share = |i: usize| {
        let (d, k) = (i / classes.len(), i % classes.len());
        if !active[d] || entropies[k] == 0.0 {
            return 0.0;
        }
        information_by_neighbours(&noisy[d], &classes[k], NEIGHBOURS) / entropies[k]
    };
    let shares = (0..latents.len() * classes.len()).into_par_iter().map(share).collect();
    let information = Matrix::from_vec(latents.len(), classes.len(), shares);

    let rows: Vec<usize> = (0..latents.len()).filter(|d| active[*d]).collect();
    let columns: Vec<usize> = (0..classes.len()).filter(|k| entropies[*k] > 0.0).collect();
    let told =
        Matrix::from_fn(rows.len(), columns.len(), |i, j| information[[rows[i], columns[j]]]);
    InfoMec {
        modularity: concentration(&told),
        explicitness: predictive(data, &columns),
        compactness: concentration(&told.transposed()),
        active,
        information,
    }
}

fn range(values: &[f64]) -> f64 {
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    high - values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The mean over rows of largest / sum, from 0 where it is least to 1.
fn concentration(matrix: &Matrix) -> f64 {
    let least = 1.0 / matrix.columns() as f64;
    if matrix.rows() == 0 || matrix.columns() == 0 {
        return 0.0;
    }
    if matrix.columns() == 1 {
        return 1.0;
    }
    let ratio = |row: usize| {
        let sum: f64 = matrix.row(row).iter().sum();
        let largest = matrix.row(row).iter().copied().fold(0.0, f64::max);
        if sum > 0.0 { largest / sum } else { least }
    };
    let mean = (0..matrix.rows()).map(ratio).sum::<f64>() / matrix.rows() as f64;
    (mean - least) / (1.0 - least)
}

/// Divided by the standard deviation, with the noise that scikit-learn adds.
fn scaled_with_noise(values: &[f64], random: &mut Random) -> Vec<f64> {
    let (_, deviation) = standard(values.iter().copied());
    let size = values.iter().map(|x| (x / deviation).abs()).sum::<f64>() / values.len() as f64;
    let noise = 1e-10 * size.max(1.0);
    values.iter().map(|x| x / deviation + noise * random.normal()).collect()
}

/// I(x; class) in nats (Ross 2014, equation 2): each row's distance to its k-th nearest row of the
/// same class, and how many rows of any class are nearer. Classes with one row are left out.
fn information_by_neighbours(x: &[f64], classes: &[u32], neighbours: usize) -> f64 {
    let sizes = classes.iter().max().map_or(0, |most| *most as usize + 1);
    let mut groups = vec![Vec::new(); sizes];
    x.iter().zip(classes).for_each(|(x, class)| groups[*class as usize].push(*x));
    groups.retain(|group| group.len() > 1);
    let mut all = groups.concat();
    all.sort_by(f64::total_cmp);
    let total = all.len();
    if total == 0 {
        return 0.0;
    }
    let harmonic = harmonic_numbers(total);
    // The digamma function at n is harmonic[n - 1] less a constant that cancels.
    let digamma = |n: usize| harmonic[n - 1];
    let mut sum = 0.0;
    for group in &mut groups {
        group.sort_by(f64::total_cmp);
        let k = neighbours.min(group.len() - 1);
        for (i, x) in group.iter().enumerate() {
            let radius = kth_distance(group, i, k).next_down().max(0.0);
            let below = all.partition_point(|other| x - other > radius);
            let within = all[below..].partition_point(|other| other - x <= radius);
            sum += digamma(k) - digamma(group.len()) - digamma(within.max(1));
        }
    }
    (digamma(total) + sum / total as f64).max(0.0)
}

/// The distance from `sorted[i]` to its k-th nearest neighbour.
fn kth_distance(sorted: &[f64], i: usize, k: usize) -> f64 {
    let (mut low, mut high) = (i, i);
    let mut distance = 0.0;
    for _ in 0..k {
        let down = low.checked_sub(1).map(|at| sorted[i] - sorted[at]);
        let up = sorted.get(high + 1).map(|value| value - sorted[i]);
        distance = match (down, up) {
            (Some(down), Some(up)) if down <= up => {
                low -= 1;
                down
            }
            (Some(down), None) => {
                low -= 1;
                down
            }
            (_, Some(up)) => {
                high += 1;
                up
            }
            (None, None) => return distance,
        };
    }
    distance
}

/// 0, 1, 1 + 1/2, ... up to `count` summands.
fn harmonic_numbers(count: usize) -> Vec<f64> {
    let next = |sum: &mut f64, n: usize| {
        if n > 0 {
            *sum += 1.0 / n as f64;
        }
        Some(*sum)
    };
    (0..=count).scan(0.0, next).collect()
}

/// InfoE over some factors.
fn predictive(data: &Labelled, factors: &[usize]) -> f64 {
    let codes = data.codes().matrix();
    let scales: Vec<_> = (0..codes.columns()).map(|d| standard(codes.column(d))).collect();
    let features = Matrix::from_fn(codes.rows(), codes.columns(), |i, d| {
        (codes[[i, d]] - scales[d].0) / scales[d].1
    });
    let settings = LogisticSettings {
        c: f64::INFINITY,
        balanced: true,
        tolerance: 1e-5,
        ..LogisticSettings::default()
    };
    let share = |k: &usize| {
        let classes = data.factors().factor(*k);
        let fit = Logistic::fit(&features, &classes, settings);
        let probabilities = fit.probabilities(&features);
        let loss = |(row, class): (usize, &u32)| {
            let column = fit.classes().partition_point(|other| other < class);
            -probabilities[[row, column]].max(f64::EPSILON).ln()
        };
        let losses = classes.iter().enumerate().map(loss).sum::<f64>();
        let without = (fit.classes().len() as f64).ln();
        1.0 - losses / classes.len() as f64 / without
    };
    let shares: Vec<f64> = factors.par_iter().map(share).collect();
    shares.iter().sum::<f64>() / shares.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grid;

    fn score(code: impl Fn(&[i64]) -> Vec<f64>) -> InfoMec {
        infomec(&grid(code), &mut Random::new(0, 0))
    }

    #[test]
    fn ideal_constant_and_duplicated_codes() {
        let ideal = score(|y| vec![-y[2] as f64, 5.0, y[0] as f64, y[1] as f64]);
        assert_eq!(ideal.active, [true, false, true, true]);
        assert!(ideal.modularity > 0.99 && ideal.compactness > 0.99, "{ideal:?}");
        assert!(ideal.information[[2, 0]] > 0.95);
        let constant = score(|_| vec![1.0, 2.0]);
        let all = [constant.modularity, constant.explicitness, constant.compactness];
        assert!(all.iter().all(|score| score.abs() < 1e-9), "{all:?}");
        let twice = score(|y| vec![y[1] as f64, 2.0 * y[1] as f64, y[0] as f64, y[2] as f64]);
        assert!(twice.modularity > 0.99 && twice.compactness < 0.9);
    }

    #[test]
    fn neighbours_on_a_line() {
        let sorted = [0.0, 1.0, 3.0, 3.5];
        assert_eq!(kth_distance(&sorted, 0, 2), 3.0);
        assert_eq!(kth_distance(&sorted, 2, 1), 0.5);
        assert_eq!(kth_distance(&sorted, 2, 3), 3.0);
        assert_eq!(harmonic_numbers(2), [0.0, 1.0, 1.5]);
    }
}
