//! Operators of convolutions with batch norm between them, in training. In evaluation, the caller folds
//! batch norm into the convolutions of [`super::conv_stack`].

use burn::backend::Flex;
use burn::tensor::Tensor;

use super::conv_stack::{conv_stack_nll, scaled, weights_and_biases};
use super::{MAX_LAYERS, MAX_TAIL_LAYERS, apply_counted, array};
use crate::bf16::Precision;
use crate::buffer::Buffer;
use crate::conv_norm_stack::{ConvNormGradients, ConvNormParameters, NormalisedStack, SavedLayer};
use crate::elementwise::Nll;
use crate::function::{ForwardResult, Function, Operand, apply, tensor_from};
use crate::reference;
use crate::simd::simd_level;
use crate::stack::{Layer, StackGradients};

/// A convolution, batch norm of its output, and then the activation.
#[derive(Clone, Debug)]
pub struct NormalisedLayer {
    /// The convolution. Its activation follows the batch norm.
    pub layer: Layer,
    /// The weight [O, I, K, K] (transposed: [I, O, K, K]) and the bias \[O\] of the convolution.
    pub conv: (Tensor<4>, Tensor<1>),
    /// The weight \[O\] and the bias \[O\] of the batch norm.
    pub norm: (Tensor<1>, Tensor<1>),
}

/// The statistics of a convolution's output over this batch, from which running averages are updated. No
/// gradient flows through them.
#[derive(Clone, Debug)]
pub struct BatchMoments {
    /// The mean of each channel: \[O\]
    pub mean: Tensor<1>,
    /// The biased variance of each channel, divided by `count`: \[O\]
    pub variance: Tensor<1>,
    /// The number of values per channel, B H W.
    pub count: usize,
}

/// Convolutions with batch norm, one after the other, with the statistics of this batch.
///
/// # Shapes
/// - `x`: [B, H, W, C]; result: [B, H', W', O]
///
/// # Panics
/// If there is no layer, or the input is too small for one.
pub fn conv_norm_stack(
    x: Tensor<4>,
    mut layers: Vec<NormalisedLayer>,
    precision: Precision,
) -> (Tensor<4>, Vec<BatchMoments>) {
    if layers.len() > MAX_LAYERS {
        let rest = layers.split_off(MAX_LAYERS);
        let (x, mut moments) = conv_norm_stack(x, layers, precision);
        let (y, more) = conv_norm_stack(x, rest, precision);
        moments.extend(more);
        return (y, moments);
    }
    let Some(operands) = operands(&x, &layers) else {
        return reference::conv_norm_stack(x, layers);
    };
    let stack = ConvNormStack::new(&x, &layers, &[], precision);
    let (y, result) = apply_counted!(stack, operands, [5 9 13 17 21 25]);
    (y, moments(&result.saved))
}

/// The negative log-likelihood of `target` given the output of [`conv_norm_stack`] and then the layers
/// of `tail`, in nats without its constant, summed over each image and averaged over the batch.
///
/// # Shapes
/// - as [`conv_norm_stack`]; `target`: as the output of `tail`; result: \[1\]
///
/// # Panics
/// If there is no layer of either kind, or a map is too small for one.
pub fn conv_norm_stack_nll(
    x: Tensor<4>,
    mut layers: Vec<NormalisedLayer>,
    tail: &[Layer],
    tail_parameters: Vec<(Tensor<4>, Tensor<1>)>,
    (target, nll): (Tensor<4>, Nll),
    precision: Precision,
) -> (Tensor<1>, Vec<BatchMoments>) {
    if layers.len() > MAX_LAYERS || tail.len() > MAX_TAIL_LAYERS {
        let rest = layers.split_off(layers.len().min(MAX_LAYERS));
        let (x, mut moments) = conv_norm_stack(x, layers, precision);
        if rest.is_empty() {
            return (conv_stack_nll(x, tail, tail_parameters, target, nll, precision), moments);
        }
        let likelihood = (target, nll);
        let (value, more) =
            conv_norm_stack_nll(x, rest, tail, tail_parameters, likelihood, precision);
        moments.extend(more);
        return (value, moments);
    }
    let all = operands(&x, &layers).and_then(|mut operands| {
        for (weight, bias) in &tail_parameters {
            operands.push(Operand::of(weight)?);
            operands.push(Operand::of(bias)?);
        }
        operands.push(Operand::of(&target)?);
        Some(operands)
    });
    let Some(operands) = all else {
        let (x, moments) = reference::conv_norm_stack(x, layers);
        let output = reference::conv_stack(x, tail, tail_parameters);
        return (reference::nll(output, target, nll).mean(), moments);
    };
    let stack = ConvNormStack::new(&x, &layers, tail, precision);
    let norm_layers = layers.len();
    let function = ConvNormStackNll { stack, norm_layers, nll };
    let (value, result) = apply_counted!(function, operands, [8 10 12 14 16 18 20 22 24 26 28 30]);
    (value, moments(&result.saved.0))
}

