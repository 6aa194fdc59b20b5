//! Training in memory: [`Trainer`] takes optimisation steps. What is kept of them on disk is in [`crate::run`].

#[cfg(feature = "gpu")]
mod gpu;
mod gradients;
mod parts;
mod processes;

#[cfg(feature = "gpu")]
pub use gpu::{check_for_gpu, image_store, launches};
pub use gradients::Gradients;
pub use processes::Processes;

use std::fs;
use std::ops::Range;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::{Checkpoint, Trained};
use crate::config::Config;
use crate::data::Dataset;
use crate::data::order::BatchOrder;
use crate::data::pairs::Pairs;
use crate::error::{Error, IoContext, Result};
use crate::evaluate::load_epoch;
use crate::files;
use crate::model::{BetaVae, Pass};
use crate::objective::{Batch, Draws, Facts, LossTensors, Objective, OwnGradients, Term, Terms};
use crate::optimizer::{NamedGradients, Optimizer};
use crate::random::Stream;
use processes::Alone;

/// A model under training. Step t is a pure function of the parameters, the optimiser's state, t
/// and the configuration: batch and noise are drawn from (seed, t), so there is no other state.
///
/// ```
/// use std::sync::Arc;
/// use betavae::{Device, config::Recipe, data::{Dataset, blobs::Blobs}, train::Trainer};
/// # fn main() -> betavae::Result<()> {
/// let recipe = Recipe::from_toml("
///     model = { architecture = 'custom', widths = [4, 4, 8], latents = 2 }
///     objective = { kind = 'h', beta = 4.0 }
///     train = { batch = 8 }")?;
/// let data = Arc::new(Blobs::new());
/// let mut trainer = Trainer::new(recipe.resolve(data.shape())?, data, &Device::flex())?;
/// let terms = trainer.step()?;
/// assert_eq!(terms.total(), terms.reconstruction() + 4.0 * terms.kl());
/// assert_eq!(trainer.steps_taken(), 1);
/// # Ok(())
/// # }
/// ```
///
/// A step can be taken in parts, so that a batch may be spread over several places:
///
/// ```
/// # use std::sync::Arc;
/// # use betavae::{Device, config::Recipe, data::{Dataset, blobs::Blobs}, train::Trainer};
/// # fn main() -> betavae::Result<()> {
/// # let text = "model = { architecture = 'custom', widths = [4], latents = 2 }\ntrain.batch = 8";
/// # let data = Arc::new(Blobs::new());
/// # let config = Recipe::from_toml(text)?.resolve(data.shape())?;
/// # let mut trainer = Trainer::new(config, data, &Device::flex())?;
/// let [left, right] = trainer.batch(1)?.halves();
/// let gradients = trainer.gradients(&left)?.merged(trainer.gradients(&right)?);
/// let terms = trainer.apply(gradients);
/// # Ok(())
/// # }
/// ```
pub struct Trainer {
    config: Config,
    data: Arc<dyn Dataset>,
    order: BatchOrder,
    /// Where the objective wants them; `order` is then that of their first images.
    pairs: Option<Pairs>,
    objective: Objective,
    /// Absent only while a step replaces it.
    model: Option<BetaVae>,
    optimizer: Optimizer,
    step: u64,
    device: Device,
    /// Those that take steps together with this one.
    processes: Box<dyn Processes>,
    /// What takes the steps in place of the CPU.
    #[cfg(feature = "gpu")]
    engine: Option<gpu::Engine>,
    /// SHA-256 of the file whose weights it started from.
    init_sha256: Option<String>,
}

impl Trainer {
    /// A model for `data` with fresh weights, or those of `train.init`.
    ///
    /// # Errors
    /// If the configuration does not fit the data, or the weights do not fit it.
    pub fn new(config: Config, data: Arc<dyn Dataset>, device: &Device) -> Result<Self> {
        let plain = device.clone().inner();
        let Some(path) = &config.train().init else {
            let model = config.model().build(config.seed(), &plain)?;
            return Self::with_model(config, data, model, device);
        };
        let trained = Trained::load(path, &plain)?;
        let network = config.model().network();
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
        let tensors = trained.model.to_named_tensors();
        let model = config.model().with_weights(tensors, &plain)?;
        let init_sha256 = Some(files::sha256(&content));
        Ok(Self { init_sha256, ..Self::with_model(config, data, model, device)? })
    }

