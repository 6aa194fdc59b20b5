//! What is minimised: reconstruction plus a constraint on the code.
//!
//! An objective is a file: its formula and source, its settings, its loss, its words. This one has the closed
//! enums over them, and what they share: [`Terms`], [`Reduction`], and the sum itself.
//!
//! Every term is in nats per image: log-likelihoods are summed over H, W and C, the KL over the D
//! latents, both averaged over the batch. A beta means nothing without that convention, so
//! PyTorch-VAE's other one (pixel means and a KL weight) is an explicit [`Reduction`].

mod ada;
mod b;
mod batch;
mod beta_tcvae;
mod config;
mod control_vae;
mod dip_vae;
mod dynamic_vae;
mod factor_vae;
mod h;
mod loss;
mod reduction;
mod schedule;
mod terms;

pub use ada::{AdaGvae, AdaMlVae};
pub use b::LossB;
pub use batch::{Batch, Draws, Facts};
pub use beta_tcvae::{BetaTcvaeConfig, Estimator};
pub(crate) use config::tagged;
pub use config::{ObjectiveConfig, ObjectiveKind};
pub use control_vae::ControlVaeConfig;
pub use dip_vae::{DipVaeI, DipVaeII};
pub use dynamic_vae::DynamicVaeConfig;
pub use factor_vae::FactorVaeConfig;
pub use h::LossH;
pub(crate) use loss::{ObjectiveState, OwnGradients};
pub use reduction::Reduction;
pub use schedule::{Schedule, Varying};
pub use terms::{ACTIVE_NATS, Term, Terms, Unit, beta_norm};

use burn::tensor::Tensor;

use crate::Device;
use crate::error::Result;
use crate::model::{BetaVae, Forward, Pass, Precision, values};
use crate::optimizer::NamedGradients;
use beta_tcvae::BetaTcvae;
use control_vae::ControlVae;
use dynamic_vae::DynamicVae;
use factor_vae::FactorVae;
use loss::{Inputs, OwnInputs};

/// An objective in training.
#[derive(Clone)]
pub struct Objective {
    active: Active,
    reduction: Reduction,
    facts: Facts,
}

/// One of them, with its state.
#[derive(Clone)]
enum Active {
    H(LossH),
    B(LossB),
    FactorVae(Box<FactorVae>),
    BetaTcvae(BetaTcvae),
    DipVaeI(DipVaeI),
    DipVaeII(DipVaeII),
    ControlVae(ControlVae),
    DynamicVae(DynamicVae),
    AdaGvae(AdaGvae),
    AdaMlVae(AdaMlVae),
}

/// A loss and its terms, still tensors; scalars have shape \[1\].
#[derive(Clone, Debug)]
pub struct LossTensors {
    /// What is minimised.
    pub total: Tensor<1>,
    /// Mean of -ln p(x | z) in nats per image.
    pub reconstruction: Tensor<1>,
    /// KL of each latent in nats, `[D]`; their sum is the KL.
    pub kl_per_latent: Tensor<1>,
    /// The samples, [B, D].
    z: Tensor<2>,
    /// The terms that only this objective has.
    own: Vec<(&'static str, Unit, Tensor<1>)>,
}

impl Objective {
    /// The objective of a configuration, as it is before the first step.
    ///
    /// # Errors
    /// If it needs other facts, such as fewer images in a batch.
    pub fn new(config: &ObjectiveConfig, facts: Facts, device: &Device) -> Result<Self> {
        let active = match &config.kind {
            ObjectiveKind::H(settings) => Active::H(settings.clone()),
            ObjectiveKind::B(settings) => Active::B(settings.clone()),
            ObjectiveKind::FactorVae(settings) => {
                Active::FactorVae(Box::new(FactorVae::new(settings.clone(), &facts, device)))
            }
            ObjectiveKind::BetaTcvae(settings) => {
                Active::BetaTcvae(BetaTcvae::new(settings.clone(), &facts)?)
            }
            ObjectiveKind::DipVaeI(settings) => Active::DipVaeI(settings.clone()),
            ObjectiveKind::DipVaeII(settings) => Active::DipVaeII(settings.clone()),
            ObjectiveKind::ControlVae(settings) => {
                Active::ControlVae(ControlVae::new(settings.clone()))
            }
            ObjectiveKind::DynamicVae(settings) => {
                Active::DynamicVae(DynamicVae::new(settings.clone()))
            }
            ObjectiveKind::AdaGvae(settings) => Active::AdaGvae(settings.clone()),
            ObjectiveKind::AdaMlVae(settings) => Active::AdaMlVae(settings.clone()),
        };
        Ok(Self { active, reduction: config.reduction, facts })
    }

    fn active(&self) -> &dyn loss::Loss {
        match &self.active {
            Active::H(loss) => loss,
            Active::B(loss) => loss,
            Active::FactorVae(loss) => &**loss,
            Active::BetaTcvae(loss) => loss,
            Active::DipVaeI(loss) => loss,
            Active::DipVaeII(loss) => loss,
            Active::ControlVae(loss) => loss,
            Active::DynamicVae(loss) => loss,
            Active::AdaGvae(loss) => loss,
            Active::AdaMlVae(loss) => loss,
        }
    }

    fn active_mut(&mut self) -> &mut dyn loss::Loss {
        match &mut self.active {
            Active::H(loss) => loss,
            Active::B(loss) => loss,
            Active::FactorVae(loss) => &mut **loss,
            Active::BetaTcvae(loss) => loss,
            Active::DipVaeI(loss) => loss,
            Active::DipVaeII(loss) => loss,
            Active::ControlVae(loss) => loss,
            Active::DynamicVae(loss) => loss,
            Active::AdaGvae(loss) => loss,
            Active::AdaMlVae(loss) => loss,
        }
    }

