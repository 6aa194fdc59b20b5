//! Passes of a model over many images.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Coder, Codes};
use crate::checkpoint::Trained;
use crate::data::{Dataset, read_batch};
use crate::error::{Error, Result};
use crate::model::{BetaVae, Likelihood, values};
use crate::objective::ACTIVE_NATS;
use crate::random::{Permutation, Stream};

/// Images per forward pass.
pub(super) const BATCH: usize = 128;

/// Loss terms in nats per image, averaged over images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AverageLoss {
    /// -ln p(x | z).
    pub reconstruction: f64,
    /// KL(q(z | x) || N(0, 1)).
    pub kl: f64,
    /// The same for each latent, `[D]`.
    pub kl_per_latent: Vec<f64>,
    /// -(reconstruction + kl): a lower bound on ln p(x) where z is sampled.
    pub elbo: f64,
}

/// The result of [`evaluate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Optimisation steps the model was trained for.
    pub step: u64,
    /// Data set.
    pub data: String,
    /// Number of images.
    pub images: usize,
    /// Latents with more than 0.01 nats of KL.
    pub active_latents: usize,
    /// With z = mean.
    pub at_mean: AverageLoss,
    /// With z drawn from the posterior, once per image.
    pub sampled: AverageLoss,
}

/// `count` different indices below `len` in rising order, all of them if there are fewer: always the
/// same ones, and in no step with the factors of a grid, as evenly spaced ones would be.
pub fn subset(len: usize, count: usize) -> Vec<usize> {
    if count >= len {
        return (0..len).collect();
    }
    let permutation = Permutation::new(len, &mut Stream::new(0, "subset", 0));
    let mut indices: Vec<usize> = (0..count).map(|i| permutation.get(i)).collect();
    indices.sort_unstable();
    indices
}

/// Images of a data set as a tensor [B, H, W, C] in [0, 1].
///
/// # Errors
/// If one cannot be read.
pub fn load(data: &dyn Dataset, indices: &[usize], device: &Device) -> Result<Tensor<4>> {
    load_epoch(data, indices, 0, device)
}

/// As [`load`], with the noise of an epoch where images carry some.
///
/// # Errors
/// If one cannot be read.
pub(crate) fn load_epoch(
    data: &dyn Dataset,
    indices: &[usize],
    epoch: u64,
    device: &Device,
) -> Result<Tensor<4>> {
    let shape = data.shape();
    let pixels = read_batch(data, indices, epoch)?;
    let shape = [indices.len(), shape.height, shape.width, shape.channels];
    Ok(Tensor::from_data(TensorData::new(pixels, shape), device))
}

/// -ln p(x) in nats per image of the best image that does not depend on the code, the mean of `count` images: what a model
/// comes to whose codes say nothing.
///
/// # Errors
/// If an image cannot be read.
pub(crate) fn blank_nll(model: &BetaVae, data: &dyn Dataset, count: usize) -> Result<f64> {
    let images = load(data, &subset(data.len(), count), &model.device())?;
    let [count, ..] = images.dims();
    let images = model.to_network_scale(images);
    let mean = values(images.clone().mean_dim(0)).into_iter().map(f64::from);
    let likelihood = model.likelihood();
    let nll: f64 = match likelihood {
        // x ln p is 0 where p is.
        Likelihood::Bernoulli => {
            let entropy = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
            mean.map(|p| entropy(p) + entropy(1.0 - p)).sum()
        }
        Likelihood::Gaussian { sigma } => {
            let spread = (images.clone() - images.mean_dim(0)).square().sum() / count as f64;
            f64::from(values(spread)[0]) / (2.0 * sigma * sigma)
        }
    };
    Ok(nll + likelihood.constant(data.shape().values()))
}

/// Checks that a data set has images of the shape a model takes.
///
/// # Errors
/// If it does not.
pub fn check_shape(model: &BetaVae, data: &dyn Dataset) -> Result<()> {
    let (expected, found) = (model.network().image, data.shape());
    if expected == found {
        return Ok(());
    }
    let mut hint = format!(
        "bring them to it with `--set 'data.size=[{},{}]'`",
        expected.height, expected.width
    );
    if expected.channels != found.channels {
        hint = match expected.channels {
            channels @ (1 | 3) => format!("{hint} and `--set data.channels={channels}`"),
            _ => "the model takes images of the shape it was trained on".into(),
        };
    }
    Err(Error::Mismatch {
        what: format!("the images of {} do not fit the model", data.name()),
        expected: expected.to_string(),
        found: found.to_string(),
        hint,
    })
}

