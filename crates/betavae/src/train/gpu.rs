//! Steps on a GPU: a plan owns parameters and moments on the device, and hands them back when somebody asks.

mod images;

use std::time::{Duration, Instant};

use betavae_gpu::{
    self as gpu, Constraint, ImageStore, Images, Plan, Session, Slot, StepNumbers, StepTerms,
};

use super::{Trainer, non_finite};
use crate::config::Config;
use crate::data::{Dataset, read_batch};
use crate::error::{Error, Result};
use crate::model::{BetaVae, Likelihood, NamedTensor, Precision};
use crate::objective::{Objective, ObjectiveKind, Reduction, Term, Terms};
use crate::optimizer::{Adagrad, Adam, Optimizer, OptimizerConfig, UpdateRule};
use images::with_images;

pub use images::image_store;

/// Steps are handed out for so long before their terms are read, so that whoever watches or stops need not wait.
const PATIENCE: Duration = Duration::from_millis(200);
/// Steps whose terms a session keeps.
const MOST: u64 = 128;

/// A training on a device.
pub(super) struct Engine {
    session: Session,
    /// Seconds of a step, as far as they are known.
    step_seconds: Option<f64>,
    /// Whether the model and the optimiser of the trainer are older than what is on the device.
    pub(super) is_ahead: bool,
}

impl Engine {
    /// # Errors
    /// If the objective or the precision is the CPU's alone, or the device is too small.
    pub(super) fn new(
        config: &Config,
        data: &dyn Dataset,
        model: &BetaVae,
        optimizer: &Optimizer,
        device: &gpu::Device,
    ) -> Result<Self> {
        let mut session = match with_images(config, data, device)? {
            Some(session) => session,
            None => {
                Session::new(device, launches(config, data.len(), None)?).map_err(Error::Gpu)?
            }
        };
        let tensors = model.to_named_tensors();
        session.write(Slot::Value, &named(&tensors)).map_err(Error::Gpu)?;
        let state = optimizer.to_named_tensors();
        for (name, slot) in slots(config.optimizer()) {
            let of_slot = state.iter().filter_map(|tensor| {
                let parameter = tensor.name.strip_suffix(name)?.strip_suffix('.')?;
                Some((parameter, &tensor.values[..]))
            });
            // Before the first step there is none, and zeros are right.
            let of_slot: Vec<_> = of_slot.collect();
            if !state.is_empty() {
                session.write(slot, &of_slot).map_err(Error::Gpu)?;
            }
        }
        Ok(Self { session, step_seconds: None, is_ahead: false })
    }

    /// How many of the next steps are worth handing out at a time.
    pub(super) fn chunk(&self, most: u64) -> u64 {
        let fitting = match self.step_seconds {
            None => 1,
            Some(seconds) => (PATIENCE.as_secs_f64() / seconds) as u64,
        };
        fitting.clamp(1, MOST).min(most)
    }

