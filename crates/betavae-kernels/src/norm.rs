//! Batch normalisation: statistics per channel over all pixels of a batch, and the way back.
//!
//! Pixels are divided into chunks of fixed size, whose sums are combined in order in f64.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::math;
use crate::simd::{Kernel, Level, Simd, dispatch};

/// What batch normalisation divides by: sqrt(variance + this).
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Floats per chunk.
const CHUNK: usize = 32_768;

fn chunk(channels: usize) -> usize {
    (CHUNK / channels).max(1) * channels
}

/// Mean and sum of squared distances from it, per channel, of one chunk.
struct Moments<'a>(&'a [f32], usize);

impl Kernel for Moments<'_> {
    type Output = [Vec<f32>; 2];
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [Vec<f32>; 2] {
        let Moments(x, channels) = self;
        let (mut means, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
        let share = simd.splat(channels as f32 / x.len() as f32);
        for c in (0..channels).step_by(S::LANES) {
            let lanes = (channels - c).min(S::LANES);
            // SAFETY: x has whole rows of `channels`, and c + lanes <= channels.
            let load = |at: usize| unsafe { simd.load_first(x.as_ptr().add(at), lanes) };
            let mut sum = simd.splat(0.0);
            for at in (c..x.len()).step_by(channels) {
                sum = simd.add(sum, load(at));
            }
            let mean = simd.mul(sum, share);
            let mut square = simd.splat(0.0);
            for at in (c..x.len()).step_by(channels) {
                let centred = simd.sub(load(at), mean);
                square = simd.fma(centred, centred, square);
            }
            // SAFETY: c + lanes <= channels, the length of both.
            unsafe {
                simd.store_first(means.as_mut_ptr().add(c), mean, lanes);
                simd.store_first(squares.as_mut_ptr().add(c), square, lanes);
            }
        }
        [means, squares]
    }
}

/// Mean and biased variance of each channel of `x` [.., C].
pub(crate) fn statistics(level: Level, x: &[f32], channels: usize) -> [Vec<f32>; 2] {
    let chunks: Vec<_> = x
        .par_chunks(chunk(channels))
        .map(|chunk| (chunk.len() / channels, dispatch(level, Moments(chunk, channels))))
        .collect();
    let (mut mean, mut square) = (vec![0.0f64; channels], vec![0.0f64; channels]);
    let mut count = 0.0;
    // Chan, Golub and LeVeque (1979): combining the moments of two sets.
    for (n, [means, squares]) in chunks {
        let n = n as f64;
        for c in 0..channels {
            let delta = f64::from(means[c]) - mean[c];
            mean[c] += delta * n / (count + n);
            square[c] += f64::from(squares[c]) + delta * delta * count * n / (count + n);
        }
        count += n;
    }
    let narrow = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
    [narrow(mean), narrow(square.into_iter().map(|s| s / count).collect())]
}

/// activation((x - mean) * scale + bias) per channel. In this order, since x * scale may be large
/// against what is left.
struct Affine<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
}

impl Kernel for Affine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.scale.len();
        assert!(self.mean.len() == channels && self.bias.len() == channels);
        assert!(self.x.len() == self.y.len());
        let (x, y) = (self.x.as_ptr(), self.y.as_mut_ptr());
        for row in (0..self.x.len()).step_by(channels) {
            for c in (0..channels).step_by(S::LANES) {
                let lanes = (channels - c).min(S::LANES);
                // SAFETY: rows are whole, c + lanes <= channels.
                unsafe {
                    let scale = simd.load_first(self.scale.as_ptr().add(c), lanes);
                    let mean = simd.load_first(self.mean.as_ptr().add(c), lanes);
                    let bias = simd.load_first(self.bias.as_ptr().add(c), lanes);
                    let value = simd.load_first(x.add(row + c), lanes);
                    let value = simd.fma(simd.sub(value, mean), scale, bias);
                    let value = math::activate(simd, self.activation, value);
                    simd.store_first(y.add(row + c), value, lanes);
                }
            }
        }
    }
}

/// activation((x - mean) / sqrt(variance + epsilon) * weight + bias), where `statistics` are mean
/// and variance.
pub(crate) fn normalise(
    level: Level,
    x: &[f32],
    statistics: [&[f32]; 2],
    weight: &[f32],
    bias: &[f32],
    activation: Activation,
) -> Vec<f32> {
    let channels = weight.len();
    let scale: Vec<f32> =
        weight.iter().zip(statistics[1]).map(|(w, v)| w * deviation(*v).recip()).collect();
    let mut y = vec![0.0; x.len()];
    let chunk = chunk(channels);
    y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
        dispatch(level, Affine { x, y, mean: statistics[0], scale: &scale, bias, activation });
    });
    y
}

fn deviation(variance: f32) -> f32 {
    (f64::from(variance) + BATCH_NORM_EPSILON).sqrt() as f32
}

/// Per channel: the sums of g and of g * (x - mean), where g is the gradient before the activation.
struct GradientSums<'a> {
    x: &'a [f32],
    y: &'a [f32],
    gradient: &'a [f32],
    mean: &'a [f32],
    activation: Activation,
}

