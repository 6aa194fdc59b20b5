//! DynamicVAE: reconstruction + beta(t) * KL, where a controller moves beta in small increments from a large value, so that a
//! moving average of the KL follows a target (Shao et al. 2020, "DynamicVAE: Decoupling Reconstruction Error and Disentangled
//! Representation Learning").
//!
//! With y the moving average of the batches' KL and e(t) = target(t) - y(t),
//! beta(t) = beta(t - 1) + K_p (s(-e(t)) - s(-e(t - 1))) - K_i e(t), bounded by beta_min and beta_max, s the logistic function.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::batch::Facts;
use super::loss::{Constraint, Inputs, Loss, ObjectiveState, Settings, at_least};
use super::schedule::{Schedule, Varying};
use super::terms::{Term, Terms, Unit, beta_terms};
use crate::error::{Error, Result};
use crate::model::values;

/// The settings of DynamicVAE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DynamicVaeConfig {
    /// Proportional gain.
    pub k_p: f64,
    /// Integral gain.
    pub k_i: f64,
    /// Beta before the first step.
    pub beta_start: f64,
    /// Smallest beta.
    pub beta_min: f64,
    /// Largest beta.
    pub beta_max: f64,
    /// Weight of the past in the moving average of the KL, in [0, 1).
    pub average: f64,
    /// Target of the KL in nats.
    pub target: Schedule,
}

impl Default for DynamicVaeConfig {
    /// Those of the authors' program for dSprites.
    fn default() -> Self {
        let target = Varying::Stairs { from: 0.5, to: 11.0, rise: 0.15, every: 5000 };
        Self {
            k_p: 0.01,
            k_i: 0.005,
            beta_start: 150.0,
            beta_min: 1.0,
            beta_max: 150.0,
            average: 0.95,
            target: Schedule::Varying(target),
        }
    }
}

impl Settings for DynamicVaeConfig {
    fn check(&self) -> Result<()> {
        at_least("k_p", self.k_p, 0.0)?;
        at_least("k_i", self.k_i, 0.0)?;
        at_least("beta_min", self.beta_min, 0.0)?;
        at_least("beta_start", self.beta_start, self.beta_min)?;
        at_least("beta_max", self.beta_max, self.beta_start)?;
        if !(0.0..1.0).contains(&self.average) {
            let message = format!(
                "objective.average: expected at least 0 and less than 1, found {}",
                self.average
            );
            return Err(Error::config(message, ""));
        }
        self.target.check("target", 0.0)
    }

    fn weight(&self) -> f64 {
        self.beta_min
    }

    fn label(&self) -> String {
        format!("KL {}", self.target.last())
    }

    fn describe(&self, _latents: usize, _image_values: usize) -> String {
        let Self { k_p, k_i, beta_start, target, .. } = self;
        format!(
            "DynamicVAE: reconstruction + beta(t) * KL, KL held at {target} nats by increments of beta from {beta_start} \
             (K_p {k_p}, K_i {k_i})"
        )
    }
}

/// DynamicVAE in training.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DynamicVae {
    config: DynamicVaeConfig,
    state: Controller,
}

/// What the controller knows after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Controller {
    beta: f64,
    /// Moving average of the KL in nats; none before the first step.
    kl: Option<f64>,
    /// s(-e) of the newest step.
    response: f64,
}

impl DynamicVae {
    pub(super) fn new(config: DynamicVaeConfig) -> Self {
        Self { state: Controller { beta: config.beta_start, kl: None, response: 0.0 }, config }
    }

    /// The controller after a batch with this KL in nats.
    fn control(&self, kl: f64, step: u64) -> Controller {
        let DynamicVaeConfig { k_p, k_i, beta_min, beta_max, average, target, .. } = self.config;
        let mean = self.state.kl.map_or(kl, |past| average * past + (1.0 - average) * kl);
        let error = target.at(step) - mean;
        let response = 1.0 / (1.0 + error.exp());
        // At the first step there is no other response to compare with.
        let change = self.state.kl.map_or(0.0, |_| response - self.state.response);
        let beta = self.state.beta + k_p * change - k_i * error;
        Controller { beta: beta.clamp(beta_min, beta_max), kl: Some(mean), response }
    }
}

impl Loss for DynamicVae {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        // Summed as the terms of the step will have it.
        let kl: f32 = values(inputs.kl_per_latent.clone().inner()).iter().sum();
        let beta = self.control(f64::from(kl), step).beta;
        Constraint::new(inputs.kl.clone() * beta)
    }

    fn by_kl(&self, kl: f64, step: u64) -> Option<[f64; 2]> {
        let beta = self.control(kl, step).beta;
        Some([beta * kl, beta])
    }

    fn weights(&self, facts: &Facts, step: u64) -> Vec<Term> {
        let target = Term::new("target", Unit::Nats, self.config.target.at(step));
        beta_terms(self.state.beta, facts).into_iter().chain([target]).collect()
    }

    fn after_step(&mut self, terms: &Terms, step: u64) {
        self.state = self.control(f64::from(terms.kl()), step);
    }

    fn state(&self) -> ObjectiveState {
        let Controller { beta, kl, response } = self.state;
        let mut numbers =
            BTreeMap::from([("beta".to_owned(), beta), ("response".to_owned(), response)]);
        numbers.extend(kl.map(|kl| ("kl".to_owned(), kl)));
        ObjectiveState { numbers, tensors: Vec::new() }
    }

    fn restore(&mut self, state: ObjectiveState) -> Result<()> {
        let (beta, response) = (state.of_controller("beta")?, state.of_controller("response")?);
        self.state = Controller { beta, kl: state.numbers.get("kl").copied(), response };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(loss: &mut DynamicVae, kl: f32, step: u64) -> f64 {
        let losses = vec![Term { name: "kl", unit: Unit::Nats, value: kl }];
        loss.after_step(&Terms { losses, ..Terms::default() }, step);
        loss.state.beta
    }

    #[test]
    fn beta_moves_by_the_published_increments() {
        let config = DynamicVaeConfig {
            k_p: 0.5,
            k_i: 0.1,
            beta_start: 20.0,
            average: 0.75,
            target: Schedule::Constant(10.0),
            ..DynamicVaeConfig::default()
        };
        let mut loss = DynamicVae::new(config);
        // e = -2 at first; then the average is 0.75 * 12 + 0.25 * 8 = 11, e = -1.
        assert!((step(&mut loss, 12.0, 1) - 20.2).abs() < 1e-12);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let expected = 20.2 + 0.5 * (logistic(1.0) - logistic(2.0)) + 0.1;
        assert!((step(&mut loss, 8.0, 2) - expected).abs() < 1e-12);
        let mut again = DynamicVae::new(loss.config.clone());
        again.restore(loss.state()).unwrap();
        assert_eq!(again, loss);
        assert!(again.restore(ObjectiveState::default()).is_err());
    }

    #[test]
    fn beta_stays_within_its_bounds() {
        let mut loss = DynamicVae::new(DynamicVaeConfig::default());
        assert_eq!(step(&mut loss, 1e6, 1), 150.0);
        let target = Schedule::Constant(1e6);
        let mut loss = DynamicVae::new(DynamicVaeConfig { target, ..Default::default() });
        assert_eq!(step(&mut loss, 1.0, 1), 1.0);
    }
}
