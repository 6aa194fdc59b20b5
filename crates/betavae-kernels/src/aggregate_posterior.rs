//! The density of a sample under the aggregate posterior q(z) = 1/N sum over n of q(z | x_n), estimated from a batch: a
//! mixture of B Gaussians, jointly and for each latent alone. The operator over tensors is in `ops`.
//!
//! Values are recomputed in the backward pass rather than saved: there are B * B * D of them. Vectors run along the
//! components of the mixture. Samples are divided into [`GROUPS`] groups whatever the number of threads, and the
//! gradients of the components are summed within groups and then over them in order.

use rayon::prelude::*;

use crate::math;
use crate::simd::{Simd, SimdKernel, SimdLevel, dispatch};

/// Groups of samples whose gradients are summed separately.
const GROUPS: usize = 16;

/// The widest vector; rows are padded to whole ones.
const WIDEST: usize = 16;

/// The logarithm of a density that counts for nothing, for the padding.
const NOTHING: f32 = -1e30;

/// How the Gaussians of a batch are weighted as a sample of those of the whole data set (Chen et al. 2018, appendix C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MixtureWeights {
    /// Minibatch-weighted sampling: 1 / (N B) each, for N images of the data set.
    Weighted {
        /// N
        images: usize,
    },
    /// Minibatch-stratified sampling, for N >= B images: 1 / N for a sample's own image, (N - B + 1) / (N (B - 1)) for the
    /// next one, 1 / (B - 1) for the others, which sum to 1.
    Stratified {
        /// N
        images: usize,
    },
}

impl MixtureWeights {
    /// The logarithms of the weights for B images: of a sample's own component, of the next image's, and of the others.
    pub fn log_weights(self, batch: usize) -> [f64; 3] {
        match self {
            // A batch of one image is its own estimate.
            MixtureWeights::Stratified { .. } if batch == 1 => [0.0; 3],
            MixtureWeights::Weighted { images } => [-(images as f64 * batch as f64).ln(); 3],
            MixtureWeights::Stratified { images } => {
                let (n, m) = (images as f64, batch as f64 - 1.0);
                [1.0 / n, (n - m) / (n * m), 1.0 / m].map(f64::ln)
            }
        }
    }

    /// Those \[B\] with which the components make up the density of sample `i`.
    pub(crate) fn log_row(self, i: usize, batch: usize) -> Vec<f32> {
        let [own, next, other] = self.log_weights(batch).map(|weight| weight as f32);
        let mut row = vec![other; batch];
        row[(i + 1) % batch] = next;
        row[i] = own;
        row
    }
}

/// The Gaussians of a batch, by latent: [D, padded B] each.
struct Components {
    batch: usize,
    padded: usize,
    latents: usize,
    mean: Vec<f32>,
    /// 1 / variance; 0 in the padding.
    precision: Vec<f32>,
    /// -(log_var + ln(2 pi)) / 2
    offset: Vec<f32>,
    weights: MixtureWeights,
}

impl Components {
    fn new(mean: &[f32], log_var: &[f32], latents: usize, weights: MixtureWeights) -> Self {
        let batch = mean.len() / latents;
        let padded = batch.next_multiple_of(WIDEST);
        let half_ln_tau = (0.5 * std::f64::consts::TAU.ln()) as f32;
        let by_latent = |padding: f32, value: &dyn Fn(usize) -> f32| {
            let mut values = vec![padding; latents * padded];
            for (d, row) in values.chunks_exact_mut(padded).enumerate() {
                (0..batch).for_each(|j| row[j] = value(j * latents + d));
            }
            values
        };
        Self {
            batch,
            padded,
            latents,
            mean: by_latent(0.0, &|at| mean[at]),
            precision: by_latent(0.0, &|at| (-log_var[at]).exp()),
            offset: by_latent(NOTHING, &|at| -0.5 * log_var[at] - half_ln_tau),
            weights,
        }
    }

    /// The logarithms of the weights for sample `i`, padded.
    fn log_weights(&self, i: usize) -> Vec<f32> {
        let mut row = self.weights.log_row(i, self.batch);
        row.resize(self.padded, 0.0);
        row
    }
}

/// ln q(z) and the sum over latents of ln q(z_d), [B, 2], of samples z [B, D] under the mixture of
/// N(mean, exp(log_var)), [B, D] both.
pub(crate) fn forward(
    level: SimdLevel,
    [z, mean, log_var]: [&[f32]; 3],
    latents: usize,
    weights: MixtureWeights,
) -> Vec<f32> {
    let components = Components::new(mean, log_var, latents, weights);
    let samples = z.par_chunks_exact(latents).enumerate();
    let values: Vec<[f32; 2]> = samples
        .map(|(i, z)| {
            let mut scratch = Scratch::new(&components, i);
            let joint =
                dispatch(level, Sample { components: &components, z, scratch: &mut scratch });
            [joint, scratch.marginals.iter().sum()]
        })
        .collect();
    values.concat()
}

