//! Which images make up the batch of a step: a pure function of (seed, step), so that a run can be
//! entered anywhere.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::random::{Permutation, Stream};

/// How training walks through the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Every image once per epoch, in a new random order each time; a last short batch is dropped.
    #[default]
    Epoch,
    /// Every image of every batch drawn independently, as disentanglement_lib does.
    Replacement,
}

/// Batches of indices by step.
#[derive(Clone, Debug)]
pub struct BatchOrder {
    kind: Sampling,
    seed: u64,
    images: usize,
    batch: usize,
    /// Name of the random stream.
    stream: &'static str,
}

impl BatchOrder {
    /// Batches of `batch` out of `images` images.
    ///
    /// # Errors
    /// If there are not enough images for one batch without repetition.
    pub fn new(kind: Sampling, seed: u64, images: usize, batch: usize) -> Result<Self> {
        if images == 0 || (kind == Sampling::Epoch && images < batch) {
            return Err(Error::Mismatch {
                what: "the data set is too small for one batch".into(),
                expected: format!("at least {batch} images (train.batch)"),
                found: images.to_string(),
                hint: "lower it with --set train.batch=..., or draw images with repetition: \
                       --set data.order=replacement"
                    .into(),
            });
        }
        Ok(Self { kind, seed, images, batch, stream: "order" })
    }

    /// The same from another random stream, for trainings that draw two batches.
    #[cfg(feature = "model")]
    pub(crate) fn named(self, stream: &'static str) -> Self {
        Self { stream, ..self }
    }

    /// Epoch and image indices `[B]` of `step`, which counts from 1.
    pub fn batch(&self, step: u64) -> (u64, Vec<usize>) {
        let per_epoch = (self.images / self.batch).max(1) as u64;
        let (epoch, position) = ((step - 1) / per_epoch, (step - 1) % per_epoch);
        let indices = match self.kind {
            Sampling::Epoch => {
                let mut stream = Stream::new(self.seed, self.stream, epoch);
                let permutation = Permutation::new(self.images, &mut stream);
                let start = position as usize * self.batch;
                (start..start + self.batch).map(|i| permutation.get(i)).collect()
            }
            Sampling::Replacement => {
                let mut stream = Stream::new(self.seed, self.stream, step);
                (0..self.batch).map(|_| stream.below(self.images)).collect()
            }
        };
        (epoch, indices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_image_at_most_once_and_drops_the_short_batch() {
        let order = BatchOrder::new(Sampling::Epoch, 1, 103, 10).unwrap();
        let mut seen = [0; 103];
        for step in 1..=10 {
            let (epoch, indices) = order.batch(step);
            assert_eq!((epoch, indices.len()), (0, 10));
            indices.into_iter().for_each(|i| seen[i] += 1);
        }
        assert!(seen.iter().all(|&n| n <= 1));
        assert_eq!(seen.iter().sum::<i32>(), 100);
        assert_eq!(order.batch(11).0, 1);
        assert_ne!(order.batch(11).1, order.batch(1).1);
    }

    #[test]
    fn a_batch_does_not_depend_on_the_steps_before_it() {
        for kind in [Sampling::Epoch, Sampling::Replacement] {
            let order = BatchOrder::new(kind, 9, 1000, 64).unwrap();
            assert_eq!(order.batch(40), BatchOrder::new(kind, 9, 1000, 64).unwrap().batch(40));
        }
    }

    #[test]
    fn too_few_images_are_refused_unless_they_may_repeat() {
        let error = BatchOrder::new(Sampling::Epoch, 1, 63, 64).unwrap_err();
        assert!(error.to_string().contains("at least 64"), "{error}");
        assert_eq!(BatchOrder::new(Sampling::Replacement, 1, 63, 64).unwrap().batch(1).1.len(), 64);
        assert!(BatchOrder::new(Sampling::Replacement, 1, 0, 64).is_err());
    }
}
