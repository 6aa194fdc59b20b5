//! Mutual information gap.

use serde::Serialize;

use crate::array::{Labelled, Matrix};
use crate::information::{entropy, information_with_factors};

/// The result of [`mig`] and [`crate::mig_chen`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mig {
    /// The mean of `gaps` over the factors that vary; 0 if none does.
    pub score: f64,
    /// For each factor (I₁ - I₂) / H, `[K]`; 0 for a constant one.
    pub gaps: Vec<f64>,
    /// I(z_d; v_k) in nats, [D, K].
    pub information: Matrix,
    /// H(v_k) in nats, `[K]`.
    pub entropies: Vec<f64>,
}

/// The gap between the two latents that tell most of a factor, as a share of the factor's entropy,
/// averaged over factors (Chen et al. 2018, equation 6):
///
/// MIG = 1/K Σ_k (I(z_(1); v_k) - I(z_(2); v_k)) / H(v_k)
///
/// Convention of disentanglement_lib (`mig.py`): each latent's values fall into `bins` (there 20) of
/// equal width between their extremes, and I is the plug-in estimate of bins and classes.
///
/// A constant factor has no entropy and is left out of the mean (there it makes the score NaN); a
/// constant latent tells 0; with one latent, I₂ is 0.
pub fn mig(data: &Labelled, bins: usize) -> Mig {
    let information = information_with_factors(data, bins);
    let factors = data.factors();
    let entropies = (0..factors.count()).map(|k| entropy(&factors.factor(k))).collect();
    Mig::of(information, entropies)
}

impl Mig {
    pub(crate) fn of(information: Matrix, entropies: Vec<f64>) -> Self {
        let gap = |(k, entropy): (usize, &f64)| {
            let (mut first, mut second) = (0.0, 0.0);
            for value in information.column(k) {
                if value > first {
                    (first, second) = (value, first);
                } else if value > second {
                    second = value;
                }
            }
            if *entropy > 0.0 { (first - second) / entropy } else { 0.0 }
        };
        let gaps: Vec<f64> = entropies.iter().enumerate().map(gap).collect();
        let varying = entropies.iter().filter(|entropy| **entropy > 0.0).count();
        let score = gaps.iter().sum::<f64>() / varying.max(1) as f64;
        Self { score, gaps, information, entropies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grid;

    #[test]
    fn ideal_duplicated_constant_and_rescaled_codes() {
        let ideal = grid(|y| vec![y[0] as f64, y[1] as f64, y[2] as f64]);
        assert!((mig(&ideal, 20).score - 1.0).abs() < 1e-12);
        let duplicated = grid(|y| vec![y[0] as f64, y[0] as f64, y[1] as f64, y[2] as f64]);
        assert!((mig(&duplicated, 20).score - 2.0 / 3.0).abs() < 1e-12);
        let constant = grid(|_| vec![1.0, -3.0]);
        assert_eq!(mig(&constant, 20).score, 0.0);
        let mixed = grid(|y| vec![(y[0] + 2 * y[1]) as f64, y[2] as f64]);
        let rescaled = grid(|y| vec![-8.0 * y[2] as f64, 0.25 * (y[0] + 2 * y[1]) as f64]);
        assert!((mig(&mixed, 20).score - mig(&rescaled, 20).score).abs() < 0.02);
    }

    #[test]
    fn a_constant_factor_is_left_out() {
        use crate::array::{Codes, Factors};
        let factors: Vec<i64> = (0..40).flat_map(|i| [i % 4, 7]).collect();
        let codes: Vec<f64> = (0..40).map(|i| f64::from(i % 4)).collect();
        let data =
            Labelled::new(Codes::new(&codes, 1).unwrap(), Factors::new(&factors, 2).unwrap());
        assert!((mig(&data.unwrap(), 20).score - 1.0).abs() < 1e-12);
    }
}
