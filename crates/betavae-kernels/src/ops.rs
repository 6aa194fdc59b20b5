//! The operators as functions over Burn's tensors: fused kernels where the tensors are on the CPU
//! backend, the readable twins of [`crate::reference`] elsewhere. Gradients flow through both.
//!
//! Images and activations are channels-last `[B, H, W, C]`; weights have the layout of PyTorch.

use std::sync::Arc;

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};

use crate::activation::Activation;
use crate::bf16::Precision;
use crate::elementwise::{self, Nll};
use crate::function::{Forward, Function, Operand, apply, plain};
use crate::optimizer::{self, AdamStep};
use crate::simd::{Level, level};
use crate::stack::{Kept, Layer, ParameterGradients, Stack};
use crate::{linear as linear_kernel, norm, reference};

/// The most layers that run as one operator; longer stacks are divided.
const DEEPEST: usize = 6;

/// Runs `$function` with the operands of `$count` layers in an array whose length the compiler knows.
macro_rules! apply_layers {
    ($function:expr, $operands:expr, $extra:literal) => {{
        let (function, operands): (_, Vec<Operand>) = ($function, $operands);
        macro_rules! with {
            ($n:literal) => {
                apply::<_, { 2 * $n + 1 + $extra }, _>(function, array(operands)).0
            };
        }
        match (operands.len() - 1 - $extra) / 2 {
            1 => with!(1),
            2 => with!(2),
            3 => with!(3),
            4 => with!(4),
            5 => with!(5),
            _ => with!(6),
        }
    }};
}

fn array<const N: usize>(operands: Vec<Operand>) -> [Operand; N] {
    operands.try_into().unwrap_or_else(|_| unreachable!("the count was matched"))
}

/// Convolutions and transposed convolutions with bias and activation, one after the other.
///
/// # Shapes
/// - `x`: [B, H, W, C]
/// - `parameters`: weights [O, I, K, K] (transposed: [I, O, K, K]) and biases \[O\]
/// - result: [B, H', W', O] with, for each layer,
///   H' = (H + 2 padding - K) / stride + 1, or transposed
///   (H - 1) stride - 2 padding + K + output_padding
///
/// # Panics
/// If there is no layer, or the input is too small for one.
pub fn conv_stack(
    x: Tensor<4>,
    layers: &[Layer],
    mut parameters: Vec<(Tensor<4>, Tensor<1>)>,
    precision: Precision,
) -> Tensor<4> {
    if layers.len() > DEEPEST {
        let rest = parameters.split_off(DEEPEST);
        let x = conv_stack(x, &layers[..DEEPEST], parameters, precision);
        return conv_stack(x, &layers[DEEPEST..], rest, precision);
    }
    match operands(&x, &parameters) {
        Some(operands) => apply_layers!(ConvStack::new(&x, layers, precision), operands, 0),
        None => reference::conv_stack(x, layers, parameters),
    }
}

/// The negative log-likelihood of `target` given the output of [`conv_stack`], without its constant,
/// averaged over the batch. Value and gradients are computed in one pass that leaves no activations.
///
/// # Shapes
/// - as [`conv_stack`]; `target`: like its output; result: \[1\]
///
/// # Panics
/// As [`conv_stack`].
pub fn conv_stack_nll(
    x: Tensor<4>,
    layers: &[Layer],
    mut parameters: Vec<(Tensor<4>, Tensor<1>)>,
    target: Tensor<4>,
    nll: Nll,
    precision: Precision,
) -> Tensor<1> {
    if layers.len() > DEEPEST {
        let rest = parameters.split_off(DEEPEST);
        let x = conv_stack(x, &layers[..DEEPEST], parameters, precision);
        return conv_stack_nll(x, &layers[DEEPEST..], rest, target, nll, precision);
    }
    let all = operands(&x, &parameters).zip(Operand::of(&target));
    match all {
        Some((mut operands, target)) => {
            operands.push(target);
            let stack = ConvStack::new(&x, layers, precision);
            apply_layers!(ConvStackNll(stack, nll), operands, 1)
        }
        None => reference::nll(reference::conv_stack(x, layers, parameters), target, nll).mean(),
    }
}

