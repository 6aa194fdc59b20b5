//! FactorVAE: reconstruction + KL + gamma * TC (Kim and Mnih 2018, "Disentangling by Factorising", Algorithm 2).
//!
//! The total correlation TC = KL(q(z) || prod q(z_d)) is estimated by a discriminator that tells samples of q(z) from such
//! whose latents are permuted over a batch: with its two logits, TC is the mean of logit 0 - logit 1. The discriminator is
//! trained beside the model, by an Adam of its own, on the codes of the batch and on permuted codes of a second one. The
//! model's loss treats it as a constant, and its own loss treats codes as constants.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::batch::{Draws, Facts};
use super::loss::{
    Constraint, Inputs, Loss, ObjectiveState, OwnGradients, OwnInputs, Settings, at_least,
};
use super::schedule::Schedule;
use super::terms::{Term, Unit};
use crate::Device;
use crate::error::{Error, Result};
use crate::model::{
    Activation, BetaVae, Initialiser, Linear, NamedTensor, Pass, Precision, Start, values, weights,
};
use crate::optimizer::{Adam, NamedGradients, Optimizer, OptimizerConfig, UpdateRule};
use crate::random::{Permutation, Stream};

/// The settings of FactorVAE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FactorVaeConfig {
    /// Weight of the total correlation.
    pub gamma: Schedule,
    /// Units of each hidden layer of the discriminator.
    pub discriminator_width: usize,
    /// Hidden layers of the discriminator.
    pub discriminator_depth: usize,
    /// Step size of its Adam.
    pub discriminator_learning_rate: f64,
    /// Decay of the mean of its gradients.
    pub discriminator_beta_1: f64,
    /// Decay of the mean of its squared gradients.
    pub discriminator_beta_2: f64,
    /// Whether permuted codes come from a second batch, as in the paper, or from the same one, which saves its encoding.
    pub second_batch: bool,
}

impl Default for FactorVaeConfig {
    /// The paper's for dSprites: gamma 35, six layers of 1000, Adam with 1e-4, 0.5 and 0.9.
    fn default() -> Self {
        Self {
            gamma: Schedule::Constant(35.0),
            discriminator_width: 1000,
            discriminator_depth: 6,
            discriminator_learning_rate: 1e-4,
            discriminator_beta_1: 0.5,
            discriminator_beta_2: 0.9,
            second_batch: true,
        }
    }
}

impl FactorVaeConfig {
    fn optimizer(&self) -> OptimizerConfig {
        let (beta_1, beta_2) = (self.discriminator_beta_1, self.discriminator_beta_2);
        OptimizerConfig {
            rule: UpdateRule::Adam(Adam { beta_1, beta_2, ..Adam::default() }),
            learning_rate: self.discriminator_learning_rate,
            ..OptimizerConfig::default()
        }
    }
}

impl Settings for FactorVaeConfig {
    fn check(&self) -> Result<()> {
        self.gamma.check("gamma", 0.0)?;
        for (key, value) in [
            ("discriminator_width", self.discriminator_width),
            ("discriminator_depth", self.discriminator_depth),
        ] {
            if !(1..=65_536).contains(&value) {
                let message = format!("objective.{key}: expected 1 to 65536, found {value}");
                return Err(Error::config(message, ""));
            }
        }
        at_least("discriminator_learning_rate", self.discriminator_learning_rate, 0.0)?;
        for (key, value) in [
            ("discriminator_beta_1", self.discriminator_beta_1),
            ("discriminator_beta_2", self.discriminator_beta_2),
        ] {
            if !(0.0..1.0).contains(&value) {
                let message =
                    format!("objective.{key}: expected a number in [0, 1), found {value}");
                return Err(Error::config(message, ""));
            }
        }
        Ok(())
    }

    fn weight(&self) -> f64 {
        self.gamma.last()
    }

    fn label(&self) -> String {
        format!("\u{3b3} {}", self.gamma.last())
    }

