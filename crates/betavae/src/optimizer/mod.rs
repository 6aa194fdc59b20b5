//! Adam and Adagrad with PyTorch's constants, for any module, and gradients by parameter name. The operators
//! themselves are in `betavae-kernels`.

mod config;

pub(crate) use config::tagged;
pub use config::{Adagrad, Adam, OptimizerConfig, UpdateRule};

use std::collections::BTreeMap;

use betavae_kernels::{AdamStep, ops};
use burn::module::{Module, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::model::parameters::{Map, Visit, map, visit};
use crate::model::{NamedTensor, weights};

/// The gradient of each trained parameter, flattened to \[N\], in the order of the layers.
#[derive(Default)]
pub struct NamedGradients(Vec<(String, Tensor<1>)>);

impl NamedGradients {
    /// Takes the gradients of a module's parameters out of a backward pass.
    pub fn collect(module: &impl Module, gradients: &mut Gradients) -> Self {
        let mut collector = Collector { gradients, found: Vec::new() };
        visit(module, &mut collector);
        Self(collector.found)
    }

    /// The sums with the gradients of the same parameters by another part of a batch.
    ///
    /// # Panics
    /// If they are of other parameters.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        assert_eq!(self.0.len(), other.0.len(), "gradients of the same parameters");
        let sums = self.0.into_iter().zip(other.0).map(|((name, a), (other, b))| {
            assert_eq!(name, other, "gradients of the same parameters");
            (name, a + b)
        });
        Self(sums.collect())
    }

    /// The gradients multiplied by a number, such as the share of a part in its batch.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self(self.0.into_iter().map(|(name, gradient)| (name, gradient * factor)).collect())
    }

    /// Name and length of each.
    pub(crate) fn lengths(&self) -> Vec<(String, usize)> {
        self.0.iter().map(|(name, gradient)| (name.clone(), gradient.dims()[0])).collect()
    }

    /// All values one after the other.
    pub(crate) fn flat(&self) -> Vec<f32> {
        self.0.iter().flat_map(|(_, gradient)| weights::values(gradient.clone())).collect()
    }

    /// The gradients of these names and lengths, whose values stand one after the other.
    pub(crate) fn of_flat(lengths: &[(String, usize)], flat: &[f32], device: &Device) -> Self {
        let mut rest = flat;
        let tensors = lengths.iter().map(|(name, length)| {
            let (own, others) = rest.split_at(*length);
            rest = others;
            (name.clone(), Tensor::from_data(TensorData::new(own.to_vec(), [*length]), device))
        });
        Self(tensors.collect())
    }

    /// The first parameter whose gradient has an element that is infinite or NaN.
    pub fn first_non_finite(&self) -> Option<&str> {
        let tensors: Vec<_> = self.0.iter().map(|(_, tensor)| tensor.clone()).collect();
        if ops::all_finite(&tensors) {
            return None;
        }
        let bad = self.0.iter().find(|(_, tensor)| !ops::all_finite(std::slice::from_ref(tensor)));
        bad.map(|(name, _)| name.as_str())
    }

    /// Name and values of each gradient, flattened in row-major order.
    pub fn values(&self) -> Vec<(String, Vec<f32>)> {
        self.0.iter().map(|(name, g)| (name.clone(), weights::values(g.clone()))).collect()
    }
}

struct Collector<'a> {
    gradients: &'a mut Gradients,
    found: Vec<(String, Tensor<1>)>,
}

impl Visit for Collector<'_> {
    fn parameter<const D: usize>(&mut self, name: &str, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = parameter.val().grad_remove(self.gradients) {
            self.found.push((name.to_owned(), gradient.flatten(0, D - 1)));
        }
    }
}

/// An update rule with its state.
#[derive(Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// By parameter name, one flat tensor per slot; empty before the first step.
    state: BTreeMap<String, Vec<Tensor<1>>>,
}

