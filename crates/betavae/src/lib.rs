//! Beta-VAEs: train, measure, look at, compare and ship disentangled representations.
//!
//! Read the modules in the order of the data flow: [`data`], [`model`], [`objective`], [`optimizer`], [`config`],
//! [`train`], [`checkpoint`], [`evaluate`], [`scores`], [`runs`], [`figures`], [`report`], [`run`], [`export`],
//! [`studies`], [`mod@bench`].
//!
//! Shape letters throughout: B batch, H, W, C image, D latents, K factors, N data set. Losses are
//! in nats per image unless a name says otherwise.
//!
//! Without the default feature `model` there are only the readers and writers of files of images, codes and
//! factors, which need no tensors and build in seconds.

#[cfg(feature = "figures")]
pub mod bench;
#[cfg(feature = "model")]
pub mod checkpoint;
pub mod codes;
#[cfg(feature = "model")]
pub mod config;
#[cfg(feature = "model")]
pub mod cpu;
pub mod data;
mod error;
pub mod evaluate;
#[cfg(feature = "export")]
pub mod explore;
#[cfg(feature = "export")]
pub mod export;
#[cfg(feature = "figures")]
pub mod figures;
pub mod files;
#[cfg(feature = "model")]
pub mod model;
pub mod npz;
mod numbers;
#[cfg(feature = "model")]
pub mod objective;
#[cfg(feature = "model")]
pub mod optimizer;
pub mod random;
#[cfg(feature = "model")]
pub mod recipes;
#[cfg(feature = "figures")]
pub mod report;
#[cfg(feature = "model")]
pub mod run;
#[cfg(feature = "model")]
pub mod runs;
pub mod scores;
#[cfg(feature = "figures")]
pub mod studies;
mod table;
#[cfg(feature = "model")]
mod tagged;
#[cfg(feature = "export")]
pub mod torch;
#[cfg(feature = "model")]
pub mod train;
pub mod words;

#[cfg(feature = "gpu")]
pub use betavae_gpu as gpu;
#[cfg(feature = "model")]
pub use betavae_kernels::{Activation, ConvOptions};
#[cfg(feature = "model")]
pub use burn::{
    self,
    tensor::{Device, Tensor, TensorData},
};
pub use error::{Error, Result};

/// Compiles the example of the README.
#[cfg(all(doctest, feature = "model"))]
#[doc = include_str!("../README.md")]
struct Readme;
