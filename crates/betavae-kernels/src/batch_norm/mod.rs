//! Batch normalisation of a few rows of pixels at a time (Ioffe and Szegedy 2015, section 3): statistics
//! of a layer's output, the normalised input of the next layer, and the two parts of the backward pass.
//! A [`Stack`](crate::stack::Stack) calls these while the rows are in its cache; the order of layers is
//! in `conv_norm_stack`.
//!
//! Sums over a few rows are f32, and these are summed in order in f64.

mod channel_loop;

use channel_loop::{ChannelLoop, for_all_channels, load, load_channels, store};

use crate::activation::Activation;
use crate::math;
use crate::simd::{Simd, SimdKernel, SimdLevel, array, dispatch};

/// Added to the variance before its square root is taken, as PyTorch's `eps`.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Floats whose moments are computed at once.
const CHUNK: usize = 16_384;

/// The mean of some pixels, and their sum of squared differences from it, per channel.
#[derive(Debug)]
pub(crate) struct Moments {
    pixels: usize,
    means: Vec<f32>,
    squares: Vec<f32>,
}

impl Moments {
    /// The moments of each chunk of the pixels `x` [.., C].
    pub(crate) fn of(level: SimdLevel, x: &[f32], channels: usize) -> impl Iterator<Item = Self> {
        x.chunks((CHUNK / channels).max(1) * channels).map(move |x| {
            let mut moments = Self {
                pixels: x.len() / channels,
                means: vec![0.0; channels],
                squares: vec![0.0; channels],
            };
            dispatch(level, MomentsKernel(x, &mut moments));
            moments
        })
    }
}

struct MomentsKernel<'a>(&'a [f32], &'a mut Moments);

impl SimdKernel for MomentsKernel<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let channels = self.1.means.len();
        assert!(self.1.squares.len() == channels && self.0.len().is_multiple_of(channels));
        for_all_channels(simd, channels, &mut self);
    }
}

impl ChannelLoop for MomentsKernel<'_> {
    #[inline(always)]
    unsafe fn run_channels<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize) {
        let MomentsKernel(x, Moments { pixels, means, squares }) = self;
        let channels = means.len();
        // SAFETY: x has whole pixels, and the caller promises that the channels exist.
        unsafe {
            let mut sums = [simd.splat(0.0); G];
            for at in (c..x.len()).step_by(channels) {
                let values = load::<S, G>(simd, x.as_ptr().add(at), lanes);
                sums = array!(g < G => simd.add(sums[g], values[g]));
            }
            let reciprocal = simd.splat(1.0 / *pixels as f32);
            let mean = array!(g < G => simd.mul(sums[g], reciprocal));
            let mut square = [simd.splat(0.0); G];
            for at in (c..x.len()).step_by(channels) {
                let values = load::<S, G>(simd, x.as_ptr().add(at), lanes);
                let centred = array!(g < G => simd.sub(values[g], mean[g]));
                square = array!(g < G => simd.fma(centred[g], centred[g], square[g]));
            }
            store(simd, means.as_mut_ptr().add(c), mean, lanes);
            store(simd, squares.as_mut_ptr().add(c), square, lanes);
        }
    }
}

/// Mean and biased variance of each channel over a batch.
#[derive(Debug)]
pub(crate) struct Statistics {
    pub(crate) pixels: usize,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

impl Statistics {
    /// Combines moments in order (Chan, Golub and LeVeque 1979).
    pub(crate) fn of(moments: &[Moments], channels: usize) -> Self {
        let (mut mean, mut square) = (vec![0.0f64; channels], vec![0.0f64; channels]);
        let mut count = 0.0;
        for part in moments {
            let n = part.pixels as f64;
            for c in 0..channels {
                let delta = f64::from(part.means[c]) - mean[c];
                mean[c] += delta * n / (count + n);
                square[c] += f64::from(part.squares[c]) + delta * delta * count * n / (count + n);
            }
            count += n;
        }
        Self {
            pixels: count as usize,
            mean: mean.into_iter().map(|x| x as f32).collect(),
            variance: square.into_iter().map(|s| (s / count) as f32).collect(),
        }
    }
}

/// The forward pass: activation((x - mean) * scale + bias) per channel. The mean is subtracted first,
/// because x * scale may be much larger than the result, which would lose its digits.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    mean: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
    pub(crate) activation: Activation,
}

