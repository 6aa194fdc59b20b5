//! The gradients of a step, computed on a batch or merged from parts of it.

use std::ops::Range;

use betavae_kernels::ops::BatchMoments;
use burn::tensor::Tensor;

use crate::objective::{Batch, Term, Terms};
use crate::optimizer::NamedGradients;

/// What a batch says about the next step.
pub struct Gradients {
    /// Of the model's parameters.
    pub(super) parameters: NamedGradients,
    /// Of the objective's own networks.
    pub(super) own: NamedGradients,
    /// Statistics for the running averages of batch norm, in the order of the layers.
    pub(super) moments: Vec<BatchMoments>,
    /// The loss that was differentiated.
    pub(super) terms: Terms,
    /// Number of images B.
    pub(super) images: usize,
}

impl Gradients {
    /// The terms of the loss that the gradients are of.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The gradients of the model's parameters.
    pub fn parameters(&self) -> &NamedGradients {
        &self.parameters
    }

    /// The means of the losses on two parts of a batch, weighted by their numbers of images. That is the loss of the
    /// whole batch as far as a loss is a mean over images: batch norm knows the statistics of its own part, and
    /// |KL - C| compares the KL of each part.
    ///
    /// # Panics
    /// If they are of different models.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        let images = self.images + other.images;
        let shares = [&self, &other].map(|part| part.images as f64 / images as f64);
        let sum =
            |a: NamedGradients, b: NamedGradients| a.scaled(shares[0]).plus(b.scaled(shares[1]));
        let moments = self.moments.into_iter().zip(other.moments);
        Self {
            parameters: sum(self.parameters, other.parameters),
            own: sum(self.own, other.own),
            moments: moments.map(|(a, b)| pooled(a, b)).collect(),
            terms: mean(&self.terms, &other.terms, shares),
            images,
        }
    }
}

/// Mean and variance over both parts.
pub(super) fn pooled(a: BatchMoments, b: BatchMoments) -> BatchMoments {
    let count = a.count + b.count;
    let shares = [a.count, b.count].map(|part| part as f64 / count as f64);
    let mean = a.mean.clone() * shares[0] + b.mean.clone() * shares[1];
    let spread = |moments: BatchMoments| -> Tensor<1> {
        moments.variance + (moments.mean - mean.clone()).square()
    };
    let variance = spread(a) * shares[0] + spread(b) * shares[1];
    BatchMoments { mean, variance, count }
}

fn mean(a: &Terms, b: &Terms, shares: [f64; 2]) -> Terms {
    let both = |a: f32, b: f32| (f64::from(a) * shares[0] + f64::from(b) * shares[1]) as f32;
    let losses = a.losses.iter().zip(&b.losses);
    let kl = a.kl_per_latent.iter().zip(&b.kl_per_latent);
    Terms {
        losses: losses.map(|(a, b)| Term { value: both(a.value, b.value), ..*a }).collect(),
        kl_per_latent: kl.map(|(a, b)| both(*a, *b)).collect(),
        weights: a.weights.clone(),
    }
}

impl Batch {
    /// The first half of the images, and the others.
    pub fn halves(self) -> [Self; 2] {
        let images = self.images.dims()[0];
        [self.part(0..images / 2), self.part(images / 2..images)]
    }

    fn part(&self, range: Range<usize>) -> Self {
        let latents = self.noise.dims()[1];
        Self {
            images: self.images.clone().slice([range.clone()]),
            noise: self.noise.clone().slice([range.clone(), 0..latents]),
            indices: self.indices[range.clone()].to_vec(),
            second: self.second.as_ref().map(|second| Box::new(second.part(range))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::Device;
    use crate::config::Recipe;
    use crate::data::Dataset;
    use crate::data::blobs::Blobs;
    use crate::train::Trainer;

    #[test]
    fn the_gradients_of_two_halves_are_those_of_the_batch() {
        let recipe =
            "model = { architecture = 'custom', widths = [4, 6], hidden = [8], latents = 3 }
            train.batch = 9";
        let data = Arc::new(Blobs::new());
        let config = Recipe::from_toml(recipe).unwrap().resolve(data.shape()).unwrap();
        let trainer = Trainer::new(config, data, &Device::flex()).unwrap();
        let batch = trainer.batch(1).unwrap();
        let whole = trainer.gradients(&batch).unwrap();
        let [a, b] = batch.halves().map(|half| trainer.gradients(&half).unwrap());
        let merged = a.merged(b);
        assert_eq!(merged.images, 9);
        assert!((merged.terms().total() / whole.terms().total() - 1.0).abs() < 1e-5);
        let pairs = merged.parameters().values().into_iter().zip(whole.parameters().values());
        for ((name, found), (_, expected)) in pairs {
            let scale = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= 2e-5 * scale, "{name}: off by {off} of {scale}");
        }
    }
}
