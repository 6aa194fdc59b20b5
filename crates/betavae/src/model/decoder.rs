//! Latents to image.

use betavae_infer::Op;
use betavae_kernels::ops;
use burn::module::Module;
use burn::tensor::Tensor;

use super::config::Norm;
use super::layers::{
    BatchNorm, Conv2d, ConvLayer, ConvTranspose2d, Initialiser, Linear, Pass, conv_norm_stack,
    conv_norm_stack_nll, conv_stack, folded,
};
use super::likelihood::Likelihood;
use super::network::{DecoderSpec, Network};
use super::program;

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
        let (normalised, last) = self.convs();
        let x = conv_norm_stack(self.start(z, pass), normalised, &self.norm, pass);
        conv_stack(x, last, pass)
    }

    /// The negative log-likelihood of `target` [B, H, W, C] at `z` [B, D] without its constant,
    /// averaged over the batch, \[1\]: as from [`Decoder::forward`], but in one pass that neither
    /// writes the image nor keeps activations.
    pub fn nll(
        &self,
        z: Tensor<2>,
        target: Tensor<4>,
        likelihood: Likelihood,
        pass: &mut Pass,
    ) -> Tensor<1> {
        let (normalised, last) = self.convs();
        let (x, end) = (self.start(z, pass), (target, likelihood.kernel()));
        if last.is_empty() {
            return ops::nll(x, end.0, end.1).mean();
        }
        conv_norm_stack_nll(x, (normalised, &self.norm), last, end, pass)
    }

    /// [B, D] to the map before the convolutions.
    fn start(&self, z: Tensor<2>, pass: &Pass) -> Tensor<4> {
        let spec = &self.spec;
        let mut features = z;
        for layer in &self.hidden {
            features = layer.forward(features, spec.activation, pass);
        }
        let features = self.project.forward(features, spec.project_activation, pass);
        let [batch, _] = features.dims();
        // As in the encoder, the flat order is channel, row, column.
        let start = [batch, spec.start.channels, spec.start.height, spec.start.width];
        features.reshape(start).permute([0, 2, 3, 1])
    }

    /// The normalised convolutions, and those after the last normalisation.
    fn convs(&self) -> (Vec<ConvLayer>, Vec<ConvLayer>) {
        let spec = &self.spec;
        let transposed = self.conv_transpose.iter().map(|conv| conv.prepared(spec.activation));
        let output = self.output.iter().map(|conv| conv.prepared(spec.output_activation));
        let mut normalised: Vec<_> = transposed.chain(output).collect();
        let mut last = normalised.split_off(self.norm.len());
        if let Some((layer, _)) = last.last_mut() {
            layer.activation = spec.output_activation;
        }
        (normalised, last)
    }

    /// The same for [`super::BetaVae::to_program`].
    pub(super) fn inference_ops(&self) -> Vec<Op> {
        let spec = &self.spec;
        let linears = self.hidden.iter().map(|layer| program::linear(layer, spec.activation));
        let mut ops: Vec<Op> = linears.collect();
        ops.push(program::linear(&self.project, spec.project_activation));
        ops.push(Op::ChannelsLast(spec.start.into()));
        let (normalised, last) = self.convs();
        let layers = folded(normalised, &self.norm).into_iter().chain(last).collect();
        ops.extend(program::convs(spec.start, layers));
        ops
    }
}