/// The gradients of z, mean and log_var, [B, D] each, from those of [`forward`]'s values.
pub(crate) fn backward(
    level: SimdLevel,
    [z, mean, log_var]: [&[f32]; 3],
    latents: usize,
    weights: MixtureWeights,
    gradient: &[f32],
) -> [Vec<f32>; 3] {
    let components = Components::new(mean, log_var, latents, weights);
    let per_group = components.batch.div_ceil(GROUPS);
    let groups: Vec<(Vec<f32>, [Vec<f32>; 2])> = (0..components.batch.div_ceil(per_group))
        .into_par_iter()
        .map(|group| {
            let samples = group * per_group..components.batch.min((group + 1) * per_group);
            let mut dz = vec![0.0; samples.len() * latents];
            let mut sums = [0, 1].map(|_| vec![0.0; latents * components.padded]);
            for (i, dz) in samples.zip(dz.chunks_exact_mut(latents)) {
                let z = &z[i * latents..][..latents];
                let mut scratch = Scratch::new(&components, i);
                let sample = Sample { components: &components, z, scratch: &mut scratch };
                let joint = dispatch(level, sample);
                let of_joint = gradient[2 * i];
                let of_marginals = gradient[2 * i + 1];
                let [dmean, dlog_var] = &mut sums;
                dispatch(
                    level,
                    SampleBackward {
                        components: &components,
                        z,
                        scratch: &mut scratch,
                        joint,
                        gradient: [of_joint, of_marginals],
                        dz,
                        dmean,
                        dlog_var,
                    },
                );
            }
            (dz, sums)
        })
        .collect();
    let dz = groups.iter().flat_map(|(dz, _)| dz.iter().copied()).collect();
    let total = |which: usize| {
        let mut values = vec![0.0; components.batch * latents];
        for (_, sums) in &groups {
            for (d, row) in sums[which].chunks_exact(components.padded).enumerate() {
                (0..components.batch).for_each(|j| values[j * latents + d] += row[j]);
            }
        }
        values
    };
    [dz, total(0), total(1)]
}

/// What one sample needs: rows of the padded batch.
struct Scratch {
    log_weights: Vec<f32>,
    /// ln of the weighted densities of each latent, [D, padded B].
    latents: Vec<f32>,
    /// ln of the weighted joint densities.
    joint: Vec<f32>,
    /// ln q(z_d), `[D]`.
    marginals: Vec<f32>,
}

impl Scratch {
    fn new(components: &Components, i: usize) -> Self {
        let log_weights = components.log_weights(i);
        Self {
            latents: vec![0.0; components.latents * components.padded],
            joint: log_weights.clone(),
            marginals: vec![0.0; components.latents],
            log_weights,
        }
    }
}

/// Fills the scratch memory of a sample and returns ln q(z).
struct Sample<'a> {
    components: &'a Components,
    z: &'a [f32],
    scratch: &'a mut Scratch,
}

impl SimdKernel for Sample<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let Self { components, z, scratch } = self;
        let padded = components.padded;
        assert_eq!((scratch.joint.len(), scratch.log_weights.len()), (padded, padded));
        for (d, z) in z.iter().enumerate() {
            let range = d * padded..(d + 1) * padded;
            let mean = components.mean[range.clone()].as_ptr();
            let precision = components.precision[range.clone()].as_ptr();
            let offset = components.offset[range.clone()].as_ptr();
            let to = scratch.latents[range.clone()].as_mut_ptr();
            let (joint, log_weights) = (scratch.joint.as_mut_ptr(), scratch.log_weights.as_ptr());
            let (z, half) = (simd.splat(*z), simd.splat(-0.5));
            for j in (0..padded).step_by(S::LANES) {
                // SAFETY: all rows have `padded` floats, a multiple of every number of lanes.
                unsafe {
                    let distance = simd.sub(z, simd.load(mean.add(j)));
                    let square = simd.mul(distance, distance);
                    let scaled = simd.mul(simd.mul(square, simd.load(precision.add(j))), half);
                    let density = simd.add(scaled, simd.load(offset.add(j)));
                    simd.store(joint.add(j), simd.add(simd.load(joint.add(j)), density));
                    simd.store(to.add(j), simd.add(density, simd.load(log_weights.add(j))));
                }
            }
            scratch.marginals[d] = log_sum_exp(simd, &scratch.latents[range]);
        }
        log_sum_exp(simd, &scratch.joint)
    }
}

/// ln of the sum of e^x over a row of whole vectors.
#[inline(always)]
fn log_sum_exp<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let from = row.as_ptr();
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, shift) = (simd.splat(0.0), simd.splat(most));
    for j in (0..row.len()).step_by(S::LANES) {
        // SAFETY: the row has a multiple of every number of lanes.
        unsafe {
            sum = simd.add(sum, math::exp(simd, simd.sub(simd.load(from.add(j)), shift)));
        }
    }
    most + simd.sum(sum).ln()
}

/// Adds the gradients of a sample whose scratch memory is filled.
struct SampleBackward<'a> {
    components: &'a Components,
    z: &'a [f32],
    scratch: &'a mut Scratch,
    /// ln q(z)
    joint: f32,
    /// Of ln q(z), and of the sum of ln q(z_d).
    gradient: [f32; 2],
    /// `[D]`
    dz: &'a mut [f32],
    /// [D, padded B]
    dmean: &'a mut [f32],
    /// [D, padded B]
    dlog_var: &'a mut [f32],
}