impl Kernel for GradientSums<'_> {
    type Output = [Vec<f32>; 2];
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [Vec<f32>; 2] {
        let channels = self.mean.len();
        let len = self.x.len();
        assert!(self.y.len() == len && self.gradient.len() == len);
        let (mut sums, mut products) = (vec![0.0; channels], vec![0.0; channels]);
        for c in (0..channels).step_by(S::LANES) {
            let lanes = (channels - c).min(S::LANES);
            let (mut sum, mut product) = (simd.splat(0.0), simd.splat(0.0));
            // SAFETY: rows are whole, c + lanes <= channels, all lengths were compared.
            unsafe {
                let mean = simd.load_first(self.mean.as_ptr().add(c), lanes);
                for at in (c..len).step_by(channels) {
                    let gradient = simd.load_first(self.gradient.as_ptr().add(at), lanes);
                    let output = simd.load_first(self.y.as_ptr().add(at), lanes);
                    let gradient = math::multiply_slope(simd, self.activation, output, gradient);
                    let x = simd.load_first(self.x.as_ptr().add(at), lanes);
                    sum = simd.add(sum, gradient);
                    product = simd.fma(gradient, simd.sub(x, mean), product);
                }
                simd.store_first(sums.as_mut_ptr().add(c), sum, lanes);
                simd.store_first(products.as_mut_ptr().add(c), product, lanes);
            }
        }
        [sums, products]
    }
}

/// scale * g + slope * (x - mean) + shift per channel.
struct InputGradient<'a> {
    x: &'a [f32],
    y: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
    mean: &'a [f32],
    /// Scale, slope, shift.
    coefficients: &'a [Vec<f32>; 3],
    activation: Activation,
}

impl Kernel for InputGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [scale, slope, shift] = self.coefficients;
        let (channels, len) = (scale.len(), self.x.len());
        assert!(self.mean.len() == channels);
        assert!(self.y.len() == len && self.gradient.len() == len && self.out.len() == len);
        for row in (0..len).step_by(channels) {
            for c in (0..channels).step_by(S::LANES) {
                let lanes = (channels - c).min(S::LANES);
                let at = row + c;
                // SAFETY: rows are whole, c + lanes <= channels, all lengths were compared.
                unsafe {
                    let of = |values: &[f32]| simd.load_first(values.as_ptr().add(c), lanes);
                    let gradient = simd.load_first(self.gradient.as_ptr().add(at), lanes);
                    let output = simd.load_first(self.y.as_ptr().add(at), lanes);
                    let gradient = math::multiply_slope(simd, self.activation, output, gradient);
                    let x = simd.load_first(self.x.as_ptr().add(at), lanes);
                    let value = simd.fma(simd.sub(x, of(self.mean)), of(slope), of(shift));
                    let value = simd.fma(gradient, of(scale), value);
                    simd.store_first(self.out.as_mut_ptr().add(at), value, lanes);
                }
            }
        }
    }
}

/// Gradients by x, weight and bias (Ioffe and Szegedy 2015, section 3).
pub(crate) fn backward(
    level: Level,
    x: &[f32],
    y: &[f32],
    gradient: &[f32],
    statistics: [&[f32]; 2],
    weight: &[f32],
    activation: Activation,
) -> [Vec<f32>; 3] {
    let channels = weight.len();
    let size = chunk(channels);
    let [mean, variance] = statistics;
    let parts: Vec<_> = (x.par_chunks(size), y.par_chunks(size), gradient.par_chunks(size))
        .into_par_iter()
        .map(|(x, y, gradient)| dispatch(level, GradientSums { x, y, gradient, mean, activation }))
        .collect();
    let total = |which: usize| {
        let mut total = vec![0.0f64; channels];
        for part in &parts {
            total.iter_mut().zip(&part[which]).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        total
    };
    let (sums, products) = (total(0), total(1));
    let count = (x.len() / channels) as f64;
    let mut coefficients = [vec![0.0; channels], vec![0.0; channels], vec![0.0; channels]];
    let (mut dw, mut db) = (vec![0.0; channels], vec![0.0; channels]);
    for c in 0..channels {
        // dx = weight / deviation * (g - mean(g) - xhat * mean(g * xhat))
        let variance = f64::from(variance[c]) + BATCH_NORM_EPSILON;
        let scale = f64::from(weight[c]) / variance.sqrt();
        let slope = -scale * products[c] / (count * variance);
        let shift = -scale * sums[c] / count;
        coefficients[0][c] = scale as f32;
        coefficients[1][c] = slope as f32;
        coefficients[2][c] = shift as f32;
        dw[c] = (products[c] / variance.sqrt()) as f32;
        db[c] = sums[c] as f32;
    }
    let mut dx = vec![0.0; x.len()];
    (dx.par_chunks_mut(size), x.par_chunks(size), y.par_chunks(size), gradient.par_chunks(size))
        .into_par_iter()
        .for_each(|(out, x, y, gradient)| {
            let coefficients = &coefficients;
            dispatch(level, InputGradient { x, y, gradient, out, mean, coefficients, activation });
        });
    [dx, dw, db]
}
