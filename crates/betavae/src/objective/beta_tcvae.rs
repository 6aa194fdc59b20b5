//! beta-TCVAE: reconstruction + alpha * MI + beta * TC + gamma * dimension-wise KL (Chen et al. 2018, "Isolating Sources
//! of Disentanglement in VAEs", eq. 4).
//!
//! The KL, averaged over the data, is the sum of the index-code mutual information MI = KL(q(z, n) || q(z) p(n)), the total
//! correlation TC = KL(q(z) || prod q(z_d)), and the dimension-wise KL, sum over d of KL(q(z_d) || p(z_d)). q(z), the mixture
//! over all images, is estimated from the batch by minibatch-weighted or minibatch-stratified sampling (appendix C), for
//! which the number of images of the data set is needed. The estimates are of one sample per image and in nats.

use betavae_kernels::{MixtureWeights, ops};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::Facts;
use super::loss::{Constraint, Inputs, Loss, Settings};
use super::schedule::Schedule;
use super::terms::{Term, Unit};
use crate::error::{Error, Result};

/// How q(z) is estimated from a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Estimator {
    /// Minibatch-weighted sampling, a lower bound of E ln q(z); the paper's choice.
    #[default]
    Weighted,
    /// Minibatch-stratified sampling, without bias of q(z).
    Stratified,
}

impl Estimator {
    /// The weights of the aggregate posterior's components, for N images of the data set.
    pub(crate) fn mixture(self, images: usize) -> MixtureWeights {
        match self {
            Self::Weighted => MixtureWeights::Weighted { images },
            Self::Stratified => MixtureWeights::Stratified { images },
        }
    }
}

/// The settings of beta-TCVAE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BetaTcvaeConfig {
    /// Weight of the mutual information.
    pub alpha: Schedule,
    /// Weight of the total correlation.
    pub beta: Schedule,
    /// Weight of the dimension-wise KL.
    pub gamma: Schedule,
    /// How q(z) is estimated.
    pub estimator: Estimator,
}

impl Default for BetaTcvaeConfig {
    /// The paper's: alpha and gamma 1, beta 6 for dSprites.
    fn default() -> Self {
        let [alpha, beta, gamma] = [1.0, 6.0, 1.0].map(Schedule::Constant);
        Self { alpha, beta, gamma, estimator: Estimator::Weighted }
    }
}

impl Settings for BetaTcvaeConfig {
    fn check(&self) -> Result<()> {
        self.alpha.check("alpha", 0.0)?;
        self.beta.check("beta", 0.0)?;
        self.gamma.check("gamma", 0.0)
    }

    fn weight(&self) -> f64 {
        self.beta.last()
    }

    fn label(&self) -> String {
        format!("\u{3b2} {}", self.beta.last())
    }

    fn describe(&self, _latents: usize, _image_values: usize) -> String {
        let Self { alpha, beta, gamma, estimator } = self;
        let estimator = match estimator {
            Estimator::Weighted => "weighted",
            Estimator::Stratified => "stratified",
        };
        format!(
            "beta-TCVAE: reconstruction + {alpha} * MI + {beta} * TC + {gamma} * dimension-wise KL ({estimator} \
             estimates)"
        )
    }
}

/// beta-TCVAE in training.
#[derive(Clone, Debug)]
pub(super) struct BetaTcvae {
    config: BetaTcvaeConfig,
    mixture: MixtureWeights,
}

impl BetaTcvae {
    /// # Errors
    /// If a stratified batch has more images than the data set.
    pub(super) fn new(config: BetaTcvaeConfig, facts: &Facts) -> Result<Self> {
        let images = facts.images;
        let mixture = config.estimator.mixture(images);
        if config.estimator == Estimator::Stratified && facts.batch > images {
            return Err(Error::Mismatch {
                what: "objective.estimator = \"stratified\" takes batches out of the data set"
                    .into(),
                expected: format!("at most {images} images in a batch, as in the data set"),
                found: facts.batch.to_string(),
                hint: "lower train.batch, or set objective.estimator = \"weighted\"".into(),
            });
        }
        Ok(Self { config, mixture })
    }
}