fn operands(x: &Tensor<4>, parameters: &[(Tensor<4>, Tensor<1>)]) -> Option<Vec<Operand>> {
    let mut operands = vec![Operand::of(x)?];
    for (weight, bias) in parameters {
        operands.push(Operand::of(weight)?);
        operands.push(Operand::of(bias)?);
    }
    Some(operands)
}

#[derive(Clone, Debug)]
struct ConvStack(Arc<Stack>);

impl ConvStack {
    fn new(x: &Tensor<4>, layers: &[Layer], precision: Precision) -> Self {
        let [_, height, width, channels] = x.dims();
        Self(Stack::prepared(level(), precision, [height, width, channels], layers))
    }
}

/// Weights and biases among the inputs, which start with `x`.
fn pairs<'a>(inputs: &[&'a [f32]]) -> Vec<(&'a [f32], &'a [f32])> {
    inputs[1..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Gradients in the order of the inputs.
fn in_order<const N: usize>(
    x: Option<Vec<f32>>,
    parameters: ParameterGradients,
) -> [Option<Vec<f32>>; N] {
    let parameters = parameters.into_iter().flat_map(|(weight, bias)| [Some(weight), Some(bias)]);
    let mut all = std::iter::once(x).chain(parameters);
    std::array::from_fn(|_| all.next().flatten())
}

impl<const N: usize> Function<N> for ConvStack {
    type Saved = Option<Kept>;

    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> Forward<Option<Kept>> {
        let (y, kept) = self.0.forward(inputs[0], &pairs(&inputs), differentiate);
        let [height, width, channels] = self.0.output();
        let batch = y.len() / (height * width * channels);
        Forward::new(y, [batch, height, width, channels], kept)
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        done: &Forward<Option<Kept>>,
        gradient: &[f32],
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let Some(kept) = &done.saved else { unreachable!("kept when a gradient may be asked for") };
        let parameters = pairs(&inputs);
        let (x, parameters) =
            self.0.backward(gradient, done.output(), kept, &parameters, wanted[0]);
        in_order(x, parameters)
    }
}

#[derive(Clone, Debug)]
struct ConvStackNll(ConvStack, Nll);

impl<const N: usize> Function<N> for ConvStackNll {
    type Saved = Option<(Vec<f32>, ParameterGradients)>;

    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> Forward<Self::Saved> {
        let Self(ConvStack(stack), nll) = self;
        let parameters = pairs(&inputs[..N - 1]);
        let (value, saved) = stack.nll(inputs[0], inputs[N - 1], &parameters, *nll, differentiate);
        Forward::new(vec![value], [1], saved)
    }

    fn backward(
        &self,
        _inputs: [&[f32]; N],
        done: &Forward<Self::Saved>,
        gradient: &[f32],
        _wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let Some((x, parameters)) = done.saved.clone() else {
            unreachable!("gradients were computed with the value")
        };
        let scale = gradient[0];
        let scaled = |mut values: Vec<f32>| {
            values.iter_mut().for_each(|value| *value *= scale);
            values
        };
        let parameters = parameters.into_iter().map(|(w, b)| (scaled(w), scaled(b))).collect();
        in_order(Some(scaled(x)), parameters)
    }
}

/// activation(x weight^T + bias).
///
/// # Shapes
/// - `x`: [B, I], `weight`: [O, I], `bias`: \[O\], result: [B, O]
pub fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<2> {
    match (Operand::of(&x), Operand::of(&weight), Operand::of(&bias)) {
        (Some(x), Some(weight), Some(bias)) => {
            apply(Linear { level: level(), activation }, [x, weight, bias]).0
        }
        _ => reference::linear(x, weight, bias, activation),
    }
}

#[derive(Clone, Debug)]
struct Linear {
    level: Level,
    activation: Activation,
}

impl Function<3> for Linear {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: [&[f32]; 3], _: bool) -> Forward<()> {
        let y = linear_kernel::forward(self.level, x, weight, bias, self.activation);
        let shape = [y.len() / bias.len(), bias.len()];
        Forward::new(y, shape, ())
    }

    fn backward(
        &self,
        [x, weight, bias]: [&[f32]; 3],
        done: &Forward<()>,
        gradient: &[f32],
        wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let mut gradient = gradient.to_vec();
        elementwise::multiply_slope(self.level, &mut gradient, done.output(), self.activation);
        let outputs = bias.len();
        let (dx, dw, db) =
            linear_kernel::backward(self.level, x, weight, &gradient, outputs, wanted[0]);
        [dx, Some(dw), Some(db)]
    }
}

/// Batch normalisation with the statistics of this batch, then the activation. Returns the mean
/// and the biased variance \[C\] too, without gradient.
///
/// # Shapes
/// - `x`: [B, H, W, C], `weight`, `bias`: \[C\]
pub fn batch_norm_train(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    activation: Activation,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    match (Operand::of(&x), Operand::of(&weight), Operand::of(&bias)) {
        (Some(operand), Some(weight), Some(bias)) => {
            let shape = x.dims();
            let function = BatchNorm { level: level(), activation, shape };
            let (y, done) = apply(function, [operand, weight, bias]);
            let [mean, variance] = &done.saved;
            let tensor = |values: &[f32]| {
                Tensor::from_primitive::<Flex>(plain(values.to_vec(), &[values.len()]))
            };
            (y, tensor(mean), tensor(variance))
        }
        _ => {
            let (y, mean, variance) = reference::batch_norm_train(x, weight, bias, activation);
            let inner =
                |tensor: Tensor<1>| if tensor.is_autodiff() { tensor.inner() } else { tensor };
            (y, inner(mean), inner(variance))
        }
    }
}

#[derive(Clone, Debug)]
struct BatchNorm {
    level: Level,
    activation: Activation,
    shape: [usize; 4],
}

impl Function<3> for BatchNorm {
    type Saved = [Vec<f32>; 2];

    fn forward(&self, [x, weight, bias]: [&[f32]; 3], _: bool) -> Forward<Self::Saved> {
        let statistics = norm::statistics(self.level, x, weight.len());
        let slices = statistics.each_ref().map(Vec::as_slice);
        let y = norm::normalise(self.level, x, slices, weight, bias, self.activation);
        Forward::new(y, self.shape, statistics)
    }

    fn backward(
        &self,
        [x, weight, _]: [&[f32]; 3],
        done: &Forward<Self::Saved>,
        gradient: &[f32],
        _wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let statistics = done.saved.each_ref().map(Vec::as_slice);
        let (y, activation) = (done.output(), self.activation);
        norm::backward(self.level, x, y, gradient, statistics, weight, activation).map(Some)
    }
}

/// Batch normalisation with given statistics, then the activation.
///
/// # Shapes
/// - `x`: [B, H, W, C], the others: \[C\]
pub fn batch_norm_eval(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    activation: Activation,
) -> Tensor<4> {
    let all =
        [Operand::of(&weight), Operand::of(&bias), Operand::of(&mean), Operand::of(&variance)];
    match (Operand::of(&x), all) {
        (
            Some(Operand::Plain(operand)),
            [
                Some(Operand::Plain(weight)),
                Some(Operand::Plain(bias)),
                Some(Operand::Plain(mean)),
                Some(Operand::Plain(variance)),
            ],
        ) => {
            let function = Normalise { level: level(), activation, shape: x.dims() };
            let rest = [weight, bias, mean, variance].map(Operand::Plain);
            let [weight, bias, mean, variance] = rest;
            apply(function, [Operand::Plain(operand), weight, bias, mean, variance]).0
        }
        _ => reference::batch_norm_eval(x, weight, bias, mean, variance, activation),
    }
}

/// Batch normalisation in use, not in training: only ever applied to untracked tensors.
#[derive(Clone, Debug)]
struct Normalise {
    level: Level,
    activation: Activation,
    shape: [usize; 4],
}

impl Function<5> for Normalise {
    type Saved = ();

    fn forward(&self, inputs: [&[f32]; 5], _: bool) -> Forward<()> {
        let [x, weight, bias, mean, variance] = inputs;
        let statistics = [mean, variance];
        let y = norm::normalise(self.level, x, statistics, weight, bias, self.activation);
        Forward::new(y, self.shape, ())
    }

    fn backward(
        &self,
        _inputs: [&[f32]; 5],
        _done: &Forward<()>,
        _gradient: &[f32],
        _wanted: [bool; 5],
    ) -> [Option<Vec<f32>>; 5] {
        unreachable!("tracked tensors take the readable twin")
    }
}

/// Negative log-likelihood of each image without its constant: the sum over H, W and C of
/// softplus(logit) - target * logit, or of (target - mean)^2 / (2 sigma^2).
///
/// # Shapes
/// - `output`, `target`: [B, H, W, C]; result: \[B\]
pub fn nll(output: Tensor<4>, target: Tensor<4>, nll: Nll) -> Tensor<1> {
    match (Operand::of(&output), Operand::of(&target)) {
        (Some(x), Some(t)) => {
            let [batch, ..] = output.dims();
            apply(PerImage { level: level(), nll, batch }, [x, t]).0
        }
        _ => reference::nll(output, target, nll),
    }
}

#[derive(Clone, Debug)]
struct PerImage {
    level: Level,
    nll: Nll,
    batch: usize,
}

impl Function<2> for PerImage {
    /// The gradient of each image's value by the output.
    type Saved = Vec<f32>;

    fn forward(&self, [output, target]: [&[f32]; 2], _: bool) -> Forward<Vec<f32>> {
        let mut gradient = output.to_vec();
        let size = output.len() / self.batch;
        let values = elementwise::nll_per_image(self.level, self.nll, &mut gradient, target, size);
        Forward::new(values, [self.batch], gradient)
    }

    fn backward(
        &self,
        _inputs: [&[f32]; 2],
        done: &Forward<Vec<f32>>,
        gradient: &[f32],
        _wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let mut all = done.saved.clone();
        let size = all.len() / self.batch;
        for (image, scale) in all.chunks_exact_mut(size).zip(gradient) {
            image.iter_mut().for_each(|value| *value *= scale);
        }
        [Some(all), None]
    }
}

/// z = mean + exp(log_var / 2) * noise (Kingma and Welling 2014, eq. 10); all tensors are [B, D].
pub fn reparameterise(mean: Tensor<2>, log_var: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    match (Operand::of(&mean), Operand::of(&log_var), Operand::of(&noise)) {
        (Some(m), Some(l), Some(n)) => apply(Reparameterise(mean.dims()), [m, l, n]).0,
        _ => reference::reparameterise(mean, log_var, noise),
    }
}

#[derive(Clone, Debug)]
struct Reparameterise([usize; 2]);

impl Function<3> for Reparameterise {
    type Saved = ();

    fn forward(&self, [mean, log_var, noise]: [&[f32]; 3], _: bool) -> Forward<()> {
        let parts = mean.iter().zip(log_var).zip(noise);
        let z = parts.map(|((mean, log_var), noise)| mean + (0.5 * log_var).exp() * noise);
        Forward::new(z.collect(), self.0, ())
    }

    fn backward(
        &self,
        [_, log_var, noise]: [&[f32]; 3],
        _done: &Forward<()>,
        gradient: &[f32],
        _wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let parts = gradient.iter().zip(log_var).zip(noise);
        let by_log_var = parts.map(|((g, l), noise)| g * noise * 0.5 * (0.5 * l).exp());
        [Some(gradient.to_vec()), Some(by_log_var.collect()), None]
    }
}

/// KL(N(mean, exp(log_var)) || N(0, 1)) of each latent in nats, averaged over the batch.
///
/// # Shapes
/// - `mean`, `log_var`: [B, D]; result: \[D\]
pub fn kl_per_latent(mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<1> {
    match (Operand::of(&mean), Operand::of(&log_var)) {
        (Some(m), Some(l)) => apply(KlPerLatent(mean.dims()), [m, l]).0,
        _ => reference::kl_per_latent(mean, log_var),
    }
}

#[derive(Clone, Debug)]
struct KlPerLatent([usize; 2]);

impl Function<2> for KlPerLatent {
    type Saved = ();

    fn forward(&self, [mean, log_var]: [&[f32]; 2], _: bool) -> Forward<()> {
        let [batch, latents] = self.0;
        let mut sums = vec![0.0f64; latents];
        for (i, (mean, log_var)) in mean.iter().zip(log_var).enumerate() {
            let (mean, log_var) = (f64::from(*mean), f64::from(*log_var));
            // exp(l) - 1 in one, which keeps its digits near the prior.
            sums[i % latents] += 0.5 * (mean * mean + log_var.exp_m1() - log_var);
        }
        let kl = sums.into_iter().map(|sum| (sum / batch as f64) as f32).collect();
        Forward::new(kl, [latents], ())
    }

    fn backward(
        &self,
        [mean, log_var]: [&[f32]; 2],
        _done: &Forward<()>,
        gradient: &[f32],
        _wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let [batch, latents] = self.0;
        let scale = |i: usize| gradient[i % latents] / batch as f32;
        let by_mean = mean.iter().enumerate().map(|(i, mean)| scale(i) * mean);
        let by_log_var = log_var.iter().enumerate().map(|(i, l)| scale(i) * 0.5 * l.exp_m1());
        [Some(by_mean.collect()), Some(by_log_var.collect())]
    }
}

/// Whether all elements of all tensors are finite.
pub fn all_finite(tensors: &[Tensor<1>]) -> bool {
    tensors.iter().all(|tensor| match tensor.clone().try_into_primitive::<Flex>() {
        Ok(tensor) => match tensor.as_slice::<f32>() {
            Some(values) => elementwise::all_finite(values),
            None => {
                elementwise::all_finite(tensor.to_contiguous().as_slice::<f32>().unwrap_or(&[]))
            }
        },
        Err(_) => reference::all_finite(tensor.clone()),
    })
}

/// One update of Adam (Kingma and Ba 2015) as PyTorch writes it; all tensors are \[N\]. Returns the
/// new parameter, first and second moment; in place where a tensor is not shared.
pub fn adam(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    first: Tensor<1>,
    second: Tensor<1>,
    step: AdamStep,
) -> [Tensor<1>; 3] {
    if !all_plain([&parameter, &gradient, &first, &second]) {
        return reference::adam(parameter, gradient, first, second, step);
    }
    let gradient = Owned::new(gradient);
    let [mut parameter, mut first, mut second] = [parameter, first, second].map(Owned::new);
    optimizer::adam(
        level(),
        step,
        parameter.values(),
        gradient.read(),
        first.values(),
        second.values(),
    );
    [parameter, first, second].map(Owned::into_tensor)
}

/// One update of Adagrad (Duchi et al. 2011) as PyTorch writes it; all tensors are \[N\]. Returns the
/// new parameter and sum of squared gradients; in place where a tensor is not shared.
pub fn adagrad(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    sum: Tensor<1>,
    learning_rate: f64,
    epsilon: f64,
) -> [Tensor<1>; 2] {
    if !all_plain([&parameter, &gradient, &sum]) {
        return reference::adagrad(parameter, gradient, sum, learning_rate, epsilon);
    }
    let gradient = Owned::new(gradient);
    let [mut parameter, mut sum] = [parameter, sum].map(Owned::new);
    let rates = [learning_rate as f32, epsilon as f32];
    optimizer::adagrad(level(), rates, parameter.values(), gradient.read(), sum.values());
    [parameter, sum].map(Owned::into_tensor)
}

fn all_plain<const N: usize>(tensors: [&Tensor<1>; N]) -> bool {
    tensors.into_iter().all(|tensor| matches!(Operand::of(tensor), Some(Operand::Plain(_))))
}

/// A contiguous tensor on the CPU backend whose values may change; copied only if shared.
struct Owned(burn::backend::tensor::FloatTensor<Flex>);

impl Owned {
    fn new(tensor: Tensor<1>) -> Self {
        let tensor = tensor
            .try_into_primitive::<Flex>()
            .unwrap_or_else(|error| unreachable!("checked by `all_plain`: {error:?}"));
        let whole = tensor.is_contiguous()
            && tensor.layout().start_offset() == 0
            && tensor.bytes().len() == 4 * tensor.layout().num_elements();
        // A view of a part must not write into the whole.
        Self(if whole { tensor } else { Self::copy(&tensor) })
    }

    fn copy(
        tensor: &burn::backend::tensor::FloatTensor<Flex>,
    ) -> burn::backend::tensor::FloatTensor<Flex> {
        let data: TensorData = tensor.to_contiguous().into_data();
        burn::backend::tensor::FloatTensor::<Flex>::from_data(data)
    }

    fn values(&mut self) -> &mut [f32] {
        self.0.storage_mut()
    }

    fn read(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_else(|| unreachable!("contiguous f32"))
    }

    fn into_tensor(self) -> Tensor<1> {
        Tensor::from_primitive::<Flex>(self.0)
    }
}
