//! Image to posterior.

use betavae_infer::Op;
use betavae_kernels::Activation;
use burn::module::Module;
use burn::tensor::Tensor;

use super::config::Norm;
use super::layers::{
    BatchNorm, Conv2d, Initialiser, Linear, Pass, conv_norm_stack, conv_stack, folded,
};
use super::network::Network;
use super::posterior::Posterior;
use super::program;
use super::weights::values;

/// The encoder q(z | x): convolutions, linear layers, and one linear head each for the mean and
/// the log-variance.
#[derive(Module, Debug)]
pub struct Encoder {
    /// Convolutions.
    pub conv: Vec<Conv2d>,
    /// One per convolution, or none.
    pub norm: Vec<BatchNorm>,
    /// Linear layers.
    pub hidden: Vec<Linear>,
    /// Head [D, F] of the posterior's mean.
    pub mean: Linear,
    /// Head [D, F] of the logarithm of the posterior's variance.
    pub log_var: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Encoder {
    pub(super) fn new(init: &Initialiser<'_>, network: &Network) -> Self {
        let spec = &network.encoder;
        let mut channels = network.image.channels;
        let (mut conv, mut norm) = (Vec::new(), Vec::new());
        for (i, layer) in spec.convs.iter().enumerate() {
            conv.push(Conv2d::new(init, &format!("encoder.conv.{i}"), channels, *layer));
            if network.norm == Norm::Batch {
                norm.push(BatchNorm::new(init, layer.filters));
            }
            channels = layer.filters;
        }
        let mut features = network.encoded().values();
        let mut hidden = Vec::new();
        for (i, width) in spec.hidden.iter().enumerate() {
            hidden.push(Linear::new(init, &format!("encoder.hidden.{i}"), features, *width));
            features = *width;
        }
        let head = |name: &str| Linear::new(init, name, features, network.latents);
        Self {
            conv,
            norm,
            hidden,
            mean: head("encoder.mean"),
            log_var: head("encoder.log_var"),
            activation: spec.activation,
        }
    }

    /// # Shapes
    /// [B, H, W, C], scaled as the network wants it, to a posterior of [B, D].
    pub fn forward(&self, images: Tensor<4>, pass: &mut Pass) -> Posterior {
        let convs = self.conv.iter().map(|conv| conv.prepared(self.activation)).collect();
        let x = if self.norm.is_empty() {
            conv_stack(images, convs, pass)
        } else {
            conv_norm_stack(images, convs, &self.norm, pass)
        };
        // Weights after the flattening are ordered as PyTorch flattens: channel, row, column.
        let mut features: Tensor<2> = x.permute([0, 3, 1, 2]).flatten(1, 3);
        for layer in &self.hidden {
            features = layer.forward(features, self.activation, pass);
        }
        Posterior {
            mean: self.mean.forward(features.clone(), Activation::Identity, pass),
            log_var: self.log_var.forward(features, Activation::Identity, pass),
        }
    }

    /// The same for [`super::BetaVae::to_program`]; the heads are one linear layer.
    pub(super) fn inference_ops(&self, network: &Network) -> Vec<Op> {
        let convs = self.conv.iter().map(|conv| conv.prepared(self.activation)).collect();
        let convs = if self.norm.is_empty() { convs } else { folded(convs, &self.norm) };
        let linears = self.hidden.iter().map(|layer| program::linear(layer, self.activation));
        let both = |part: fn(&Linear) -> Vec<f32>| [part(&self.mean), part(&self.log_var)].concat();
        let heads = Op::Linear {
            weight: both(|head| values(head.weight.val())),
            bias: both(|head| values(head.bias.val())),
            activation: Activation::Identity,
        };
        let mut ops = Vec::from_iter(program::convs(network.image, convs));
        ops.push(Op::ChannelsFirst(network.encoded().into()));
        ops.extend(linears.chain([heads]));
        ops
    }
}
