//! Scores that need codes only.

use serde::Serialize;

use crate::array::{Codes, Matrix};
use crate::information::{equal_width_bins, mutual_information};

/// The result of [`unsupervised`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unsupervised {
    /// ½ (Σ_d ln Σ_dd - ln det Σ) in nats: the total correlation of a Gaussian with the codes'
    /// covariance. Infinite if latents depend on each other linearly.
    pub gaussian_total_correlation: f64,
    /// 2 tr Σ - 2 tr √(diag(Σ)^½ Σ diag(Σ)^½): the squared Wasserstein distance of that Gaussian from
    /// the one with independent latents.
    pub wasserstein: f64,
    /// `wasserstein` / tr Σ; 0 if the codes are constant.
    pub wasserstein_normalised: f64,
    /// The mean over pairs of latents of their mutual information in nats, each in 20 bins of equal
    /// width; 0 for a single latent.
    pub mutual_information: f64,
    /// The covariance Σ (divided by N - 1), [D, D].
    pub covariance: Matrix,
    /// The mutual information of each pair, and on the diagonal the entropy, [D, D].
    pub information: Matrix,
}

/// How far latents are from independent, without factors (disentanglement_lib,
/// `unsupervised_metrics.py`). Constant latents are independent of all others and contribute
/// nothing (there the logarithm of 0).
pub fn unsupervised(codes: &Codes, bins: usize) -> Unsupervised {
    let latents = codes.latents();
    let covariance = covariance(codes);
    let deviations: Vec<f64> = (0..latents).map(|d| covariance[[d, d]].sqrt()).collect();
    let active: Vec<usize> = (0..latents).filter(|d| deviations[*d] > 0.0).collect();
    let correlation = Matrix::from_fn(active.len(), active.len(), |i, j| {
        let (i, j) = (active[i], active[j]);
        if i == j { 1.0 } else { covariance[[i, j]] / (deviations[i] * deviations[j]) }
    });
    let log_determinant: f64 = eigenvalues(correlation)
        .into_iter()
        .map(|value| if value > f64::EPSILON { value.ln() } else { f64::NEG_INFINITY })
        .sum();
    let scaled = Matrix::from_fn(latents, latents, |i, j| {
        covariance[[i, j]] * deviations[i] * deviations[j]
    });
    let root: f64 = eigenvalues(scaled).into_iter().map(|value| value.max(0.0).sqrt()).sum();
    let trace: f64 = deviations.iter().map(|deviation| deviation * deviation).sum();
    let wasserstein = (2.0 * (trace - root)).max(0.0);
    let binned: Vec<_> = (0..latents).map(|d| equal_width_bins(&codes.latent(d), bins)).collect();
    let information =
        Matrix::from_fn(latents, latents, |i, j| mutual_information(&binned[i], &binned[j]));
    let pairs: f64 = information.values().iter().sum::<f64>()
        - (0..latents).map(|d| information[[d, d]]).sum::<f64>();
    Unsupervised {
        gaussian_total_correlation: (-0.5 * log_determinant).max(0.0),
        wasserstein,
        wasserstein_normalised: if trace > 0.0 { wasserstein / trace } else { 0.0 },
        mutual_information: pairs / (latents * (latents - 1)).max(1) as f64,
        covariance,
        information,
    }
}

/// Divided by N - 1.
fn covariance(codes: &Codes) -> Matrix {
    let (rows, latents) = (codes.len(), codes.latents());
    let mut means = vec![0.0; latents];
    for row in 0..rows {
        means.iter_mut().zip(codes.row(row)).for_each(|(mean, z)| *mean += z / rows as f64);
    }
    let mut sums = Matrix::zeros(latents, latents);
    let mut centred = vec![0.0; latents];
    for row in 0..rows {
        let values = codes.row(row).iter().zip(&means);
        centred.iter_mut().zip(values).for_each(|(to, (z, mean))| *to = z - mean);
        for i in 0..latents {
            let sums = sums.row_mut(i).iter_mut().zip(&centred);
            sums.for_each(|(sum, z)| *sum += centred[i] * z);
        }
    }
    // A column of equal values leaves rounding errors of its mean, not a variance.
    let constant = |d: usize| codes.latent(d).iter().all(|z| *z == codes.row(0)[d]);
    let constant: Vec<bool> = (0..latents).map(constant).collect();
    Matrix::from_fn(latents, latents, |i, j| {
        if constant[i] || constant[j] { 0.0 } else { sums[[i, j]] / (rows - 1).max(1) as f64 }
    })
}

/// Eigenvalues of a symmetric matrix, by Jacobi's rotations (Golub and Van Loan, 8.5).
fn eigenvalues(mut a: Matrix) -> Vec<f64> {
    let n = a.rows();
    let size: f64 = a.values().iter().map(|x| x * x).sum();
    for _ in 0..100 {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| [i, j])).map(|at| a[at] * a[at]).sum();
        if off <= 1e-34 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[[p, q]] == 0.0 {
                    continue;
                }
                let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / t.hypot(1.0);
                let sine = t * cosine;
                for i in 0..n {
                    let (x, y) = (a[[i, p]], a[[i, q]]);
                    (a[[i, p]], a[[i, q]]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
                for i in 0..n {
                    let (x, y) = (a[[p, i]], a[[q, i]]);
                    (a[[p, i]], a[[q, i]]) = (cosine * x - sine * y, sine * x + cosine * y);
                }
            }
        }
    }
    (0..n).map(|i| a[[i, i]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn eigenvalues_of_a_known_matrix() {
        let a = Matrix::from_vec(3, 3, vec![2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, -4.0]);
        let mut found = eigenvalues(a);
        found.sort_by(f64::total_cmp);
        let wrong = found.iter().zip([-4.0, 1.0, 3.0]).map(|(a, b)| (a - b).abs());
        assert!(wrong.fold(0.0, f64::max) < 1e-14, "{found:?}");
    }

    #[test]
    fn independent_correlated_duplicated_and_constant_codes() {
        let mut random = Random::new(0, 0);
        let values: Vec<f64> = (0..2000)
            .flat_map(|_| {
                let (a, b) = (random.normal(), random.normal());
                [a, 0.6 * a + 0.8 * b, 1.0]
            })
            .collect();
        let found = unsupervised(&Codes::new(&values, 3).unwrap(), 20);
        // Correlation 0.6: -½ ln(1 - 0.36).
        assert!((found.gaussian_total_correlation - 0.2231).abs() < 0.03, "{found:?}");
        assert!(found.mutual_information > 0.05 && found.wasserstein > 0.0);
        let constant = unsupervised(&Codes::new(&[1.0, 5.0, 1.0, 5.0], 2).unwrap(), 20);
        assert_eq!((constant.gaussian_total_correlation, constant.wasserstein), (0.0, 0.0));
        let twice: Vec<f64> = (0..100).flat_map(|i| [f64::from(i), f64::from(i)]).collect();
        let twice = unsupervised(&Codes::new(&twice, 2).unwrap(), 20);
        assert_eq!(twice.gaussian_total_correlation, f64::INFINITY);
    }
}