/// Encodes images in batches. `progress` hears the number of images done.
///
/// # Errors
/// If the images have another shape or one cannot be read, and what `progress` says.
pub fn encode(
    coder: &dyn Coder,
    data: &dyn Dataset,
    indices: &[usize],
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Codes> {
    let mut codes = Codes { latents: coder.model().latents(), ..Codes::default() };
    encode_batches(coder, data, indices, &mut |_, batch| {
        codes.mean.extend(batch.mean);
        codes.log_var.extend(batch.log_var);
        progress(codes.mean.len() / codes.latents)
    })?;
    Ok(codes)
}

/// Encodes images in batches and hands over the indices and the codes of each.
///
/// # Errors
/// If the images have another shape or one cannot be read, and what `each` says.
pub fn encode_batches(
    coder: &dyn Coder,
    data: &dyn Dataset,
    indices: &[usize],
    each: &mut dyn FnMut(&[usize], Codes) -> Result<()>,
) -> Result<()> {
    let model = coder.model();
    check_shape(model, data)?;
    for batch in indices.chunks(BATCH) {
        let posterior = coder.encode(load(data, batch, &model.device())?)?;
        let (mean, log_var) = (values(posterior.mean), values(posterior.log_var));
        each(batch, Codes { latents: model.latents(), mean, log_var })?;
    }
    Ok(())
}

/// KL of each latent in nats over some images, `[D]`.
///
/// # Errors
/// If the images have another shape or one cannot be read.
pub fn kl_per_latent(model: &BetaVae, data: &dyn Dataset, indices: &[usize]) -> Result<Vec<f64>> {
    let codes = encode(model, data, indices, &mut |_| Ok(()))?;
    let mut sums = vec![0.0; codes.latents];
    for (i, (mean, log_var)) in codes.mean.iter().zip(&codes.log_var).enumerate() {
        let (mean, log_var) = (f64::from(*mean), f64::from(*log_var));
        sums[i % codes.latents] += 0.5 * (mean * mean + log_var.exp() - 1.0 - log_var);
    }
    Ok(sums.iter().map(|sum| sum / indices.len() as f64).collect())
}

/// The loss terms of a trained model over some images, at z = mean and with noise that depends on the model's seed and
/// the image only, by passes of `coder`, which is its model on some device; and the codes of the images, for scores.
/// `progress` hears the number of images done.
///
/// # Errors
/// If the images have another shape or one cannot be read, and what `progress` says.
pub fn evaluate(
    trained: &Trained,
    coder: &dyn Coder,
    data: &dyn Dataset,
    indices: &[usize],
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(Evaluation, Codes)> {
    let model = coder.model();
    check_shape(model, data)?;
    let (device, latents) = (model.device(), model.latents());
    let mut kl = vec![0.0; latents];
    let mut reconstruction = [0.0; 2];
    let mut codes = Codes { latents, ..Codes::default() };
    for batch in indices.chunks(BATCH) {
        let images = load(data, batch, &device)?;
        let posterior = coder.encode(images.clone())?;
        let batch_kl = values(posterior.kl_per_latent());
        let count = batch.len() as f64;
        kl.iter_mut().zip(batch_kl).for_each(|(sum, kl)| *sum += f64::from(kl) * count);
        let noise = noise(trained.description.seed, batch, latents, &device);
        let targets = model.to_network_scale(images);
        let sampled = BetaVae::reparameterise(&posterior, noise);
        codes.mean.extend(values(posterior.mean.clone()));
        codes.log_var.extend(values(posterior.log_var));
        let mean = posterior.mean;
        for (sum, z) in reconstruction.iter_mut().zip([mean, sampled]) {
            let output = coder.decode_raw(z)?;
            let nll = values(model.likelihood().nll(output, targets.clone()));
            *sum += nll.iter().map(|nll| f64::from(*nll)).sum::<f64>();
        }
        progress(codes.mean.len() / latents)?;
    }
    let count = indices.len() as f64;
    kl.iter_mut().for_each(|sum| *sum /= count);
    let total: f64 = kl.iter().sum();
    let average = |reconstruction: f64| AverageLoss {
        reconstruction,
        kl: total,
        kl_per_latent: kl.clone(),
        elbo: -(reconstruction + total),
    };
    let evaluation = Evaluation {
        step: trained.description.step,
        data: data.name().to_owned(),
        images: indices.len(),
        active_latents: kl.iter().filter(|kl| **kl > f64::from(ACTIVE_NATS)).count(),
        at_mean: average(reconstruction[0] / count),
        sampled: average(reconstruction[1] / count),
    };
    Ok((evaluation, codes))
}

/// Standard normal noise [B, D] that follows the image, not its place in a batch.
fn noise(seed: u64, indices: &[usize], latents: usize, device: &Device) -> Tensor<2> {
    let row = |index: &usize| Stream::new(seed, "evaluation", *index as u64).normals(latents);
    let values: Vec<f32> = indices.iter().flat_map(row).collect();
    Tensor::from_data(TensorData::new(values, [indices.len(), latents]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_distinct_and_do_not_follow_the_grid() {
        assert_eq!(subset(3, 10), [0, 1, 2]);
        assert_eq!(subset(0, 10), Vec::<usize>::new());
        let indices = subset(737_280, 512);
        assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
        // Evenly spaced images of dSprites would all have posY 0.
        let rows: std::collections::BTreeSet<_> = indices.iter().map(|i| i % 32).collect();
        assert_eq!(rows.len(), 32);
    }
}
