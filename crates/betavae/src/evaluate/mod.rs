//! The model over many images: codes, loss terms at z = mean and with noise, KL per latent.

#[cfg(feature = "model")]
mod coder;
#[cfg(feature = "model")]
mod passes;

#[cfg(feature = "model")]
pub use coder::Coder;
#[cfg(feature = "gpu")]
pub use coder::GpuCoder;
#[cfg(feature = "model")]
pub use passes::{
    AverageLoss, Evaluation, check_shape, encode, encode_batches, evaluate, kl_per_latent, load,
    subset,
};
#[cfg(feature = "model")]
pub(crate) use passes::{blank_nll, load_epoch};

/// Posterior parameters of many images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Codes {
    /// Number of latents D.
    pub latents: usize,
    /// Means, `[N * D]` row by row.
    pub mean: Vec<f32>,
    /// Log-variances, `[N * D]` row by row.
    pub log_var: Vec<f32>,
}
