//! p(x | z): how the decoder's output is compared with the image.

use std::f64::consts::TAU;

use betavae_kernels::{Nll, ops};
use burn::tensor::Tensor;

use super::network::Network;
use crate::error::{Error, Result};

/// The distribution of a pixel given the decoder's output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Likelihood {
    /// Each value is a Bernoulli whose logit the decoder makes; targets may lie between 0 and 1
    /// (then it is the usual binary cross-entropy, not a density).
    Bernoulli,
    /// Each value is normal around the decoder's output with this standard deviation, in the scale
    /// the network sees: [0, 1] or [-1, 1].
    Gaussian {
        /// Standard deviation, > 0.
        sigma: f64,
    },
}

impl Likelihood {
    /// -ln p(x | z) of each image in nats, `[B]`, summed over H, W and C and with every constant:
    /// for the Gaussian, (x - m)^2 / (2 sigma^2) + ln sigma + ln(2 pi) / 2 per value.
    ///
    /// # Shapes
    /// - `output`, `target`: [B, H, W, C]
    pub fn nll(self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        let [_, height, width, channels] = target.dims();
        ops::nll(output, target, self.kernel()) + self.constant(height * width * channels)
    }

    /// The part of -ln p(x | z) that depends on neither image nor output, for `values` = H * W * C.
    pub(crate) fn constant(self, values: usize) -> f64 {
        match self {
            Likelihood::Bernoulli => 0.0,
            Likelihood::Gaussian { sigma } => values as f64 * (sigma.ln() + 0.5 * TAU.ln()),
        }
    }

    /// What turns -ln p(x | z) without its constant into the error of PyTorch-VAE's convention, a
    /// mean over H, W and C: squared error for the Gaussian (without the half and without sigma),
    /// cross-entropy for the Bernoulli.
    pub(crate) fn mean_error_per_nat(self, values: usize) -> f64 {
        match self {
            Likelihood::Bernoulli => 1.0 / values as f64,
            Likelihood::Gaussian { sigma } => 2.0 * sigma * sigma / values as f64,
        }
    }

    /// # Errors
    /// If the network makes what this cannot read.
    pub(super) fn check(self, network: &Network) -> Result<()> {
        if network.ends_in_tanh() && self == Likelihood::Bernoulli {
            return Err(Error::config(
                "a network that ends in tanh makes means, not Bernoulli logits",
                "set model.likelihood = \"gaussian\" with this architecture",
            ));
        }
        Ok(())
    }

    /// The kernels' name for it.
    pub(super) fn kernel(self) -> Nll {
        match self {
            Likelihood::Bernoulli => Nll::Bernoulli,
            Likelihood::Gaussian { sigma } => Nll::Gaussian { sigma: sigma as f32 },
        }
    }
}
