//! p(x | z): how the decoder's output is compared with the image.

use std::f64::consts::TAU;

use burn::tensor::Tensor;

use crate::ops;

/// The distribution of a pixel given the decoder's output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Likelihood {
    /// Each value is a Bernoulli whose logit the decoder makes; targets may lie between 0 and 1
    /// (then it is the usual binary cross-entropy, not a density).
    Bernoulli,
    /// Each value is normal around the decoder's output with this standard deviation, in the scale
    /// the network sees: [0, 1], or [-1, 1] where it ends in tanh.
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
        let values = (height * width * channels) as f64;
        match self {
            Likelihood::Bernoulli => ops::bernoulli_nll(output, target),
            Likelihood::Gaussian { sigma } => {
                let constant = values * (sigma.ln() + 0.5 * TAU.ln());
                ops::squared_error(output, target) / (2.0 * sigma * sigma) + constant
            }
        }
    }

    /// The error of PyTorch-VAE's convention, a mean over H, W and C for each image, `[B]`: squared
    /// error for the Gaussian (without the half and without sigma), cross-entropy for the
    /// Bernoulli.
    pub fn mean_error(self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        let [_, height, width, channels] = target.dims();
        let values = (height * width * channels) as f64;
        match self {
            Likelihood::Bernoulli => ops::bernoulli_nll(output, target) / values,
            Likelihood::Gaussian { .. } => ops::squared_error(output, target) / values,
        }
    }
}
