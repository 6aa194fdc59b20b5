//! DIP-VAE I and II: reconstruction + KL + a penalty on the covariance of the codes (Kumar et al. 2018, "Variational
//! Inference of Disentangled Latent Concepts from Unlabeled Observations", eq. 6 and 7).
//!
//! penalty = lambda_od * sum over i != j of Cov_ij^2 + lambda_d * sum over i of (Cov_ii - 1)^2, where Cov is the covariance
//! over the batch (divided by B) of the means for DIP-VAE I; for DIP-VAE II, that plus the batch's mean of the posteriors'
//! variances, on the diagonal.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::Facts;
use super::loss::{Constraint, Inputs, Loss, Settings};
use super::schedule::Schedule;
use super::terms::{Term, Unit};
use crate::error::Result;
use crate::model::Posterior;

/// The settings of both; `OF_SAMPLES` is whether the covariance is that of samples (II) rather than of means (I).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DipVae<const OF_SAMPLES: bool> {
    /// Weight of the squared covariances of different latents.
    #[serde(default = "lambda_od")]
    pub lambda_od: Schedule,
    /// Weight of the squared distances of variances from 1.
    #[serde(default = "lambda_d::<OF_SAMPLES>")]
    pub lambda_d: Schedule,
}

/// The paper's for dSprites.
fn lambda_od() -> Schedule {
    10.0.into()
}

/// The paper's: ten times lambda_od for I, and equal to it for II.
fn lambda_d<const OF_SAMPLES: bool>() -> Schedule {
    let lambda_d = if OF_SAMPLES { 10.0 } else { 100.0 };
    lambda_d.into()
}

/// The settings of DIP-VAE I.
pub type DipVaeI = DipVae<false>;

/// The settings of DIP-VAE II.
pub type DipVaeII = DipVae<true>;

impl<const OF_SAMPLES: bool> Default for DipVae<OF_SAMPLES> {
    fn default() -> Self {
        Self { lambda_od: lambda_od(), lambda_d: lambda_d::<OF_SAMPLES>() }
    }
}

/// The sums of squared distances of a covariance [D, D] from the identity, off and on its diagonal, \[1\] each.
fn distances_from_identity(covariance: Tensor<2>) -> [Tensor<1>; 2] {
    let [latents, _] = covariance.dims();
    let identity = Tensor::<2>::eye(latents, &covariance.device());
    let diagonal = (covariance.clone() * identity.clone()).sum_dim(1).reshape([latents]);
    let off_diagonal = covariance.clone() - covariance * identity;
    [off_diagonal.square().sum(), (diagonal - 1.0).square().sum()]
}

/// The covariance [D, D] over the batch of the posteriors' means, divided by B.
fn covariance_of_means(posterior: &Posterior) -> Tensor<2> {
    let mean = posterior.mean.clone();
    let [batch, _] = mean.dims();
    let centred = mean.clone() - mean.mean_dim(0);
    centred.clone().transpose().matmul(centred) / batch as f64
}

/// The covariance [D, D] of samples of the posteriors: that of the means, and the mean of the variances.
fn covariance_of_samples(posterior: &Posterior) -> Tensor<2> {
    let variance = posterior.log_var.clone().exp().mean_dim(0);
    let [_, latents] = variance.dims();
    let identity = Tensor::<2>::eye(latents, &variance.device());
    covariance_of_means(posterior) + variance * identity
}

impl<const OF_SAMPLES: bool> Settings for DipVae<OF_SAMPLES> {
    fn check(&self) -> Result<()> {
        self.lambda_od.check("lambda_od", 0.0)?;
        self.lambda_d.check("lambda_d", 0.0)
    }

    fn weight(&self) -> f64 {
        1.0
    }

    fn label(&self) -> String {
        format!("\u{3bb} {}", self.lambda_od.last())
    }

    fn describe(&self, _latents: usize, _image_values: usize) -> String {
        let Self { lambda_od, lambda_d } = self;
        let (name, of) = if OF_SAMPLES { ("II", "samples") } else { ("I", "means") };
        format!(
            "DIP-VAE {name}: reconstruction + KL + covariance of the {of} (lambda_od {lambda_od}, lambda_d {lambda_d})"
        )
    }
}

impl<const OF_SAMPLES: bool> Loss for DipVae<OF_SAMPLES> {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        let posterior = &inputs.forward.posterior;
        let covariance = match OF_SAMPLES {
            true => covariance_of_samples(posterior),
            false => covariance_of_means(posterior),
        };
        let [off_diagonal, diagonal] = distances_from_identity(covariance);
        let penalty = off_diagonal.clone() * self.lambda_od.at(step)
            + diagonal.clone() * self.lambda_d.at(step);
        Constraint { value: inputs.kl.clone() + penalty, terms: vec![off_diagonal, diagonal] }
    }

    #[cfg(feature = "gpu")]
    fn plan_weights(&self, step: u64) -> Option<[f64; 3]> {
        Some([self.lambda_od.at(step), self.lambda_d.at(step), 0.0])
    }

    /// What the weights are multiplied by.
    fn terms(&self) -> &'static [(&'static str, Unit)] {
        &[("covariance_off_diagonal", Unit::Number), ("covariance_diagonal", Unit::Number)]
    }

    fn weights(&self, _: &Facts, step: u64) -> Vec<Term> {
        vec![self.lambda_od.term("lambda_od", step), self.lambda_d.term("lambda_d", step)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::values;
    use crate::{Device, TensorData};

    fn posterior(mean: [f32; 6], log_var: [f32; 6]) -> Posterior {
        let tensor = |data: [f32; 6]| {
            Tensor::from_data(TensorData::new(data.to_vec(), [3, 2]), &Device::flex())
        };
        Posterior { mean: tensor(mean), log_var: tensor(log_var) }
    }

    /// `torch.diag` of a [B, D] matrix, which some programs take, puts one image's variances into the covariance.
    #[test]
    fn variances_are_averaged_over_the_batch_and_stand_on_the_diagonal_only() {
        let codes = posterior(
            [1.0, 0.0, 2.0, 3.0, 3.0, 0.0],
            [0.0, 1.0_f32.ln(), 2.0_f32.ln(), 0.0, 3.0_f32.ln(), 4.0_f32.ln()],
        );
        let means = values(covariance_of_means(&codes));
        let expected = [2.0 / 3.0, 0.0, 0.0, 2.0];
        assert!(means.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{means:?}");
        let samples = values(covariance_of_samples(&codes));
        let expected = [2.0 / 3.0 + 2.0, 0.0, 0.0, 2.0 + 2.0];
        assert!(samples.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{samples:?}");
    }
}