    /// A trainer as it was when a checkpoint was written.
    ///
    /// # Errors
    /// If the configuration does not fit the data, or the checkpoint does not fit it.
    pub(crate) fn restored(
        config: Config,
        data: Arc<dyn Dataset>,
        Checkpoint { model, optimizer, objective, state }: Checkpoint,
        device: &Device,
    ) -> Result<Self> {
        let model = config.model().with_weights(model, &device.clone().inner())?;
        let mut trainer = Self::with_model(config, data, model, device)?;
        let (config, model) = (*trainer.config.optimizer(), trainer.model());
        trainer.optimizer = Optimizer::from_named_tensors(config, optimizer, model, device)?;
        trainer.objective.restore(objective)?;
        trainer.step = state.step;
        Ok(trainer)
    }

    fn with_model(
        config: Config,
        data: Arc<dyn Dataset>,
        model: BetaVae,
        device: &Device,
    ) -> Result<Self> {
        if config.image() != data.shape() {
            return Err(Error::Mismatch {
                what: format!("the images of {} do not fit the configuration", data.name()),
                expected: config.image().to_string(),
                found: data.shape().to_string(),
                hint: "resolve the recipe for the shape of the data".into(),
            });
        }
        let facts = Facts {
            images: data.len(),
            batch: config.train().batch,
            latents: config.model().latents(),
            image_values: config.image().values(),
            seed: config.seed(),
        };
        let objective = Objective::new(config.objective(), facts, device)?;
        let pairs = match objective.draws() {
            Draws::Pairs(wanted) => {
                Some(Pairs::open(&wanted, &*data, config.data().path.as_deref())?)
            }
            Draws::Batch | Draws::TwoBatches => None,
        };
        let (order, batch) = (config.data().order, config.train().batch);
        let images = pairs.as_ref().map_or(data.len(), Pairs::len);
        let trainer = Self {
            order: BatchOrder::new(order, config.seed(), images, batch)?,
            pairs,
            objective,
            optimizer: Optimizer::new(*config.optimizer()),
            model: Some(model.train()),
            device: device.clone().autodiff(),
            step: 0,
            processes: Box::new(Alone),
            #[cfg(feature = "gpu")]
            engine: None,
            init_sha256: None,
            config,
            data,
        };
        trainer.check_parts()?;
        Ok(trainer)
    }

    /// Takes steps together with other processes that have the same configuration and data, each its share of the parts of a
    /// batch (`train.parts`). Every process must then take every step; all have the same parameters after it.
    ///
    /// # Errors
    /// If there are more processes than parts, or a GPU takes the steps.
    pub fn join(&mut self, processes: Box<dyn Processes>) -> Result<()> {
        #[cfg(feature = "gpu")]
        if self.engine.is_some() {
            let message =
                "several processes of one training compute on CPUs, and a GPU takes its steps";
            return Err(Error::config(message, ""));
        }
        let (parts, size) = (self.config.train().parts, processes.size());
        if parts < size {
            return Err(Error::config(
                format!(
                    "train.parts: expected at least {size}, the number of processes, found {parts}"
                ),
                "--set train.parts=8 divides a batch among up to eight; it is part of what determines the results",
            ));
        }
        self.processes = processes;
        Ok(())
    }

    /// Takes the next optimisation step and returns the terms of its loss.
    ///
    /// # Errors
    /// If an image cannot be read, or a term or a gradient is not finite; the parameters are then
    /// still those before the step.
    pub fn step(&mut self) -> Result<Terms> {
        let terms = self.steps(1)?.pop();
        self.refresh()?;
        Ok(terms.unwrap_or_else(|| unreachable!("at least one step was taken")))
    }

