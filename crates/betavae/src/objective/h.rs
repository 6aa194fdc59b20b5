//! Loss H: reconstruction + beta * KL (Higgins et al. 2017, "beta-VAE: Learning Basic Visual Concepts with a
//! Constrained Variational Framework", eq. 4).

use serde::{Deserialize, Serialize};

use super::batch::Facts;
use super::loss::{Constraint, Inputs, Loss, Settings, at_least};
use super::terms::{Term, Unit, beta_norm};
use crate::error::Result;
use crate::words::thousands;

/// The settings of loss H.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossH {
    /// Weight of the KL; 1 is the plain VAE, 0 an autoencoder.
    pub beta: f64,
    /// Beta rises linearly from beta / warmup_steps to its value over this many steps.
    pub warmup_steps: u64,
}

impl Default for LossH {
    /// Beta 4, with which the paper trains on 2D shapes, from the start.
    fn default() -> Self {
        Self { beta: 4.0, warmup_steps: 0 }
    }
}

impl LossH {
    /// Beta at `step`, which counts from 1.
    pub fn beta_at(&self, step: u64) -> f64 {
        let ramp = match self.warmup_steps {
            0 => 1.0,
            steps => step as f64 / steps as f64,
        };
        self.beta * ramp.min(1.0)
    }
}

impl Settings for LossH {
    fn check(&self) -> Result<()> {
        at_least("beta", self.beta, 0.0)
    }

    fn weight(&self) -> f64 {
        self.beta
    }

    fn label(&self) -> String {
        format!("\u{3b2} {}", self.beta)
    }

    fn beta(&self) -> Option<f64> {
        Some(self.beta)
    }

    fn describe(&self, latents: usize, image_values: usize) -> String {
        let Self { beta, warmup_steps } = self;
        let norm = beta_norm(*beta, latents, image_values);
        let warmup = match warmup_steps {
            0 => String::new(),
            steps => format!(", reached after {} steps", thousands(*steps as usize)),
        };
        format!("loss H: reconstruction + {beta} * KL (beta_norm {norm:.4}){warmup}")
    }
}

impl Loss for LossH {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        Constraint::new(inputs.kl.clone() * self.beta_at(step))
    }

    fn weights(&self, facts: &Facts, step: u64) -> Vec<Term> {
        let beta = self.beta_at(step);
        let norm = beta_norm(beta, facts.latents, facts.image_values);
        vec![Term::new("beta", Unit::Number, beta), Term::new("beta_norm", Unit::Number, norm)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beta_warms_up_linearly() {
        let loss = |warmup_steps| LossH { beta: 4.0, warmup_steps };
        assert_eq!(loss(0).beta_at(1), 4.0);
        assert_eq!([1, 5, 10, 11].map(|step| loss(10).beta_at(step)), [0.4, 2.0, 4.0, 4.0]);
    }
}
