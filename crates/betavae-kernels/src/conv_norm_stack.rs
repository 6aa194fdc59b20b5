//! Convolutions with batch norm between them, in training. In evaluation, batch norm is folded into the
//! convolutions, which are a [`Stack`].
//!
//! Batch norm needs the whole batch, so layers run one after the other. Between two of them, only the
//! output of the convolution before its batch norm goes to memory, once, and in the backward pass its
//! gradient. A layer normalises its input while it loads it into the cache and computes the moments of
//! its output there, and the layers after the last batch norm run as one [`Stack`] with the likelihood.

use std::sync::Arc;

use rayon::prelude::*;

use crate::activation::Activation;
use crate::batch_norm::{BatchNorm, BatchNormBackward, GradientSums, Statistics};
use crate::bf16::Precision;
use crate::buffer::{Buffer, par_filled};
use crate::elementwise::{self, Nll};
use crate::simd::SimdLevel;
use crate::stack::{Input, Layer, Parameters, SavedActivations, Stack, StackGradients, Upstream};

/// The weight and the bias of a convolution, and of the batch norm after it.
#[derive(Clone, Copy)]
pub(crate) struct ConvNormParameters<'a> {
    pub(crate) conv: (&'a [f32], &'a [f32]),
    pub(crate) norm: [&'a [f32]; 2],
}

/// Gradients in the order of [`ConvNormParameters`].
pub(crate) type ConvNormGradients = [Vec<f32>; 4];

/// Convolutions with batch norm, and the layers after the last batch norm.
#[derive(Clone, Debug)]
pub(crate) struct NormalisedStack {
    level: SimdLevel,
    /// Each convolution, and the activation after its batch norm.
    convs: Vec<(Arc<Stack>, Activation)>,
    tail: Option<Arc<Stack>>,
}

/// What the forward pass of a layer saves for the backward pass.
#[derive(Debug)]
pub(crate) struct SavedLayer {
    /// The output of the convolution, before batch norm.
    conv_output: Buffer,
    activations: SavedActivations,
    pub(crate) statistics: Statistics,
    norm: BatchNorm,
}

impl SavedLayer {
    /// The input of the next layer.
    fn output(&self) -> Input<'_> {
        Input { x: &self.conv_output, norm: Some(&self.norm) }
    }
}

/// The gradient of a batch norm's output before the activation, and its sums.
pub(crate) type NormGradient = (Buffer, Vec<GradientSums>);

/// Floats per task where a map is only read and written.
const CHUNK: usize = 1 << 15;

impl NormalisedStack {
    /// For an input of shape [H, W, C]. The activations of `normalised` layers follow their batch norm.
    ///
    /// # Panics
    /// If a map is too small for a layer.
    pub(crate) fn prepared(
        level: SimdLevel,
        precision: Precision,
        input: [usize; 3],
        normalised: &[Layer],
        tail: &[Layer],
    ) -> Self {
        let mut shape = input;
        let mut convs = Vec::new();
        for layer in normalised {
            let without_activation = Layer { activation: Activation::Identity, ..*layer };
            let stack = Stack::prepared(level, precision, shape, &[without_activation]);
            shape = stack.output();
            convs.push((stack, layer.activation));
        }
        let tail = (!tail.is_empty()).then(|| Stack::prepared(level, precision, shape, tail));
        Self { level, convs, tail }
    }

    /// Shape [H, W, C] of the output of the last layer with batch norm.
    pub(crate) fn output(&self) -> Option<[usize; 3]> {
        self.convs.last().map(|(stack, _)| stack.output())
    }

    /// The forward pass of the layers with batch norm, for `x` [B, H, W, C] of so many images.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        images: usize,
        parameters: &[ConvNormParameters<'_>],
    ) -> Vec<SavedLayer> {
        let mut saved: Vec<SavedLayer> = Vec::new();
        for ((stack, activation), ConvNormParameters { conv, norm }) in
            self.convs.iter().zip(parameters)
        {
            let input = saved.last().map_or(Input { x, norm: None }, SavedLayer::output);
            let output = stack.output();
            let mut conv_output = Buffer::new(images * output.iter().product::<usize>());
            let (activations, moments) =
                stack.forward_with_moments(input, &[*conv], &mut conv_output);
            let statistics = Statistics::of(&moments, output[2]);
            let norm = BatchNorm::new(&statistics, norm[0], norm[1], *activation);
            saved.push(SavedLayer { conv_output, activations, statistics, norm });
        }
        saved
    }

