//! Training: [`Trainer`] takes single optimisation steps in memory; [`Run`] is a folder on disk in
//! which a trainer's progress is kept and from which it goes on exactly where it stopped.

mod events;
mod metrics;
mod preview;
mod provenance;
mod run;

pub use run::{Observer, Outcome, Run};

use std::fs;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::Trained;
use crate::config::Config;
use crate::data::Dataset;
use crate::data::order::Order;
use crate::error::{Error, IoContext, Result};
use crate::evaluate::load_epoch;
use crate::files;
use crate::model::{BetaVae, NamedTensor, Pass};
use crate::objective::{InForce, Loss, Objective, Terms};
use crate::optimizer::{NamedGradients, Optimizer};
use crate::random::Stream;

/// A model under training. Step t is a pure function of the parameters, the optimiser's state, t
/// and the configuration: batch and noise are drawn from (seed, t), so there is no other state.
///
/// ```
/// use std::sync::Arc;
/// use betavae::{Device, config::Config, data::blobs::Blobs, train::Trainer};
/// # fn main() -> betavae::Result<()> {
/// let recipe = "
///     model = { architecture = 'custom', widths = [4, 4, 8], latents = 2 }
///     objective = { kind = 'h', beta = 4.0 }
///     train = { batch = 8 }";
/// let (config, _) = Config::from_recipe(recipe, &[])?;
/// let mut trainer = Trainer::new(config, Arc::new(Blobs::new()), &Device::flex())?;
/// let terms = trainer.step()?;
/// assert_eq!(terms.total, terms.reconstruction + 4.0 * terms.kl);
/// assert_eq!(trainer.steps_taken(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Trainer {
    config: Config,
    data: Arc<dyn Dataset>,
    order: Order,
    objective: Objective,
    /// Absent only while a step replaces it.
    model: Option<BetaVae>,
    optimizer: Optimizer,
    step: u64,
    device: Device,
    /// SHA-256 of the file whose weights it started from.
    init_sha256: Option<String>,
}

impl Trainer {
    /// A model for `data` with fresh weights, or those of `train.init`. The configuration is resolved against
    /// the data set's image shape.
    ///
    /// # Errors
    /// If the configuration is not valid or does not fit the data, or the weights do not fit it.
    pub fn new(config: Config, data: Arc<dyn Dataset>, device: &Device) -> Result<Self> {
        let mut trainer = Self::with_fresh_weights(config, data, device)?;
        if let Some(path) = trainer.config.train.init.clone() {
            let trained = Trained::load(&path, &device.clone().inner())?;
            let network = trainer.model().network();
            if trained.model.network() != network {
                return Err(Error::Mismatch {
                    what: format!("{} has another network than [model]", path.display()),
                    expected: network.summary(),
                    found: trained.model.network().summary(),
                    hint: "`betavae train --init MODEL` without a recipe takes MODEL's own network"
                        .into(),
                });
            }
            let content = fs::read(&trained.path).context("read", &trained.path)?;
            trainer.init_sha256 = Some(files::sha256(&content));
            let fresh = trainer.config.build_model(&device.clone().inner())?;
            let tensors = trained.model.to_named_tensors();
            trainer.model = Some(fresh.with_named_tensors(tensors)?.train());
        }
        Ok(trainer)
    }

    fn with_fresh_weights(
        mut config: Config,
        data: Arc<dyn Dataset>,
        device: &Device,
    ) -> Result<Self> {
        config.resolve(data.shape())?;
        let order = Order::new(config.data.order, config.seed, data.len(), config.train.batch)?;
        let (objective, _) = config.objective()?;
        let model = config.build_model(&device.clone().inner())?.train();
        let optimizer = Optimizer::new(config.optimizer.clone());
        let device = device.clone().autodiff();
        Ok(Self {
            config,
            data,
            order,
            objective,
            model: Some(model),
            optimizer,
            step: 0,
            device,
            init_sha256: None,
        })
    }

