//! What is minimised: reconstruction plus a constraint on KL(q(z | x) || N(0, 1)).
//!
//! Every term is in nats per image: log-likelihoods are summed over H, W and C, the KL over the D
//! latents, both averaged over the batch. A beta means nothing without that convention, so
//! PyTorch-VAE's other one (pixel means and a KL weight) is an explicit [`Reduction`].

mod config;

pub(crate) use config::{B_KEYS, H_KEYS};
pub use config::{Kind, LikelihoodKind, ObjectiveConfig, ReductionKind};

use burn::tensor::Tensor;

use crate::model::{BetaVae, Forward, Likelihood, Pass, weights};

/// Latents with a KL above this many nats carry information.
pub const ACTIVE_NATS: f32 = 0.01;

/// How the KL is held down, and how the two terms are scaled against each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Loss H or loss B.
    pub constraint: Constraint,
    /// Sums in nats, or PyTorch-VAE's means.
    pub reduction: Reduction,
}

/// The price of information about the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constraint {
    /// Loss H (Higgins et al. 2017, eq. 4): beta * KL.
    H {
        /// Weight of the KL; 1 is the plain VAE, 0 an autoencoder.
        beta: f64,
        /// Beta rises linearly from beta / warmup_steps to its value over this many steps.
        warmup_steps: u64,
    },
    /// Loss B (Burgess et al. 2018, eq. 8): gamma * |KL - C|, with
    /// C(t) = clamp(c_max * t / c_steps, c_min, c_max) and KL the mean over the batch.
    B {
        /// Weight of the distance from the capacity.
        gamma: f64,
        /// Smallest capacity in nats.
        c_min: f64,
        /// Final capacity in nats.
        c_max: f64,
        /// Steps until the final capacity.
        c_steps: u64,
    },
}

/// The unit in which the two terms are added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduction {
    /// Nats per image: -ln p(x | z) summed over the image, as both papers have it.
    Sum,
    /// The PyTorch-VAE convention: the error averaged over all values of the image
    /// (squared error, or cross-entropy), and the constraint multiplied by `kl_weight`.
    Mean {
        /// That project's `kld_weight` or `M_N`.
        kl_weight: f64,
    },
}

/// The constraint's moving part at some step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InForce {
    /// Loss H: beta.
    Beta(f64),
    /// Loss B: C in nats.
    Capacity(f64),
}

impl InForce {
    /// `beta` or `capacity`, the name in `metrics.csv`.
    pub fn name(self) -> &'static str {
        match self {
            InForce::Beta(_) => "beta",
            InForce::Capacity(_) => "capacity",
        }
    }

    /// The number itself.
    pub fn value(self) -> f64 {
        match self {
            InForce::Beta(value) | InForce::Capacity(value) => value,
        }
    }
}

/// A loss and its terms, still tensors; scalars have shape \[1\].
#[derive(Clone, Debug)]
pub struct Loss {
    /// What is minimised.
    pub total: Tensor<1>,
    /// Mean of -ln p(x | z) in nats per image.
    pub reconstruction: Tensor<1>,
    /// KL of each latent in nats, `[D]`; their sum is the KL.
    pub kl_per_latent: Tensor<1>,
    /// Beta or C at this step.
    pub in_force: InForce,
}

/// The terms of a loss as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What is minimised: nats per image with sum reduction, else in PyTorch-VAE's unit.
    pub total: f32,
    /// Mean of -ln p(x | z) in nats per image.
    pub reconstruction: f32,
    /// KL in nats per image.
    pub kl: f32,
    /// KL of each latent in nats.
    pub kl_per_latent: Vec<f32>,
    /// Beta or C at this step.
    pub in_force: InForce,
}

impl Terms {
    /// Number of latents with more than [`ACTIVE_NATS`] of KL.
    pub fn active(&self) -> usize {
        self.kl_per_latent.iter().filter(|kl| **kl > ACTIVE_NATS).count()
    }