    fn describe(&self, _latents: usize, _image_values: usize) -> String {
        let Self { gamma, discriminator_width: width, discriminator_depth: depth, .. } = self;
        format!(
            "FactorVAE: reconstruction + KL + {gamma} * TC, by a discriminator of {depth} layers of {width}"
        )
    }
}

/// Codes [B, D] to logits [B, 2]: of samples of q(z), and of such whose latents are independent.
#[derive(Module, Debug)]
struct Discriminator {
    hidden: Vec<Linear>,
    output: Linear,
}

impl Discriminator {
    fn new(config: &FactorVaeConfig, latents: usize, seed: u64, device: &Device) -> Self {
        let init = Initialiser { start: Start::Random(seed), device };
        let mut inputs = latents;
        let mut layer = |name: &str, outputs: usize| {
            let layer = Linear::new(&init, &format!("discriminator.{name}"), inputs, outputs);
            inputs = outputs;
            layer
        };
        let hidden = (0..config.discriminator_depth)
            .map(|i| layer(&format!("hidden.{i}"), config.discriminator_width))
            .collect();
        Self { hidden, output: layer("output", 2) }
    }

    fn forward(&self, z: Tensor<2>, precision: Precision) -> Tensor<2> {
        let pass = Pass::train_in(precision);
        let layers = self.hidden.iter();
        let x = layers.fold(z, |x, layer| layer.forward(x, Activation::LeakyRelu02, &pass));
        self.output.forward(x, Activation::Identity, &pass)
    }
}

/// FactorVAE in training.
#[derive(Clone)]
pub(super) struct FactorVae {
    config: FactorVaeConfig,
    discriminator: Discriminator,
    optimizer: Optimizer,
}

impl FactorVae {
    pub(super) fn new(config: FactorVaeConfig, facts: &Facts, device: &Device) -> Self {
        let device = device.clone().inner();
        Self {
            discriminator: Discriminator::new(&config, facts.latents, facts.seed, &device),
            optimizer: Optimizer::new(config.optimizer()),
            config,
        }
    }
}

/// Each latent of codes [B, D] permuted over the batch by itself.
fn permuted(z: &[f32], latents: usize, seed: u64, step: u64) -> Vec<f32> {
    let batch = z.len() / latents;
    let mut stream = Stream::new(seed, "permutation", step);
    let mut result = vec![0.0; z.len()];
    for d in 0..latents {
        let permutation = Permutation::new(batch, &mut stream);
        (0..batch).for_each(|i| result[i * latents + d] = z[permutation.get(i) * latents + d]);
    }
    result
}

/// The mean cross-entropy of logits [B, 2] whose class is `class`, \[1\].
fn cross_entropy(logits: Tensor<2>, class: usize) -> Tensor<1> {
    let logits = burn::tensor::activation::log_softmax(logits, 1);
    logits.narrow(1, class, 1).mean() * -1.0
}

impl Loss for FactorVae {
    fn draws(&self) -> Draws {
        if self.config.second_batch { Draws::TwoBatches } else { Draws::Batch }
    }

    fn constraint(&self, inputs: &Inputs<'_>, step: u64) -> Constraint {
        let logits = self.discriminator.forward(inputs.forward.z.clone(), inputs.precision);
        let logit = |class: usize| logits.clone().narrow(1, class, 1);
        let total_correlation: Tensor<1> = (logit(0) - logit(1)).mean();
        let value = inputs.kl.clone() + total_correlation.clone() * self.config.gamma.at(step);
        Constraint { value, terms: vec![total_correlation] }
    }