    /// Puts back parameters, optimiser state and step.
    pub(crate) fn restore(
        &mut self,
        model: Vec<NamedTensor>,
        optimizer: Vec<NamedTensor>,
        step: u64,
    ) -> Result<()> {
        let fresh = self.config.build_model(&self.device.clone().inner())?;
        let model = fresh.with_named_tensors(model)?.train();
        let config = self.config.optimizer.clone();
        self.optimizer = Optimizer::from_named_tensors(config, optimizer, &model)?;
        self.model = Some(model);
        self.step = step;
        Ok(())
    }

    /// Takes the next optimisation step and returns the terms of its loss.
    ///
    /// # Errors
    /// If an image cannot be read, or a term or a gradient is not finite; the parameters are then
    /// still those before the step.
    pub fn step(&mut self) -> Result<Terms> {
        // From inside the thread pool, handing out the many small pieces of a step costs less.
        betavae_kernels::with_spinning_threads(|| self.take_step())
    }

    fn take_step(&mut self) -> Result<Terms> {
        let step = self.step + 1;
        let mut pass = Pass::train_in(self.config.train.precision);
        let (images, noise) = self.batch(step)?;
        let loss = self.model().loss(&self.objective, images, noise, step, &mut pass);
        let terms = loss.terms();
        check_finite(&terms, step)?;
        let gradients = self.gradients(&loss);
        if let Some(name) = gradients.first_non_finite() {
            return Err(non_finite(step, format!("the gradient of {name}"), "not finite"));
        }
        let model = self.model.take().unwrap_or_else(|| unreachable!("put back below"));
        let mut model = self.optimizer.step(model, gradients, step);
        model.update_running_statistics(pass);
        self.model = Some(model);
        self.step = step;
        Ok(terms)
    }

    /// Images [B, H, W, C] in [0, 1] and standard normal noise [B, D] of a step.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn batch(&self, step: u64) -> Result<(Tensor<4>, Tensor<2>)> {
        let (epoch, indices) = self.order.batch(step);
        let images = load_epoch(&*self.data, &indices, epoch, &self.device)?;
        let shape = [indices.len(), self.model().latents()];
        let noise = Stream::new(self.config.seed, "noise", step).normals(shape[0] * shape[1]);
        Ok((images, Tensor::from_data(TensorData::new(noise, shape), &self.device)))
    }

    /// The gradients of a loss that this trainer's model made.
    pub fn gradients(&self, loss: &Loss) -> NamedGradients {
        NamedGradients::collect(self.model(), loss.total.backward())
    }

    /// The model as it is now.
    pub fn model(&self) -> &BetaVae {
        self.model.as_ref().unwrap_or_else(|| unreachable!("a step always puts it back"))
    }

    /// The optimiser and its state.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Optimisation steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// Beta or C in the newest step.
    pub fn in_force(&self) -> InForce {
        self.objective.in_force(self.step)
    }

    /// The resolved configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the model is trained on.
    pub fn data(&self) -> &Arc<dyn Dataset> {
        &self.data
    }
}

fn check_finite(terms: &Terms, step: u64) -> Result<()> {
    let latents = terms.kl_per_latent.iter().enumerate();
    let latents = latents.map(|(j, kl)| (format!("the KL of latent {j}"), *kl));
    let named = [("reconstruction".to_owned(), terms.reconstruction)];
    let all = named.into_iter().chain(latents).chain([("the loss".to_owned(), terms.total)]);
    match all.into_iter().find(|(_, value)| !value.is_finite()) {
        Some((term, value)) => Err(non_finite(step, term, &value.to_string())),
        None => Ok(()),
    }
}

fn non_finite(step: u64, term: String, value: &str) -> Error {
    Error::NonFinite {
        step,
        term,
        value: value.to_owned(),
        hint: "lower optimizer.learning_rate, or check that the images lie in [0, 1]".into(),
    }
}
