//! Loss H: reconstruction + beta * KL (Higgins et al. 2017, "beta-VAE: Learning Basic Visual Concepts with a
//! Constrained Variational Framework", eq. 4).

use serde::{Deserialize, Serialize};

use super::batch::Facts;
use super::loss::{Constraint, Inputs, KlConstraint, Loss, Settings};
use super::schedule::Schedule;
use super::terms::{Term, beta_norm, beta_terms};
use crate::error::Result;

/// The settings of loss H.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossH {
    /// Weight of the KL; 1 is the plain VAE, 0 an autoencoder.
    pub beta: Schedule,
}

impl Default for LossH {
    /// Beta 4, with which the paper trains on 2D shapes, from the start.
    fn default() -> Self {
        Self { beta: 4.0.into() }
    }
}

impl Settings for LossH {
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

    fn describe(&self, latents: usize, image_values: usize) -> String {
        let norm = beta_norm(self.beta.last(), latents, image_values);
        match self.beta {
            Schedule::Constant(beta) => {
                format!("loss H: reconstruction + {beta} * KL (beta_norm {norm:.4})")
            }
            Schedule::Varying(beta) => {
                format!(
                    "loss H: reconstruction + beta * KL, beta {beta} (beta_norm {norm:.4} at the end)"
                )
            }
        }
    }
}

impl Loss for LossH {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        Constraint::new(inputs.kl.clone() * self.beta.at(step))
    }

    fn kl_constraint(&self, step: u64) -> Option<KlConstraint> {
        Some(KlConstraint { beta: self.beta.at(step), ..KlConstraint::default() })
    }

    fn weights(&self, facts: &Facts, step: u64) -> Vec<Term> {
        beta_terms(self.beta.at(step), facts).to_vec()
    }
}
