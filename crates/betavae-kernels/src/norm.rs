//! Batch normalisation in passes over a few rows of pixels at a time, which a
//! [`Stack`](crate::stack::Stack) makes while they are in the cache: statistics of what a layer
//! made, the normalised input of the next one, and the two passes back (Ioffe and Szegedy 2015,
//! section 3).
//!
//! Sums over a few rows are in f32, sums of those in order and in f64.

use crate::activation::Activation;
use crate::math;
use crate::simd::{Kernel, Level, Simd, dispatch};

/// What batch normalisation divides by: sqrt(variance + this).
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Floats whose moments are taken at once.
const CHUNK: usize = 16_384;

/// Mean and sum of squared distances from it, per channel, of some pixels.
#[derive(Debug)]
pub(crate) struct Moments {
    pixels: usize,
    means: Vec<f32>,
    squares: Vec<f32>,
}

impl Moments {
    /// Of pixels `x` [.., C], chunk by chunk.
    pub(crate) fn of(level: Level, x: &[f32], channels: usize) -> impl Iterator<Item = Self> {
        x.chunks((CHUNK / channels).max(1) * channels).map(move |x| {
            let [means, squares] = dispatch(level, MomentsOf(x, channels));
            Self { pixels: x.len() / channels, means, squares }
        })
    }
}

struct MomentsOf<'a>(&'a [f32], usize);

impl Kernel for MomentsOf<'_> {
    type Output = [Vec<f32>; 2];
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [Vec<f32>; 2] {
        let MomentsOf(x, channels) = self;
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

/// activation((x - mean) * scale + bias) per channel. In this order, since x * scale may be large
/// against what is left.
#[derive(Debug)]
pub(crate) struct Normalisation {
    mean: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
    pub(crate) activation: Activation,
}

impl Normalisation {
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

    /// Some pixels, `x` [.., C] to `y`.
    pub(crate) fn apply(&self, level: Level, x: &[f32], y: &mut [f32]) {
        dispatch(level, Apply(self, x, y));
    }
}

struct Apply<'a>(&'a Normalisation, &'a [f32], &'a mut [f32]);

impl Kernel for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Apply(Normalisation { mean, scale, bias, activation }, x, y) = self;
        let (channels, len) = (scale.len(), x.len());
        assert!(mean.len() == channels && bias.len() == channels);
        assert!(y.len() == len && len.is_multiple_of(channels));
        let (x, y) = (x.as_ptr(), y.as_mut_ptr());
        for c in (0..channels).step_by(S::LANES) {
            let lanes = (channels - c).min(S::LANES);
            // SAFETY: rows are whole, c + lanes <= channels, all lengths were compared.
            unsafe {
                let of = |values: &[f32]| simd.load_first(values.as_ptr().add(c), lanes);
                let (mean, scale, bias) = (of(mean), of(scale), of(bias));
                for at in (c..len).step_by(channels) {
                    let value = simd.load_first(x.add(at), lanes);
                    let value = simd.fma(simd.sub(value, mean), scale, bias);
                    let value = math::activate(simd, *activation, value);
                    simd.store_first(y.add(at), value, lanes);
                }
            }
        }
    }
}

/// Per channel: the sums of g and of g * (x - mean), where g is the gradient by the normalised x.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GradientSums {
    sums: Vec<f32>,
    products: Vec<f32>,
}

impl GradientSums {
    pub(crate) fn new(channels: usize) -> Self {
        Self { sums: vec![0.0; channels], products: vec![0.0; channels] }
    }

    /// Adds some pixels, whose `gradient` is copied to `to` on the way.
    pub(crate) fn add(
        &mut self,
        level: Level,
        norm: &Normalisation,
        x: &[f32],
        gradient: &[f32],
        to: &mut [f32],
    ) {
        dispatch(level, AddAndCopy { sums: self, mean: &norm.mean, x, gradient, to });
    }
}