    /// The loss of a batch at an optimisation step, which counts from 1, with its terms.
    pub fn loss(&self, model: &BetaVae, batch: &Batch, step: u64, pass: &mut Pass) -> LossTensors {
        let forward = self.forward(model, batch, pass);
        self.loss_of(&forward, model, pass.precision(), step, None)
    }

    /// The pass of a batch through the model, with the posterior that this objective makes of the encoder's.
    pub(crate) fn forward(&self, model: &BetaVae, batch: &Batch, pass: &mut Pass) -> Forward {
        let (images, noise) = match self.draws() {
            Draws::Pairs(_) => batch.joined(),
            Draws::Batch | Draws::TwoBatches => (batch.images.clone(), batch.noise.clone()),
        };
        model.forward_with(images, noise, pass, |posterior| self.active().posterior(posterior))
    }

    /// The constraint at a KL of the batch in nats, and what a nat of it costs there, for objectives that depend on the
    /// batch by its KL alone.
    pub(crate) fn by_kl(&self, kl: f64, step: u64) -> Option<[f64; 2]> {
        self.active().by_kl(kl, step)
    }

    /// The weights of the constraint at `step` as a plan of a GPU takes them, where they do not follow from the KL of the step.
    #[cfg(feature = "gpu")]
    pub(crate) fn plan_weights(&self, step: u64) -> Option<[f64; 3]> {
        self.active().plan_weights(step)
    }

    /// The loss of a pass. With `weight`, which a batch has that this is a part of, the constraint is that times the KL.
    pub(crate) fn loss_of(
        &self,
        forward: &Forward,
        model: &BetaVae,
        precision: Precision,
        step: u64,
        weight: Option<f64>,
    ) -> LossTensors {
        let kl_per_latent = forward.posterior.kl_per_latent();
        let kl = kl_per_latent.clone().sum();
        let inputs =
            Inputs { kl: kl.clone(), kl_per_latent: kl_per_latent.clone(), forward, precision };
        let (likelihood, image_values) = (model.likelihood(), model.network().image.values());
        let reconstruction = forward.nll.clone() + likelihood.constant(image_values);
        let constraint = self.active().constraint(&inputs, step);
        let errors = [forward.nll.clone(), reconstruction.clone()];
        let value = match weight {
            Some(weight) => kl * weight,
            None => constraint.value,
        };
        let total = self.reduction.total(likelihood, image_values, errors, value);
        let names = self.active().terms().iter();
        let own = names.zip(constraint.terms).map(|((name, unit), value)| (*name, *unit, value));
        let (own, z) = (own.collect(), forward.z.clone());
        LossTensors { total, reconstruction, kl_per_latent, z, own }
    }

    /// What a step is to be taken on.
    pub fn draws(&self) -> Draws {
        self.active().draws()
    }

    /// The gradients of networks of its own, such as a discriminator, for a loss of this batch.
    pub(crate) fn own_gradients(
        &self,
        model: &BetaVae,
        batch: &Batch,
        loss: &LossTensors,
        precision: Precision,
        step: u64,
    ) -> Option<OwnGradients> {
        let inputs = OwnInputs { model, batch, z: &loss.z, facts: &self.facts, precision };
        self.active().own_gradients(&inputs, step)
    }

    /// Updates networks of its own.
    pub(crate) fn apply_own(&mut self, gradients: NamedGradients, step: u64) {
        self.active_mut().apply_own(gradients, step);
    }

    /// Names and units of the losses in [`Terms`], in their order.
    pub fn terms(&self) -> Vec<(&'static str, Unit)> {
        Terms::COMMON.iter().chain(self.active().terms()).copied().collect()
    }

    /// The weights in force at `step`, the newest that was taken, such as beta or the capacity.
    pub fn weights(&self, step: u64) -> Vec<Term> {
        self.active().weights(&self.facts, step)
    }

    /// Hears the terms of a step that was taken, and adds the weights that were in force.
    pub(crate) fn after_step(&mut self, terms: &mut Terms, step: u64) {
        self.active_mut().after_step(terms, step);
        terms.weights = self.weights(step);
    }

    /// What a checkpoint keeps of it.
    pub(crate) fn state(&self) -> ObjectiveState {
        self.active().state()
    }

    /// Takes back what [`Objective::state`] gave.
    ///
    /// # Errors
    /// If it is the state of another objective.
    pub(crate) fn restore(&mut self, state: ObjectiveState) -> Result<()> {
        self.active_mut().restore(state)
    }
}

impl LossTensors {
    /// Fetches the numbers from the device. The weights are those of the objective ([`Objective::weights`]).
    pub fn terms(&self) -> Terms {
        let latents = self.kl_per_latent.dims()[0];
        let mut scalars = vec![self.total.clone(), self.reconstruction.clone()];
        scalars.push(self.kl_per_latent.clone());
        scalars.extend(self.own.iter().map(|(.., value)| value.clone()));
        let scalars = scalars.into_iter().map(Tensor::inner).collect();
        let numbers = values(Tensor::cat(scalars, 0));
        let (kl_per_latent, own) = numbers[2..].split_at(latents);
        let kl = kl_per_latent.iter().sum();
        let common = Terms::COMMON.into_iter().zip([numbers[0], numbers[1], kl]);
        let own = self.own.iter().zip(own).map(|((name, unit, _), value)| ((*name, *unit), *value));
        let term = |((name, unit), value)| Term { name, unit, value };
        Terms {
            losses: common.chain(own).map(term).collect(),
            kl_per_latent: kl_per_latent.to_vec(),
            weights: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
