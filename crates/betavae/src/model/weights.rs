//! Named tensors: the view of a module that checkpoints, optimisers, files and tests share.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use super::parameters::{Map, Visit, map, visit};
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

/// Name and number of elements of each trained parameter, in the order of the layers.
pub(crate) fn trained_parameters(module: &impl Module) -> Vec<(String, usize)> {
    struct Lengths(Vec<(String, usize)>);
    impl Visit for Lengths {
        fn parameter<const D: usize>(&mut self, name: &str, parameter: &Param<Tensor<D>>) {
            if is_trained(name) {
                self.0.push((name.to_owned(), parameter.val().dims().iter().product()));
            }
        }
    }
    let mut lengths = Lengths(Vec::new());
    visit(module, &mut lengths);
    lengths.0
}

/// Copies of all parameters and running averages of a module, in the order of the layers.
pub(crate) fn named_tensors(module: &impl Module) -> Vec<NamedTensor> {
    struct Reader(Vec<NamedTensor>);
    impl Visit for Reader {
        fn parameter<const D: usize>(&mut self, name: &str, parameter: &Param<Tensor<D>>) {
            self.0.push(NamedTensor::read(name, parameter.val()));
        }
    }
    let mut reader = Reader(Vec::new());
    visit(module, &mut reader);
    reader.0
}

/// A module of the same shape with these parameters.
///
/// # Errors
/// If a tensor is missing, unused, or has the wrong shape.
pub(crate) fn with_named_tensors<M: Module>(module: M, tensors: Vec<NamedTensor>) -> Result<M> {
    let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut loader = Loader { tensors, problems: Vec::new() };
    let module = map(module, &mut loader);
    loader.problems.extend(loader.tensors.keys().map(|name| format!("unused {name}")));
    match loader.problems.as_slice() {
        [] => Ok(module),
        problems => Err(Error::Mismatch {
            what: "the weights do not fit the network".into(),
            expected: "exactly its tensors".into(),
            found: problems.join("; "),
            hint: "the weights were made by another architecture or for another image size".into(),
        }),
    }
}

struct Loader {
    tensors: BTreeMap<String, NamedTensor>,
    problems: Vec<String>,
}

impl Map for Loader {
    fn parameter<const D: usize>(
        &mut self,
        name: &str,
        parameter: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        let Some(tensor) = self.tensors.remove(name) else {
            self.problems.push(format!("missing {name}"));
            return parameter;
        };
        if tensor.shape != parameter.val().dims() {
            let (found, expected) = (&tensor.shape, parameter.val().dims());
            self.problems.push(format!("{name} is {found:?}, not {expected:?}"));
            return parameter;
        }
        let trained = is_trained(name);
        parameter.map(|old| {
            let data = TensorData::new(tensor.values, tensor.shape);
            // A parameter of a module in training stays one.
            let is_autodiff = old.is_autodiff();
            let new = Tensor::from_data(data, &old.device());
            if is_autodiff && trained { new.require_grad() } else { new }
        })
    }
}

/// Running averages are the only tensors that no gradient reaches.
fn is_trained(name: &str) -> bool {
    !(name.ends_with(".running_mean") || name.ends_with(".running_var"))
}