struct AddAndCopy<'a> {
    sums: &'a mut GradientSums,
    mean: &'a [f32],
    x: &'a [f32],
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for AddAndCopy<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let GradientSums { sums, products } = self.sums;
        let (channels, len) = (self.mean.len(), self.x.len());
        assert!(sums.len() == channels && products.len() == channels);
        assert!(self.gradient.len() == len && self.to.len() == len);
        assert!(len.is_multiple_of(channels));
        for c in (0..channels).step_by(S::LANES) {
            let lanes = (channels - c).min(S::LANES);
            // SAFETY: rows are whole, c + lanes <= channels, all lengths were compared.
            unsafe {
                let of = |values: &[f32]| simd.load_first(values.as_ptr().add(c), lanes);
                let (mut sum, mut product, mean) = (of(sums), of(products), of(self.mean));
                for at in (c..len).step_by(channels) {
                    let gradient = simd.load_first(self.gradient.as_ptr().add(at), lanes);
                    let x = simd.load_first(self.x.as_ptr().add(at), lanes);
                    sum = simd.add(sum, gradient);
                    product = simd.fma(gradient, simd.sub(x, mean), product);
                    simd.store_first(self.to.as_mut_ptr().add(at), gradient, lanes);
                }
                simd.store_first(sums.as_mut_ptr().add(c), sum, lanes);
                simd.store_first(products.as_mut_ptr().add(c), product, lanes);
            }
        }
    }
}

/// The gradient by x: g * scale + (x - mean) * slope + shift per channel.
#[derive(Debug)]
pub(crate) struct WayBack {
    mean: Vec<f32>,
    scale: Vec<f32>,
    slope: Vec<f32>,
    shift: Vec<f32>,
}

impl WayBack {
    /// With the gradients by weight and bias.
    pub(crate) fn new(
        parts: &[GradientSums],
        statistics: &Statistics,
        weight: &[f32],
    ) -> (Self, [Vec<f32>; 2]) {
        let total = |which: fn(&GradientSums) -> &[f32]| {
            let mut total = vec![0.0f64; weight.len()];
            for part in parts {
                total.iter_mut().zip(which(part)).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            total
        };
        let (sums, products) = (total(|part| &part.sums), total(|part| &part.products));
        let count = statistics.pixels as f64;
        let mut back = Self {
            mean: statistics.mean.clone(),
            scale: Vec::new(),
            slope: Vec::new(),
            shift: Vec::new(),
        };
        let mut by_weight = Vec::new();
        for c in 0..weight.len() {
            // dx = weight / deviation * (g - mean(g) - xhat * mean(g * xhat))
            let variance = f64::from(statistics.variance[c]) + BATCH_NORM_EPSILON;
            let scale = f64::from(weight[c]) / variance.sqrt();
            back.scale.push(scale as f32);
            back.slope.push((-scale * products[c] / (count * variance)) as f32);
            back.shift.push((-scale * sums[c] / count) as f32);
            by_weight.push((products[c] / variance.sqrt()) as f32);
        }
        (back, [by_weight, sums.into_iter().map(|x| x as f32).collect()])
    }

    /// Some pixels.
    pub(crate) fn apply(&self, level: Level, x: &[f32], gradient: &[f32], to: &mut [f32]) {
        dispatch(level, ApplyBack { back: self, x, gradient, to });
    }
}

struct ApplyBack<'a> {
    back: &'a WayBack,
    x: &'a [f32],
    gradient: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for ApplyBack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let WayBack { mean, scale, slope, shift } = self.back;
        let (channels, len) = (mean.len(), self.x.len());
        assert!([scale, slope, shift].iter().all(|values| values.len() == channels));
        assert!(self.gradient.len() == len && self.to.len() == len);
        assert!(len.is_multiple_of(channels));
        for c in (0..channels).step_by(S::LANES) {
            let lanes = (channels - c).min(S::LANES);
            // SAFETY: rows are whole, c + lanes <= channels, all lengths were compared.
            unsafe {
                let of = |values: &[f32]| simd.load_first(values.as_ptr().add(c), lanes);
                let (mean, scale, slope, shift) = (of(mean), of(scale), of(slope), of(shift));
                for at in (c..len).step_by(channels) {
                    let x = simd.load_first(self.x.as_ptr().add(at), lanes);
                    let gradient = simd.load_first(self.gradient.as_ptr().add(at), lanes);
                    let value = simd.fma(simd.sub(x, mean), slope, shift);
                    let value = simd.fma(gradient, scale, value);
                    simd.store_first(self.to.as_mut_ptr().add(at), value, lanes);
                }
            }
        }
    }
}
