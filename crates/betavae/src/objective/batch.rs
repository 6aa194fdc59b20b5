//! What an objective takes a step on, and what it may need to know beside that.

use burn::tensor::Tensor;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draws {
    /// One batch.
    Batch,
    /// Two batches that are drawn independently; the second has its own noise.
    TwoBatches,
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
    /// The second batch, where the objective wants one.
    pub second: Option<Box<Batch>>,
}