    /// Takes at least one step and at most `most`, as many as whatever takes them is best given at a time, and returns the
    /// terms of each. Before the model and the optimiser are looked at, [`Trainer::refresh`] is due.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn steps(&mut self, most: u64) -> Result<Vec<Terms>> {
        #[cfg(feature = "gpu")]
        if let Some(mut engine) = self.engine.take() {
            let terms = self.steps_on(&mut engine, most);
            self.engine = Some(engine);
            return terms;
        }
        debug_assert!(most > 0, "a number of steps");
        Ok(vec![self.step_on_cpu()?])
    }

    /// Brings the model and the optimiser's state up to the newest step, where a GPU takes the steps.
    ///
    /// # Errors
    /// If the device is lost.
    pub fn refresh(&mut self) -> Result<()> {
        #[cfg(feature = "gpu")]
        if let Some(mut engine) = self.engine.take_if(|engine| engine.is_ahead) {
            let refreshed = self.refresh_from(&engine);
            engine.is_ahead = refreshed.is_err();
            self.engine = Some(engine);
            return refreshed;
        }
        Ok(())
    }

    fn step_on_cpu(&mut self) -> Result<Terms> {
        if self.config.train().parts > 1 {
            let gradients = self.gradients_in_parts()?;
            return Ok(self.apply(gradients));
        }
        // From inside the thread pool, handing out the many small pieces of a step costs less.
        betavae_kernels::with_spinning_threads(|| {
            let gradients = self.gradients(&self.batch(self.step + 1)?)?;
            Ok(self.apply(gradients))
        })
    }

    /// The first process tells those that [follow](Trainer::follow) it whether there is another step.
    pub(crate) fn announce(&self, another: bool) {
        self.processes.broadcast(&mut [f32::from(u8::from(another))]);
    }

    /// Takes steps for as long as the first process does.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub(crate) fn follow(&mut self) -> Result<()> {
        loop {
            let mut another = [0.0];
            self.processes.broadcast(&mut another);
            if another == [0.0] {
                return Ok(());
            }
            self.step()?;
        }
    }

    /// Images [B, H, W, C] in [0, 1] and standard normal noise [B, D] of a step, twice where the objective wants two
    /// batches or pairs.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn batch(&self, step: u64) -> Result<Batch> {
        self.batch_of(step, 0..self.config.train().batch)
    }

    /// Some of the images of a step's batch, by their positions in it.
    fn batch_of(&self, step: u64, range: Range<usize>) -> Result<Batch> {
        let (epoch, indices) = self.order.batch(step);
        let Some(pairs) = &self.pairs else {
            let first = self.read(epoch, &indices, &range, "noise", step)?;
            let second = match self.objective.draws() {
                Draws::Batch | Draws::Pairs(_) => None,
                Draws::TwoBatches => {
                    let order = self.order.clone().named("order of second batches");
                    let (epoch, indices) = order.batch(step);
                    let noise = "noise of second batches";
                    Some(Box::new(self.read(epoch, &indices, &range, noise, step)?))
                }
            };
            return Ok(Batch { second, ..first });
        };
        let [first, partners] = self.sides(pairs, indices, step);
        let second = self.read(epoch, &partners, &range, "noise of partners", step)?;
        let first = self.read(epoch, &first, &range, "noise", step)?;
        Ok(Batch { second: Some(Box::new(second)), ..first })
    }

    /// The images on both sides of some pairs.
    fn sides(&self, pairs: &Pairs, positions: Vec<usize>, step: u64) -> [Vec<usize>; 2] {
        let mut stream = Stream::new(self.config.seed(), "partners", step);
        let pairs = positions.into_iter().map(|position| pairs.get(position, &mut stream).into());
        let (first, partners): (Vec<usize>, Vec<usize>) = pairs.unzip();
        [first, partners]
    }

    /// Epoch, images and noise of a step, as [`Trainer::batch`] has them, those of partners behind the others.
    #[cfg(feature = "gpu")]
    fn draw(&self, step: u64) -> (u64, Vec<usize>, Vec<f32>) {
        let (epoch, indices) = self.order.batch(step);
        let noise = self.noise("noise", indices.len(), step);
        let Some(pairs) = &self.pairs else { return (epoch, indices, noise) };
        let of_partners = self.noise("noise of partners", indices.len(), step);
        let sides = self.sides(pairs, indices, step);
        (epoch, sides.concat(), [noise, of_partners].concat())
    }

    /// The images at some positions of a batch, and their noise.
    fn read(
        &self,
        epoch: u64,
        indices: &[usize],
        range: &Range<usize>,
        noise: &str,
        step: u64,
    ) -> Result<Batch> {
        let latents = self.config.model().latents();
        let all = self.noise(noise, indices.len(), step);
        let indices = indices[range.clone()].to_vec();
        let images = load_epoch(&*self.data, &indices, epoch, &self.device)?;
        let noise = all[range.start * latents..range.end * latents].to_vec();
        let noise = TensorData::new(noise, [indices.len(), latents]);
        let noise = Tensor::from_data(noise, &self.device);
        Ok(Batch { images, noise, indices, second: None })
    }

    /// The standard normal noise [B, D] of a name for a step.
    fn noise(&self, name: &str, images: usize, step: u64) -> Vec<f32> {
        let latents = self.config.model().latents();
        Stream::new(self.config.seed(), name, step).normals(images * latents)
    }

    /// The gradients of the next step's loss on a batch.
    ///
    /// # Errors
    /// If a term or a gradient is not finite.
    pub fn gradients(&self, batch: &Batch) -> Result<Gradients> {
        let (precision, step) = (self.config.train().precision, self.step + 1);
        let mut pass = Pass::train_in(precision);
        let loss = self.objective.loss(self.model(), batch, step, &mut pass);
        let own = self.objective.own_gradients(self.model(), batch, &loss, precision, step);
        self.gradients_of(&loss, &mut loss.total.backward(), own, pass, batch.images.dims()[0])
    }

    /// The gradients of a loss on some images, taken out of its backward pass.
    pub(crate) fn gradients_of(
        &self,
        loss: &LossTensors,
        backward: &mut burn::tensor::Gradients,
        own: Option<OwnGradients>,
        pass: Pass,
        images: usize,
    ) -> Result<Gradients> {
        let (step, mut terms) = (self.step + 1, loss.terms());
        let mut of_objective = NamedGradients::default();
        if let Some(OwnGradients { parameters, terms: values }) = own {
            let names = self.objective.terms();
            let names = names[names.len() - values.len()..].iter().zip(values);
            terms.losses.extend(names.map(|(&(name, unit), value)| Term { name, unit, value }));
            of_objective = parameters;
        }
        if let Some((term, value)) = terms.first_non_finite() {
            return Err(non_finite(step, term, &value.to_string()));
        }
        let parameters = NamedGradients::collect(self.model(), backward);
        let names = [parameters.first_non_finite(), of_objective.first_non_finite()];
        if let Some(name) = names.into_iter().flatten().next() {
            return Err(non_finite(step, format!("the gradient of {name}"), "not finite"));
        }
        let moments = pass.into_moments();
        Ok(Gradients { parameters, own: of_objective, moments, terms, images })
    }

    /// Takes the next optimisation step with these gradients, and returns the terms of the loss that they are of.
    ///
    /// # Panics
    /// If a GPU takes the steps.
    pub fn apply(&mut self, gradients: Gradients) -> Terms {
        #[cfg(feature = "gpu")]
        assert!(self.engine.is_none(), "a GPU applies the gradients of its own steps");
        let Gradients { parameters, own, moments, mut terms, images: _ } = gradients;
        let model = self.model.take().unwrap_or_else(|| unreachable!("put back below"));
        let mut model = self.optimizer.step(model, parameters, self.step + 1);
        model.update_running_statistics(moments);
        self.model = Some(model);
        self.step += 1;
        self.objective.apply_own(own, self.step);
        self.objective.after_step(&mut terms, self.step);
        terms
    }

    /// The model as it is now.
    ///
    /// # Panics
    /// If a GPU has taken steps since the last [`Trainer::refresh`].
    pub fn model(&self) -> &BetaVae {
        #[cfg(feature = "gpu")]
        assert!(
            !self.engine.as_ref().is_some_and(|engine| engine.is_ahead),
            "the model is refreshed"
        );
        self.model.as_ref().unwrap_or_else(|| unreachable!("a step always puts it back"))
    }

    /// What is minimised.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// The optimiser and its state.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Optimisation steps taken.
    pub fn steps_taken(&self) -> u64 {
        self.step
    }

    /// The weights in force in the newest step, such as beta or the capacity.
    pub fn weights(&self) -> Vec<Term> {
        self.objective.weights(self.step)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the model is trained on.
    pub fn data(&self) -> &Arc<dyn Dataset> {
        &self.data
    }

    /// What was found about the pairs of images that it trains on, a line each; nothing where it needs no pairs.
    pub fn notes(&self) -> &[String] {
        self.pairs.as_ref().map_or(&[], Pairs::notes)
    }

    /// SHA-256 of the file whose weights it started from.
    pub(crate) fn init_sha256(&self) -> Option<&str> {
        self.init_sha256.as_deref()
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