    /// One line for people; `values` is H * W * C, for beta_norm.
    pub fn summary(&self, values: usize) -> String {
        format!(
            "loss {:.2}  rec {:.2}  KL {:.2}  active {}/{}  {}",
            self.total,
            self.reconstruction,
            self.kl,
            self.active(),
            self.kl_per_latent.len(),
            self.in_force_words(values),
        )
    }

    /// Beta with beta_norm, or C, in words.
    pub fn in_force_words(&self, values: usize) -> String {
        match self.in_force {
            InForce::Beta(beta) => {
                let norm = beta_norm(beta, self.kl_per_latent.len(), values);
                format!("beta {beta:.3} (norm {norm:.4})")
            }
            InForce::Capacity(c) => format!("C {c:.3} nats"),
        }
    }
}

impl Objective {
    /// The objective in words, such as `loss H, beta 4 (beta_norm 0.0098)`, for `latents` latents and
    /// images of `values` = H * W * C values.
    pub fn describe(&self, latents: usize, values: usize) -> String {
        let constraint = match self.constraint {
            Constraint::H { beta, warmup_steps } => {
                let norm = beta_norm(beta, latents, values);
                let warmup = match warmup_steps {
                    0 => String::new(),
                    steps => format!(", reached after {steps} steps"),
                };
                format!("loss H, beta {beta} (beta_norm {norm:.4}){warmup}")
            }
            Constraint::B { gamma, c_min, c_max, c_steps } => {
                format!(
                    "loss B, gamma {gamma}, C from {c_min} to {c_max} nats over {c_steps} steps"
                )
            }
        };
        match self.reduction {
            Reduction::Sum => constraint,
            Reduction::Mean { kl_weight } => {
                format!("{constraint}, means with kl_weight {kl_weight}")
            }
        }
    }

    /// Beta or C at `step`, which counts optimisation steps from 1.
    pub fn in_force(&self, step: u64) -> InForce {
        match self.constraint {
            Constraint::H { beta, warmup_steps } => {
                let ramp = if warmup_steps == 0 { 1.0 } else { step as f64 / warmup_steps as f64 };
                InForce::Beta(beta * ramp.min(1.0))
            }
            Constraint::B { c_min, c_max, c_steps, .. } => {
                let ramp = if c_steps == 0 { 1.0 } else { step as f64 / c_steps as f64 };
                InForce::Capacity((c_max * ramp).clamp(c_min, c_max))
            }
        }
    }

    /// The loss of a forward pass.
    ///
    /// ```
    /// use betavae::objective::{Constraint, InForce, Objective, Reduction};
    /// // Burgess et al. 2018: C rises to 25 nats over 100,000 steps.
    /// let constraint =
    ///     Constraint::B { gamma: 1000.0, c_min: 0.0, c_max: 25.0, c_steps: 100_000 };
    /// let objective = Objective { constraint, reduction: Reduction::Sum };
    /// assert_eq!(objective.in_force(20_000), InForce::Capacity(5.0));
    /// ```
    ///
    /// `values` is H * W * C.
    pub fn loss(
        &self,
        likelihood: Likelihood,
        forward: &Forward,
        values: usize,
        step: u64,
    ) -> Loss {
        let posterior = &forward.posterior;
        let kl_per_latent = posterior.kl_per_latent();
        let kl = kl_per_latent.clone().sum();
        let reconstruction = forward.nll.clone() + likelihood.constant(values);
        let in_force = self.in_force(step);
        let constraint = match (self.constraint, in_force) {
            (Constraint::B { gamma, .. }, InForce::Capacity(c)) => (kl - c).abs() * gamma,
            (_, weight) => kl * weight.value(),
        };
        let total = match self.reduction {
            Reduction::Sum => reconstruction.clone() + constraint,
            Reduction::Mean { kl_weight } => {
                forward.nll.clone() * likelihood.mean_error_per_nat(values) + constraint * kl_weight
            }
        };
        Loss { total, reconstruction, kl_per_latent, in_force }
    }

