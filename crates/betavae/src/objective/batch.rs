//! What an objective takes a step on, and what it may need to know beside that.

use burn::tensor::Tensor;

use crate::data::PairsConfig;

/// What an objective may need to know beside the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Number of images N of the data set.
    pub images: usize,
    /// Number of images B of a batch.
    pub batch: usize,
    /// Number of latents D.
    pub latents: usize,
    /// H * W * C.
    pub image_values: usize,
    /// Seed of the run.
    pub seed: u64,
}

/// What an objective takes a step on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Draws {
    /// One batch.
    Batch,
    /// Two batches that are drawn independently; the second has its own noise.
    TwoBatches,
    /// A batch of first images, and one of a partner for each.
    Pairs(PairsConfig),
}

/// Images of a step, and the noise of its samples.
#[derive(Clone, Debug)]
pub struct Batch {
    /// [B, H, W, C] in [0, 1].
    pub images: Tensor<4>,
    /// Standard normal, [B, D].
    pub noise: Tensor<2>,
    /// Which images of the data set they are, `[B]`.
    pub indices: Vec<usize>,
    /// The second batch, where the objective wants one; the partners, where it wants pairs.
    pub second: Option<Box<Batch>>,
}

impl Batch {
    /// Images and noise of both batches, the first one's first.
    pub(super) fn joined(&self) -> (Tensor<4>, Tensor<2>) {
        let Some(second) = &self.second else { return (self.images.clone(), self.noise.clone()) };
        let images = Tensor::cat(vec![self.images.clone(), second.images.clone()], 0);
        (images, Tensor::cat(vec![self.noise.clone(), second.noise.clone()], 0))
    }
}