    /// The output of the last batch norm and its activation.
    pub(crate) fn normalised_output(&self, last: &SavedLayer) -> Vec<f32> {
        let chunk = self.chunk_len(last);
        par_filled(last.conv_output.len(), chunk, |i, y| {
            last.norm.apply(self.level, &last.conv_output[i * chunk..][..y.len()], y);
        })
    }

    /// Floats per task, a whole number of pixels.
    fn chunk_len(&self, last: &SavedLayer) -> usize {
        let channels = last.statistics.mean.len();
        (CHUNK / channels).max(1) * channels
    }

    /// The backward pass of the last activation, from the gradient of its output `y`.
    pub(crate) fn activation_backward(
        &self,
        last: &SavedLayer,
        gradient: &[f32],
        y: &[f32],
    ) -> NormGradient {
        let mut to = Buffer::new(y.len());
        let chunk = self.chunk_len(last);
        let chunks = (to.par_chunks_mut(chunk), last.conv_output.par_chunks(chunk));
        let gradients = (gradient.par_chunks(chunk), y.par_chunks(chunk));
        let sums = (chunks, gradients)
            .into_par_iter()
            .map(|((to, x), (gradient, y))| {
                let mut gradient = gradient.to_vec();
                let activation = last.norm.activation;
                elementwise::multiply_slope(self.level, &mut gradient, y, activation);
                let mut sums = GradientSums::new(last.statistics.mean.len());
                sums.add(self.level, &last.norm, x, &gradient, to);
                sums
            })
            .collect();
        (to, sums)
    }

    /// The negative log-likelihood at the end of the tail, as [`Stack::nll`]. With `differentiate`, also
    /// the gradient from which [`NormalisedStack::backward`] starts, and those of the tail's parameters.
    pub(crate) fn nll(
        &self,
        last: &SavedLayer,
        target: &[f32],
        parameters: &Parameters<'_>,
        nll: Nll,
        differentiate: bool,
    ) -> (f32, Option<(Buffer, StackGradients)>) {
        let Some(tail) = &self.tail else { unreachable!("a likelihood needs layers") };
        let mut gradient = differentiate.then(|| Buffer::new(last.conv_output.len()));
        let dx = gradient.as_deref_mut();
        let (value, tail_gradients) = tail.nll(last.output(), target, parameters, nll, dx);
        (value, gradient.zip(tail_gradients))
    }

    /// The gradients of the input, if `needs_dx`, and of the parameters of the layers with batch norm, from
    /// the gradient of the last batch norm's output.
    pub(crate) fn backward(
        &self,
        x: &[f32],
        parameters: &[ConvNormParameters<'_>],
        saved: &[SavedLayer],
        upstream: (&[f32], &[GradientSums]),
        needs_dx: bool,
    ) -> (Option<Vec<f32>>, Vec<ConvNormGradients>) {
        let mut dx = needs_dx.then(|| vec![0.0; x.len()]);
        let mut gradients = Vec::new();
        let mut latest: Option<NormGradient> = None;
        for (i, (stack, _)) in self.convs.iter().enumerate().rev() {
            let ConvNormParameters { conv, norm } = parameters[i];
            let (gradient, sums) = match &latest {
                Some((gradient, sums)) => (&**gradient, sums.as_slice()),
                None => upstream,
            };
            let (norm_backward, [norm_weight, norm_bias]) =
                BatchNormBackward::new(sums, &saved[i].statistics, norm[0]);
            let y = &saved[i].conv_output;
            let conv_upstream = Upstream { gradient, y, norm: Some(&norm_backward) };
            let (input, mut input_gradient) = match i.checked_sub(1) {
                None => (Input { x, norm: None }, None),
                Some(before) => {
                    (saved[before].output(), Some(Buffer::new(saved[before].conv_output.len())))
                }
            };
            let to = input_gradient.as_deref_mut().or(dx.as_deref_mut());
            let activations = &saved[i].activations;
            let found = stack.backward(input, activations, conv_upstream, &[conv], to);
            let (weight, bias) = found.parameters.into_iter().next().unwrap_or_default();
            gradients.push([weight, bias, norm_weight, norm_bias]);
            latest = input_gradient.map(|gradient| (gradient, found.norm));
        }
        gradients.reverse();
        (dx, gradients)
    }
}
