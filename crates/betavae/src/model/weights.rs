//! Parameters by name: the view of a model that checkpoints, optimisers and tests share.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::BetaVae;
use crate::error::{Error, Result};

/// A tensor on its way to or from a file: PyTorch-style name, shape, values in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Such as `encoder.conv.0.weight`.
    pub name: String,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Vec<f32>,
}

impl NamedTensor {
    /// Reads a tensor back from its device.
    pub(crate) fn read<const D: usize>(name: &str, tensor: Tensor<D>) -> Self {
        let shape = tensor.dims().to_vec();
        Self { name: name.to_owned(), shape, values: values(tensor) }
    }
}

/// The values of a tensor in row-major order.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    data.try_into_vec().unwrap_or_else(|error| unreachable!("all our tensors are f32: {error:?}"))
}

impl BetaVae {
    /// Number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        self.trained_parameters().iter().map(|(_, length)| length).sum()
    }

    /// Name and number of elements of each trained parameter, in the order of the layers.
    pub(crate) fn trained_parameters(&self) -> Vec<(String, usize)> {
        let trained = |tensor: &NamedTensor| is_trained(&tensor.name);
        let mut lister = Reader { path: Vec::new(), tensors: Vec::new(), with_values: false };
        self.visit(&mut lister);
        lister.tensors.retain(trained);
        let length = |tensor: &NamedTensor| tensor.shape.iter().product();
        lister.tensors.iter().map(|tensor| (tensor.name.clone(), length(tensor))).collect()
    }

    /// Copies of all parameters and running averages, in the order of the layers.
    pub fn to_named_tensors(&self) -> Vec<NamedTensor> {
        let mut reader = Reader { path: Vec::new(), tensors: Vec::new(), with_values: true };
        self.visit(&mut reader);
        reader.tensors
    }

    /// The same network with other parameters.
    ///
    /// # Errors
    /// If a tensor is missing, unused, or has the wrong shape; nothing is skipped silently.
    pub fn with_named_tensors(self, tensors: Vec<NamedTensor>) -> Result<Self> {
        let device = self.device();
        let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let mut loader = Loader { path: Vec::new(), tensors, problems: Vec::new() };
        let model = self.map(&mut loader);
        debug_assert_eq!(model.device(), device);
        loader.problems.extend(loader.tensors.keys().map(|name| format!("unused {name}")));
        match loader.problems.as_slice() {
            [] => Ok(model),
            problems => Err(Error::Mismatch {
                what: "the weights do not fit the network".into(),
                expected: "exactly its tensors".into(),
                found: problems.join("; "),
                hint: "the weights were made by another architecture or for another image size"
                    .into(),
            }),
        }
    }
}

/// Running averages are the only tensors that no gradient reaches.
fn is_trained(name: &str) -> bool {
    !(name.ends_with(".running_mean") || name.ends_with(".running_var"))
}

struct Reader {
    path: Vec<String>,
    tensors: Vec<NamedTensor>,
    with_values: bool,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (name, shape) = (self.path.join("."), param.val().dims().to_vec());
        let values = if self.with_values { values(param.val()) } else { Vec::new() };
        self.tensors.push(NamedTensor { name, shape, values });
    }
}

struct Loader {
    path: Vec<String>,
    tensors: BTreeMap<String, NamedTensor>,
    problems: Vec<String>,
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let Some(tensor) = self.tensors.remove(&name) else {
            self.problems.push(format!("missing {name}"));
            return param;
        };
        if tensor.shape != param.val().dims() {
            let (found, expected) = (&tensor.shape, param.val().dims());
            self.problems.push(format!("{name} is {found:?}, not {expected:?}"));
            return param;
        }
        let trained = is_trained(&name);
        param.map(|old| {
            let data = TensorData::new(tensor.values, tensor.shape);
            let new = Tensor::from_data(data, &old.device());
            if old.is_autodiff() && trained { new.require_grad() } else { new }
        })
    }
}
