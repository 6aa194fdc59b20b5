//! Kernels over contiguous floats: activations and their gradients, sums per channel, likelihoods. The
//! functions of a single vector are in `math`.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::epilogue::Epilogue;
use crate::geometry::PaddedLayout;
use crate::math;
use crate::simd::{Simd, SimdKernel, SimdLevel, dispatch, vectors};

/// Applies the rest of the epilogue to a row of sums that already has the bias. `start` is the offset of
/// the row in the output.
pub(crate) fn apply_epilogue(
    level: SimdLevel,
    row: &mut [f32],
    epilogue: Epilogue<'_>,
    start: usize,
) {
    match epilogue {
        Epilogue::Store | Epilogue::Accumulate => {}
        Epilogue::BiasActivation { activation, .. } => activate(level, row, activation),
        Epilogue::ActivationGradient { outputs, activation } => {
            let outputs = &outputs[start..start + row.len()];
            multiply_slope(level, row, outputs, activation);
        }
    }
}

/// Applies the activation in place.
pub(crate) fn activate(level: SimdLevel, x: &mut [f32], activation: Activation) {
    struct Run<'a>(&'a mut [f32], Activation);
    impl SimdKernel for Run<'_> {
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

/// The backward pass of an activation, in place: multiplies the gradient by the slope, which follows from
/// the activation's `outputs`.
pub(crate) fn multiply_slope(
    level: SimdLevel,
    gradient: &mut [f32],
    outputs: &[f32],
    activation: Activation,
) {
    struct Run<'a>(&'a mut [f32], &'a [f32], Activation);
    impl SimdKernel for Run<'_> {
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

/// Adds the sum over the pixels of a map to `sums` \[C\].
pub(crate) fn add_channel_sums(
    level: SimdLevel,
    layout: &PaddedLayout,
    map: &[f32],
    sums: &mut [f32],
    scratch: &mut Vec<f32>,
) {
    struct Run<'a>(&'a PaddedLayout, &'a [f32], &'a mut [f32]);
    impl SimdKernel for Run<'_> {
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
    // Whole rows are summed first, in full vectors even of few channels, and then the pixels of that sum.
    scratch.clear();
    scratch.resize(layout.shape[1] * layout.shape[2], 0.0);
    dispatch(level, Run(layout, map, scratch));
    scratch.chunks_exact(layout.shape[2]).for_each(|pixel| add(sums, pixel));
}

/// The negative log-likelihood of a target value given the decoder's output, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nll {
    /// The output is logits: softplus(logit) - target * logit.
    Bernoulli,
    /// The output is means: ((target - mean) / sigma)^2 / 2, without the constant
    /// ln(sigma) + ln(2 pi) / 2.
    Gaussian {
        /// The standard deviation of every value.
        sigma: f32,
    },
}

/// The sum of the negative log-likelihoods of a row of values, without their constants. The gradient of
/// the output, times `scale`, replaces the output.
pub(crate) fn nll_and_gradient(
    level: SimdLevel,
    nll: Nll,
    output: &mut [f32],
    target: &[f32],
    scale: f32,
) -> f32 {
    struct Run<'a>(Nll, &'a mut [f32], &'a [f32], f32);
    impl SimdKernel for Run<'_> {
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
                // Lanes beyond the end are masked, because the Bernoulli value of zeros is ln 2.
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

/// Sets the lanes from `lanes` on to 0.
#[inline(always)]
fn mask<S: Simd>(simd: S, value: S::V, lanes: usize) -> S::V {
    let mut copy = [0.0; 16];
    // SAFETY: no instruction set has more than 16 lanes.
    unsafe {
        simd.store(copy.as_mut_ptr(), value);
        simd.load_first(copy.as_ptr(), lanes)
    }
}

/// [`nll_and_gradient`] of every image of `size` values, with a scale of 1.
pub(crate) fn nll_per_image(
    level: SimdLevel,
    nll: Nll,
    output: &mut [f32],
    target: &[f32],
    size: usize,
) -> Vec<f32> {
    output
        .par_chunks_mut(size)
        .zip(target.par_chunks(size))
        .map(|(output, target)| {
            // Sums in f32 are of short rows only, because a sum of many values would lose digits.
            let rows = output.chunks_mut(ROW).zip(target.chunks(ROW));
            let rows = rows.map(|(output, target)| {
                f64::from(nll_and_gradient(level, nll, output, target, 1.0))
            });
            rows.sum::<f64>() as f32
        })
        .collect()
}

/// Values that are summed in f32; sums of more are f64.
const ROW: usize = 256;

/// Whether all values are finite, neither infinite nor NaN.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    values.par_chunks(1 << 16).all(|values| {
        // There is no branch per value, so that the compiler makes vectors of the loop.
        values.iter().fold(0u32, |bad, x| bad | u32::from(!x.is_finite())) == 0
    })
}
