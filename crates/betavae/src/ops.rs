//! The operators that a training step spends its time in, as narrow functions over tensors: the
//! one place where a faster body replaces a readable one.
//!
//! Images and activations are channels-last `[B, H, W, C]`; weights have the layout of PyTorch. Burn's
//! convolutions want channels first: their bodies permute in and out, which between two layers
//! cancels to nothing as long as what happens in between does not copy.

use burn::tensor::module::{conv_transpose2d as burn_conv_transpose2d, conv2d as burn_conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

/// The nonlinearity after a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// x for x > 0, else 0.01 x
    LeakyRelu,
    /// tanh(x)
    Tanh,
}

impl Activation {
    /// Applies the nonlinearity to every element.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Activation::Identity => x,
            Activation::Relu => activation::relu(x),
            Activation::LeakyRelu => activation::leaky_relu(x, 0.01),
            Activation::Tanh => activation::tanh(x),
        }
    }
}

/// Step and border of a convolution, the same for both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Distance in pixels between two applications of the kernel.
    pub stride: usize,
    /// Zeros added on each side (for a transposed convolution: removed from each side).
    pub padding: usize,
}

/// Convolution with bias, then the activation.
///
/// # Shapes
/// - `x`: [B, H, W, I], `weight`: [O, I, K, K], `bias`: [O]
/// - result: [B, (H + 2 padding - K) / stride + 1, (W + ...) ..., O]
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    window: Window,
    activation: Activation,
) -> Tensor<4> {
    let Window { stride, padding } = window;
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    channels_last(activation.apply(burn_conv2d(channels_first(x), weight, Some(bias), options)))
}

/// Transposed convolution with bias, then the activation.
///
/// # Shapes
/// - `x`: [B, H, W, I], `weight`: [I, O, K, K], `bias`: [O]
/// - result: [B, (H - 1) stride - 2 padding + K + output_padding\[0\], (W - 1) ..., O]
pub fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    window: Window,
    output_padding: [usize; 2],
    activation: Activation,
) -> Tensor<4> {
    let Window { stride, padding } = window;
    let options = ConvTransposeOptions::new([stride; 2], [padding; 2], output_padding, [1; 2], 1);
    let x = burn_conv_transpose2d(channels_first(x), weight, Some(bias), options);
    channels_last(activation.apply(x))
}

/// x weight^T + bias, then the activation.
///
/// # Shapes
/// - `x`: [B, I], `weight`: [O, I], `bias`: [O], result: [B, O]
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<2> {
    activation.apply(x.matmul(weight.transpose()) + bias.unsqueeze())
}

/// What batch normalisation divides by.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Batch normalisation with the statistics of this batch, then the activation. Returns the mean
/// and the biased variance `[C]` too, without gradient.
///
/// # Shapes
/// - `x`: [B, H, W, C], `weight`, `bias`: [C]
pub fn batch_norm_train(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    activation: Activation,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let [.., channels] = x.dims();
    // One axis after the other: a single sum over all positions would lose four digits in f32.
    let mean_over_positions = |x: Tensor<4>| x.mean_dim(2).mean_dim(1).mean_dim(0);
    let mean = mean_over_positions(x.clone());
    let centred = x - mean.clone();
    let variance = mean_over_positions(centred.clone().square());
    let scale = (variance.clone() + BATCH_NORM_EPSILON).sqrt().recip() * weight.unsqueeze();
    let y = activation.apply(centred * scale + bias.unsqueeze());
    (y, mean.detach().reshape([channels]), variance.detach().reshape([channels]))
}

/// Batch normalisation with given statistics, then the activation.
///
/// # Shapes
/// - `x`: [B, H, W, C], the others: [C]
pub fn batch_norm_eval(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    activation: Activation,
) -> Tensor<4> {
    let scale = (variance + BATCH_NORM_EPSILON).sqrt().recip() * weight;
    let shift = bias - mean * scale.clone();
    activation.apply(x * scale.unsqueeze() + shift.unsqueeze())
}

/// Negative log-likelihood of a Bernoulli per image in nats, from logits: the sum over H, W and C
/// of softplus(logit) - target * logit.
///
/// # Shapes
/// - `logits`, `target`: [B, H, W, C] with targets in [0, 1]; result: [B]
pub fn bernoulli_nll(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    // softplus(x) = max(x, 0) + ln(1 + exp(-|x|)), which neither overflows nor loses digits.
    let tail = logits.clone().abs().neg().exp().log1p();
    sum_per_image(activation::relu(logits.clone()) - logits * target + tail)
}

/// Sum of squared differences per image.
///
/// # Shapes
/// - `x`, `target`: [B, H, W, C]; result: [B]
pub fn squared_error(x: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    sum_per_image((x - target).square())
}

/// KL(N(mean, exp(log_var)) || N(0, 1)) of each latent in nats, averaged over the batch.
///
/// # Shapes
/// - `mean`, `log_var`: [B, D]; result: [D]
pub fn kl_per_latent(mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<1> {
    let kl = (mean.square() + log_var.clone().exp() - log_var - 1.0) * 0.5;
    kl.mean_dim(0).squeeze_dim(0)
}

/// First summed over each image, so that the order of a large sum never depends on the threads.
fn sum_per_image(x: Tensor<4>) -> Tensor<1> {
    let [batch, height, width, channels] = x.dims();
    x.reshape([batch, height * width * channels]).sum_dim(1).squeeze_dim(1)
}

/// `[B, H, W, C]` to `[B, C, H, W]`.
pub(crate) fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// `[B, C, H, W]` to `[B, H, W, C]`.
pub(crate) fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// Whether all elements of all tensors are finite.
pub fn all_finite(tensors: &[Tensor<1>]) -> bool {
    // 0 * x is 0 for finite x and NaN otherwise.
    let zero = tensors.iter().map(|tensor| (tensor.clone() * 0.0).sum()).reduce(|a, b| a + b);
    zero.is_none_or(|zero| zero.into_scalar::<f32>() == 0.0)
}

/// The constants of one step of Adam.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// Learning rate at this step.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the denominator, after the square root.
    pub epsilon: f64,
    /// The step, counted from 1.
    pub step: u64,
}

/// One update of Adam (Kingma and Ba 2015) as PyTorch writes it; all tensors are [N]. Returns the
/// new parameter, first and second moment.
pub fn adam(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    first: Tensor<1>,
    second: Tensor<1>,
    adam: AdamStep,
) -> [Tensor<1>; 3] {
    let AdamStep { learning_rate, beta_1, beta_2, epsilon, step } = adam;
    let first = first * beta_1 + gradient.clone() * (1.0 - beta_1);
    let second = second * beta_2 + gradient.square() * (1.0 - beta_2);
    let correction = |beta: f64| 1.0 - beta.powi(i32::try_from(step).unwrap_or(i32::MAX));
    let denominator = second.clone().sqrt() / correction(beta_2).sqrt() + epsilon;
    let change = first.clone() / denominator * (learning_rate / correction(beta_1));
    [parameter - change, first, second]
}

/// One update of Adagrad (Duchi et al. 2011) as PyTorch writes it; all tensors are [N]. Returns the
/// new parameter and sum of squared gradients.
pub fn adagrad(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    sum: Tensor<1>,
    learning_rate: f64,
    epsilon: f64,
) -> [Tensor<1>; 2] {
    let sum = sum + gradient.clone().square();
    let change = gradient / (sum.clone().sqrt() + epsilon) * learning_rate;
    [parameter - change, sum]
}
