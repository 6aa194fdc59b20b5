//! Convolutions with batch normalisation between them, in training.

use burn::backend::Flex;
use burn::tensor::Tensor;

use super::conv::{conv_stack_nll, pairs, scaled};
use super::{DEEPEST, LONGEST_TAIL, apply_counted, array};
use crate::bf16::Precision;
use crate::buffer::Buffer;
use crate::chain::{Chain, NormalisedGradients, NormalisedParameters, Passed};
use crate::elementwise::Nll;
use crate::function::{Forward, Function, Operand, apply, plain};
use crate::reference;
use crate::simd::level;
use crate::stack::{Backward, Layer};

/// A convolution, the normalisation of its output, and then the activation.
#[derive(Clone, Debug)]
pub struct NormalisedLayer {
    /// Its activation follows the normalisation.
    pub layer: Layer,
    /// Weight [O, I, K, K] (transposed: [I, O, K, K]) and bias \[O\] of the convolution.
    pub conv: (Tensor<4>, Tensor<1>),
    /// Weight and bias \[O\] of the normalisation.
    pub norm: (Tensor<1>, Tensor<1>),
}

/// What a normalised layer's sums were like in this batch. Untracked.
#[derive(Clone, Debug)]
pub struct BatchMoments {
    /// \[O\]
    pub mean: Tensor<1>,
    /// Divided by `count`: \[O\]
    pub variance: Tensor<1>,
    /// Values per channel: B H W.
    pub count: usize,
}

/// Normalised convolutions, one after the other, with the statistics of this batch.
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
    if layers.len() > DEEPEST {
        let rest = layers.split_off(DEEPEST);
        let (x, mut moments) = conv_norm_stack(x, layers, precision);
        let (y, more) = conv_norm_stack(x, rest, precision);
        moments.extend(more);
        return (y, moments);
    }
    let Some(operands) = operands(&x, &layers) else {
        return reference::conv_norm_stack(x, layers);
    };
    let stack = ConvNormStack::new(&x, &layers, &[], precision);
    let (y, done) = apply_counted!(stack, operands, [5 9 13 17 21 25]);
    (y, moments(&done.saved))
}

/// The negative log-likelihood of `target` given what `tail` makes of the output of
/// [`conv_norm_stack`], without its constant, averaged over the batch.
///
/// # Shapes
/// - as [`conv_norm_stack`]; `target`: like the output of `tail`; result: \[1\]
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
    if layers.len() > DEEPEST || tail.len() > LONGEST_TAIL {
        let rest = layers.split_off(layers.len().min(DEEPEST));
        let (x, mut moments) = conv_norm_stack(x, layers, precision);
        if rest.is_empty() {
            return (conv_stack_nll(x, tail, tail_parameters, target, nll, precision), moments);
        }
        let end = (target, nll);
        let (value, more) = conv_norm_stack_nll(x, rest, tail, tail_parameters, end, precision);
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
    let stages = layers.len();
    let function = ConvNormStackNll { stack, stages, nll };
    let (value, done) = apply_counted!(function, operands, [8 10 12 14 16 18 20 22 24 26 28 30]);
    (value, moments(&done.saved.0))
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

fn moments(passed: &[Passed]) -> Vec<BatchMoments> {
    let tensor =
        |values: &[f32]| Tensor::from_primitive::<Flex>(plain(values.to_vec(), &[values.len()]));
    let moments = passed.iter().map(|Passed { statistics, .. }| BatchMoments {
        mean: tensor(&statistics.mean),
        variance: tensor(&statistics.variance),
        count: statistics.pixels,
    });
    moments.collect()
}

/// Operands of each normalised layer.
const PER_LAYER: usize = 4;

/// Parameters of normalised layers among the inputs.
fn parameters<'a>(inputs: &[&'a [f32]]) -> Vec<NormalisedParameters<'a>> {
    let layers = inputs.chunks_exact(PER_LAYER);
    let layers = layers.map(|layer| NormalisedParameters {
        conv: (layer[0], layer[1]),
        norm: [layer[2], layer[3]],
    });
    layers.collect()
}

#[derive(Clone, Debug)]
struct ConvNormStack {
    chain: Chain,
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
        Self { chain: Chain::prepared(level(), precision, input, &layers, tail), batch }
    }
}

fn last(passed: &[Passed]) -> &Passed {
    passed.last().unwrap_or_else(|| unreachable!("there is a normalised layer"))
}

impl<const N: usize> Function<N> for ConvNormStack {
    type Saved = Vec<Passed>;

    fn forward(&self, inputs: [&[f32]; N], _: bool) -> Forward<Vec<Passed>> {
        let passed = self.chain.forward(inputs[0], self.batch, &parameters(&inputs[1..]));
        let y = self.chain.finished(last(&passed));
        let [height, width, channels] = self.chain.output().unwrap_or_default();
        Forward::new(y, [self.batch, height, width, channels], passed)
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        done: &Forward<Vec<Passed>>,
        gradient: &[f32],
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let passed = &done.saved;
        let (gradient, sums) = self.chain.end(last(passed), gradient, done.output());
        let parameters = parameters(&inputs[1..]);
        let end = (&*gradient, sums.as_slice());
        let (dx, found) = self.chain.backward(inputs[0], &parameters, passed, end, wanted[0]);
        let mut all = std::iter::once(dx).chain(found.into_iter().flatten().map(Some));
        std::array::from_fn(|_| all.next().flatten())
    }
}

#[derive(Clone, Debug)]
struct ConvNormStackNll {
    stack: ConvNormStack,
    /// Number of normalised layers.
    stages: usize,
    nll: Nll,
}

impl<const N: usize> Function<N> for ConvNormStackNll {
    /// With the gradient by the last normalisation, and those of the tail.
    type Saved = (Vec<Passed>, Option<(Buffer, Backward)>);

    fn forward(&self, inputs: [&[f32]; N], differentiate: bool) -> Forward<Self::Saved> {
        let ConvNormStack { chain, batch } = &self.stack;
        let (head, tail) = inputs[1..N - 1].split_at(PER_LAYER * self.stages);
        let passed = chain.forward(inputs[0], *batch, &parameters(head));
        let target = inputs[N - 1];
        let (value, end) = chain.nll(last(&passed), target, &pairs(tail), self.nll, differentiate);
        Forward::new(vec![value], [1], (passed, end))
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        done: &Forward<Self::Saved>,
        gradient: &[f32],
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let (passed, Some((end, tail))) = &done.saved else {
            unreachable!("gradients were computed with the value")
        };
        let head = parameters(&inputs[1..][..PER_LAYER * self.stages]);
        let start = (&**end, tail.norm.as_slice());
        let (dx, found): (_, Vec<NormalisedGradients>) =
            self.stack.chain.backward(inputs[0], &head, passed, start, wanted[0]);
        let tail = tail.parameters.iter().flat_map(|(w, b)| [w.clone(), b.clone()]);
        let all = std::iter::once(dx).chain(found.into_iter().flatten().chain(tail).map(Some));
        let mut all = all.map(|values| values.map(|values| scaled(values, gradient[0])));
        std::array::from_fn(|_| all.next().flatten())
    }
}
