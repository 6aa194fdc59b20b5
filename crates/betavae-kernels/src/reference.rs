//! The readable twins: every operator as a few lines of Burn, for every device and for tests.

use burn::tensor::module::{conv_transpose2d as burn_conv_transpose2d, conv2d as burn_conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, activation};

use crate::activation::{Activation, LEAK, Window};
use crate::elementwise::Nll;
use crate::norm::BATCH_NORM_EPSILON;
use crate::ops::{BatchMoments, NormalisedLayer};
use crate::optimizer::AdamStep;
use crate::stack::Layer;

/// Applies the nonlinearity to every element.
fn activate<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => activation::relu(x),
        Activation::LeakyRelu => activation::leaky_relu(x, f64::from(LEAK)),
        Activation::Tanh => activation::tanh(x),
    }
}

/// One convolution or transposed convolution after the other.
pub fn conv_stack(
    x: Tensor<4>,
    layers: &[Layer],
    parameters: Vec<(Tensor<4>, Tensor<1>)>,
) -> Tensor<4> {
    layers.iter().zip(parameters).fold(x, |x, (layer, (weight, bias))| match layer.transposed {
        None => conv2d(x, weight, bias, layer.window, layer.activation),
        Some(more) => conv_transpose2d(x, weight, bias, layer.window, more, layer.activation),
    })
}

/// Convolution with bias, then the activation.
///
/// # Shapes
/// - `x`: [B, H, W, I], `weight`: [O, I, K, K], `bias`: \[O\]
/// - result: [B, (H + 2 padding - K) / stride + 1, (W + ...) ..., O]
fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    window: Window,
    activation: Activation,
) -> Tensor<4> {
    let Window { stride, padding } = window;
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    let x = burn_conv2d(channels_first(x), weight, Some(bias), options);
    channels_last(activate(activation, x))
}

/// Transposed convolution with bias, then the activation.
///
/// # Shapes
/// - `x`: [B, H, W, I], `weight`: [I, O, K, K], `bias`: \[O\]
/// - result: [B, (H - 1) stride - 2 padding + K + output_padding\[0\], (W - 1) ..., O]
fn conv_transpose2d(
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
    channels_last(activate(activation, x))
}

/// x weight^T + bias, then the activation.
///
/// # Shapes
/// - `x`: [B, I], `weight`: [O, I], `bias`: \[O\], result: [B, O]
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<2> {
    activate(activation, x.matmul(weight.transpose()) + bias.unsqueeze())
}

/// Normalised convolutions, one after the other.
pub fn conv_norm_stack(
    x: Tensor<4>,
    layers: Vec<NormalisedLayer>,
) -> (Tensor<4>, Vec<BatchMoments>) {
    let mut all = Vec::new();
    let y = layers.into_iter().fold(x, |x, NormalisedLayer { layer, conv, norm }| {
        let plain = Layer { activation: Activation::Identity, ..layer };
        let x = conv_stack(x, &[plain], vec![conv]);
        let (y, moments) = batch_norm(x, norm.0, norm.1, layer.activation);
        all.push(moments);
        y
    });
    (y, all)
}

/// Batch normalisation with the statistics of this batch, then the activation.
///
/// # Shapes
/// - `x`: [B, H, W, C], `weight`, `bias`: \[C\]
fn batch_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    activation: Activation,
) -> (Tensor<4>, BatchMoments) {
    let [batch, height, width, channels] = x.dims();
    // One axis after the other: a single sum over all positions would lose four digits in f32.
    let mean_over_positions = |x: Tensor<4>| x.mean_dim(2).mean_dim(1).mean_dim(0);
    let mean = mean_over_positions(x.clone());
    let centred = x - mean.clone();
    let variance = mean_over_positions(centred.clone().square());
    let scale = (variance.clone() + BATCH_NORM_EPSILON).sqrt().recip() * weight.unsqueeze();
    let y = activate(activation, centred * scale + bias.unsqueeze());
    let untracked = |x: Tensor<4>| {
        let x = x.reshape([channels]);
        if x.is_autodiff() { x.inner() } else { x }
    };
    let (mean, variance) = (untracked(mean), untracked(variance));
    (y, BatchMoments { mean, variance, count: batch * height * width })
}

/// Negative log-likelihood of each image without its constant.
///
/// # Shapes
/// - `output`, `target`: [B, H, W, C]; result: \[B\]
pub fn nll(output: Tensor<4>, target: Tensor<4>, nll: Nll) -> Tensor<1> {
    sum_per_image(match nll {
        Nll::Bernoulli => {
            // softplus(x) = max(x, 0) + ln(1 + exp(-|x|)), which neither overflows nor loses digits.
            let tail = output.clone().abs().neg().exp().log1p();
            activation::relu(output.clone()) - output * target + tail
        }
        Nll::Gaussian { sigma } => {
            (output - target).square() / (2.0 * f64::from(sigma) * f64::from(sigma))
        }
    })
}

/// z = mean + exp(log_var / 2) * noise; all tensors are [B, D].
pub fn reparameterise(mean: Tensor<2>, log_var: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    mean + (log_var * 0.5).exp() * noise
}

/// KL(N(mean, exp(log_var)) || N(0, 1)) of each latent in nats, averaged over the batch.
///
/// # Shapes
/// - `mean`, `log_var`: [B, D]; result: \[D\]
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

/// Whether all elements are finite.
pub fn all_finite(tensor: Tensor<1>) -> bool {
    // 0 * x is 0 for finite x and NaN otherwise.
    (tensor * 0.0).sum().into_scalar::<f32>() == 0.0
}

/// One update of Adam (Kingma and Ba 2015) as PyTorch writes it; all tensors are \[N\]. Returns the
/// new parameter, first and second moment.
pub fn adam(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    first: Tensor<1>,
    second: Tensor<1>,
    adam: AdamStep,
) -> [Tensor<1>; 3] {
    let AdamStep { beta_1, beta_2, epsilon, .. } = adam;
    let [rate, root] = adam.corrected();
    let first = first * beta_1 + gradient.clone() * (1.0 - beta_1);
    let second = second * beta_2 + gradient.square() * (1.0 - beta_2);
    let denominator = second.clone().sqrt() / root + epsilon;
    let change = first.clone() / denominator * rate;
    [parameter - change, first, second]
}

/// One update of Adagrad (Duchi et al. 2011) as PyTorch writes it; all tensors are \[N\]. Returns the
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