    fn terms(&self) -> &'static [(&'static str, Unit)] {
        &[
            ("total_correlation", Unit::Nats),
            ("discriminator_loss", Unit::Nats),
            ("discriminator_accuracy", Unit::Number),
        ]
    }

    fn weights(&self, _: &Facts, step: u64) -> Vec<Term> {
        vec![self.config.gamma.term("gamma", step)]
    }

    fn own_gradients(&self, inputs: &OwnInputs<'_>, step: u64) -> Option<OwnGradients> {
        let OwnInputs { model, batch, z, facts, precision } = *inputs;
        let z = z.clone().inner();
        let (shape, device) = (z.dims(), z.device());
        let other = match &batch.second {
            None => z.clone(),
            Some(second) => {
                let model: BetaVae = model.valid();
                let images = model.to_network_scale(second.images.clone().inner());
                let posterior = model.encoder.forward(images, &mut Pass::train_in(precision));
                BetaVae::reparameterise(&posterior, second.noise.clone().inner())
            }
        };
        let other = permuted(&values(other), shape[1], facts.seed, step);
        let other = Tensor::<2>::from_data(TensorData::new(other, shape), &device);
        let discriminator = self.discriminator.clone().train();
        // Both halves in one pass.
        let codes = Tensor::cat(vec![z, other], 0).autodiff();
        let logits = discriminator.forward(codes, precision);
        let half = |class: usize| logits.clone().narrow(0, class * shape[0], shape[0]);
        let loss = (cross_entropy(half(0), 0) + cross_entropy(half(1), 1)) * 0.5;
        let correct = values(logits.clone().inner())
            .chunks_exact(2)
            .enumerate()
            .filter(|(i, logits)| (logits[0] > logits[1]) == (*i < shape[0]))
            .count();
        let parameters = NamedGradients::collect(&discriminator, &mut loss.backward());
        let accuracy = correct as f32 / (2 * shape[0]) as f32;
        Some(OwnGradients { parameters, terms: vec![values(loss.inner())[0], accuracy] })
    }

    fn apply_own(&mut self, gradients: NamedGradients, step: u64) {
        let discriminator = self.discriminator.clone().train();
        self.discriminator = self.optimizer.step(discriminator, gradients, step).valid();
    }

    fn state(&self) -> ObjectiveState {
        let mut tensors = weights::named_tensors(&self.discriminator);
        for tensor in self.optimizer.to_named_tensors() {
            tensors.push(NamedTensor { name: format!("{OPTIMIZER}{}", tensor.name), ..tensor });
        }
        ObjectiveState { tensors, ..ObjectiveState::default() }
    }

    fn restore(&mut self, state: ObjectiveState) -> Result<()> {
        let (mut moments, mut parameters) = (Vec::new(), Vec::new());
        for tensor in state.tensors {
            match tensor.name.strip_prefix(OPTIMIZER) {
                Some(name) => moments.push(NamedTensor { name: name.to_owned(), ..tensor }),
                None => parameters.push(tensor),
            }
        }
        let device = self.discriminator.output.weight.val().device();
        self.discriminator = weights::with_named_tensors(self.discriminator.clone(), parameters)?;
        let config = self.config.optimizer();
        self.optimizer =
            Optimizer::from_named_tensors(config, moments, &self.discriminator, &device)?;
        Ok(())
    }
}

/// What stands before the names of the optimiser's tensors in a checkpoint.
const OPTIMIZER: &str = "optimizer.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latent_is_permuted_by_itself() {
        let (batch, latents) = (50, 3);
        let z: Vec<f32> = (0..batch * latents).map(|i| i as f32).collect();
        let found = permuted(&z, latents, 1, 7);
        assert_eq!(found, permuted(&z, latents, 1, 7));
        assert_ne!(found, permuted(&z, latents, 1, 8));
        let column = |values: &[f32], d: usize| -> Vec<usize> {
            values[d..].iter().step_by(latents).map(|z| *z as usize / latents).collect()
        };
        let columns: Vec<Vec<usize>> = (0..latents).map(|d| column(&found, d)).collect();
        assert!(columns[0] != columns[1] && columns[1] != columns[2]);
        for mut column in columns {
            column.sort_unstable();
            assert_eq!(column, (0..batch).collect::<Vec<_>>());
        }
    }
}
