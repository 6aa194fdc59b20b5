//! The `[objective]` table: what the user writes, and its translation to an [`Objective`].

use serde::{Deserialize, Serialize};

use super::{Constraint, Objective, Reduction};
use crate::error::{Error, Result};
use crate::model::Likelihood;

/// Which loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// beta * KL (Higgins et al. 2017).
    #[default]
    H,
    /// gamma * |KL - C| (Burgess et al. 2018).
    B,
}

/// Which distribution of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LikelihoodKind {
    /// From logits.
    Bernoulli,
    /// Around means.
    Gaussian,
}

/// Which unit the terms are added in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReductionKind {
    /// Nats per image.
    #[default]
    Sum,
    /// PyTorch-VAE's means.
    Mean,
}

/// The `[objective]` table. Keys that the chosen kind does not use are errors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// `h` (default) or `b`.
    #[serde(default)]
    pub kind: Kind,
    /// h: weight of the KL; default 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// h: steps over which beta rises linearly; default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// b: weight of |KL - C|; default 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// b: smallest capacity in nats; default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c_min: Option<f64>,
    /// b: final capacity in nats; default 25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c_max: Option<f64>,
    /// b: steps until the final capacity; default 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c_steps: Option<u64>,
    /// `bernoulli` or `gaussian`; default: Gaussian for networks that end in tanh, else Bernoulli.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<LikelihoodKind>,
    /// Gaussian: standard deviation; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// `sum` (default) or `mean`.
    #[serde(default)]
    pub reduction: ReductionKind,
    /// mean: weight of the constraint, PyTorch-VAE's `kld_weight`; default 0.00025.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_weight: Option<f64>,
}

/// Keys that only loss H understands.
pub(crate) const H_KEYS: [&str; 2] = ["beta", "warmup_steps"];
/// Keys that only loss B understands.
pub(crate) const B_KEYS: [&str; 4] = ["gamma", "c_min", "c_max", "c_steps"];

impl ObjectiveConfig {
    /// Fills in the defaults, so that the written configuration says everything.
    ///
    /// `ends_in_tanh`: whether the network makes means.
    pub fn resolve(&mut self, ends_in_tanh: bool) {
        match self.kind {
            Kind::H => {
                self.beta.get_or_insert(4.0);
                self.warmup_steps.get_or_insert(0);
            }
            Kind::B => {
                self.gamma.get_or_insert(1000.0);
                self.c_min.get_or_insert(0.0);
                self.c_max.get_or_insert(25.0);
                self.c_steps.get_or_insert(100_000);
            }
        }
        let likelihood =
            if ends_in_tanh { LikelihoodKind::Gaussian } else { LikelihoodKind::Bernoulli };
        if *self.likelihood.get_or_insert(likelihood) == LikelihoodKind::Gaussian {
            self.sigma.get_or_insert(1.0);
        }
        if self.reduction == ReductionKind::Mean {
            self.kl_weight.get_or_insert(0.00025);
        }
    }

    /// The objective and likelihood of a resolved table.
    ///
    /// # Errors
    /// If a key does not belong to the kind, or a number is impossible.
    pub fn check(&self) -> Result<(Objective, Likelihood)> {
        let given = [
            ("beta", self.beta.is_some()),
            ("warmup_steps", self.warmup_steps.is_some()),
            ("gamma", self.gamma.is_some()),
            ("c_min", self.c_min.is_some()),
            ("c_max", self.c_max.is_some()),
            ("c_steps", self.c_steps.is_some()),
        ];
        let foreign: &[&str] = if self.kind == Kind::H { &B_KEYS } else { &H_KEYS };
        if let Some((key, _)) = given.iter().find(|(key, set)| *set && foreign.contains(key)) {
            let (kind, own) = match self.kind {
                Kind::H => ("h", H_KEYS.join(", ")),
                Kind::B => ("b", B_KEYS.join(", ")),
            };
            return Err(Error::config(
                format!("objective.{key} has no meaning for kind = \"{kind}\""),
                format!("that kind is set by {own}"),
            ));
        }
        let number = |key: &str, value: Option<f64>, low: f64| match value {
            Some(value) if value.is_finite() && value >= low => Ok(value),
            other => Err(Error::config(
                format!(
                    "objective.{key}: expected a finite number of at least {low}, found {}",
                    other.map_or("nothing".into(), |value| value.to_string())
                ),
                "",
            )),
        };
        let constraint = match self.kind {
            Kind::H => Constraint::H {
                beta: number("beta", self.beta, 0.0)?,
                warmup_steps: self.warmup_steps.unwrap_or(0),
            },
            Kind::B => {
                let c_min = number("c_min", self.c_min, 0.0)?;
                Constraint::B {
                    gamma: number("gamma", self.gamma, 0.0)?,
                    c_min,
                    c_max: number("c_max", self.c_max, c_min)?,
                    c_steps: self.c_steps.unwrap_or(0),
                }
            }
        };
        let likelihood = match self.likelihood {
            Some(LikelihoodKind::Gaussian) => {
                Likelihood::Gaussian { sigma: number("sigma", self.sigma, 1e-6)? }
            }
            _ if self.sigma.is_some() => {
                return Err(Error::config(
                    "objective.sigma has no meaning for the Bernoulli likelihood",
                    "remove it, or set objective.likelihood = \"gaussian\"",
                ));
            }
            _ => Likelihood::Bernoulli,
        };
        let reduction = match self.reduction {
            ReductionKind::Mean => {
                Reduction::Mean { kl_weight: number("kl_weight", self.kl_weight, 0.0)? }
            }
            ReductionKind::Sum if self.kl_weight.is_some() => {
                return Err(Error::config(
                    "objective.kl_weight has no meaning for reduction = \"sum\"",
                    "remove it, or set objective.reduction = \"mean\"",
                ));
            }
            ReductionKind::Sum => Reduction::Sum,
        };
        Ok((Objective { constraint, reduction }, likelihood))
    }
}
