//! Convolutions with batch normalisation between them, in training.
//!
//! Normalising needs all of a batch, so layers run one after the other; but between two of them only
//! sums before normalisation are written to memory, once, and on the way back their gradients. What
//! a layer reads is normalised on the way into the cache, statistics are taken there, and the last
//! layers run as one [`Stack`] with the likelihood.

use std::sync::Arc;

use rayon::prelude::*;

use crate::activation::Activation;
use crate::bf16::Precision;
use crate::buffer::{Buffer, filled};
use crate::elementwise::{self, Nll};
use crate::norm::{GradientSums, Normalisation, Statistics, WayBack};
use crate::simd::Level;
use crate::stack::{Backward, Input, Kept, Layer, Parameters, Stack, Upstream};

/// Weight and bias of a convolution and of the normalisation after it.
#[derive(Clone, Copy)]
pub(crate) struct NormalisedParameters<'a> {
    pub(crate) conv: (&'a [f32], &'a [f32]),
    pub(crate) norm: [&'a [f32]; 2],
}

/// Gradients in the order of [`NormalisedParameters`].
pub(crate) type NormalisedGradients = [Vec<f32>; 4];

/// Normalised layers, and layers after the last normalisation.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    level: Level,
    stages: Vec<(Arc<Stack>, Activation)>,
    tail: Option<Arc<Stack>>,
}

/// What the way forward through a normalised layer leaves.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The layer's sums, before normalisation.
    sums: Buffer,
    kept: Kept,
    pub(crate) statistics: Statistics,
    norm: Normalisation,
}

impl Passed {
    fn output(&self) -> Input<'_> {
        Input { x: &self.sums, norm: Some(&self.norm) }
    }
}

/// The gradient by the last normalisation's output before its activation, and its sums.
pub(crate) type End = (Buffer, Vec<GradientSums>);

/// Floats per task where a map is only read and written.
const CHUNK: usize = 1 << 15;

impl Chain {
    /// For inputs [H, W, C]. The activations of `normalised` layers follow the normalisation.
    ///
    /// # Panics
    /// If a map is too small for a layer.
    pub(crate) fn prepared(
        level: Level,
        precision: Precision,
        input: [usize; 3],
        normalised: &[Layer],
        tail: &[Layer],
    ) -> Self {
        let mut shape = input;
        let mut stages = Vec::new();
        for layer in normalised {
            let plain = Layer { activation: Activation::Identity, ..*layer };
            let stack = Stack::prepared(level, precision, shape, &[plain]);
            shape = stack.output();
            stages.push((stack, layer.activation));
        }
        let tail = (!tail.is_empty()).then(|| Stack::prepared(level, precision, shape, tail));
        Self { level, stages, tail }
    }

    /// Shape of the last normalised layer's output.
    pub(crate) fn output(&self) -> Option<[usize; 3]> {
        self.stages.last().map(|(stack, _)| stack.output())
    }

    /// Through the normalised layers.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        images: usize,
        parameters: &[NormalisedParameters<'_>],
    ) -> Vec<Passed> {
        let mut passed: Vec<Passed> = Vec::new();
        for ((stack, activation), NormalisedParameters { conv, norm }) in
            self.stages.iter().zip(parameters)
        {
            let input = passed.last().map_or(Input { x, norm: None }, Passed::output);
            let output = stack.output();
            let mut sums = Buffer::new(images * output.iter().product::<usize>());
            let (kept, moments) = stack.forward_with_moments(input, &[*conv], &mut sums);
            let statistics = Statistics::of(&moments, output[2]);
            let norm = Normalisation::new(&statistics, norm[0], norm[1], *activation);
            passed.push(Passed { sums, kept, statistics, norm });
        }
        passed
    }

    /// What comes out of the last normalisation and its activation.
    pub(crate) fn finished(&self, last: &Passed) -> Vec<f32> {
        let chunk = self.chunk(last);
        filled(last.sums.len(), chunk, |i, y| {
            last.norm.apply(self.level, &last.sums[i * chunk..][..y.len()], y);
        })
    }

    fn chunk(&self, last: &Passed) -> usize {
        let channels = last.statistics.mean.len();
        (CHUNK / channels).max(1) * channels
    }

    /// Back through the last activation, from the gradient by its output `y`.
    pub(crate) fn end(&self, last: &Passed, gradient: &[f32], y: &[f32]) -> End {
        let mut to = Buffer::new(y.len());
        let chunk = self.chunk(last);
        let chunks = (to.par_chunks_mut(chunk), last.sums.par_chunks(chunk));
        let gradients = (gradient.par_chunks(chunk), y.par_chunks(chunk));
        let sums = (chunks, gradients)
            .into_par_iter()
            .map(|((to, x), (gradient, y))| {
                let mut before = gradient.to_vec();
                let activation = last.norm.activation;
                elementwise::multiply_slope(self.level, &mut before, y, activation);
                let mut sums = GradientSums::new(last.statistics.mean.len());
                sums.add(self.level, &last.norm, x, &before, to);
                sums
            })
            .collect();
        (to, sums)
    }

    /// The likelihood at the end of the tail as of [`Stack::nll`]; with `differentiate`, also where
    /// [`Chain::backward`] starts, and the gradients of the tail's parameters.
    pub(crate) fn nll(
        &self,
        last: &Passed,
        target: &[f32],
        parameters: &Parameters<'_>,
        nll: Nll,
        differentiate: bool,
    ) -> (f32, Option<(Buffer, Backward)>) {
        let Some(tail) = &self.tail else { unreachable!("a likelihood is for layers") };
        let mut gradient = differentiate.then(|| Buffer::new(last.sums.len()));
        let dx = gradient.as_deref_mut();
        let (value, found) = tail.nll(last.output(), target, parameters, nll, dx);
        (value, gradient.zip(found))
    }

    /// Gradients of the input (if `wanted`) and of the normalised layers' parameters.
    pub(crate) fn backward(
        &self,
        x: &[f32],
        parameters: &[NormalisedParameters<'_>],
        passed: &[Passed],
        end: (&[f32], &[GradientSums]),
        wanted: bool,
    ) -> (Option<Vec<f32>>, Vec<NormalisedGradients>) {
        let mut dx = wanted.then(|| vec![0.0; x.len()]);
        let mut gradients = Vec::new();
        let mut latest: Option<End> = None;
        for (i, (stack, _)) in self.stages.iter().enumerate().rev() {
            let NormalisedParameters { conv, norm } = parameters[i];
            let (gradient, sums) = match &latest {
                Some((gradient, sums)) => (&**gradient, sums.as_slice()),
                None => end,
            };
            let (back, [by_scale, by_shift]) = WayBack::new(sums, &passed[i].statistics, norm[0]);
            let upstream = Upstream { gradient, y: &passed[i].sums, norm: Some(&back) };
            let (input, mut below) = match i.checked_sub(1) {
                None => (Input { x, norm: None }, None),
                Some(before) => {
                    (passed[before].output(), Some(Buffer::new(passed[before].sums.len())))
                }
            };
            let to = below.as_deref_mut().or(dx.as_deref_mut());
            let found = stack.backward(input, &passed[i].kept, upstream, &[conv], to);
            let (weight, bias) = found.parameters.into_iter().next().unwrap_or_default();
            gradients.push([weight, bias, by_scale, by_shift]);
            latest = below.map(|below| (below, found.norm));
        }
        gradients.reverse();
        (dx, gradients)
    }
}
