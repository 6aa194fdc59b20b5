//! Operators of a VAE's loss terms and of sampling from the posterior.

use burn::tensor::Tensor;

use crate::elementwise::{self, Nll};
use crate::function::{ForwardResult, Function, Operand, apply};
use crate::reference;
use crate::simd::{SimdLevel, simd_level};

/// The negative log-likelihood of each image in nats, without its constant: the sum over H, W and C of
/// softplus(logit) - target * logit, or of (target - mean)^2 / (2 sigma^2).
///
/// # Shapes
/// - `output`, `target`: [B, H, W, C]; result: \[B\]
pub fn nll(output: Tensor<4>, target: Tensor<4>, nll: Nll) -> Tensor<1> {
    match (Operand::of(&output), Operand::of(&target)) {
        (Some(x), Some(t)) => {
            let [batch, ..] = output.dims();
            apply(NllPerImage { level: simd_level(), nll, batch }, [x, t]).0
        }
        _ => reference::nll(output, target, nll),
    }
}

#[derive(Clone, Debug)]
struct NllPerImage {
    level: SimdLevel,
    nll: Nll,
    batch: usize,
}

impl Function<2> for NllPerImage {
    /// The gradient of each image's value with respect to the output.
    type Saved = Vec<f32>;

    fn forward(&self, [output, target]: [&[f32]; 2], _: bool) -> ForwardResult<Vec<f32>> {
        let mut gradient = output.to_vec();
        let size = output.len() / self.batch;
        let values = elementwise::nll_per_image(self.level, self.nll, &mut gradient, target, size);
        ForwardResult::new(values, [self.batch], gradient)
    }

    fn backward(
        &self,
        _inputs: [&[f32]; 2],
        forward: &ForwardResult<Vec<f32>>,
        gradient: &[f32],
        _needs_gradient: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let mut all = forward.saved.clone();
        let size = all.len() / self.batch;
        for (image, scale) in all.chunks_exact_mut(size).zip(gradient) {
            image.iter_mut().for_each(|value| *value *= scale);
        }
        [Some(all), None]
    }
}

/// A sample of the posterior by the reparameterisation trick: z = mean + exp(log_var / 2) * noise (Kingma
/// and Welling 2014, eq. 10).
///
/// # Shapes
/// - all tensors: [B, D]
pub fn reparameterise(mean: Tensor<2>, log_var: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    match (Operand::of(&mean), Operand::of(&log_var), Operand::of(&noise)) {
        (Some(m), Some(l), Some(n)) => apply(Reparameterise(mean.dims()), [m, l, n]).0,
        _ => reference::reparameterise(mean, log_var, noise),
    }
}

#[derive(Clone, Debug)]
struct Reparameterise([usize; 2]);

impl Function<3> for Reparameterise {
    type Saved = ();

    fn forward(&self, [mean, log_var, noise]: [&[f32]; 3], _: bool) -> ForwardResult<()> {
        let parts = mean.iter().zip(log_var).zip(noise);
        let z = parts.map(|((mean, log_var), noise)| mean + (0.5 * log_var).exp() * noise);
        ForwardResult::new(z.collect(), self.0, ())
    }

    fn backward(
        &self,
        [_, log_var, noise]: [&[f32]; 3],
        _forward: &ForwardResult<()>,
        gradient: &[f32],
        _needs_gradient: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let parts = gradient.iter().zip(log_var).zip(noise);
        let log_var_gradient = parts.map(|((g, l), noise)| g * noise * 0.5 * (0.5 * l).exp());
        [Some(gradient.to_vec()), Some(log_var_gradient.collect()), None]
    }
}

/// The KL divergence KL(N(mean, exp(log_var)) || N(0, 1)) of each latent in nats, averaged over the batch.
///
/// # Shapes
/// - `mean`, `log_var`: [B, D]; result: \[D\]
pub fn kl_per_latent(mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<1> {
    match (Operand::of(&mean), Operand::of(&log_var)) {
        (Some(m), Some(l)) => apply(KlPerLatent(mean.dims()), [m, l]).0,
        _ => reference::kl_per_latent(mean, log_var),
    }
}

#[derive(Clone, Debug)]
struct KlPerLatent([usize; 2]);

impl Function<2> for KlPerLatent {
    type Saved = ();

    fn forward(&self, [mean, log_var]: [&[f32]; 2], _: bool) -> ForwardResult<()> {
        let [batch, latents] = self.0;
        let mut sums = vec![0.0f64; latents];
        for (i, (mean, log_var)) in mean.iter().zip(log_var).enumerate() {
            let (mean, log_var) = (f64::from(*mean), f64::from(*log_var));
            // `exp_m1` keeps the digits of exp(l) - 1 near the prior.
            sums[i % latents] += 0.5 * (mean * mean + log_var.exp_m1() - log_var);
        }
        let kl = sums.into_iter().map(|sum| (sum / batch as f64) as f32).collect();
        ForwardResult::new(kl, [latents], ())
    }

    fn backward(
        &self,
        [mean, log_var]: [&[f32]; 2],
        _forward: &ForwardResult<()>,
        gradient: &[f32],
        _needs_gradient: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let [batch, latents] = self.0;
        let scale = |i: usize| gradient[i % latents] / batch as f32;
        let mean_gradient = mean.iter().enumerate().map(|(i, mean)| scale(i) * mean);
        let log_var_gradient = log_var.iter().enumerate().map(|(i, l)| scale(i) * 0.5 * l.exp_m1());
        [Some(mean_gradient.collect()), Some(log_var_gradient.collect())]
    }
}