    /// Hands out a step on images and noise.
    pub(super) fn step(
        &mut self,
        (images, noise): (Images<'_>, &[f32]),
        optimizer: &OptimizerConfig,
        objective: &Objective,
        step: u64,
    ) -> Result<()> {
        let [rate, root] = optimizer.corrected_at(step);
        let numbers = |weights| StepNumbers { rate, root, weights };
        self.is_ahead = true;
        let handed_out = match objective.plan_weights(step) {
            Some(weights) => self.session.step(images, noise, numbers(weights)),
            // The weight follows from the KL of the batch itself.
            None => self.session.step_by_kl(images, noise, |kl| {
                let [_, beta] = objective
                    .by_kl(kl, step)
                    .unwrap_or_else(|| unreachable!("checked when the plan was made"));
                numbers([beta, 0.0, 0.0])
            }),
        };
        handed_out.map_err(Error::Gpu)
    }

    /// The terms of all steps that were handed out since the last call, `began` then.
    pub(super) fn take_terms(&mut self, began: Instant) -> Result<Vec<StepTerms>> {
        let terms = self.session.take_terms().map_err(Error::Gpu)?;
        self.step_seconds = Some(began.elapsed().as_secs_f64() / terms.len().max(1) as f64);
        Ok(terms)
    }

    /// The parameter whose gradient is not finite in the newest step. The steps after it were not taken; from now on they are.
    pub(super) fn forgive(&mut self) -> Result<Option<String>> {
        self.session.forgive();
        let gradients = self.session.read(Slot::Gradient).map_err(Error::Gpu)?;
        let is_bad = |values: &[f32]| values.iter().any(|value| !value.is_finite());
        let bad = gradients.into_iter().find(|(_, values)| is_bad(values));
        Ok(bad.map(|(parameter, _)| parameter.name))
    }

    /// Parameters, running averages and the optimiser's state as they are on the device.
    pub(super) fn read(
        &self,
        config: &OptimizerConfig,
    ) -> Result<(Vec<NamedTensor>, Vec<NamedTensor>)> {
        let tensor = |name, shape, values| NamedTensor { name, shape, values };
        let values = self.session.read(Slot::Value).map_err(Error::Gpu)?.into_iter();
        let parameters = values.map(|(p, values)| tensor(p.name, p.shape, values)).collect();
        let mut state = Vec::new();
        for (name, slot) in slots(config) {
            let values = self.session.read(slot).map_err(Error::Gpu)?.into_iter();
            state.extend(values.map(|(p, values)| {
                tensor(format!("{}.{name}", p.name), vec![values.len()], values)
            }));
        }
        Ok((parameters, state))
    }

    /// How images stay on the device, where a step is told their numbers.
    fn store(&self) -> Option<ImageStore> {
        self.session.plan().store
    }

    /// The device.
    pub(super) fn device(&self) -> &gpu::Device {
        self.session.device()
    }
}

/// The launches of a step of a training on so many images on a GPU, which can be read as a table. Images of a step come from
/// the host, or out of those that stay on the device.
///
/// # Errors
/// If the objective or the precision is the CPU's alone.
pub fn launches(config: &Config, images: usize, store: Option<ImageStore>) -> Result<Plan> {
    check_for_gpu(config)?;
    let network = config.model().network();
    let batch = match config.objective().kind.pairs() {
        Some(_) => 2 * config.train().batch,
        None => config.train().batch,
    };
    let loss = loss(config, constraint(config, images));
    let rule = rule(config.optimizer());
    Ok(Plan::train(&network.for_gpu(), batch, &loss, &rule, store))
}

/// Refuses what runs on the CPU alone.
///
/// # Errors
/// If the objective or the precision is the CPU's alone.
pub fn check_for_gpu(config: &Config) -> Result<()> {
    let cpu = "`--device cpu` takes it";
    if config.train().precision != Precision::F32 {
        let message = "train.precision: a GPU multiplies in f32, found bf16";
        return Err(Error::config(message, format!("--set train.precision=f32, or {cpu}")));
    }
    if config.train().parts > 1 {
        let parts = config.train().parts;
        let message = format!("train.parts: a GPU takes a batch whole, found {parts} parts");
        return Err(Error::config(message, format!("--set train.parts=1, or {cpu}")));
    }
    if matches!(config.objective().kind, ObjectiveKind::FactorVae(_)) {
        let message =
            "objective.kind: a GPU trains all but factor-vae, whose discriminator is the CPU's";
        return Err(Error::config(message, cpu));
    }
    Ok(())
}

/// The constraint of an objective, for N images of the data set.
fn constraint(config: &Config, images: usize) -> Constraint {
    match &config.objective().kind {
        ObjectiveKind::AdaGvae(_) => Constraint::PairKl { of_product: false },
        ObjectiveKind::AdaMlVae(_) => Constraint::PairKl { of_product: true },
        ObjectiveKind::DipVaeI(_) => Constraint::Covariance { of_samples: false },
        ObjectiveKind::DipVaeII(_) => Constraint::Covariance { of_samples: true },
        ObjectiveKind::BetaTcvae(settings) => {
            let mixture = settings.estimator.mixture(images);
            Constraint::Decomposition { log_weights: mixture.log_weights(config.train().batch) }
        }
        ObjectiveKind::H(_)
        | ObjectiveKind::B(_)
        | ObjectiveKind::ControlVae(_)
        | ObjectiveKind::DynamicVae(_)
        | ObjectiveKind::FactorVae(_) => Constraint::Kl,
    }
}

fn loss(config: &Config, constraint: Constraint) -> gpu::Loss {
    let (likelihood, values) = (config.likelihood(), config.image().values());
    let nll = match likelihood {
        Likelihood::Bernoulli => gpu::NllKind::Bernoulli,
        Likelihood::Gaussian { sigma } => gpu::NllKind::Gaussian { sigma },
    };
    let nll_constant = likelihood.constant(values);
    let (nll_factor, constant) = match config.objective().reduction {
        Reduction::Sum => (1.0, nll_constant),
        Reduction::Mean { .. } => (likelihood.mean_error_per_nat(values), 0.0),
    };
    let constraint_factor = config.objective().reduction.constraint_scale();
    gpu::Loss { nll, nll_constant, nll_factor, constant, constraint, constraint_factor }
}

fn rule(config: &OptimizerConfig) -> gpu::Rule {
    match config.rule {
        UpdateRule::Adam(Adam { beta_1, beta_2, epsilon }) => {
            gpu::Rule::Adam { beta_1, beta_2, epsilon }
        }
        UpdateRule::Adagrad(Adagrad { epsilon }) => gpu::Rule::Adagrad { epsilon },
    }
}

/// The state of an update rule, by its name and by where it is on a device.
fn slots(config: &OptimizerConfig) -> impl Iterator<Item = (&'static str, Slot)> {
    config.rule.slots().iter().copied().zip([Slot::First, Slot::Second])
}

fn named(tensors: &[NamedTensor]) -> Vec<(&str, &[f32])> {
    tensors.iter().map(|tensor| (&*tensor.name, &tensor.values[..])).collect()
}

impl Trainer {
    /// Takes all further steps on a GPU, from the state as it is now. The run may go on elsewhere from any checkpoint.
    ///
    /// # Errors
    /// If the objective or the precision is the CPU's alone, or the device is too small.
    pub fn move_to_gpu(&mut self, device: &gpu::Device) -> Result<()> {
        self.refresh()?;
        let (model, optimizer) = (self.model(), &self.optimizer);
        self.engine = Some(Engine::new(&self.config, &*self.data, model, optimizer, device)?);
        Ok(())
    }

