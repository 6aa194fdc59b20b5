//! The updates of Adam and Adagrad in one pass over parameter, gradient and state, on slices. The
//! operators over tensors are in `ops::optimizer`; learning rates over time are the caller's.

use rayon::prelude::*;

use crate::simd::{Simd, SimdKernel, SimdLevel, dispatch, vectors};

/// Floats per task.
const CHUNK: usize = 1 << 13;

/// The hyperparameters of one update of Adam.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// Learning rate at this step.
    pub learning_rate: f64,
    /// Decay rate of the mean of gradients.
    pub beta_1: f64,
    /// Decay rate of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the denominator, after the square root.
    pub epsilon: f64,
    /// The number of this update, counted from 1, for the bias correction.
    pub step: u64,
}

impl AdamStep {
    fn correction(&self, beta: f64) -> f64 {
        1.0 - beta.powi(i32::try_from(self.step).unwrap_or(i32::MAX))
    }

    /// The learning rate divided by the first moment's bias correction, and the root of the second's.
    pub fn corrected(&self) -> [f64; 2] {
        let rate = self.learning_rate / self.correction(self.beta_1);
        [rate, self.correction(self.beta_2).sqrt()]
    }
}

struct Adam<'a> {
    step: AdamStep,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    first_moment: &'a mut [f32],
    second_moment: &'a mut [f32],
}

impl SimdKernel for Adam<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Adam { step, parameter, gradient, first_moment, second_moment } = self;
        let len = parameter.len();
        assert!(gradient.len() == len && first_moment.len() == len && second_moment.len() == len);
        let splat = |x: f64| simd.splat(x as f32);
        let (b1, rest_1) = (splat(step.beta_1), splat(1.0 - step.beta_1));
        let (b2, rest_2) = (splat(step.beta_2), splat(1.0 - step.beta_2));
        let [rate, root] = step.corrected();
        let (rate, root, epsilon) = (splat(rate), splat(1.0 / root), splat(step.epsilon));
        for (i, lanes) in vectors::<S>(len) {
            // SAFETY: i + lanes <= len, which all four slices have.
            unsafe {
                let g = simd.load_first(gradient.as_ptr().add(i), lanes);
                let m = simd.load_first(first_moment.as_ptr().add(i), lanes);
                let v = simd.load_first(second_moment.as_ptr().add(i), lanes);
                let p = simd.load_first(parameter.as_ptr().add(i), lanes);
                let m = simd.fma(m, b1, simd.mul(g, rest_1));
                let v = simd.fma(v, b2, simd.mul(simd.mul(g, g), rest_2));
                let denominator = simd.fma(simd.sqrt(v), root, epsilon);
                let p = simd.sub(p, simd.div(simd.mul(m, rate), denominator));
                simd.store_first(first_moment.as_mut_ptr().add(i), m, lanes);
                simd.store_first(second_moment.as_mut_ptr().add(i), v, lanes);
                simd.store_first(parameter.as_mut_ptr().add(i), p, lanes);
            }
        }
    }
}

/// One update of Adam (Kingma and Ba 2015) in place, in PyTorch's order of operations.
pub(crate) fn adam(
    level: SimdLevel,
    step: AdamStep,
    parameter: &mut [f32],
    gradient: &[f32],
    first_moment: &mut [f32],
    second_moment: &mut [f32],
) {
    (
        parameter.par_chunks_mut(CHUNK),
        gradient.par_chunks(CHUNK),
        first_moment.par_chunks_mut(CHUNK),
        second_moment.par_chunks_mut(CHUNK),
    )
        .into_par_iter()
        .for_each(|(parameter, gradient, first_moment, second_moment)| {
            dispatch(level, Adam { step, parameter, gradient, first_moment, second_moment });
        });
}

struct Adagrad<'a> {
    rates: [f32; 2],
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    sum: &'a mut [f32],
}

impl SimdKernel for Adagrad<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Adagrad { rates, parameter, gradient, sum } = self;
        let len = parameter.len();
        assert!(gradient.len() == len && sum.len() == len);
        let (rate, epsilon) = (simd.splat(rates[0]), simd.splat(rates[1]));
        for (i, lanes) in vectors::<S>(len) {
            // SAFETY: i + lanes <= len, which all three slices have.
            unsafe {
                let g = simd.load_first(gradient.as_ptr().add(i), lanes);
                let s = simd.load_first(sum.as_ptr().add(i), lanes);
                let p = simd.load_first(parameter.as_ptr().add(i), lanes);
                let s = simd.fma(g, g, s);
                let denominator = simd.add(simd.sqrt(s), epsilon);
                let p = simd.sub(p, simd.div(simd.mul(g, rate), denominator));
                simd.store_first(sum.as_mut_ptr().add(i), s, lanes);
                simd.store_first(parameter.as_mut_ptr().add(i), p, lanes);
            }
        }
    }
}

/// One update of Adagrad (Duchi et al. 2011) in place, in PyTorch's order of operations. `rates` is the
/// learning rate and epsilon.
pub(crate) fn adagrad(
    level: SimdLevel,
    rates: [f32; 2],
    parameter: &mut [f32],
    gradient: &[f32],
    sum: &mut [f32],
) {
    (parameter.par_chunks_mut(CHUNK), gradient.par_chunks(CHUNK), sum.par_chunks_mut(CHUNK))
        .into_par_iter()
        .for_each(|(parameter, gradient, sum)| {
            dispatch(level, Adagrad { rates, parameter, gradient, sum });
        });
}
