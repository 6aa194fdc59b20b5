//! What stays on the device between steps: parameters, gradients, moments, running averages.

use crate::network::{Layer, Network, Parameter};

/// Regions begin at multiples of so many values, the parameters that one entry of the table of partial sums is about.
pub(super) const ALIGN: usize = 64;

/// A tensor of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTensor {
    /// Name and shape.
    pub parameter: Parameter,
    /// Where it begins, in values.
    pub offset: usize,
}

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateLayout {
    /// The trained parameters. Gradients and moments lie as far apart as `parameters`.
    pub trained: Vec<StateTensor>,
    /// Running averages, counted from the beginning of the state.
    pub running: Vec<StateTensor>,
    /// The length of the region of trained parameters.
    pub parameters: usize,
    /// The length of everything.
    pub len: usize,
    /// The regions of parameters that lie together, such as the weights of two heads, in the order of the layers: where
    /// they begin and how long they are.
    pub(super) groups: Vec<(usize, usize)>,
}

impl StateLayout {
    pub(super) fn new(network: &Network) -> Self {
        let mut layout = Self::default();
        for layer in network.layers() {
            layout.group(&layer.weights);
            layout.group(&layer.biases);
            for name in norm_parameters(layer) {
                layout.group(&[name]);
            }
        }
        // Parameters, gradients and two moments.
        layout.len = 4 * layout.parameters;
        for layer in network.layers() {
            let Some(norm) = &layer.norm else { continue };
            for average in ["running_mean", "running_var"] {
                let name = format!("{norm}.{average}");
                let parameter = Parameter { name, shape: vec![layer.channels()] };
                layout.running.push(StateTensor { parameter, offset: layout.len });
                layout.len += layer.channels();
            }
            layout.len = layout.len.next_multiple_of(ALIGN);
        }
        layout
    }

    fn group(&mut self, parameters: &[Parameter]) {
        let start = self.parameters;
        for parameter in parameters {
            self.trained
                .push(StateTensor { parameter: parameter.clone(), offset: self.parameters });
            self.parameters += parameter.len();
        }
        self.groups.push((start, self.parameters - start));
        self.parameters = self.parameters.next_multiple_of(ALIGN);
    }

    /// Where a trained parameter or a running average begins.
    pub(super) fn offset(&self, name: &str) -> usize {
        let mut all = self.trained.iter().chain(&self.running);
        let found = all.find(|tensor| tensor.parameter.name == name);
        found.unwrap_or_else(|| unreachable!("{name} is a tensor of the network")).offset
    }
}

fn norm_parameters(layer: &Layer) -> Vec<Parameter> {
    let Some(norm) = &layer.norm else { return Vec::new() };
    let parameter =
        |kind: &str| Parameter { name: format!("{norm}.{kind}"), shape: vec![layer.channels()] };
    ["weight", "bias"].map(parameter).to_vec()
}