impl Optimizer {
    /// A fresh state.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, state: BTreeMap::new() }
    }

    /// Updates the parameters of a module with their gradients at `step`, which counts from 1.
    pub fn step<M: Module>(&mut self, module: M, gradients: NamedGradients, step: u64) -> M {
        let gradients = gradients.0.into_iter().collect();
        map(module, &mut Updater { optimizer: self, gradients, step })
    }

    fn update(&mut self, name: &str, parameter: Tensor<1>, g: Tensor<1>, step: u64) -> Tensor<1> {
        let learning_rate = self.config.learning_rate_at(step);
        let slots = self.config.rule.slots().len();
        let mut state = self.state.remove(name).unwrap_or_else(|| vec![g.zeros_like(); slots]);
        let last = state.pop().unwrap_or_else(|| unreachable!("every rule has a slot"));
        let (parameter, state) = match self.config.rule {
            UpdateRule::Adam(Adam { beta_1, beta_2, epsilon }) => {
                let first = state.remove(0);
                let constants = AdamStep { learning_rate, beta_1, beta_2, epsilon, step };
                let [parameter, first, second] = ops::adam(parameter, g, first, last, constants);
                (parameter, vec![first, second])
            }
            UpdateRule::Adagrad(Adagrad { epsilon }) => {
                let [parameter, sum] = ops::adagrad(parameter, g, last, learning_rate, epsilon);
                (parameter, vec![sum])
            }
        };
        self.state.insert(name.to_owned(), state);
        parameter
    }

    /// Copies of the state, named `<parameter>.<slot>`, flat.
    pub fn to_named_tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        for (name, slots) in &self.state {
            for (slot, tensor) in self.config.rule.slots().iter().zip(slots) {
                tensors.push(NamedTensor::read(&format!("{name}.{slot}"), tensor.clone()));
            }
        }
        tensors
    }

    /// The state that [`Optimizer::to_named_tensors`] wrote, for the parameters of a module on `device`.
    ///
    /// # Errors
    /// If a tensor is missing, unused, or has the wrong length. No tensors at all is the state
    /// before the first step.
    pub fn from_named_tensors(
        config: OptimizerConfig,
        tensors: Vec<NamedTensor>,
        module: &impl Module,
        device: &Device,
    ) -> Result<Self> {
        if tensors.is_empty() {
            return Ok(Self::new(config));
        }
        let mut tensors: BTreeMap<_, _> =
            tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let device = device.clone().inner();
        let mut state = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, length) in weights::trained_parameters(module) {
            let mut slots = Vec::new();
            for slot in config.rule.slots() {
                match tensors.remove(&format!("{name}.{slot}")) {
                    Some(tensor) if tensor.values.len() == length => slots
                        .push(Tensor::from_data(TensorData::new(tensor.values, [length]), &device)),
                    Some(_) => problems.push(format!("{name}.{slot} has the wrong length")),
                    None => problems.push(format!("missing {name}.{slot}")),
                }
            }
            state.insert(name, slots);
        }
        problems.extend(tensors.keys().map(|name| format!("unused {name}")));
        if problems.is_empty() {
            return Ok(Self { config, state });
        }
        Err(Error::Mismatch {
            what: "the optimiser's state does not fit the network".into(),
            expected: format!("{} of each parameter", config.rule.slots().join(" and ")),
            found: problems.join("; "),
            hint: "the checkpoint was written with another optimizer.kind or architecture".into(),
        })
    }
}

struct Updater<'a> {
    optimizer: &'a mut Optimizer,
    gradients: BTreeMap<String, Tensor<1>>,
    step: u64,
}

impl Map for Updater<'_> {
    fn parameter<const D: usize>(
        &mut self,
        name: &str,
        parameter: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove(name) else { return parameter };
        parameter.map(|old| {
            let shape = old.shape();
            let flat = old.inner().flatten(0, D - 1);
            let new = self.optimizer.update(name, flat, gradient, self.step);
            new.reshape(shape).autodiff().require_grad()
        })
    }
}