impl BatchNorm {
    pub(crate) fn new(
        statistics: &Statistics,
        weight: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        let deviation = |v: f32| (f64::from(v) + BATCH_NORM_EPSILON).sqrt() as f32;
        let scale = weight.iter().zip(&statistics.variance).map(|(w, v)| w / deviation(*v));
        let (mean, scale, bias) = (statistics.mean.clone(), scale.collect(), bias.to_vec());
        Self { mean, scale, bias, activation }
    }

    /// Normalises some pixels `x` [.., C] and writes them to `y`.
    pub(crate) fn apply(&self, level: SimdLevel, x: &[f32], y: &mut [f32]) {
        dispatch(level, ForwardKernel(self, x, y));
    }
}

struct ForwardKernel<'a>(&'a BatchNorm, &'a [f32], &'a mut [f32]);

impl SimdKernel for ForwardKernel<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let ForwardKernel(BatchNorm { mean, scale, bias, .. }, x, y) = &self;
        let channels = scale.len();
        assert!(mean.len() == channels && bias.len() == channels);
        assert!(y.len() == x.len() && x.len().is_multiple_of(channels));
        for_all_channels(simd, channels, &mut self);
    }
}

impl ChannelLoop for ForwardKernel<'_> {
    #[inline(always)]
    unsafe fn run_channels<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize) {
        let ForwardKernel(BatchNorm { mean, scale, bias, activation }, x, y) = self;
        // SAFETY: x and y have whole pixels, and the caller promises that the channels exist.
        unsafe {
            let [mean, scale, bias] = load_channels::<S, G, 3>(simd, [mean, scale, bias], c, lanes);
            for at in (c..x.len()).step_by(self.0.scale.len()) {
                let values = load::<S, G>(simd, x.as_ptr().add(at), lanes);
                let values = array!(g < G => {
                    let value = simd.fma(simd.sub(values[g], mean[g]), scale[g], bias[g]);
                    math::activate(simd, *activation, value)
                });
                store(simd, y.as_mut_ptr().add(at), values, lanes);
            }
        }
    }
}

/// The first part of the backward pass: per channel, the sums of g and of g * (x - mean), where g is the
/// gradient of the normalised x.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GradientSums {
    sums: Vec<f32>,
    products: Vec<f32>,
}

impl GradientSums {
    pub(crate) fn new(channels: usize) -> Self {
        Self { sums: vec![0.0; channels], products: vec![0.0; channels] }
    }

    /// Adds some pixels, and copies their `gradient` to `to` while it is in registers.
    pub(crate) fn add(
        &mut self,
        level: SimdLevel,
        norm: &BatchNorm,
        x: &[f32],
        gradient: &[f32],
        to: &mut [f32],
    ) {
        dispatch(level, SumAndCopyKernel { sums: self, mean: &norm.mean, x, gradient, to });
    }
}

struct SumAndCopyKernel<'a> {
    sums: &'a mut GradientSums,
    mean: &'a [f32],
    x: &'a [f32],
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl SimdKernel for SumAndCopyKernel<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let (channels, len) = (self.mean.len(), self.x.len());
        assert!(self.sums.sums.len() == channels && self.sums.products.len() == channels);
        assert!(self.gradient.len() == len && self.to.len() == len);
        assert!(len.is_multiple_of(channels));
        for_all_channels(simd, channels, &mut self);
    }
}

impl ChannelLoop for SumAndCopyKernel<'_> {
    #[inline(always)]
    unsafe fn run_channels<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize) {
        let GradientSums { sums, products } = &mut *self.sums;
        // SAFETY: all have whole pixels, and the caller promises that the channels exist.
        unsafe {
            let [mut sum, mut product, mean] =
                load_channels::<S, G, 3>(simd, [sums, products, self.mean], c, lanes);
            for at in (c..self.x.len()).step_by(self.mean.len()) {
                let gradient = load::<S, G>(simd, self.gradient.as_ptr().add(at), lanes);
                let x = load::<S, G>(simd, self.x.as_ptr().add(at), lanes);
                sum = array!(g < G => simd.add(sum[g], gradient[g]));
                product =
                    array!(g < G => simd.fma(gradient[g], simd.sub(x[g], mean[g]), product[g]));
                store(simd, self.to.as_mut_ptr().add(at), gradient, lanes);
            }
            store(simd, sums.as_mut_ptr().add(c), sum, lanes);
            store(simd, products.as_mut_ptr().add(c), product, lanes);
        }
    }
}

