//! Operators of convolutions without batch norm between them, with or without a likelihood at the end.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{MAX_LAYERS, apply_counted, array};
use crate::bf16::Precision;
use crate::elementwise::Nll;
use crate::function::{ForwardResult, Function, Operand, apply};
use crate::reference;
use crate::simd::simd_level;
use crate::stack::{
    Input, Layer, ParameterGradients, SavedActivations, Stack, StackGradients, Upstream,
};

/// Convolutions and transposed convolutions with bias and activation, one after the other.
///
/// # Shapes
/// - `x`: [B, H, W, C]
/// - `parameters`: for each layer, the weight [O, I, K, K] (transposed: [I, O, K, K]) and the bias \[O\]
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
    if layers.len() > MAX_LAYERS {
        let rest = parameters.split_off(MAX_LAYERS);
        let x = conv_stack(x, &layers[..MAX_LAYERS], parameters, precision);
        return conv_stack(x, &layers[MAX_LAYERS..], rest, precision);
    }
    match operands(&x, &parameters) {
        Some(operands) => {
            let stack = ConvStack::new(&x, layers, precision);
            apply_counted!(stack, operands, [3 5 7 9 11 13]).0
        }
        None => reference::conv_stack(x, layers, parameters),
    }
}

/// The negative log-likelihood of `target` given the output of [`conv_stack`], in nats without its
/// constant, summed over each image and averaged over the batch. The value and its gradients are computed
/// in one pass, which saves no activations.
///
/// # Shapes
/// - as [`conv_stack`]; `target`: as its output; result: \[1\]
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
    if layers.len() > MAX_LAYERS {
        let rest = parameters.split_off(MAX_LAYERS);
        let x = conv_stack(x, &layers[..MAX_LAYERS], parameters, precision);
        return conv_stack_nll(x, &layers[MAX_LAYERS..], rest, target, nll, precision);
    }
    let all = operands(&x, &parameters).zip(Operand::of(&target));
    match all {
        Some((mut operands, target)) => {
            operands.push(target);
            let stack = ConvStack::new(&x, layers, precision);
            apply_counted!(ConvStackNll(stack, nll), operands, [4 6 8 10 12 14]).0
        }
        None => reference::nll(reference::conv_stack(x, layers, parameters), target, nll).mean(),
    }
}

/// The operands in the order of a function's inputs; `None` if one is on another backend.
pub(super) fn operands(
    x: &Tensor<4>,
    parameters: &[(Tensor<4>, Tensor<1>)],
) -> Option<Vec<Operand>> {
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
        Self(Stack::prepared(simd_level(), precision, [height, width, channels], layers))
    }
}

/// The weights and biases among the inputs.
pub(super) fn weights_and_biases<'a>(inputs: &[&'a [f32]]) -> Vec<(&'a [f32], &'a [f32])> {
    inputs.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// The gradients in the order of the inputs.
fn ordered_gradients<const N: usize>(
    x: Option<Vec<f32>>,
    parameters: ParameterGradients,
) -> [Option<Vec<f32>>; N] {
    let parameters = parameters.into_iter().flat_map(|(weight, bias)| [Some(weight), Some(bias)]);
    let mut all = std::iter::once(x).chain(parameters);
    std::array::from_fn(|_| all.next().flatten())
}

/// Multiplies gradients by the gradient of the loss, which is nearly always 1.
pub(super) fn scaled(mut values: Vec<f32>, scale: f32) -> Vec<f32> {
    if scale != 1.0 {
        values.iter_mut().for_each(|value| *value *= scale);
    }
    values
}

impl<const N: usize> Function<N> for ConvStack {
    type Saved = Option<SavedActivations>;

    fn forward(
        &self,
        inputs: [&[f32]; N],
        differentiate: bool,
    ) -> ForwardResult<Option<SavedActivations>> {
        let (y, saved) =
            self.0.forward(inputs[0], &weights_and_biases(&inputs[1..]), differentiate);
        let [height, width, channels] = self.0.output();
        let batch = y.len() / (height * width * channels);
        ForwardResult::new(y, [batch, height, width, channels], saved)
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        forward: &ForwardResult<Option<SavedActivations>>,
        gradient: &[f32],
        needs_gradient: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let Some(saved) = &forward.saved else {
            unreachable!("activations are saved if a backward pass may follow")
        };
        let mut dx = needs_gradient[0].then(|| vec![0.0; inputs[0].len()]);
        let input = Input { x: inputs[0], norm: None };
        let upstream = Upstream { gradient, y: forward.output(), norm: None };
        let parameters = weights_and_biases(&inputs[1..]);
        let gradients = self.0.backward(input, saved, upstream, &parameters, dx.as_deref_mut());
        ordered_gradients(dx, gradients.parameters)
    }
}

#[derive(Clone, Debug)]
struct ConvStackNll(ConvStack, Nll);

impl<const N: usize> Function<N> for ConvStackNll {
    type Saved = Option<(Vec<f32>, StackGradients)>;

    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> ForwardResult<Self::Saved> {
        let Self(ConvStack(stack), nll) = self;
        let mut dx = differentiate.then(|| vec![0.0; inputs[0].len()]);
        let (input, target) = (Input { x: inputs[0], norm: None }, inputs[N - 1]);
        let parameters = weights_and_biases(&inputs[1..N - 1]);
        let (value, gradients) = stack.nll(input, target, &parameters, *nll, dx.as_deref_mut());
        ForwardResult::new(vec![value], [1], dx.zip(gradients))
    }

    fn backward(
        &self,
        _inputs: [&[f32]; N],
        forward: &ForwardResult<Self::Saved>,
        gradient: &[f32],
        _needs_gradient: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let Some((dx, gradients)) = &forward.saved else {
            unreachable!("gradients were computed with the value")
        };
        let scaled = |values: &Vec<f32>| scaled(values.clone(), gradient[0]);
        let parameters = gradients.parameters.iter().map(|(w, b)| (scaled(w), scaled(b))).collect();
        ordered_gradients(Some(scaled(dx)), parameters)
    }
}
