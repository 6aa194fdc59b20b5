//! Latents to image.

use burn::module::Module;
use burn::tensor::Tensor;

use super::layers::{BatchNorm, Conv2d, ConvTranspose2d, Initialiser, Linear, Pass};
use super::network::{DecoderSpec, Network, Norm};
use crate::ops::{self, Activation};

/// The decoder p(x | z): linear layers, a projection to a small map, transposed convolutions.
#[derive(Module, Debug)]
pub struct Decoder {
    /// Linear layers.
    pub hidden: Vec<Linear>,
    /// Linear layer to the start of the convolutions.
    pub project: Linear,
    /// Transposed convolutions.
    pub conv_transpose: Vec<ConvTranspose2d>,
    /// One per normalised transposed convolution.
    pub norm: Vec<BatchNorm>,
    /// A last convolution, where the architecture has one.
    pub output: Option<Conv2d>,
    #[module(skip)]
    spec: DecoderSpec,
}

impl Decoder {
    pub(super) fn new(init: &Initialiser<'_>, network: &Network) -> Self {
        let spec = network.decoder.clone();
        let mut features = network.latents;
        let mut hidden = Vec::new();
        for (i, width) in spec.hidden.iter().enumerate() {
            hidden.push(Linear::new(init, &format!("decoder.hidden.{i}"), features, *width));
            features = *width;
        }
        let project = Linear::new(init, "decoder.project", features, spec.start.values());
        let mut channels = spec.start.channels;
        let (mut conv_transpose, mut norm) = (Vec::new(), Vec::new());
        for (i, layer) in spec.convs.iter().enumerate() {
            let name = format!("decoder.conv_transpose.{i}");
            conv_transpose.push(ConvTranspose2d::new(init, &name, channels, *layer));
            let makes_image = i + 1 == spec.convs.len() && spec.output.is_none();
            if network.norm == Norm::Batch && !makes_image {
                norm.push(BatchNorm::new(init, layer.filters));
            }
            channels = layer.filters;
        }
        let output = spec.output.map(|conv| Conv2d::new(init, "decoder.output", channels, conv));
        Self { hidden, project, conv_transpose, norm, output, spec }
    }

    /// # Shapes
    /// [B, D] to [B, H, W, C]: logits or means, as the likelihood has it.
    pub fn forward(&self, z: Tensor<2>, pass: &mut Pass) -> Tensor<4> {
        let spec = &self.spec;
        let mut features = z;
        for layer in &self.hidden {
            features = layer.forward(features, spec.activation);
        }
        let features = self.project.forward(features, spec.project_activation);
        let [batch, _] = features.dims();
        // As in the encoder, the flat order is channel, row, column.
        let start = [batch, spec.start.channels, spec.start.height, spec.start.width];
        let mut x = ops::channels_last(features.reshape(start));
        for (i, conv) in self.conv_transpose.iter().enumerate() {
            let makes_image = i + 1 == self.conv_transpose.len() && self.output.is_none();
            x = match self.norm.get(i) {
                Some(norm) => {
                    norm.forward(conv.forward(x, Activation::Identity), spec.activation, pass)
                }
                None if makes_image => conv.forward(x, spec.output_activation),
                None => conv.forward(x, spec.activation),
            };
        }
        match &self.output {
            Some(conv) => conv.forward(x, spec.output_activation),
            None => x,
        }
    }
}
