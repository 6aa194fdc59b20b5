//! Plug-in information of discrete variables, in nats.

use crate::array::{Labelled, Matrix};

/// Bins per latent in disentanglement_lib.
pub const BINS: usize = 20;

/// The bin of each value among `bins` of equal width between the extremes, from 0, as numpy's
/// `digitize(x, histogram(x, bins)[1][:-1]) - 1`. Equal values share one bin.
pub(crate) fn equal_width_bins(values: &[f64], bins: usize) -> Vec<u32> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // numpy widens an empty range by half to both sides.
    let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
    let step = (high - low) / bins as f64;
    let edges: Vec<f64> = (0..bins).map(|i| i as f64 * step + low).collect();
    let bin = |value: &f64| (edges.partition_point(|edge| edge <= value).max(1) - 1) as u32;
    values.iter().map(bin).collect()
}

/// Joint counts [a, b].
fn counts(a: &[u32], b: &[u32]) -> (Vec<u64>, usize) {
    let sizes = [a, b].map(|x| x.iter().max().map_or(0, |max| *max as usize + 1));
    let mut counts = vec![0; sizes[0] * sizes[1]];
    a.iter().zip(b).for_each(|(a, b)| counts[*a as usize * sizes[1] + *b as usize] += 1);
    (counts, sizes[1])
}

/// Entropy of a variable.
pub(crate) fn entropy(a: &[u32]) -> f64 {
    mutual_information(a, a)
}

/// Mutual information of two variables over the same rows.
pub(crate) fn mutual_information(a: &[u32], b: &[u32]) -> f64 {
    let (joint, columns) = counts(a, b);
    let total = a.len() as f64;
    let rows: Vec<u64> = joint.chunks(columns.max(1)).map(|row| row.iter().sum()).collect();
    let mut sums = vec![0; columns];
    joint
        .chunks(columns.max(1))
        .for_each(|row| sums.iter_mut().zip(row).for_each(|(s, n)| *s += n));
    let mut information = 0.0;
    for (row, n_a) in joint.chunks(columns.max(1)).zip(&rows) {
        for (n, n_b) in row.iter().zip(&sums) {
            if *n > 0 {
                let n = *n as f64;
                information += n / total * (n * total / (*n_a as f64 * *n_b as f64)).ln();
            }
        }
    }
    information.max(0.0)
}

/// I(z_d; v_k) of binned latents and classes, [D, K].
pub(crate) fn information_with_factors(data: &Labelled, bins: usize) -> Matrix {
    let (codes, factors) = (data.codes(), data.factors());
    let classes: Vec<_> = (0..factors.count()).map(|k| factors.factor(k)).collect();
    let binned: Vec<_> =
        (0..codes.latents()).map(|d| equal_width_bins(&codes.latent(d), bins)).collect();
    Matrix::from_fn(binned.len(), classes.len(), |d, k| mutual_information(&binned[d], &classes[k]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_have_equal_width_and_the_last_one_its_upper_edge() {
        assert_eq!(equal_width_bins(&[0.0, 0.49, 0.5, 1.0], 2), [0, 0, 1, 1]);
        assert_eq!(equal_width_bins(&[3.0, 3.0], 20), [10, 10]);
    }

    #[test]
    fn information_of_known_tables() {
        let a = [0, 0, 1, 1];
        assert!((entropy(&a) - 2.0_f64.ln()).abs() < 1e-15);
        assert_eq!(mutual_information(&a, &[0, 1, 0, 1]), 0.0);
        assert!((mutual_information(&a, &[5, 5, 2, 2]) - 2.0_f64.ln()).abs() < 1e-15);
        assert_eq!(entropy(&[]), 0.0);
    }
}
