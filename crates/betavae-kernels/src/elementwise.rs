//! Passes over contiguous floats: activations and their slopes, sums per channel, likelihoods.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::contract::Finish;
use crate::geometry::Layout;
use crate::math;
use crate::simd::{Kernel, Level, Simd, dispatch, vectors};

/// Finishes a row of sums that already holds the bias; `start` is its place in the output.
pub(crate) fn finish_row(level: Level, row: &mut [f32], finish: Finish<'_>, start: usize) {
    match finish {
        Finish::Store | Finish::Add => {}
        Finish::Activate { activation, .. } => activate(level, row, activation),
        Finish::Slope { at, activation } => {
            let at = &at[start..start + row.len()];
            multiply_slope(level, row, at, activation);
        }
    }
}

/// Applies the activation in place.
pub(crate) fn activate(level: Level, x: &mut [f32], activation: Activation) {
    struct Run<'a>(&'a mut [f32], Activation);
    impl Kernel for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let (len, to) = (self.0.len(), self.0.as_mut_ptr());
            for (i, lanes) in vectors::<S>(len) {
                // SAFETY: i + lanes <= len.
                unsafe {
                    let value = simd.load_first(to.add(i), lanes);
                    simd.store_first(to.add(i), math::activate(simd, self.1, value), lanes);
                }
            }
        }
    }
    if activation != Activation::Identity {
        dispatch(level, Run(x, activation));
    }
}

/// Multiplies gradients by the slope of the activation where its outputs were `outputs`.
pub(crate) fn multiply_slope(
    level: Level,
    gradient: &mut [f32],
    outputs: &[f32],
    activation: Activation,
) {
    struct Run<'a>(&'a mut [f32], &'a [f32], Activation);
    impl Kernel for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let (len, to, from) = (self.0.len(), self.0.as_mut_ptr(), self.1.as_ptr());
            for (i, lanes) in vectors::<S>(len) {
                // SAFETY: i + lanes <= len, which both slices have.
                unsafe {
                    let gradient = simd.load_first(to.add(i), lanes);
                    let output = simd.load_first(from.add(i), lanes);
                    let value = math::multiply_slope(simd, self.2, output, gradient);
                    simd.store_first(to.add(i), value, lanes);
                }
            }
        }
    }
    assert_eq!(gradient.len(), outputs.len());
    if activation != Activation::Identity {
        dispatch(level, Run(gradient, outputs, activation));
    }
}

/// to += from
pub(crate) fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// Adds the sum over the pixels of a map to `sums` [C].
pub(crate) fn add_channel_sums(
    level: Level,
    layout: &Layout,
    map: &[f32],
    sums: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    struct Run<'a>(&'a Layout, &'a [f32], &'a mut [f32]);
    impl Kernel for Run<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for row in self.0.rows() {
                let row = &self.1[row];
                let (to, from) = (self.2.as_mut_ptr(), row.as_ptr());
                assert_eq!(self.2.len(), row.len());
                for (i, lanes) in vectors::<S>(row.len()) {
                    // SAFETY: i + lanes is at most the length of both.
                    unsafe {
                        let sum = simd.load_first(to.add(i), lanes);
                        let sum = simd.add(sum, simd.load_first(from.add(i), lanes));
                        simd.store_first(to.add(i), sum, lanes);
                    }
                }
            }
        }
    }
    // Rows are added up whole, for all widths in full vectors; then the pixels of that row.
    scratch.clear();
    scratch.resize(layout.shape[1] * layout.shape[2], 0.0);
    dispatch(level, Run(layout, map, scratch));
    scratch.chunks_exact(layout.shape[2]).for_each(|pixel| add(sums, pixel));
}

/// How likely a target is, given the decoder's output, and in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nll {
    /// Output: logits. softplus(logit) - target * logit.
    Bernoulli,
    /// Output: means. ((target - mean) / sigma)^2 / 2, without the constant
    /// ln(sigma) + ln(2 pi) / 2.
    Gaussian {
        /// Standard deviation of every value.
        sigma: f32,
    },
}

