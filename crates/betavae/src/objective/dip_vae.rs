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

/// The settings of DIP-VAE I.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DipVaeI {
    /// Weight of the squared covariances of different latents.
    pub lambda_od: Schedule,
    /// Weight of the squared distances of variances from 1.
    pub lambda_d: Schedule,
}

impl Default for DipVaeI {
    /// The paper's for dSprites, with lambda_d ten times lambda_od.
    fn default() -> Self {
        Self { lambda_od: Schedule::Constant(10.0), lambda_d: Schedule::Constant(100.0) }
    }
}

/// The settings of DIP-VAE II.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DipVaeII {
    /// Weight of the squared covariances of different latents.
    pub lambda_od: Schedule,
    /// Weight of the squared distances of variances from 1.
    pub lambda_d: Schedule,
}

impl Default for DipVaeII {
    /// The paper's for dSprites, with lambda_d equal to lambda_od.
    fn default() -> Self {
        Self { lambda_od: Schedule::Constant(10.0), lambda_d: Schedule::Constant(10.0) }
    }
}

/// Names of the terms that both log: what the weights are multiplied by.
const TERMS: [(&str, Unit); 2] =
    [("covariance_off_diagonal", Unit::Number), ("covariance_diagonal", Unit::Number)];

/// The penalty and its parts, \[1\] each, for a covariance [D, D].
fn constraint(inputs: &Inputs<'_>, covariance: Tensor<2>, weights: [f64; 2]) -> Constraint {
    let [latents, _] = covariance.dims();
    let identity = Tensor::<2>::eye(latents, &covariance.device());
    let diagonal = (covariance.clone() * identity.clone()).sum_dim(1).reshape([latents]);
    let off_diagonal = (covariance.clone() - covariance * identity).square().sum();
    let diagonal = (diagonal - 1.0).square().sum();
    let penalty = off_diagonal.clone() * weights[0] + diagonal.clone() * weights[1];
    Constraint { value: inputs.kl.clone() + penalty, terms: vec![off_diagonal, diagonal] }
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

fn weights(lambda_od: Schedule, lambda_d: Schedule, step: u64) -> Vec<Term> {
    let term = |name, schedule: Schedule| Term::new(name, Unit::Number, schedule.at(step.max(1)));
    vec![term("lambda_od", lambda_od), term("lambda_d", lambda_d)]
}

fn check(lambda_od: Schedule, lambda_d: Schedule) -> Result<()> {
    lambda_od.check("lambda_od", 0.0)?;
    lambda_d.check("lambda_d", 0.0)
}

impl Settings for DipVaeI {
    fn check(&self) -> Result<()> {
        check(self.lambda_od, self.lambda_d)
    }

    fn weight(&self) -> f64 {
        1.0
    }

    fn label(&self) -> String {
        format!("\u{3bb} {}", self.lambda_od.last())
    }

    fn describe(&self, _latents: usize, _image_values: usize) -> String {
        let Self { lambda_od, lambda_d } = self;
        format!(
            "DIP-VAE I: reconstruction + KL + covariance of the means (lambda_od {lambda_od}, lambda_d {lambda_d})"
        )
    }
}

impl Loss for DipVaeI {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        let covariance = covariance_of_means(&inputs.forward.posterior);
        constraint(inputs, covariance, [self.lambda_od.at(step), self.lambda_d.at(step)])
    }

    fn terms(&self) -> &'static [(&'static str, Unit)] {
        &TERMS
    }

    fn weights(&self, _: &Facts, step: u64) -> Vec<Term> {
        weights(self.lambda_od, self.lambda_d, step)
    }
}

impl Settings for DipVaeII {
    fn check(&self) -> Result<()> {
        check(self.lambda_od, self.lambda_d)
    }

    fn weight(&self) -> f64 {
        1.0
    }

    fn label(&self) -> String {
        format!("\u{3bb} {}", self.lambda_od.last())
    }

    fn describe(&self, _latents: usize, _image_values: usize) -> String {
        let Self { lambda_od, lambda_d } = self;
        format!(
            "DIP-VAE II: reconstruction + KL + covariance of the samples (lambda_od {lambda_od}, lambda_d {lambda_d})"
        )
    }
}

impl Loss for DipVaeII {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        let covariance = covariance_of_samples(&inputs.forward.posterior);
        constraint(inputs, covariance, [self.lambda_od.at(step), self.lambda_d.at(step)])
    }

    fn terms(&self) -> &'static [(&'static str, Unit)] {
        &TERMS
    }

    fn weights(&self, _: &Facts, step: u64) -> Vec<Term> {
        weights(self.lambda_od, self.lambda_d, step)
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