    /// The weight on the KL (or on its distance from C) when the loss is written in nats per
    /// image: beta or gamma itself for sums; for means, multiplied by kl_weight * H * W * C, and
    /// for the Gaussian by 1 / (2 sigma^2).
    pub fn weight_in_nats(&self, likelihood: Likelihood, values: usize) -> f64 {
        let weight = match self.constraint {
            Constraint::H { beta, .. } => beta,
            Constraint::B { gamma, .. } => gamma,
        };
        let scale = match (self.reduction, likelihood) {
            (Reduction::Sum, _) => 1.0,
            (Reduction::Mean { kl_weight }, Likelihood::Bernoulli) => kl_weight * values as f64,
            (Reduction::Mean { kl_weight }, Likelihood::Gaussian { sigma }) => {
                kl_weight * values as f64 / (2.0 * sigma * sigma)
            }
        };
        weight * scale
    }
}

impl BetaVae {
    /// The objective on a batch at an optimisation step (counted from 1), with its terms.
    ///
    /// # Shapes
    /// - `images`: [B, H, W, C] in [0, 1], `noise`: standard normal [B, D]
    pub fn loss(
        &self,
        objective: &Objective,
        images: Tensor<4>,
        noise: Tensor<2>,
        step: u64,
        pass: &mut Pass,
    ) -> Loss {
        let values = self.network().image.values();
        objective.loss(self.likelihood(), &self.forward(images, noise, pass), values, step)
    }
}

impl Loss {
    /// Fetches the numbers from the device.
    pub fn terms(&self) -> Terms {
        let scalars = Tensor::cat(
            vec![
                self.total.clone().inner(),
                self.reconstruction.clone().inner(),
                self.kl_per_latent.clone().inner(),
            ],
            0,
        );
        let values = weights::values(scalars);
        Terms {
            total: values[0],
            reconstruction: values[1],
            kl: values[2..].iter().sum(),
            kl_per_latent: values[2..].to_vec(),
            in_force: self.in_force,
        }
    }
}

/// Higgins et al.'s beta_norm = beta * D / (H * W * C): the weight between a mean over pixels and a
/// mean over latents, which can be compared between data sets and latent sizes.
pub fn beta_norm(beta: f64, latents: usize, values: usize) -> f64 {
    beta * latents as f64 / values as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b(c_min: f64, c_max: f64, c_steps: u64) -> Objective {
        let constraint = Constraint::B { gamma: 1.0, c_min, c_max, c_steps };
        Objective { constraint, reduction: Reduction::Sum }
    }

    #[test]
    fn capacity_rises_linearly_between_its_bounds() {
        let capacity = |step| b(0.5, 25.0, 100).in_force(step).value();
        assert_eq!([1, 2, 4, 50, 100, 1000].map(capacity), [0.5, 0.5, 1.0, 12.5, 25.0, 25.0]);
        assert_eq!(b(0.0, 25.0, 0).in_force(1), InForce::Capacity(25.0));
    }

    #[test]
    fn beta_warms_up_linearly() {
        let objective = |warmup_steps| Objective {
            constraint: Constraint::H { beta: 4.0, warmup_steps },
            reduction: Reduction::Sum,
        };
        assert_eq!(objective(0).in_force(1), InForce::Beta(4.0));
        assert_eq!([1, 5, 10, 11].map(|t| objective(10).in_force(t).value()), [0.4, 2.0, 4.0, 4.0]);
    }

    #[test]
    fn weights_are_translated_to_nats() {
        // bhvae.yaml of PyTorch-VAE: beta 10, kld_weight 0.00025, 3x64x64: 30.72 against the
        // squared error, hence half of that against the Gaussian log-likelihood with sigma 1.
        let objective = Objective {
            constraint: Constraint::H { beta: 10.0, warmup_steps: 0 },
            reduction: Reduction::Mean { kl_weight: 0.00025 },
        };
        let weight = objective.weight_in_nats(Likelihood::Gaussian { sigma: 1.0 }, 3 * 64 * 64);
        assert!((weight - 15.36).abs() < 1e-12, "{weight}");
        assert_eq!(beta_norm(4.0, 10, 4096), 0.009765625);
    }
}