/// The negative log-likelihood of a row of values, without its constant. The gradient by the
/// output, times `scale`, replaces the output.
pub(crate) fn nll_and_gradient(
    level: Level,
    nll: Nll,
    output: &mut [f32],
    target: &[f32],
    scale: f32,
) -> f32 {
    struct Run<'a>(Nll, &'a mut [f32], &'a [f32], f32);
    impl Kernel for Run<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> f32 {
            let Run(nll, output, target, scale) = self;
            let (len, to, from) = (output.len(), output.as_mut_ptr(), target.as_ptr());
            let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
            let scale = simd.splat(scale);
            let mut sum = zero;
            for (i, lanes) in vectors::<S>(len) {
                // SAFETY: i + lanes <= len, which both slices have.
                let (x, t) = unsafe {
                    (simd.load_first(to.add(i), lanes), simd.load_first(from.add(i), lanes))
                };
                let (value, gradient) = match nll {
                    Nll::Bernoulli => {
                        // With e = exp(-|x|): softplus(x) = max(x, 0) + ln(1 + e), and the
                        // sigmoid is 1 / (1 + e) or e / (1 + e).
                        let e = math::exp(simd, simd.sub(zero, math::abs(simd, x)));
                        let softplus = simd.add(simd.max(zero, x), math::ln_1p_unit(simd, e));
                        let sigmoid = simd.div(simd.where_positive(x, one, e), simd.add(one, e));
                        (simd.sub(softplus, simd.mul(x, t)), simd.sub(sigmoid, t))
                    }
                    Nll::Gaussian { sigma } => {
                        let precision = simd.splat(1.0 / (sigma * sigma));
                        let difference = simd.sub(x, t);
                        let gradient = simd.mul(difference, precision);
                        (simd.mul(simd.mul(difference, gradient), simd.splat(0.5)), gradient)
                    }
                };
                // Lanes beyond the end hold zeros, whose Bernoulli value is ln 2.
                let value = if lanes < S::LANES { mask(simd, value, lanes) } else { value };
                sum = simd.add(sum, value);
                // SAFETY: as above.
                unsafe { simd.store_first(to.add(i), simd.mul(gradient, scale), lanes) };
            }
            simd.sum(sum)
        }
    }
    assert_eq!(output.len(), target.len());
    dispatch(level, Run(nll, output, target, scale))
}

/// Zeroes the lanes from `lanes` on.
#[inline(always)]
fn mask<S: Simd>(simd: S, value: S::V, lanes: usize) -> S::V {
    let mut copy = [0.0; 16];
    // SAFETY: no instruction set has more than 16 lanes.
    unsafe {
        simd.store(copy.as_mut_ptr(), value);
        simd.load_first(copy.as_ptr(), lanes)
    }
}

/// [`nll_and_gradient`] of every image of `size` values, without scale.
pub(crate) fn nll_per_image(
    level: Level,
    nll: Nll,
    output: &mut [f32],
    target: &[f32],
    size: usize,
) -> Vec<f32> {
    output
        .par_chunks_mut(size)
        .zip(target.par_chunks(size))
        .map(|(output, target)| {
            // In rows, so that a sum of many values in f32 keeps its digits.
            let rows = output.chunks_mut(ROW).zip(target.chunks(ROW));
            let rows = rows.map(|(output, target)| {
                f64::from(nll_and_gradient(level, nll, output, target, 1.0))
            });
            rows.sum::<f64>() as f32
        })
        .collect()
}

/// Values added up in f32 before the sum goes on in f64.
const ROW: usize = 256;

/// Whether no value is infinite or NaN.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    values.par_chunks(1 << 16).all(|values| {
        // Without a branch per value, so that it runs in vectors.
        values.iter().fold(0u32, |bad, x| bad | u32::from(!x.is_finite())) == 0
    })
}
