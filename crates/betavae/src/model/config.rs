//! The `[model]` table as people write it. `spec` has it resolved.

use betavae_kernels::Activation;
use serde::{Deserialize, Serialize};

use crate::data::ImageShape;
use crate::error::{Error, Result};

/// The published networks, and `custom`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Burgess et al. 2018, A.1: 4x4 convolutions of 32 filters down to 4 pixels, two linear
    /// layers of 256, ReLU; the decoder mirrors it.
    #[default]
    Burgess,
    /// Higgins et al. 2017, Table 1, 2D shapes: linear layers of 1200, ReLU in the encoder and
    /// tanh in the decoder.
    HigginsFc,
    /// Higgins et al. 2017, Table 1, chairs, faces and CelebA: four 4x4 convolutions of 32, 32, 64
    /// and 64 filters, a linear layer of 256, ReLU.
    HigginsConv,
    /// disentanglement_lib's version of the same: kernels 4, 4, 2, 2 in the encoder.
    Locatello,
    /// The reference network of the PyTorch-VAE collection: 3x3 convolutions of 32 to 512 filters,
    /// batch norm, LeakyReLU, and a decoder that ends in tanh (images are scaled to [-1, 1]).
    PytorchVae,
    /// Strided convolutions of the given widths, kernel, norm and activation.
    Custom,
}

/// Normalisation after each convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// None.
    #[default]
    None,
    /// Batch normalisation (Ioffe and Szegedy 2015), epsilon 1e-5, momentum 0.1.
    Batch,
}

/// The scale of the pixels that a network sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageRange {
    /// [0, 1], as images are everywhere else.
    Unit,
    /// [-1, 1]: what a tanh can reach, and the default where there is a choice.
    #[default]
    Signed,
}

/// Which distribution of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LikelihoodName {
    /// From logits.
    Bernoulli,
    /// Around means.
    Gaussian,
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 6] = [
        Self::Burgess,
        Self::HigginsFc,
        Self::HigginsConv,
        Self::Locatello,
        Self::PytorchVae,
        Self::Custom,
    ];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Burgess => "burgess",
            Self::HigginsFc => "higgins-fc",
            Self::HigginsConv => "higgins-conv",
            Self::Locatello => "locatello",
            Self::PytorchVae => "pytorch-vae",
            Self::Custom => "custom",
        }
    }
}

/// The `[model]` table as people write it: an architecture, what may be chosen about it, and the likelihood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Which network.
    #[serde(default)]
    pub architecture: Architecture,
    /// Number of latents D.
    #[serde(default = "default_latents")]
    pub latents: usize,
    /// Filters of each stride-2 convolution (`pytorch-vae`; `custom`, default [32, 32, 64, 64]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widths: Option<Vec<usize>>,
    /// Side of the convolution kernels (`custom`; default 4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// Nonlinearity (`custom`; default `relu`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Normalisation after each convolution (`custom`; default `none`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// Linear layers between the convolutions and the latents (`custom`; default \[256\]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<usize>>,
    /// Scale of the pixels inside the network (`pytorch-vae`): `signed`, the default there, or `unit`, as
    /// PyTorch-VAE's own training has it, whose tanh then makes values that no image has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_range: Option<ImageRange>,
    /// Distribution of a pixel, `bernoulli` or `gaussian`; default: Gaussian for networks that end in tanh, else
    /// Bernoulli.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<LikelihoodName>,
    /// Standard deviation of the Gaussian, in the scale the network sees; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Shape [H, W, C] of the images; taken from the data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageShape>,
}

fn default_latents() -> usize {
    10
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            architecture: Architecture::default(),
            latents: default_latents(),
            widths: None,
            kernel: None,
            activation: None,
            norm: None,
            hidden: None,
            image_range: None,
            likelihood: None,
            sigma: None,
            image: None,
        }
    }
}

impl ModelConfig {
    /// # Errors
    /// If an option does not belong to the architecture, or a number is impossible.
    pub(super) fn check(&self) -> Result<()> {
        use Architecture::{Custom, PytorchVae};
        let options: [(&str, bool, &[Architecture]); 6] = [
            ("widths", self.widths.is_some(), &[PytorchVae, Custom]),
            ("kernel", self.kernel.is_some(), &[Custom]),
            ("activation", self.activation.is_some(), &[Custom]),
            ("norm", self.norm.is_some(), &[Custom]),
            ("hidden", self.hidden.is_some(), &[Custom]),
            ("image_range", self.image_range.is_some(), &[PytorchVae]),
        ];
        for (option, set, owners) in options {
            if set && !owners.contains(&self.architecture) {
                return Err(Error::config(
                    format!("model.{option} is fixed by this architecture"),
                    format!("remove model.{option}, or set model.architecture = \"custom\""),
                ));
            }
        }
        let widths = self.widths.iter().chain(&self.hidden).flatten();
        let positive = [("latents", self.latents), ("kernel", self.kernel.unwrap_or(4))];
        let numbers = positive.into_iter().chain(widths.map(|width| ("widths and hidden", *width)));
        for (key, value) in numbers {
            if !(1..=65_536).contains(&value) {
                return Err(Error::config(
                    format!("model.{key}: expected numbers from 1 to 65536, found {value}"),
                    "",
                ));
            }
        }
        if self.kernel == Some(1) {
            return Err(Error::config(
                "model.kernel: expected at least 2, found 1",
                "a stride-2 convolution with a 1x1 kernel skips three of four pixels",
            ));
        }
        if self.architecture == PytorchVae && self.widths.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::config("model.widths is empty", "name at least one width"));
        }
        Ok(())
    }

    /// With a value for every option that the architecture has.
    pub(super) fn filled(&self) -> Self {
        let mut filled = self.clone();
        match self.architecture {
            Architecture::Burgess
            | Architecture::HigginsFc
            | Architecture::HigginsConv
            | Architecture::Locatello => {}
            Architecture::PytorchVae => {
                filled.widths.get_or_insert_with(|| vec![32, 64, 128, 256, 512]);
                filled.image_range.get_or_insert_default();
            }
            Architecture::Custom => {
                filled.widths.get_or_insert_with(|| vec![32, 32, 64, 64]);
                filled.kernel.get_or_insert(4);
                filled.activation.get_or_insert(Activation::Relu);
                filled.norm.get_or_insert_default();
                filled.hidden.get_or_insert_with(|| vec![256]);
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_configurations() {
        for architecture in Architecture::ALL {
            let written = serde_json::to_value(architecture).unwrap();
            assert_eq!(written, architecture.name());
        }
    }
}