impl SimdKernel for SampleBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { components, z, scratch, joint, gradient, dz, dmean, dlog_var } = self;
        let padded = components.padded;
        assert_eq!((scratch.joint.len(), dz.len()), (padded, z.len()));
        let shares = scratch.joint.as_mut_ptr();
        let (shift, of_joint) = (simd.splat(joint), simd.splat(gradient[0]));
        for j in (0..padded).step_by(S::LANES) {
            // SAFETY: the row has `padded` floats, a multiple of every number of lanes.
            unsafe {
                let share = math::exp(simd, simd.sub(simd.load(shares.add(j)), shift));
                simd.store(shares.add(j), simd.mul(share, of_joint));
            }
        }
        let of_marginals = simd.splat(gradient[1]);
        for (d, z) in z.iter().enumerate() {
            let range = d * padded..(d + 1) * padded;
            let mean = components.mean[range.clone()].as_ptr();
            let precision = components.precision[range.clone()].as_ptr();
            let densities = scratch.latents[range.clone()].as_ptr();
            let dmean = dmean[range.clone()].as_mut_ptr();
            let dlog_var = dlog_var[range].as_mut_ptr();
            let shift = simd.splat(scratch.marginals[d]);
            let (z, half, one) = (simd.splat(*z), simd.splat(0.5), simd.splat(1.0));
            let mut sum = simd.splat(0.0);
            for j in (0..padded).step_by(S::LANES) {
                // SAFETY: all rows have `padded` floats, a multiple of every number of lanes.
                unsafe {
                    let share = math::exp(simd, simd.sub(simd.load(densities.add(j)), shift));
                    let share = simd.fma(share, of_marginals, simd.load(shares.add(j)));
                    let distance = simd.sub(z, simd.load(mean.add(j)));
                    let scaled = simd.mul(distance, simd.load(precision.add(j)));
                    let towards_mean = simd.mul(share, scaled);
                    sum = simd.sub(sum, towards_mean);
                    simd.store(dmean.add(j), simd.add(simd.load(dmean.add(j)), towards_mean));
                    let excess = simd.sub(simd.mul(distance, scaled), one);
                    let of_variance = simd.mul(simd.mul(share, half), excess);
                    simd.store(dlog_var.add(j), simd.add(simd.load(dlog_var.add(j)), of_variance));
                }
            }
            dz[d] = simd.sum(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(i: usize, batch: usize, images: usize) -> Vec<f64> {
        let row = MixtureWeights::Stratified { images }.log_row(i, batch);
        row.iter().map(|log| f64::from(*log).exp()).collect()
    }

    /// A widely copied program marks columns 0 and 1 in place of the diagonal, and one of its rows sums to more than 1.
    #[test]
    fn stratified_weights_mark_the_diagonal_and_sum_to_one() {
        let (batch, images) = (6, 100);
        for i in 0..batch {
            let row = weights(i, batch, images);
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{i}: {row:?}");
            assert!((row[i] - 0.01).abs() < 1e-8, "{i}: {row:?}");
            assert!((row[(i + 1) % batch] - 95.0 / 500.0).abs() < 1e-7, "{i}: {row:?}");
            let others = row.iter().filter(|weight| (**weight - 0.2).abs() < 1e-7).count();
            assert_eq!(others, 4);
        }
        // The whole data set as a batch: the other images of it share all but 1 / N evenly, but for the next one.
        let row = weights(0, 4, 4);
        assert!((row[1] - 1.0 / 12.0).abs() < 1e-7, "{row:?}");
    }

    /// Without ln(N B), totals of several latents are off by (D - 1) ln(N B), as in disentanglement_lib.
    #[test]
    fn weighted_densities_are_divided_by_the_number_of_pairs() {
        let z = [0.0_f32, 0.0];
        let log_var = [0.0_f32, 0.0];
        let weights = MixtureWeights::Weighted { images: 50 };
        let found = forward(crate::simd_level(), [&z, &z, &log_var], 2, weights);
        let density = -0.5 * std::f32::consts::TAU.ln();
        assert!((found[0] - (2.0 * density - 50.0_f32.ln())).abs() < 1e-5, "{found:?}");
        assert!((found[1] - 2.0 * (density - 50.0_f32.ln())).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let (batch, latents) = (75, 5);
        let values = |salt: f32| -> Vec<f32> {
            (0..batch * latents).map(|i| (i as f32 * 0.37 + salt).sin()).collect()
        };
        let [z, mean, log_var, gradient] = [0.0, 1.0, 2.0, 3.0].map(values);
        let weights = MixtureWeights::Weighted { images: 1000 };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let inputs = [&z[..], &mean, &log_var];
                let forward = forward(crate::simd_level(), inputs, latents, weights);
                let gradient = &gradient[..2 * batch];
                (forward, backward(crate::simd_level(), inputs, latents, weights, gradient))
            })
        };
        assert!(run(1) == run(3));
    }
}
