//! ControlVAE: reconstruction + beta(t) * KL, where a controller chooses beta so that the KL follows a target (Shao et
//! al. 2020, "ControlVAE: Controllable Variational Autoencoder", Algorithm 1).
//!
//! With the error e = target - KL of the batch, the controller is
//! beta(t) = K_p / (1 + exp(e)) + I(t) + beta_min, I(t) = I(t - 1) - K_i e, bounded by beta_min and beta_max. As long as
//! beta is at a bound, the integral I rests (the paper's anti-windup).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::batch::Facts;
use super::loss::{Constraint, Inputs, Loss, ObjectiveState, Settings, at_least};
use super::schedule::{Schedule, Varying};
use super::terms::{Term, Terms, Unit, beta_terms};
use crate::error::Result;
use crate::model::values;

/// The settings of ControlVAE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlVaeConfig {
    /// Proportional gain.
    pub k_p: f64,
    /// Integral gain.
    pub k_i: f64,
    /// Smallest beta: 1 to disentangle, 0 to generate.
    pub beta_min: f64,
    /// Largest beta.
    pub beta_max: f64,
    /// Target of the KL in nats.
    pub target: Schedule,
}

impl Default for ControlVaeConfig {
    /// Those of the authors' program for dSprites: the target rises by 0.15 nats every 5,000 steps.
    fn default() -> Self {
        let target = Varying::Stairs { from: 0.5, to: 16.0, rise: 0.15, every: 5000 };
        Self {
            k_p: 0.01,
            k_i: 0.001,
            beta_min: 1.0,
            beta_max: 100.0,
            target: Schedule::Varying(target),
        }
    }
}

impl Settings for ControlVaeConfig {
    fn check(&self) -> Result<()> {
        at_least("k_p", self.k_p, 0.0)?;
        at_least("k_i", self.k_i, 0.0)?;
        at_least("beta_min", self.beta_min, 0.0)?;
        at_least("beta_max", self.beta_max, self.beta_min)?;
        self.target.check("target", 0.0)
    }

    fn weight(&self) -> f64 {
        self.beta_min
    }

    fn label(&self) -> String {
        format!("KL {}", self.target.last())
    }

    fn describe(&self, _latents: usize, _image_values: usize) -> String {
        let Self { k_p, k_i, beta_min, target, .. } = self;
        format!(
            "ControlVAE: reconstruction + beta(t) * KL, KL held at {target} nats by a controller \
             (K_p {k_p}, K_i {k_i}, beta from {beta_min})"
        )
    }
}

/// ControlVAE in training.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ControlVae {
    config: ControlVaeConfig,
    /// I(t) of the newest step.
    integral: f64,
    /// Beta of the newest step.
    beta: f64,
}

impl ControlVae {
    pub(super) fn new(config: ControlVaeConfig) -> Self {
        Self { integral: 0.0, beta: config.beta_min, config }
    }

    /// Integral and beta at `step` for a KL in nats.
    fn control(&self, kl: f64, step: u64) -> (f64, f64) {
        let ControlVaeConfig { k_p, k_i, beta_min, beta_max, target } = self.config;
        let error = target.at(step) - kl;
        let proportional = k_p / (1.0 + error.exp());
        let integral = self.integral - k_i * error;
        let beta = proportional + integral + beta_min;
        if (beta_min..=beta_max).contains(&beta) {
            (integral, beta)
        } else {
            (self.integral, beta.clamp(beta_min, beta_max))
        }
    }
}

impl Loss for ControlVae {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        // Summed as the terms of the step will have it.
        let kl: f32 = values(inputs.kl_per_latent.clone().inner()).iter().sum();
        let (_, beta) = self.control(f64::from(kl), step);
        Constraint::new(inputs.kl.clone() * beta)
    }

    fn by_kl(&self, kl: f64, step: u64) -> Option<[f64; 2]> {
        let (_, beta) = self.control(kl, step);
        Some([beta * kl, beta])
    }

    fn weights(&self, facts: &Facts, step: u64) -> Vec<Term> {
        let target = Term::new("target", Unit::Nats, self.config.target.at(step));
        beta_terms(self.beta, facts).into_iter().chain([target]).collect()
    }

    fn after_step(&mut self, terms: &Terms, step: u64) {
        (self.integral, self.beta) = self.control(f64::from(terms.kl()), step);
    }

    fn state(&self) -> ObjectiveState {
        let numbers = [("integral", self.integral), ("beta", self.beta)];
        let numbers = numbers.map(|(name, value)| (name.to_owned(), value));
        ObjectiveState { numbers: BTreeMap::from(numbers), tensors: Vec::new() }
    }

    fn restore(&mut self, state: ObjectiveState) -> Result<()> {
        self.integral = state.of_controller("integral")?;
        self.beta = state.of_controller("beta")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(kl: f32) -> Terms {
        Terms { losses: vec![Term { name: "kl", unit: Unit::Nats, value: kl }], ..Terms::default() }
    }

    fn steps(loss: &mut ControlVae, kls: &[f32]) -> Vec<f64> {
        let mut betas = Vec::new();
        for (step, kl) in (1..).zip(kls) {
            loss.after_step(&terms(*kl), step);
            betas.push(loss.beta);
        }
        betas
    }

    #[test]
    fn beta_follows_the_published_controller() {
        let target = Schedule::Constant(10.0);
        let config = ControlVaeConfig { k_p: 0.5, k_i: 0.1, target, ..Default::default() };
        let mut loss = ControlVae::new(config);
        // Too much KL: e = -2, beta = 0.5 / (1 + exp(-2)) + 0.2 + 1, and the integral grows.
        let expected = [0.5 / (1.0 + (-2.0_f64).exp()) + 1.2, 0.5 / (1.0 + (-1.0_f64).exp()) + 1.3];
        let found = steps(&mut loss, &[12.0, 11.0]);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        assert!((loss.integral - 0.3).abs() < 1e-12);
    }

    #[test]
    fn the_integral_rests_while_beta_is_at_its_bound() {
        let config = ControlVaeConfig { target: Schedule::Constant(10.0), ..Default::default() };
        let mut loss = ControlVae::new(config);
        // Too little KL asks for less than beta_min, for a long time.
        assert_eq!(steps(&mut loss, &[0.0; 1000]), [1.0; 1000]);
        assert_eq!(loss.integral, 0.0);
        // So beta answers at once when there is too much of it.
        assert!(steps(&mut loss, &[30.0])[0] > 1.0);
    }

    #[test]
    fn its_state_is_taken_back() {
        let mut loss = ControlVae::new(ControlVaeConfig::default());
        steps(&mut loss, &[40.0, 35.0, 20.0]);
        let mut again = ControlVae::new(ControlVaeConfig::default());
        again.restore(loss.state()).unwrap();
        assert_eq!(again, loss);
        assert!(again.restore(ObjectiveState::default()).is_err());
    }
}
