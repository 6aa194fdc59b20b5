//! The layers networks are made of: parameters with PyTorch's names, layouts and initial
//! distributions, over the operators of [`betavae_kernels`].

use betavae_kernels::ops::{self, BatchMoments, NormalisedLayer};
use betavae_kernels::{Activation, BATCH_NORM_EPSILON, ConvOptions, Layer, Nll, Precision};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::network::{Conv, ConvTranspose};
use crate::random::Stream;

/// What parameters are made of.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// Draws from this seed.
    Random(u64),
    /// Zeros, which other values will replace.
    Zeros,
}

/// Makes initial parameters. Each has a random stream of its own, named after it, so its values
/// depend neither on the device nor on the order of construction.
pub(crate) struct Initialiser<'a> {
    pub(crate) start: Start,
    pub(crate) device: &'a Device,
}

impl Initialiser<'_> {
    /// Uniform in [-bound, bound), bound = 1 / sqrt(fan_in): PyTorch's default for the weights and
    /// biases of linear layers and convolutions.
    fn uniform<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        fan_in: usize,
    ) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values = match self.start {
            Start::Zeros => vec![0.0; count],
            Start::Random(seed) => {
                let bound = (fan_in as f32).sqrt().recip();
                let mut stream = Stream::new(seed, &format!("initialisation/{name}"), 0);
                stream.uniforms(count, -bound, bound)
            }
        };
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device))
    }

    fn constant(&self, value: f32, length: usize) -> Param<Tensor<1>> {
        let data = TensorData::new(vec![value; length], [length]);
        Param::from_tensor(Tensor::from_data(data, self.device))
    }
}

/// Linear layer: `weight` [O, I], `bias` \[O\].
#[derive(Module, Debug)]
pub struct Linear {
    /// [O, I]
    pub weight: Param<Tensor<2>>,
    /// \[O\]
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    pub(crate) fn new(init: &Initialiser<'_>, name: &str, inputs: usize, outputs: usize) -> Self {
        Self {
            weight: init.uniform(&format!("{name}.weight"), [outputs, inputs], inputs),
            bias: init.uniform(&format!("{name}.bias"), [outputs], inputs),
        }
    }

    /// [B, I] to [B, O].
    pub fn forward(&self, x: Tensor<2>, activation: Activation, pass: &Pass) -> Tensor<2> {
        ops::linear(x, self.weight.val(), self.bias.val(), activation, pass.precision())
    }
}

/// A convolutional layer and its weight and bias.
pub(super) type ConvLayer = (Layer, (Tensor<4>, Tensor<1>));

/// Layers without normalisation between them run as one operator.
///
/// # Shapes
/// [B, H, W, I] to [B, H', W', O]
pub(super) fn conv_stack(x: Tensor<4>, layers: Vec<ConvLayer>, pass: &Pass) -> Tensor<4> {
    let (layers, parameters): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
    if layers.is_empty() {
        return x;
    }
    ops::conv_stack(x, &layers, parameters, pass.precision())
}

/// Layers with normalisation between their sums and their activations.
///
/// # Shapes
/// [B, H, W, I] to [B, H', W', O]
pub(super) fn conv_norm_stack(
    x: Tensor<4>,
    layers: Vec<ConvLayer>,
    norms: &[BatchNorm],
    pass: &mut Pass,
) -> Tensor<4> {
    if layers.is_empty() {
        return x;
    }
    match pass {
        Pass::Eval => conv_stack(x, folded(layers, norms), pass),
        Pass::Train(recorded, precision) => {
            let (y, moments) = ops::conv_norm_stack(x, normalised(layers, norms), *precision);
            recorded.extend(moments);
            y
        }
    }
}

/// The negative log-likelihood of `target` given what `last` makes of the output of
/// [`conv_norm_stack`], without its constant, averaged over the batch: \[1\].
pub(super) fn conv_norm_stack_nll(
    x: Tensor<4>,
    (layers, norms): (Vec<ConvLayer>, &[BatchNorm]),
    last: Vec<ConvLayer>,
    (target, nll): (Tensor<4>, Nll),
    pass: &mut Pass,
) -> Tensor<1> {
    let precision = pass.precision();
    match pass {
        Pass::Train(recorded, _) if !layers.is_empty() => {
            let layers = normalised(layers, norms);
            let (last, parameters): (Vec<_>, Vec<_>) = last.into_iter().unzip();
            let end = (target, nll);
            let (value, moments) =
                ops::conv_norm_stack_nll(x, layers, &last, parameters, end, precision);
            recorded.extend(moments);
            value
        }
        _ => {
            let all = folded(layers, norms).into_iter().chain(last);
            let (layers, parameters): (Vec<_>, Vec<_>) = all.unzip();
            ops::conv_stack_nll(x, &layers, parameters, target, nll, precision)
        }
    }
}

fn normalised(layers: Vec<ConvLayer>, norms: &[BatchNorm]) -> Vec<NormalisedLayer> {
    let layers = layers.into_iter().zip(norms).map(|((layer, conv), norm)| {
        let norm = (norm.weight.val(), norm.bias.val());
        NormalisedLayer { layer, conv, norm }
    });
    layers.collect()
}

