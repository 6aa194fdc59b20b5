//! In which unit the reconstruction and the objective's constraint are added.

use burn::tensor::Tensor;

use crate::model::Likelihood;

/// The unit in which the terms of a loss are added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Reduction {
    /// Nats per image: -ln p(x | z) summed over the image, as the papers have it.
    #[default]
    Sum,
    /// The PyTorch-VAE convention: the error averaged over all values of the image
    /// (squared error, or cross-entropy), and the constraint multiplied by `kl_weight`.
    Mean {
        /// That project's `kld_weight` or `M_N`.
        kl_weight: f64,
    },
}

impl Reduction {
    /// The loss \[1\] of -ln p(x | z) without the constant of the likelihood, `nll` in nats \[1\], and of
    /// what constrains the code, \[1\]. `reconstruction` is `nll` with that constant.
    pub(super) fn total(
        self,
        likelihood: Likelihood,
        image_values: usize,
        [nll, reconstruction]: [Tensor<1>; 2],
        constraint: Tensor<1>,
    ) -> Tensor<1> {
        match self {
            Reduction::Sum => reconstruction + constraint,
            Reduction::Mean { kl_weight } => {
                nll * likelihood.mean_error_per_nat(image_values) + constraint * kl_weight
            }
        }
    }

    /// What the constraint is multiplied by in the loss.
    pub(crate) fn constraint_scale(self) -> f64 {
        match self {
            Reduction::Sum => 1.0,
            Reduction::Mean { kl_weight } => kl_weight,
        }
    }

    /// What a weight of the constraint is when the loss is written in nats per image: itself for sums; for
    /// means, multiplied by kl_weight * H * W * C, and for the Gaussian by 1 / (2 sigma^2).
    pub fn weight_in_nats(self, weight: f64, likelihood: Likelihood, image_values: usize) -> f64 {
        let scale = match (self, likelihood) {
            (Reduction::Sum, _) => 1.0,
            (Reduction::Mean { kl_weight }, Likelihood::Bernoulli) => {
                kl_weight * image_values as f64
            }
            (Reduction::Mean { kl_weight }, Likelihood::Gaussian { sigma }) => {
                kl_weight * image_values as f64 / (2.0 * sigma * sigma)
            }
        };
        weight * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_translated_to_nats() {
        // bhvae.yaml of PyTorch-VAE: beta 10, kld_weight 0.00025, 3x64x64: 30.72 against the
        // squared error, hence half of that against the Gaussian log-likelihood with sigma 1.
        let reduction = Reduction::Mean { kl_weight: 0.00025 };
        let gaussian = Likelihood::Gaussian { sigma: 1.0 };
        let weight = reduction.weight_in_nats(10.0, gaussian, 3 * 64 * 64);
        assert!((weight - 15.36).abs() < 1e-12, "{weight}");
        assert_eq!(Reduction::Sum.weight_in_nats(10.0, gaussian, 12), 10.0);
    }
}