/// The second part of the backward pass: the gradient of x, which per channel is
/// g * gradient_scale + (x - mean) * x_scale + shift.
#[derive(Debug)]
pub(crate) struct BatchNormBackward {
    mean: Vec<f32>,
    gradient_scale: Vec<f32>,
    x_scale: Vec<f32>,
    shift: Vec<f32>,
}

impl BatchNormBackward {
    /// From the sums of all pixels, in order. Also returns the gradients of weight and bias.
    pub(crate) fn new(
        chunks: &[GradientSums],
        statistics: &Statistics,
        weight: &[f32],
    ) -> (Self, [Vec<f32>; 2]) {
        let total = |which: fn(&GradientSums) -> &[f32]| {
            let mut total = vec![0.0f64; weight.len()];
            for chunk in chunks {
                total.iter_mut().zip(which(chunk)).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            total
        };
        let (sums, products) = (total(|chunk| &chunk.sums), total(|chunk| &chunk.products));
        let count = statistics.pixels as f64;
        let mut backward = Self {
            mean: statistics.mean.clone(),
            gradient_scale: Vec::new(),
            x_scale: Vec::new(),
            shift: Vec::new(),
        };
        let mut weight_gradient = Vec::new();
        for c in 0..weight.len() {
            // dx = weight / deviation * (g - mean(g) - xhat * mean(g * xhat))
            let variance = f64::from(statistics.variance[c]) + BATCH_NORM_EPSILON;
            let scale = f64::from(weight[c]) / variance.sqrt();
            backward.gradient_scale.push(scale as f32);
            backward.x_scale.push((-scale * products[c] / (count * variance)) as f32);
            backward.shift.push((-scale * sums[c] / count) as f32);
            weight_gradient.push((products[c] / variance.sqrt()) as f32);
        }
        (backward, [weight_gradient, sums.into_iter().map(|x| x as f32).collect()])
    }

    /// Computes the gradient of some pixels `x` and writes it to `to`.
    pub(crate) fn apply(&self, level: SimdLevel, x: &[f32], gradient: &[f32], to: &mut [f32]) {
        dispatch(level, BackwardKernel { backward: self, x, gradient, to });
    }
}

struct BackwardKernel<'a> {
    backward: &'a BatchNormBackward,
    x: &'a [f32],
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl SimdKernel for BackwardKernel<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let BatchNormBackward { mean, gradient_scale, x_scale, shift } = self.backward;
        let (channels, len) = (mean.len(), self.x.len());
        assert!([gradient_scale, x_scale, shift].iter().all(|values| values.len() == channels));
        assert!(self.gradient.len() == len && self.to.len() == len);
        assert!(len.is_multiple_of(channels));
        for_all_channels(simd, channels, &mut self);
    }
}

impl ChannelLoop for BackwardKernel<'_> {
    #[inline(always)]
    unsafe fn run_channels<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize) {
        let BatchNormBackward { mean, gradient_scale, x_scale, shift } = self.backward;
        let channels = mean.len();
        // SAFETY: all have whole pixels, and the caller promises that the channels exist.
        unsafe {
            let [mean, gradient_scale, x_scale, shift] =
                load_channels::<S, G, 4>(simd, [mean, gradient_scale, x_scale, shift], c, lanes);
            for at in (c..self.x.len()).step_by(channels) {
                let x = load::<S, G>(simd, self.x.as_ptr().add(at), lanes);
                let gradient = load::<S, G>(simd, self.gradient.as_ptr().add(at), lanes);
                let values = array!(g < G => {
                    let value = simd.fma(simd.sub(x[g], mean[g]), x_scale[g], shift[g]);
                    simd.fma(gradient[g], gradient_scale[g], value)
                });
                store(simd, self.to.as_mut_ptr().add(at), values, lanes);
            }
        }
    }
}
