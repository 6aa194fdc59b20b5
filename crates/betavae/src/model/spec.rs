//! The `[model]` table resolved for images of one shape.

use burn::tensor::Device;

use super::beta_vae::BetaVae;
use super::config::{Architecture, LikelihoodName, ModelConfig};
use super::likelihood::Likelihood;
use super::network::Network;
use super::weights::NamedTensor;
use crate::data::ImageShape;
use crate::error::{Error, Result};

impl ModelConfig {
    /// The model for images of shape `image`, with every default filled in.
    ///
    /// # Errors
    /// If the parts do not fit together.
    pub fn resolve(&self, image: ImageShape) -> Result<ModelSpec> {
        if let Some(expected) = self.image.filter(|expected| *expected != image) {
            return Err(Error::Mismatch {
                what: "the data set's images do not fit model.image".into(),
                expected: expected.to_string(),
                found: image.to_string(),
                hint: "use the data the model was made for, or resize it with data.size".into(),
            });
        }
        let network = Network::new(self, image)?;
        let default = match network.ends_in_tanh() {
            true => LikelihoodName::Gaussian,
            false => LikelihoodName::Bernoulli,
        };
        let name = self.likelihood.unwrap_or(default);
        let likelihood = match (name, self.sigma) {
            (LikelihoodName::Bernoulli, None) => Likelihood::Bernoulli,
            (LikelihoodName::Bernoulli, Some(_)) => {
                return Err(Error::config(
                    "model.sigma has no meaning for the Bernoulli likelihood",
                    "remove it, or set model.likelihood = \"gaussian\"",
                ));
            }
            (LikelihoodName::Gaussian, sigma) => {
                let sigma = sigma.unwrap_or(1.0);
                if !(sigma.is_finite() && sigma >= 1e-6) {
                    return Err(Error::config(
                        format!(
                            "model.sigma: expected a finite number of at least 0.000001, found {sigma}"
                        ),
                        "",
                    ));
                }
                Likelihood::Gaussian { sigma }
            }
        };
        likelihood.check(&network)?;
        let mut table = self.filled();
        table.image = Some(image);
        table.likelihood = Some(name);
        table.sigma = match likelihood {
            Likelihood::Bernoulli => None,
            Likelihood::Gaussian { sigma } => Some(sigma),
        };
        Ok(ModelSpec { table, network, likelihood })
    }
}

/// A resolved `[model]` table: what is needed to build the model and to read its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// The table with every value.
    table: ModelConfig,
    network: Network,
    likelihood: Likelihood,
}

impl ModelSpec {
    /// The table with every value that the architecture has.
    pub fn table(&self) -> &ModelConfig {
        &self.table
    }

    /// Which network.
    pub fn architecture(&self) -> Architecture {
        self.table.architecture
    }

    /// The network layer by layer.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Shape of the images.
    pub fn image(&self) -> ImageShape {
        self.network.image
    }

    /// Number of latents D.
    pub fn latents(&self) -> usize {
        self.network.latents
    }

    /// Distribution of a pixel.
    pub fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    /// The model with fresh parameters, see [`BetaVae::new`].
    pub fn build(&self, seed: u64, device: &Device) -> Result<BetaVae> {
        BetaVae::new(self.network.clone(), self.likelihood, seed, device)
    }

    /// The model with these parameters, see [`BetaVae::with_weights`].
    ///
    /// # Errors
    /// If they do not fit.
    pub fn with_weights(&self, tensors: Vec<NamedTensor>, device: &Device) -> Result<BetaVae> {
        BetaVae::with_weights(self.network.clone(), self.likelihood, tensors, device)
    }
}
