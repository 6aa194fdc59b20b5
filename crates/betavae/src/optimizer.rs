//! Adam and Adagrad with PyTorch's constants, and gradients by parameter name.

use std::collections::BTreeMap;

use betavae_kernels::{AdamStep, ops};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{BetaVae, NamedTensor, weights};

/// Which update rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Kingma and Ba 2015; betas 0.9 and 0.999, epsilon 1e-8.
    #[default]
    Adam,
    /// Duchi et al. 2011; epsilon 1e-10.
    Adagrad,
}

/// The `[optimizer]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// `adam` or `adagrad`.
    pub kind: Kind,
    /// Step size.
    pub learning_rate: f64,
    /// Adam: decay of the mean of gradients.
    pub beta_1: f64,
    /// Adam: decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the denominator; default 1e-8 for Adam and 1e-10 for Adagrad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// The learning rate is multiplied by this...
    pub decay: f64,
    /// ...after every so many steps; 0 keeps it constant.
    pub decay_every: u64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: Kind::Adam,
            learning_rate: 5e-4,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: None,
            decay: 1.0,
            decay_every: 0,
        }
    }
}

impl OptimizerConfig {
    /// # Errors
    /// If a number is impossible.
    pub fn check(&self) -> Result<()> {
        let checks = [
            ("learning_rate", self.learning_rate, self.learning_rate > 0.0, "above 0"),
            ("beta_1", self.beta_1, (0.0..1.0).contains(&self.beta_1), "in [0, 1)"),
            ("beta_2", self.beta_2, (0.0..1.0).contains(&self.beta_2), "in [0, 1)"),
            ("epsilon", self.epsilon(), self.epsilon() > 0.0, "above 0"),
            ("decay", self.decay, self.decay > 0.0 && self.decay <= 1.0, "in (0, 1]"),
        ];
        for (key, value, ok, range) in checks {
            if !ok || !value.is_finite() {
                return Err(Error::config(
                    format!("optimizer.{key}: expected a number {range}, found {value}"),
                    "",
                ));
            }
        }
        Ok(())
    }

    fn epsilon(&self) -> f64 {
        self.epsilon.unwrap_or(if self.kind == Kind::Adam { 1e-8 } else { 1e-10 })
    }

    /// The learning rate of `step`, which counts from 1.
    pub fn learning_rate(&self, step: u64) -> f64 {
        match (step - 1).checked_div(self.decay_every) {
            Some(decays) => self.learning_rate * self.decay.powf(decays as f64),
            None => self.learning_rate,
        }
    }

    /// Names of the state kept for each parameter.
    fn slots(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Adam => &["first_moment", "second_moment"],
            Kind::Adagrad => &["sum_of_squares"],
        }
    }
}

/// The gradient of each trained parameter, flattened to \[N\], in the order of the layers.
pub struct NamedGradients(Vec<(String, Tensor<1>)>);

impl NamedGradients {
    /// Takes the gradients of `model`'s parameters out of a backward pass.
    pub fn collect(model: &BetaVae, gradients: Gradients) -> Self {
        let mut collector = Collector { path: Vec::new(), gradients, found: Vec::new() };
        model.visit(&mut collector);
        Self(collector.found)
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

struct Collector {
    path: Vec<String>,
    gradients: Gradients,
    found: Vec<(String, Tensor<1>)>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(&mut self.gradients) {
            self.found.push((self.path.join("."), gradient.flatten(0, D - 1)));
        }
    }
}

/// An update rule with its state.
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

    /// Updates the parameters with their gradients at `step`, which counts from 1.
    pub fn step(&mut self, model: BetaVae, gradients: NamedGradients, step: u64) -> BetaVae {
        let gradients = gradients.0.into_iter().collect();
        model.map(&mut Updater { path: Vec::new(), optimizer: self, gradients, step })
    }

    fn update(&mut self, name: &str, parameter: Tensor<1>, g: Tensor<1>, step: u64) -> Tensor<1> {
        let learning_rate = self.config.learning_rate(step);
        let slots = self.config.slots().len();
        let state = self.state.remove(name).unwrap_or_else(|| vec![g.zeros_like(); slots]);
        let (parameter, state) = match (self.config.kind, <[_; 2]>::try_from(state)) {
            (Kind::Adam, Ok([first, second])) => {
                let OptimizerConfig { beta_1, beta_2, .. } = self.config;
                let epsilon = self.config.epsilon();
                let constants = AdamStep { learning_rate, beta_1, beta_2, epsilon, step };
                let [parameter, first, second] = ops::adam(parameter, g, first, second, constants);
                (parameter, vec![first, second])
            }
            (Kind::Adagrad, Err(mut state)) => {
                let sum = state.remove(0);
                let epsilon = self.config.epsilon();
                let [parameter, sum] = ops::adagrad(parameter, g, sum, learning_rate, epsilon);
                (parameter, vec![sum])
            }
            _ => unreachable!("each kind keeps its own number of slots"),
        };
        self.state.insert(name.to_owned(), state);
        parameter
    }

    /// Copies of the state, named `<parameter>.<slot>`, flat.
    pub fn to_named_tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = Vec::new();
        for (name, slots) in &self.state {
            for (slot, tensor) in self.config.slots().iter().zip(slots) {
                tensors.push(NamedTensor::read(&format!("{name}.{slot}"), tensor.clone()));
            }
        }
        tensors
    }

    /// The state that [`Optimizer::to_named_tensors`] wrote, for the parameters of `model`.
    ///
    /// # Errors
    /// If a tensor is missing, unused, or has the wrong length. No tensors at all is the state
    /// before the first step.
    pub fn from_named_tensors(
        config: OptimizerConfig,
        tensors: Vec<NamedTensor>,
        model: &BetaVae,
    ) -> Result<Self> {
        if tensors.is_empty() {
            return Ok(Self::new(config));
        }
        let mut tensors: BTreeMap<_, _> =
            tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let device = model.device().inner();
        let mut state = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, length) in model.trained_parameters() {
            let mut slots = Vec::new();
            for slot in config.slots() {
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
            expected: format!("{} of each parameter", config.slots().join(" and ")),
            found: problems.join("; "),
            hint: "the checkpoint was written with another optimizer.kind or architecture".into(),
        })
    }
}

struct Updater<'a> {
    path: Vec<String>,
    optimizer: &'a mut Optimizer,
    gradients: BTreeMap<String, Tensor<1>>,
    step: u64,
}

impl ModuleMapper for Updater<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let Some(gradient) = self.gradients.remove(&name) else { return param };
        param.map(|old| {
            let shape = old.shape();
            let flat = old.inner().flatten(0, D - 1);
            let new = self.optimizer.update(&name, flat, gradient, self.step);
            new.reshape(shape).autodiff().require_grad()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_decays_in_stairs() {
        let config = OptimizerConfig { decay: 0.5, decay_every: 10, ..Default::default() };
        let rates = [1, 10, 11, 21].map(|step| config.learning_rate(step) / 5e-4);
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.25]);
        assert_eq!(OptimizerConfig::default().learning_rate(10_000), 5e-4);
    }

    #[test]
    fn impossible_numbers_are_refused_by_name() {
        let config = OptimizerConfig { learning_rate: -1.0, ..Default::default() };
        let message = config.check().unwrap_err().to_string();
        assert!(message.contains("optimizer.learning_rate") && message.contains("-1"), "{message}");
        assert!(OptimizerConfig { beta_2: 1.0, ..Default::default() }.check().is_err());
    }
}
