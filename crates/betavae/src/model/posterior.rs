//! The approximate posterior.

use betavae_kernels::ops;
use burn::tensor::Tensor;

/// The approximate posterior q(z | x) = N(mean, diag(exp(log_var))) of a batch.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// [B, D]
    pub mean: Tensor<2>,
    /// Logarithm of the variance, [B, D].
    pub log_var: Tensor<2>,
}

impl Posterior {
    /// KL(q(z | x) || N(0, 1)) of each latent in nats, averaged over the batch, `[D]`.
    pub fn kl_per_latent(&self) -> Tensor<1> {
        ops::kl_per_latent(self.mean.clone(), self.log_var.clone())
    }
}