    /// The launches of a step with the seconds that each takes alone, with the wait for it: the median of some rounds. Nothing
    /// where the CPU takes the steps. The trainer is not to go on afterwards.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn measure_launches(&mut self, rounds: usize) -> Result<Vec<(gpu::Launch, f64)>> {
        let Some(engine) = &mut self.engine else { return Ok(Vec::new()) };
        let seconds = engine.session.measure(rounds).map_err(Error::Gpu)?;
        Ok(engine.session.plan().launches.iter().cloned().zip(seconds).collect())
    }

    /// How the images stay on the GPU that takes the steps, if they do.
    pub fn images_on_gpu(&self) -> Option<ImageStore> {
        self.engine.as_ref().and_then(Engine::store)
    }

    /// Bytes that a step takes from the host, if a GPU takes the steps.
    pub fn bytes_per_step(&self) -> Option<u64> {
        self.engine.as_ref().map(|engine| engine.session.bytes_per_step())
    }

    /// The GPU that takes the steps, if one does.
    pub fn gpu(&self) -> Option<&gpu::Device> {
        self.engine.as_ref().map(Engine::device)
    }

    /// Brings the model and the optimiser's state back from the GPU.
    pub(super) fn refresh_from(&mut self, engine: &Engine) -> Result<()> {
        let (parameters, state) = engine.read(self.config.optimizer())?;
        let model = self.model.take().unwrap_or_else(|| unreachable!("put back below"));
        let model = self.model.insert(model.with_named_tensors(parameters)?);
        let config = *self.config.optimizer();
        self.optimizer = Optimizer::from_named_tensors(config, state, model, &self.device)?;
        Ok(())
    }

    /// Takes some steps, at most `most`.
    pub(super) fn steps_on(&mut self, engine: &mut Engine, most: u64) -> Result<Vec<Terms>> {
        loop {
            // A weight that follows from the KL of a step is known after that step.
            let known = self.objective.plan_weights(self.step + 1).is_some();
            let chunk = if known { engine.chunk(most) } else { 1 };
            let stay = engine.store().is_some();
            let began = Instant::now();
            for step in self.step + 1..=self.step + chunk {
                let (epoch, indices, noise) = self.draw(step);
                let mut hand_out = |images: Images<'_>| {
                    engine.step((images, &noise), self.config.optimizer(), &self.objective, step)
                };
                if stay {
                    let numbers: Vec<u32> = indices.iter().map(|index| *index as u32).collect();
                    hand_out(Images::Numbers(&numbers))?;
                } else {
                    hand_out(Images::Values(&self.values_of(&indices, epoch)?))?;
                }
            }
            let all = engine.take_terms(began)?;
            let bad = all.iter().position(|terms| terms.bad_term || terms.bad_gradient);
            let good = match bad {
                None => all,
                Some(first) => {
                    // The device has not taken the bad step, nor one after it.
                    let gradient = engine.forgive()?;
                    engine.step_seconds = None;
                    if first == 0 && chunk == 1 {
                        return Err(self.fault(&all[0], gradient));
                    }
                    all[..first].to_vec()
                }
            };
            if !good.is_empty() {
                return Ok(good.into_iter().map(|terms| self.taken(terms)).collect());
            }
        }
    }

    /// Counts a step that the device has taken.
    fn taken(&mut self, terms: StepTerms) -> Terms {
        let mut terms = self.in_words(&terms);
        self.step += 1;
        self.objective.after_step(&mut terms, self.step);
        terms
    }

    fn in_words(&self, terms: &StepTerms) -> Terms {
        let kl = terms.kl_per_latent.iter().sum();
        let values = [terms.total, terms.reconstruction, kl].into_iter().chain(terms.own.clone());
        let losses = self.objective.terms().into_iter().zip(values);
        let losses = losses.map(|((name, unit), value)| Term { name, unit, value }).collect();
        let kl_per_latent = terms.kl_per_latent.clone();
        Terms { losses, kl_per_latent, weights: Vec::new() }
    }

    fn fault(&self, terms: &StepTerms, gradient: Option<String>) -> Error {
        let step = self.step + 1;
        if let Some((term, value)) = self.in_words(terms).first_non_finite() {
            return non_finite(step, term, &value.to_string());
        }
        let gradient =
            gradient.map_or("a gradient".to_owned(), |name| format!("the gradient of {name}"));
        non_finite(step, gradient, "not finite")
    }

    /// Images as the network wants them.
    fn values_of(&self, indices: &[usize], epoch: u64) -> Result<Vec<f32>> {
        let mut images = read_batch(&*self.data, indices, epoch)?;
        if self.config.model().network().signed_images() {
            images.iter_mut().for_each(|value| *value = *value * 2.0 - 1.0);
        }
        Ok(images)
    }
}
