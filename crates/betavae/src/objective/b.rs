//! Loss B: reconstruction + gamma * |KL - C|, with a capacity C that rises (Burgess et al. 2018,
//! "Understanding disentangling in beta-VAE", eq. 8). The KL is the mean over the batch.

use serde::{Deserialize, Serialize};

use super::batch::Facts;
use super::loss::{Constraint, Inputs, KlConstraint, Loss, Settings, at_least};
use super::schedule::Schedule;
use super::terms::{Term, Unit};
use crate::error::Result;
use crate::words::thousands;

/// The settings of loss B: C(t) = clamp(c_max * (t - c_start) / c_steps, c_min, c_max).
///
/// ```
/// // Burgess et al. 2018: C rises to 25 nats over 100,000 steps.
/// let loss = betavae::objective::LossB::default();
/// assert_eq!(loss.capacity_at(20_000), 5.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossB {
    /// Weight of the distance from the capacity.
    pub gamma: Schedule,
    /// Smallest capacity in nats.
    pub c_min: f64,
    /// Final capacity in nats.
    pub c_max: f64,
    /// Steps from the start of the rise to the final capacity.
    pub c_steps: u64,
    /// Steps before the capacity begins to rise.
    pub c_start: u64,
}

impl Default for LossB {
    /// The paper's numbers.
    fn default() -> Self {
        Self { gamma: 1000.0.into(), c_min: 0.0, c_max: 25.0, c_steps: 100_000, c_start: 0 }
    }
}

impl LossB {
    /// C in nats at `step`, which counts from 1.
    pub fn capacity_at(&self, step: u64) -> f64 {
        let taken = step.saturating_sub(self.c_start);
        let unbounded = match self.c_steps {
            0 if taken > 0 => self.c_max,
            0 => 0.0,
            steps => self.c_max * (taken as f64 / steps as f64),
        };
        unbounded.clamp(self.c_min, self.c_max)
    }
}

impl Settings for LossB {
    fn check(&self) -> Result<()> {
        self.gamma.check("gamma", 0.0)?;
        at_least("c_min", self.c_min, 0.0)?;
        at_least("c_max", self.c_max, self.c_min)
    }

    fn weight(&self) -> f64 {
        self.gamma.last()
    }

    fn label(&self) -> String {
        format!("C {}", self.c_max)
    }

    fn describe(&self, _latents: usize, _image_values: usize) -> String {
        let Self { gamma, c_min, c_max, c_steps, c_start } = self;
        let gamma = match gamma {
            Schedule::Constant(gamma) => gamma.to_string(),
            Schedule::Varying(gamma) => format!("gamma ({gamma})"),
        };
        let steps = thousands(*c_steps as usize);
        let wait = match c_start {
            0 => String::new(),
            start => format!(" after {}", thousands(*start as usize)),
        };
        format!(
            "loss B: reconstruction + {gamma} * |KL - C|, C from {c_min} to {c_max} nats in {steps} steps{wait}"
        )
    }
}

impl Loss for LossB {
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        Constraint::new((inputs.kl.clone() - self.capacity_at(step)).abs() * self.gamma.at(step))
    }

    fn kl_constraint(&self, step: u64) -> Option<KlConstraint> {
        let (gamma, capacity) = (self.gamma.at(step), self.capacity_at(step));
        Some(KlConstraint { beta: 0.0, gamma, capacity })
    }

    fn weights(&self, _: &Facts, step: u64) -> Vec<Term> {
        let mut weights = vec![Term::new("capacity", Unit::Nats, self.capacity_at(step))];
        if let Schedule::Varying(_) = self.gamma {
            weights.push(self.gamma.term("gamma", step));
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_rises_linearly_between_its_bounds() {
        let loss = |c_min, c_max, c_steps| LossB { c_min, c_max, c_steps, ..LossB::default() };
        let capacity = |step| loss(0.5, 25.0, 100).capacity_at(step);
        assert_eq!([1, 2, 4, 50, 100, 1000].map(capacity), [0.5, 0.5, 1.0, 12.5, 25.0, 25.0]);
        assert_eq!(loss(0.0, 25.0, 0).capacity_at(1), 25.0);
        let waiting = LossB { c_start: 10, ..loss(0.5, 20.0, 10) };
        let capacities = [1, 10, 11, 15, 20, 21].map(|step| waiting.capacity_at(step));
        assert_eq!(capacities, [0.5, 0.5, 2.0, 10.0, 20.0, 20.0]);
    }
}
