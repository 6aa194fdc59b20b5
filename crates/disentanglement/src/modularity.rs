//! Modularity.

use serde::Serialize;

use crate::array::{Labelled, Matrix};
use crate::information::information_with_factors;

/// The result of [`modularity`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Modularity {
    /// The mean over all latents.
    pub score: f64,
    /// Of each latent, `[D]`.
    pub per_latent: Vec<f64>,
    /// I(z_d; v_k) in nats, [D, K].
    pub information: Matrix,
}

/// How nearly each latent depends on one factor only (Ridgeway and Mozer 2018, equation 2):
///
/// 1/D Σ_d [1 - Σ_{k ≠ k*} I(z_d; v_k)² / (I(z_d; v_k*)² (K - 1))], k* = argmax_k I(z_d; v_k)
///
/// Convention of disentanglement_lib (`modularity_explicitness.py`): information as for
/// [`crate::mig`]; a latent that tells nothing counts 0, and stays in the mean. With one factor
/// every latent that tells something counts 1.
pub fn modularity(data: &Labelled, bins: usize) -> Modularity {
    let information = information_with_factors(data, bins);
    let per_latent: Vec<f64> = (0..information.rows())
        .map(|latent| {
            let squares = information.row(latent).iter().map(|i| i * i);
            let largest = squares.clone().fold(0.0, f64::max);
            let others = squares.sum::<f64>() - largest;
            let factors = (information.columns() - 1).max(1) as f64;
            if largest > 0.0 { 1.0 - others / (largest * factors) } else { 0.0 }
        })
        .collect();
    let score = per_latent.iter().sum::<f64>() / per_latent.len() as f64;
    Modularity { score, per_latent, information }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grid;

    #[test]
    fn ideal_mixed_and_constant_codes() {
        let ideal = grid(|y| vec![y[2] as f64, -(y[0] as f64), y[1] as f64]);
        assert!((modularity(&ideal, 20).score - 1.0).abs() < 1e-12);
        // A latent that tells all of two factors of 4 classes each, and a constant one.
        let mixed = grid(|y| vec![(y[1] + 4 * y[2]) as f64, 0.0]);
        let found = modularity(&mixed, 20);
        assert!((found.per_latent[0] - 0.5).abs() < 1e-12, "{found:?}");
        assert_eq!(found.per_latent[1], 0.0);
    }
}
