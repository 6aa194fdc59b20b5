//! Ada-GVAE and Ada-ML-VAE: a beta-VAE on pairs of images that share some factors, whose posteriors are averaged where
//! they seem to share a latent (Locatello et al. 2020, "Weakly-Supervised Disentanglement Without Compromises",
//! section 4).
//!
//! For each pair and latent j, delta_j = KL(q(z_j | x1) || q(z_j | x2)). Latents with
//! delta_j < (max_i delta_i + min_i delta_i) / 2 count as shared: both images take the average of their posteriors there,
//! and keep their own elsewhere. What is minimised is the mean over all images of reconstruction + beta * KL.
//!
//! Ada-GVAE averages means and variances (Hosoya 2019); Ada-ML-VAE multiplies the densities (Bouchacourt et al. 2018):
//! precision-weighted means, and twice the variance of the product, 2 v1 v2 / (v1 + v2).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::batch::{Draws, Facts};
use super::loss::{Constraint, Inputs, KlConstraint, Loss, Settings};
use super::schedule::Schedule;
use super::terms::{Term, Unit, beta_norm, beta_terms};
use crate::data::PairsConfig;
use crate::error::Result;
use crate::model::Posterior;

/// The settings of both; `OF_PRODUCT` is whether the average is that of the densities' product (Ada-ML-VAE) rather than
/// that of means and variances (Ada-GVAE).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ada<const OF_PRODUCT: bool> {
    /// Weight of the KL.
    #[serde(default = "beta")]
    pub beta: Schedule,
    /// Which pairs of images.
    #[serde(default)]
    pub pairs: PairsConfig,
}

/// The settings of Ada-GVAE.
pub type AdaGvae = Ada<false>;

/// The settings of Ada-ML-VAE.
pub type AdaMlVae = Ada<true>;

/// The smallest of the paper's grid.
fn beta() -> Schedule {
    1.0.into()
}

impl<const OF_PRODUCT: bool> Default for Ada<OF_PRODUCT> {
    fn default() -> Self {
        Self { beta: beta(), pairs: PairsConfig::default() }
    }
}

impl<const OF_PRODUCT: bool> Settings for Ada<OF_PRODUCT> {
    fn check(&self) -> Result<()> {
        self.beta.check("beta", 0.0)
    }

    fn weight(&self) -> f64 {
        self.beta.last()
    }

    fn label(&self) -> String {
        format!("\u{3b2} {}", self.beta.last())
    }

    fn beta(&self) -> Option<f64> {
        Some(self.beta.last())
    }

    fn pairs(&self) -> Option<&PairsConfig> {
        Some(&self.pairs)
    }

    fn describe(&self, latents: usize, image_values: usize) -> String {
        let Self { beta, pairs } = self;
        let name = if OF_PRODUCT { "Ada-ML-VAE" } else { "Ada-GVAE" };
        let norm = beta_norm(beta.last(), latents, image_values);
        format!(
            "{name}: reconstruction + {beta} * KL (beta_norm {norm:.4}), on pairs of images {pairs}"
        )
    }
}

/// The posteriors of the first images and of their partners, which stand behind them, [B, D] each.
fn halves(posterior: &Posterior) -> [Posterior; 2] {
    let [images, latents] = posterior.mean.dims();
    let pairs = images / 2;
    [0, pairs].map(|start| {
        let half = |tensor: &Tensor<2>| tensor.clone().slice([start..start + pairs, 0..latents]);
        Posterior { mean: half(&posterior.mean), log_var: half(&posterior.log_var) }
    })
}

/// Whether each latent of the pairs counts as shared: 1 or 0, [B, D].
fn shared(first: &Posterior, second: &Posterior) -> Tensor<2> {
    let [mean1, mean2] = [first, second].map(|posterior| posterior.mean.clone().detach());
    let [log_var1, log_var2] = [first, second].map(|posterior| posterior.log_var.clone().detach());
    // Twice the KL, which does not matter for a comparison with its own midpoint.
    let squares = (mean1 - mean2).square() / log_var2.clone().exp();
    let log_ratio = log_var1 - log_var2;
    let delta = log_ratio.clone().exp() + squares - 1.0 - log_ratio;
    let midpoint = (delta.clone().max_dim(1) + delta.clone().min_dim(1)) * 0.5;
    delta.lower(midpoint).float()
}

/// Both posteriors in one.
fn averaged<const OF_PRODUCT: bool>(first: &Posterior, second: &Posterior) -> Posterior {
    let [
        Posterior { mean: mean1, log_var: log_var1 },
        Posterior { mean: mean2, log_var: log_var2 },
    ] = [first, second].map(Clone::clone);
    let log_ratio = log_var1.clone() - log_var2.clone();
    let middle = (log_var1 + log_var2) * 0.5;
    // ln((v1 + v2) / 2) - (ln v1 + ln v2) / 2, which is at least 0, without overflow.
    let distance = log_ratio.clone().abs();
    let spread = distance.clone() * 0.5 + (-distance).exp().log1p() - std::f64::consts::LN_2;
    if OF_PRODUCT {
        // v2 / (v1 + v2), the share of the first image's precision.
        let share = burn::tensor::activation::sigmoid(-log_ratio);
        let mean = mean1 * share.clone() + mean2 * (-share + 1.0);
        Posterior { mean, log_var: middle - spread }
    } else {
        Posterior { mean: (mean1 + mean2) * 0.5, log_var: middle + spread }
    }
}

impl<const OF_PRODUCT: bool> Loss for Ada<OF_PRODUCT> {
    fn draws(&self) -> Draws {
        Draws::Pairs(self.pairs.clone())
    }

    fn posterior(&self, posterior: Posterior) -> Posterior {
        let [first, second] = halves(&posterior);
        let shared = shared(&first, &second);
        let average = averaged::<OF_PRODUCT>(&first, &second);
        let twice = |tensor: Tensor<2>| Tensor::cat(vec![tensor.clone(), tensor], 0);
        let is_shared = twice(shared).equal_elem(1.0);
        let choose = |own: Tensor<2>, average| own.mask_where(is_shared.clone(), twice(average));
        Posterior {
            mean: choose(posterior.mean, average.mean),
            log_var: choose(posterior.log_var, average.log_var),
        }
    }

    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        // What is shared is the same in both halves.
        let [first, second] = halves(&inputs.forward.posterior);
        let [pairs, _] = first.mean.dims();
        let shared = first.mean.equal(second.mean).float().sum() / pairs as f64;
        Constraint { value: inputs.kl.clone() * self.beta.at(step), terms: vec![shared] }
    }

    fn kl_constraint(&self, step: u64) -> Option<KlConstraint> {
        Some(KlConstraint { beta: self.beta.at(step), ..KlConstraint::default() })
    }

    /// Number of latents that count as shared, averaged over the pairs.
    fn terms(&self) -> &'static [(&'static str, Unit)] {
        &[("shared_latents", Unit::Number)]
    }

    fn weights(&self, facts: &Facts, step: u64) -> Vec<Term> {
        beta_terms(self.beta.at(step), facts).to_vec()
    }
}