fn operands(x: &Tensor<4>, layers: &[NormalisedLayer]) -> Option<Vec<Operand>> {
    let mut operands = vec![Operand::of(x)?];
    for NormalisedLayer { conv, norm, .. } in layers {
        operands.push(Operand::of(&conv.0)?);
        for vector in [&conv.1, &norm.0, &norm.1] {
            operands.push(Operand::of(vector)?);
        }
    }
    Some(operands)
}

fn moments(saved: &[SavedLayer]) -> Vec<BatchMoments> {
    let tensor = |values: &[f32]| {
        Tensor::from_primitive::<Flex>(tensor_from(values.to_vec(), &[values.len()]))
    };
    let moments = saved.iter().map(|SavedLayer { statistics, .. }| BatchMoments {
        mean: tensor(&statistics.mean),
        variance: tensor(&statistics.variance),
        count: statistics.pixels,
    });
    moments.collect()
}

/// Operands of each layer with batch norm.
const OPERANDS_PER_LAYER: usize = 4;

/// The parameters of layers with batch norm among the inputs.
fn parameters<'a>(inputs: &[&'a [f32]]) -> Vec<ConvNormParameters<'a>> {
    let layers = inputs.chunks_exact(OPERANDS_PER_LAYER);
    let layers = layers
        .map(|layer| ConvNormParameters { conv: (layer[0], layer[1]), norm: [layer[2], layer[3]] });
    layers.collect()
}

#[derive(Clone, Debug)]
struct ConvNormStack {
    layers: NormalisedStack,
    batch: usize,
}

impl ConvNormStack {
    fn new(
        x: &Tensor<4>,
        layers: &[NormalisedLayer],
        tail: &[Layer],
        precision: Precision,
    ) -> Self {
        let [batch, height, width, channels] = x.dims();
        let layers: Vec<_> = layers.iter().map(|layer| layer.layer).collect();
        let input = [height, width, channels];
        Self {
            layers: NormalisedStack::prepared(simd_level(), precision, input, &layers, tail),
            batch,
        }
    }
}

fn last(saved: &[SavedLayer]) -> &SavedLayer {
    saved.last().unwrap_or_else(|| unreachable!("there is a layer with batch norm"))
}

impl<const N: usize> Function<N> for ConvNormStack {
    type Saved = Vec<SavedLayer>;

    fn forward(&self, inputs: [&[f32]; N], _: bool) -> ForwardResult<Vec<SavedLayer>> {
        let saved = self.layers.forward(inputs[0], self.batch, &parameters(&inputs[1..]));
        let y = self.layers.normalised_output(last(&saved));
        let [height, width, channels] = self.layers.output().unwrap_or_default();
        ForwardResult::new(y, [self.batch, height, width, channels], saved)
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        forward: &ForwardResult<Vec<SavedLayer>>,
        gradient: &[f32],
        needs_gradient: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let saved = &forward.saved;
        let (gradient, sums) =
            self.layers.activation_backward(last(saved), gradient, forward.output());
        let parameters = parameters(&inputs[1..]);
        let upstream = (&*gradient, sums.as_slice());
        let (dx, gradients) =
            self.layers.backward(inputs[0], &parameters, saved, upstream, needs_gradient[0]);
        let mut all = std::iter::once(dx).chain(gradients.into_iter().flatten().map(Some));
        std::array::from_fn(|_| all.next().flatten())
    }
}

#[derive(Clone, Debug)]
struct ConvNormStackNll {
    stack: ConvNormStack,
    /// The number of layers with batch norm; the others are the tail.
    norm_layers: usize,
    nll: Nll,
}

impl<const N: usize> Function<N> for ConvNormStackNll {
    /// Besides the layers, the gradient of the last batch norm's output and the gradients of the tail.
    type Saved = (Vec<SavedLayer>, Option<(Buffer, StackGradients)>);

    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> ForwardResult<Self::Saved> {
        let ConvNormStack { layers, batch } = &self.stack;
        let (head, tail) = inputs[1..N - 1].split_at(OPERANDS_PER_LAYER * self.norm_layers);
        let saved = layers.forward(inputs[0], *batch, &parameters(head));
        let target = inputs[N - 1];
        let tail = weights_and_biases(tail);
        let (value, gradients) = layers.nll(last(&saved), target, &tail, self.nll, differentiate);
        ForwardResult::new(vec![value], [1], (saved, gradients))
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        forward: &ForwardResult<Self::Saved>,
        gradient: &[f32],
        needs_gradient: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let (saved, Some((norm_gradient, tail))) = &forward.saved else {
            unreachable!("gradients were computed with the value")
        };
        let head = parameters(&inputs[1..][..OPERANDS_PER_LAYER * self.norm_layers]);
        let upstream = (&**norm_gradient, tail.norm.as_slice());
        let (dx, gradients): (_, Vec<ConvNormGradients>) =
            self.stack.layers.backward(inputs[0], &head, saved, upstream, needs_gradient[0]);
        let tail = tail.parameters.iter().flat_map(|(w, b)| [w.clone(), b.clone()]);
        let all = std::iter::once(dx).chain(gradients.into_iter().flatten().chain(tail).map(Some));
        let mut all = all.map(|values| values.map(|values| scaled(values, gradient[0])));
        std::array::from_fn(|_| all.next().flatten())
    }
}
