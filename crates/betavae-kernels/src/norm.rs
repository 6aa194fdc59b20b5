//! Batch normalisation in passes over a few rows of pixels at a time, which a
//! [`Stack`](crate::stack::Stack) makes while they are in the cache: statistics of what a layer
//! made, the normalised input of the next one, and the two passes back (Ioffe and Szegedy 2015,
//! section 3).
//!
//! Sums over a few rows are in f32, sums of those in order and in f64.

use crate::activation::Activation;
use crate::math;
use crate::simd::{Kernel, Level, Simd, array, dispatch};

/// What batch normalisation divides by: sqrt(variance + this).
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Floats whose moments are taken at once.
const CHUNK: usize = 16_384;

/// A pass over some pixels that keeps what it needs per channel in registers.
trait Columns {
    /// `G` vectors of channels from `c` on, of which the last has `lanes`.
    ///
    /// # Safety
    /// Those channels exist.
    unsafe fn pass<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize);
}

/// All channels, as many at a time as have room in registers: pixels are read in order.
#[inline(always)]
fn in_columns<S: Simd>(simd: S, channels: usize, columns: &mut impl Columns) {
    let mut c = 0;
    while c < channels {
        // SAFETY: c + (G - 1) LANES + lanes <= channels.
        c += unsafe {
            if channels - c >= 4 * S::LANES {
                columns.pass::<S, 4>(simd, c, S::LANES);
                4 * S::LANES
            } else if channels - c >= 2 * S::LANES {
                columns.pass::<S, 2>(simd, c, S::LANES);
                2 * S::LANES
            } else {
                columns.pass::<S, 1>(simd, c, S::LANES.min(channels - c));
                S::LANES
            }
        };
    }
}

/// `G` vectors from `from` on, the last of `lanes`.
///
/// # Safety
/// They can be read.
#[inline(always)]
unsafe fn load<S: Simd, const G: usize>(simd: S, from: *const f32, lanes: usize) -> [S::V; G] {
    // SAFETY: as the caller promises.
    unsafe {
        let mut values = [simd.splat(0.0); G];
        for g in 0..G {
            let from = from.add(g * S::LANES);
            values[g] = if g + 1 == G && lanes < S::LANES {
                simd.load_first(from, lanes)
            } else {
                simd.load(from)
            };
        }
        values
    }
}

/// [`load`] from `c` on, of several rows of values per channel.
///
/// # Safety
/// The channels can be read of each.
#[inline(always)]
unsafe fn columns<S: Simd, const G: usize, const N: usize>(
    simd: S,
    values: [&[f32]; N],
    c: usize,
    lanes: usize,
) -> [[S::V; G]; N] {
    // SAFETY: as the caller promises.
    unsafe { array!(n < N => load::<S, G>(simd, values[n].as_ptr().add(c), lanes)) }
}

/// `G` vectors to `to`, the last of `lanes`.
///
/// # Safety
/// They can be written.
#[inline(always)]
unsafe fn store<S: Simd, const G: usize>(simd: S, to: *mut f32, values: [S::V; G], lanes: usize) {
    for g in 0..G {
        // SAFETY: as the caller promises.
        unsafe {
            let to = to.add(g * S::LANES);
            if g + 1 == G && lanes < S::LANES {
                simd.store_first(to, values[g], lanes);
            } else {
                simd.store(to, values[g]);
            }
        }
    }
}

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
            let mut moments = Self {
                pixels: x.len() / channels,
                means: vec![0.0; channels],
                squares: vec![0.0; channels],
            };
            dispatch(level, MomentsOf(x, &mut moments));
            moments
        })
    }
}

struct MomentsOf<'a>(&'a [f32], &'a mut Moments);

impl Kernel for MomentsOf<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let channels = self.1.means.len();
        assert!(self.1.squares.len() == channels && self.0.len().is_multiple_of(channels));
        in_columns(simd, channels, &mut self);
    }
}

impl Columns for MomentsOf<'_> {
    #[inline(always)]
    unsafe fn pass<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize) {
        let MomentsOf(x, Moments { pixels, means, squares }) = self;
        let channels = means.len();
        // SAFETY: x has whole pixels, and the caller promises that the channels exist.
        unsafe {
            let mut sums = [simd.splat(0.0); G];
            for at in (c..x.len()).step_by(channels) {
                let values = load::<S, G>(simd, x.as_ptr().add(at), lanes);
                sums = array!(g < G => simd.add(sums[g], values[g]));
            }
            let share = simd.splat(1.0 / *pixels as f32);
            let mean = array!(g < G => simd.mul(sums[g], share));
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
    fn run<S: Simd>(mut self, simd: S) {
        let Apply(Normalisation { mean, scale, bias, .. }, x, y) = &self;
        let channels = scale.len();
        assert!(mean.len() == channels && bias.len() == channels);
        assert!(y.len() == x.len() && x.len().is_multiple_of(channels));
        in_columns(simd, channels, &mut self);
    }
}

impl Columns for Apply<'_> {
    #[inline(always)]
    unsafe fn pass<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize) {
        let Apply(Normalisation { mean, scale, bias, activation }, x, y) = self;
        // SAFETY: x and y have whole pixels, and the caller promises that the channels exist.
        unsafe {
            let [mean, scale, bias] = columns::<S, G, 3>(simd, [mean, scale, bias], c, lanes);
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
    fn run<S: Simd>(mut self, simd: S) {
        let (channels, len) = (self.mean.len(), self.x.len());
        assert!(self.sums.sums.len() == channels && self.sums.products.len() == channels);
        assert!(self.gradient.len() == len && self.to.len() == len);
        assert!(len.is_multiple_of(channels));
        in_columns(simd, channels, &mut self);
    }
}

impl Columns for AddAndCopy<'_> {
    #[inline(always)]
    unsafe fn pass<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize) {
        let GradientSums { sums, products } = &mut *self.sums;
        // SAFETY: all have whole pixels, and the caller promises that the channels exist.
        unsafe {
            let [mut sum, mut product, mean] =
                columns::<S, G, 3>(simd, [sums, products, self.mean], c, lanes);
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
    fn run<S: Simd>(mut self, simd: S) {
        let WayBack { mean, scale, slope, shift } = self.back;
        let (channels, len) = (mean.len(), self.x.len());
        assert!([scale, slope, shift].iter().all(|values| values.len() == channels));
        assert!(self.gradient.len() == len && self.to.len() == len);
        assert!(len.is_multiple_of(channels));
        in_columns(simd, channels, &mut self);
    }
}

impl Columns for ApplyBack<'_> {
    #[inline(always)]
    unsafe fn pass<S: Simd, const G: usize>(&mut self, simd: S, c: usize, lanes: usize) {
        let WayBack { mean, scale, slope, shift } = self.back;
        let channels = mean.len();
        // SAFETY: all have whole pixels, and the caller promises that the channels exist.
        unsafe {
            let [mean, scale, slope, shift] =
                columns::<S, G, 4>(simd, [mean, scale, slope, shift], c, lanes);
            for at in (c..self.x.len()).step_by(channels) {
                let x = load::<S, G>(simd, self.x.as_ptr().add(at), lanes);
                let gradient = load::<S, G>(simd, self.gradient.as_ptr().add(at), lanes);
                let values = array!(g < G => {
                    let value = simd.fma(simd.sub(x[g], mean[g]), slope[g], shift[g]);
                    simd.fma(gradient[g], scale[g], value)
                });
                store(simd, self.to.as_mut_ptr().add(at), values, lanes);
            }
        }
    }
}
