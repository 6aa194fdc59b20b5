//! What the file of an objective provides: its settings, and its loss in training.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::batch::{Batch, Draws, Facts};
use super::terms::{Term, Terms, Unit};
use crate::data::PairsConfig;
use crate::error::{Error, Result};
use crate::model::{BetaVae, Forward, NamedTensor, Posterior, Precision};
use crate::optimizer::NamedGradients;

/// The settings of an objective: its keys in the `[objective]` table, with defaults.
pub(super) trait Settings {
    /// # Errors
    /// If a number is impossible.
    fn check(&self) -> Result<()>;

    /// The final weight of what constrains the code, for the translation between reductions.
    fn weight(&self) -> f64;

    /// The weight in a word, for the points of a figure, such as `β 4`.
    fn label(&self) -> String;

    /// Beta, where there is one that weighs the KL, for beta_norm.
    fn beta(&self) -> Option<f64> {
        None
    }

    /// Which pairs of images it is trained on, where it needs pairs.
    fn pairs(&self) -> Option<&PairsConfig> {
        None
    }

    /// The objective in words, such as `loss H: reconstruction + 4 * KL (beta_norm 0.0098)`, for D latents and
    /// images of H * W * C values.
    fn describe(&self, latents: usize, image_values: usize) -> String;
}

/// What a loss is computed from.
pub(super) struct Inputs<'a> {
    /// The pass through the model.
    pub(super) forward: &'a Forward,
    /// KL of each latent in nats, averaged over the batch, `[D]`.
    pub(super) kl_per_latent: Tensor<1>,
    /// Their sum, \[1\].
    pub(super) kl: Tensor<1>,
    /// How layers multiply.
    pub(super) precision: Precision,
}

/// What the gradients of an objective's own networks are computed from.
#[derive(Clone, Copy)]
pub(super) struct OwnInputs<'a> {
    pub(super) model: &'a BetaVae,
    pub(super) batch: &'a Batch,
    /// The samples of the pass through the model, [B, D].
    pub(super) z: &'a Tensor<2>,
    pub(super) facts: &'a Facts,
    pub(super) precision: Precision,
}

/// The gradients of an objective's own networks, and the terms that their loss logs.
pub(crate) struct OwnGradients {
    pub(crate) parameters: NamedGradients,
    /// The last ones of [`Loss::terms`].
    pub(crate) terms: Vec<f32>,
}

/// What is added to the reconstruction.
pub(super) struct Constraint {
    /// In nats, averaged over the batch, \[1\].
    pub(super) value: Tensor<1>,
    /// The values \[1\] of the first ones of [`Loss::terms`], in their order.
    pub(super) terms: Vec<Tensor<1>>,
}

impl Constraint {
    /// One without terms of its own.
    pub(super) fn new(value: Tensor<1>) -> Self {
        Self { value, terms: Vec::new() }
    }
}

/// beta * KL + gamma * |KL - capacity|, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct KlConstraint {
    pub(crate) beta: f64,
    pub(crate) gamma: f64,
    pub(crate) capacity: f64,
}

impl KlConstraint {
    /// Its value and its derivative at a KL.
    fn at(self, kl: f64) -> [f64; 2] {
        let Self { beta, gamma, capacity } = self;
        let distance = kl - capacity;
        // As PyTorch has it, the slope at C itself is 0.
        let sign = if distance == 0.0 { 0.0 } else { distance.signum() };
        [beta * kl + gamma * distance.abs(), beta + gamma * sign]
    }
}

/// An objective in training.
pub(super) trait Loss {
    /// What a step is to be taken on.
    fn draws(&self) -> Draws {
        Draws::Batch
    }

    /// What z is sampled from, given the posterior of the encoder.
    fn posterior(&self, posterior: Posterior) -> Posterior {
        posterior
    }

    /// What is added to the reconstruction at `step`, which counts from 1.
    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint;

    /// The constraint at `step`, where it is of this form.
    fn kl_constraint(&self, _step: u64) -> Option<KlConstraint> {
        None
    }

    /// The weights of the constraint at `step` as a plan takes them (`betavae_gpu::Constraint`), where they do not follow from
    /// the KL of the step.
    #[cfg(feature = "gpu")]
    fn plan_weights(&self, step: u64) -> Option<[f64; 3]> {
        self.kl_constraint(step)
            .map(|KlConstraint { beta, gamma, capacity }| [beta, gamma, capacity])
    }

    /// The constraint at a KL of the batch in nats, and its derivative, where it depends on the batch by its KL alone.
    fn by_kl(&self, kl: f64, step: u64) -> Option<[f64; 2]> {
        self.kl_constraint(step).map(|constraint| constraint.at(kl))
    }

    /// Names and units of the terms that this objective has beside those of all.
    fn terms(&self) -> &'static [(&'static str, Unit)] {
        &[]
    }

    /// The weights in force at `step`, the newest that was taken, for metrics.
    fn weights(&self, facts: &Facts, step: u64) -> Vec<Term>;

    /// The gradients of networks of its own, such as a discriminator, at `step`; the model is a constant for them.
    fn own_gradients(&self, _inputs: &OwnInputs<'_>, _step: u64) -> Option<OwnGradients> {
        None
    }

    /// Updates networks of its own.
    fn apply_own(&mut self, _gradients: NamedGradients, _step: u64) {}

    /// Hears the terms of a step that was taken.
    fn after_step(&mut self, _terms: &Terms, _step: u64) {}

    /// What a checkpoint keeps of it.
    fn state(&self) -> ObjectiveState {
        ObjectiveState::default()
    }

    /// Takes back what [`Loss::state`] gave.
    ///
    /// # Errors
    /// If it is the state of another objective.
    fn restore(&mut self, state: ObjectiveState) -> Result<()> {
        if state == ObjectiveState::default() {
            return Ok(());
        }
        Err(Error::config(
            "the checkpoint has a state that this objective does not have",
            "it was written with another objective",
        ))
    }
}

/// What an objective carries from step to step, beside the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ObjectiveState {
    /// By name, such as the integral of a controller.
    pub(crate) numbers: BTreeMap<String, f64>,
    /// Of networks of its own and their optimisers.
    pub(crate) tensors: Vec<NamedTensor>,
}

impl ObjectiveState {
    /// A number of a controller.
    ///
    /// # Errors
    /// If it is not there.
    pub(super) fn of_controller(&self, name: &str) -> Result<f64> {
        self.numbers.get(name).copied().ok_or_else(|| {
            Error::config(
                "the checkpoint has no state of the controller",
                "it was written with another objective",
            )
        })
    }
}

/// Refuses a number below `least`.
pub(super) fn at_least(key: &str, value: f64, least: f64) -> Result<()> {
    if value.is_finite() && value >= least {
        return Ok(());
    }
    Err(Error::config(
        format!("objective.{key}: expected a finite number of at least {least}, found {value}"),
        "",
    ))
}