/// Convolutions that include the normalisation with its running averages.
pub(super) fn folded(layers: Vec<ConvLayer>, norms: &[BatchNorm]) -> Vec<ConvLayer> {
    let layers = layers.into_iter().zip(norms).map(|((layer, (weight, bias)), norm)| {
        let (mean, variance) = (norm.running_mean.val(), norm.running_var.val());
        let scale = norm.weight.val() / (variance + BATCH_NORM_EPSILON).sqrt();
        let bias = (bias - mean) * scale.clone() + norm.bias.val();
        let outputs = if layer.transposed.is_some() { 1 } else { 0 };
        let mut shape = [1; 4];
        shape[outputs] = layer.filters;
        (layer, (weight * scale.reshape(shape), bias))
    });
    layers.collect()
}

/// Convolution: `weight` [O, I, K, K], `bias` \[O\].
#[derive(Module, Debug)]
pub struct Conv2d {
    /// [O, I, K, K]
    pub weight: Param<Tensor<4>>,
    /// \[O\]
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    options: ConvOptions,
}

impl Conv2d {
    pub(super) fn new(init: &Initialiser<'_>, name: &str, channels: usize, spec: Conv) -> Self {
        let Conv { filters, kernel, options } = spec;
        let fan_in = channels * kernel * kernel;
        let shape = [filters, channels, kernel, kernel];
        Self {
            weight: init.uniform(&format!("{name}.weight"), shape, fan_in),
            bias: init.uniform(&format!("{name}.bias"), [filters], fan_in),
            options,
        }
    }

    /// The layer and its parameters, as [`conv_stack`] wants them.
    pub(super) fn prepared(&self, activation: Activation) -> ConvLayer {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let [filters, _, kernel, _] = weight.dims();
        let layer = Layer { transposed: None, filters, kernel, options: self.options, activation };
        (layer, (weight, bias))
    }
}

/// Transposed convolution: `weight` [I, O, K, K], `bias` \[O\].
#[derive(Module, Debug)]
pub struct ConvTranspose2d {
    /// [I, O, K, K]
    pub weight: Param<Tensor<4>>,
    /// \[O\]
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    options: ConvOptions,
    #[module(skip)]
    output_padding: [usize; 2],
}

impl ConvTranspose2d {
    pub(super) fn new(
        init: &Initialiser<'_>,
        name: &str,
        channels: usize,
        spec: ConvTranspose,
    ) -> Self {
        let ConvTranspose { filters, kernel, options, output_padding } = spec;
        // PyTorch takes the fan-in from the second axis of the weight, here the output channels.
        let fan_in = filters * kernel * kernel;
        let shape = [channels, filters, kernel, kernel];
        Self {
            weight: init.uniform(&format!("{name}.weight"), shape, fan_in),
            bias: init.uniform(&format!("{name}.bias"), [filters], fan_in),
            options,
            output_padding,
        }
    }

    /// The layer and its parameters, as [`conv_stack`] wants them.
    pub(super) fn prepared(&self, activation: Activation) -> ConvLayer {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let [_, filters, kernel, _] = weight.dims();
        let transposed = Some(self.output_padding);
        let layer = Layer { transposed, filters, kernel, options: self.options, activation };
        (layer, (weight, bias))
    }
}

/// Whether a forward pass is part of training.
///
/// In training, batch norm uses the statistics of the batch and leaves them here, in the order of
/// the layers; they enter the running averages only when the step is taken
/// ([`super::BetaVae::update_running_statistics`]).
#[derive(Debug)]
pub enum Pass {
    /// Running averages are used; nothing is recorded.
    Eval,
    /// Batch statistics are used and recorded; layers multiply with this precision.
    Train(Vec<BatchMoments>, Precision),
}

impl Pass {
    /// A training pass in f32 with nothing recorded yet.
    pub fn train() -> Self {
        Self::train_in(Precision::F32)
    }

    /// A training pass with nothing recorded yet.
    pub fn train_in(precision: Precision) -> Self {
        Pass::Train(Vec::new(), precision)
    }

    /// What batch norm has recorded, in the order of the layers.
    pub fn into_moments(self) -> Vec<BatchMoments> {
        match self {
            Pass::Eval => Vec::new(),
            Pass::Train(recorded, _) => recorded,
        }
    }

    /// How layers multiply; outside training always in f32.
    pub fn precision(&self) -> Precision {
        match self {
            Pass::Eval => Precision::F32,
            Pass::Train(_, precision) => *precision,
        }
    }
}

/// Share of the new batch in the running averages, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation; all tensors are \[C\].
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale.
    pub weight: Param<Tensor<1>>,
    /// Shift.
    pub bias: Param<Tensor<1>>,
    /// Running mean, not trained.
    pub running_mean: Param<Tensor<1>>,
    /// Running variance, not trained.
    pub running_var: Param<Tensor<1>>,
}

impl BatchNorm {
    pub(super) fn new(init: &Initialiser<'_>, channels: usize) -> Self {
        Self {
            weight: init.constant(1.0, channels),
            bias: init.constant(0.0, channels),
            running_mean: init.constant(0.0, channels).set_require_grad(false),
            running_var: init.constant(1.0, channels).set_require_grad(false),
        }
    }

    pub(super) fn update(&mut self, batch: BatchMoments) {
        let count = batch.count as f64;
        let unbiased = batch.variance * (count / (count - 1.0).max(1.0));
        let blend = |running: &mut Param<Tensor<1>>, new: Tensor<1>| {
            let old = running.val();
            let mixed = old.clone().inner() * (1.0 - MOMENTUM) + new * MOMENTUM;
            let mixed = if old.is_autodiff() { mixed.autodiff() } else { mixed };
            *running = running.clone().map(|_| mixed);
        };
        blend(&mut self.running_mean, batch.mean);
        blend(&mut self.running_var, unbiased);
    }
}
