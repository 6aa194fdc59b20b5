//! Reference implementations: every operator of [`crate::ops`] in a few lines of Burn, for other backends
//! than the CPU's and for tests. They are not made to be fast.

use burn::tensor::module::{conv_transpose2d as burn_conv_transpose2d, conv2d as burn_conv2d};
use burn::tensor::ops::{ConvOptions as BurnConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, TensorData, activation};

use crate::activation::{Activation, ConvOptions, LEAKY_RELU_SLOPE};
use crate::aggregate_posterior::MixtureWeights;
use crate::batch_norm::BATCH_NORM_EPSILON;
use crate::elementwise::Nll;
use crate::ops::{BatchMoments, NormalisedLayer};
use crate::optimizer::AdamStep;
use crate::stack::Layer;

/// Applies the nonlinearity to every element.
fn activate<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => activation::relu(x),
        Activation::LeakyRelu => activation::leaky_relu(x, f64::from(LEAKY_RELU_SLOPE)),
        Activation::LeakyRelu02 => activation::leaky_relu(x, 0.2),
        Activation::Tanh => activation::tanh(x),
    }
}

/// See [`crate::ops::log_aggregate_posterior`].
pub fn log_aggregate_posterior(
    z: Tensor<2>,
    mean: Tensor<2>,
    log_var: Tensor<2>,
    weights: MixtureWeights,
) -> Tensor<2> {
    let [batch, latents] = z.dims();
    let rows: Vec<f32> = (0..batch).flat_map(|i| weights.log_row(i, batch)).collect();
    let rows = TensorData::new(rows, [batch, batch, 1]);
    let log_weights = Tensor::<3>::from_data(rows, &z.device());
    // ln q(z_id | x_j), [B, B, D]
    let [mean, log_var] = [mean, log_var].map(|x| x.reshape([1, batch, latents]));
    let distance = z.reshape([batch, 1, latents]) - mean;
    let square = distance.square() * log_var.clone().neg().exp();
    let densities = (square + log_var + std::f64::consts::TAU.ln()) * -0.5;
    let joint = log_sum_exp(densities.clone().sum_dim(2) + log_weights.clone());
    let marginals = log_sum_exp(densities + log_weights).sum_dim(2);
    Tensor::cat(vec![joint, marginals], 2).reshape([batch, 2])
}

/// Over the second axis.
fn log_sum_exp(x: Tensor<3>) -> Tensor<3> {
    let most = x.clone().max_dim(1).detach();
    (x - most.clone()).exp().sum_dim(1).log() + most
}

/// See [`crate::ops::conv_stack`].
pub fn conv_stack(
    x: Tensor<4>,
    layers: &[Layer],
    parameters: Vec<(Tensor<4>, Tensor<1>)>,
) -> Tensor<4> {
    layers.iter().zip(parameters).fold(x, |x, (layer, (weight, bias))| match layer.transposed {
        None => conv2d(x, weight, bias, layer.options, layer.activation),
        Some(output_padding) => {
            conv_transpose2d(x, weight, bias, layer.options, output_padding, layer.activation)
        }
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
    options: ConvOptions,
    activation: Activation,
) -> Tensor<4> {
    let ConvOptions { stride, padding } = options;
    let options = BurnConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
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
    options: ConvOptions,
    output_padding: [usize; 2],
    activation: Activation,
) -> Tensor<4> {
    let ConvOptions { stride, padding } = options;
    let options = ConvTransposeOptions::new([stride; 2], [padding; 2], output_padding, [1; 2], 1);
    let x = burn_conv_transpose2d(channels_first(x), weight, Some(bias), options);
    channels_last(activate(activation, x))
}

/// See [`crate::ops::linear`]: x weight^T + bias, then the activation.
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

/// See [`crate::ops::conv_norm_stack`].
pub fn conv_norm_stack(
    x: Tensor<4>,
    layers: Vec<NormalisedLayer>,
) -> (Tensor<4>, Vec<BatchMoments>) {
    let mut all = Vec::new();
    let y = layers.into_iter().fold(x, |x, NormalisedLayer { layer, conv, norm }| {
        let linear = Layer { activation: Activation::Identity, ..layer };
        let x = conv_stack(x, &[linear], vec![conv]);
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
    // The mean is taken axis by axis, because a single sum over all positions loses four digits in f32.
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

/// See [`crate::ops::nll`]: the negative log-likelihood of each image in nats, without its constant.
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

/// See [`crate::ops::reparameterise`]: z = mean + exp(log_var / 2) * noise; all tensors are [B, D].
pub fn reparameterise(mean: Tensor<2>, log_var: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    mean + (log_var * 0.5).exp() * noise
}

/// See [`crate::ops::kl_per_latent`].
///
/// # Shapes
/// - `mean`, `log_var`: [B, D]; result: \[D\]
pub fn kl_per_latent(mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<1> {
    let kl = (mean.square() + log_var.clone().exp() - log_var - 1.0) * 0.5;
    kl.mean_dim(0).squeeze_dim(0)
}

/// Sums over each image, so that the order of a large sum never depends on the number of threads.
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

/// See [`crate::ops::adam`].
pub fn adam(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    first_moment: Tensor<1>,
    second_moment: Tensor<1>,
    adam: AdamStep,
) -> [Tensor<1>; 3] {
    let AdamStep { beta_1, beta_2, epsilon, .. } = adam;
    let [rate, root] = adam.corrected();
    let first_moment = first_moment * beta_1 + gradient.clone() * (1.0 - beta_1);
    let second_moment = second_moment * beta_2 + gradient.square() * (1.0 - beta_2);
    let denominator = second_moment.clone().sqrt() / root + epsilon;
    let change = first_moment.clone() / denominator * rate;
    [parameter - change, first_moment, second_moment]
}

/// See [`crate::ops::adagrad`].
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