impl Loss for BetaTcvae {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        let posterior = &inputs.forward.posterior;
        let (z, mean, log_var) =
            (inputs.forward.z.clone(), posterior.mean.clone(), posterior.log_var.clone());
        let [batch, latents] = z.dims();
        let constant = latents as f64 * std::f64::consts::TAU.ln();
        // ln of a diagonal Gaussian's density, from the sum of squares and log-variances of each image.
        let log_density = |sums: Tensor<2>| (sums.sum_dim(1) + constant).reshape([batch]) * -0.5;
        let distance = z.clone() - mean.clone();
        let of_own = log_density(distance.square() * log_var.clone().neg().exp() + log_var.clone());
        let of_prior = log_density(z.clone().square());
        let estimates = ops::log_aggregate_posterior(z, mean, log_var, self.mixture);
        let column = |i: usize| estimates.clone().narrow(1, i, 1).reshape([batch]);
        let (joint, marginals) = (column(0), column(1));
        let mutual_information = (of_own - joint.clone()).mean();
        let total_correlation = (joint - marginals.clone()).mean();
        let dimension_wise = (marginals - of_prior).mean();
        let BetaTcvaeConfig { alpha, beta, gamma, .. } = self.config;
        let value = mutual_information.clone() * alpha.at(step)
            + total_correlation.clone() * beta.at(step)
            + dimension_wise.clone() * gamma.at(step);
        Constraint { value, terms: vec![mutual_information, total_correlation, dimension_wise] }
    }

    #[cfg(feature = "gpu")]
    fn plan_weights(&self, step: u64) -> Option<[f64; 3]> {
        let BetaTcvaeConfig { alpha, beta, gamma, .. } = self.config;
        Some([alpha, beta, gamma].map(|weight| weight.at(step)))
    }

    fn terms(&self) -> &'static [(&'static str, Unit)] {
        &[
            ("mutual_information", Unit::Nats),
            ("total_correlation", Unit::Nats),
            ("dimension_wise_kl", Unit::Nats),
        ]
    }

    fn weights(&self, _: &Facts, step: u64) -> Vec<Term> {
        let BetaTcvaeConfig { alpha, beta, gamma, .. } = self.config;
        vec![alpha.term("alpha", step), beta.term("beta", step), gamma.term("gamma", step)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Forward, Posterior, values};
    use crate::{Device, TensorData};

    /// Batch of all N = 4 images: the estimates against sums over all of them, at the same samples.
    #[test]
    fn the_decomposition_is_exact_where_the_batch_is_the_data_set() {
        let (n, latents) = (4, 2);
        let mean = [0.3_f32, -1.0, 1.2, 0.4, -0.7, 0.1, 0.0, 2.0];
        let log_var = [-1.0_f32, -0.5, 0.2, -2.0, -1.5, 0.0, -0.3, -1.0];
        let noise = [0.5_f32, -1.1, 0.2, 0.9, -0.4, 1.3, -0.8, 0.1];
        let z: Vec<f32> =
            (0..n * latents).map(|i| mean[i] + (0.5 * log_var[i]).exp() * noise[i]).collect();
        let density = |i: usize, j: usize, d: usize| {
            let (at, of) = (i * latents + d, j * latents + d);
            let distance = f64::from(z[at] - mean[of]);
            let log_var = f64::from(log_var[of]);
            -0.5 * (distance * distance * (-log_var).exp() + log_var + std::f64::consts::TAU.ln())
        };
        let (mut mi, mut tc, mut dimension_wise) = (0.0, 0.0, 0.0);
        for i in 0..n {
            let q =
                |d: usize| ((0..n).map(|j| density(i, j, d).exp()).sum::<f64>() / n as f64).ln();
            let all = |j: usize| (0..latents).map(|d| density(i, j, d)).sum::<f64>();
            let joint = ((0..n).map(|j| all(j).exp()).sum::<f64>() / n as f64).ln();
            let marginals: f64 = (0..latents).map(q).sum();
            let prior: f64 = (0..latents)
                .map(|d| {
                    let z = f64::from(z[i * latents + d]);
                    -0.5 * (z * z + std::f64::consts::TAU.ln())
                })
                .sum();
            mi += (all(i) - joint) / n as f64;
            tc += (joint - marginals) / n as f64;
            dimension_wise += (marginals - prior) / n as f64;
        }
        let tensor = |data: &[f32]| {
            Tensor::<2>::from_data(TensorData::new(data.to_vec(), [n, latents]), &Device::flex())
        };
        let posterior = Posterior { mean: tensor(&mean), log_var: tensor(&log_var) };
        let kl_per_latent = posterior.kl_per_latent();
        let nll = Tensor::<1>::zeros([1], &Device::flex());
        let forward = Forward { posterior, z: tensor(&z), nll };
        let precision = betavae_kernels::Precision::F32;
        let inputs =
            Inputs { forward: &forward, kl: kl_per_latent.clone().sum(), kl_per_latent, precision };
        let facts = Facts { images: n, batch: n, latents, image_values: 1, seed: 0 };
        let found = |estimator| {
            let config = BetaTcvaeConfig { estimator, ..BetaTcvaeConfig::default() };
            let loss = BetaTcvae::new(config, &facts).unwrap().constraint(&inputs, 1);
            let terms: Vec<f64> =
                loss.terms.iter().map(|term| f64::from(values(term.clone())[0])).collect();
            (f64::from(values(loss.value)[0]), terms)
        };
        // Weighted sampling of the whole set is off by ln N in ln q(z), and once per latent in the marginals.
        let (value, terms) = found(Estimator::Weighted);
        let off = (n as f64).ln();
        let expected =
            [mi + off, tc + (latents as f64 - 1.0) * off, dimension_wise - latents as f64 * off];
        for (found, expected) in terms.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{terms:?}, {expected}");
        }
        assert!((value - (terms[0] + 6.0 * terms[1] + terms[2])).abs() < 1e-4);
        // The parts sum to ln q(z | x) - ln p(z) whatever the estimates are.
        let (_, stratified) = found(Estimator::Stratified);
        let sum = mi + tc + dimension_wise;
        for terms in [terms, stratified] {
            assert!((terms.iter().sum::<f64>() - sum).abs() < 1e-5, "{terms:?}, {sum}");
        }
        let large = Facts { batch: 5, ..facts };
        let config = BetaTcvaeConfig { estimator: Estimator::Stratified, ..Default::default() };
        let error = BetaTcvae::new(config, &large).unwrap_err().to_string();
        assert!(error.contains("at most 4 images"), "{error}");
    }
}
