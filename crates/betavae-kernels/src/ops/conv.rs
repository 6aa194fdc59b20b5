//! Convolutions without normalisation between them.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{DEEPEST, apply_counted, array};
use crate::bf16::Precision;
use crate::elementwise::Nll;
use crate::function::{Forward, Function, Operand, apply};
use crate::reference;
use crate::simd::level;
use crate::stack::{Backward, Input, Kept, Layer, ParameterGradients, Stack, Upstream};

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
        Some(operands) => {
            let stack = ConvStack::new(&x, layers, precision);
            apply_counted!(stack, operands, [3 5 7 9 11 13]).0
        }
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
            apply_counted!(ConvStackNll(stack, nll), operands, [4 6 8 10 12 14]).0
        }
        None => reference::nll(reference::conv_stack(x, layers, parameters), target, nll).mean(),
    }
}

/// All tensors in the order of a function's inputs; `None` if one is on another backend.
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
        Self(Stack::prepared(level(), precision, [height, width, channels], layers))
    }
}

/// Weights and biases among the inputs.
pub(super) fn pairs<'a>(inputs: &[&'a [f32]]) -> Vec<(&'a [f32], &'a [f32])> {
    inputs.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
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

/// Times the gradient of the whole, which is nearly always 1.
pub(super) fn scaled(mut values: Vec<f32>, scale: f32) -> Vec<f32> {
    if scale != 1.0 {
        values.iter_mut().for_each(|value| *value *= scale);
    }
    values
}

impl<const N: usize> Function<N> for ConvStack {
    type Saved = Option<Kept>;

    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> Forward<Option<Kept>> {
        let (y, kept) = self.0.forward(inputs[0], &pairs(&inputs[1..]), differentiate);
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
        let mut dx = wanted[0].then(|| vec![0.0; inputs[0].len()]);
        let input = Input { x: inputs[0], norm: None };
        let upstream = Upstream { gradient, y: done.output(), norm: None };
        let parameters = pairs(&inputs[1..]);
        let found = self.0.backward(input, kept, upstream, &parameters, dx.as_deref_mut());
        in_order(dx, found.parameters)
    }
}

#[derive(Clone, Debug)]
struct ConvStackNll(ConvStack, Nll);

impl<const N: usize> Function<N> for ConvStackNll {
    type Saved = Option<(Vec<f32>, Backward)>;

    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> Forward<Self::Saved> {
        let Self(ConvStack(stack), nll) = self;
        let mut dx = differentiate.then(|| vec![0.0; inputs[0].len()]);
        let (input, target) = (Input { x: inputs[0], norm: None }, inputs[N - 1]);
        let parameters = pairs(&inputs[1..N - 1]);
        let (value, found) = stack.nll(input, target, &parameters, *nll, dx.as_deref_mut());
        Forward::new(vec![value], [1], dx.zip(found))
    }

    fn backward(
        &self,
        _inputs: [&[f32]; N],
        done: &Forward<Self::Saved>,
        gradient: &[f32],
        _wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let Some((dx, found)) = &done.saved else {
            unreachable!("gradients were computed with the value")
        };
        let scaled = |values: &Vec<f32>| scaled(values.clone(), gradient[0]);
        let parameters = found.parameters.iter().map(|(w, b)| (scaled(w), scaled(b))).collect();
        in_order(Some(scaled(dx)), parameters)
    }
}
