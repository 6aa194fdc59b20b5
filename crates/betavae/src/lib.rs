//! Beta-VAEs: train, measure, look at, compare and ship disentangled representations.
//!
//! Read the modules in the order of the data flow: [`data`], [`model`], [`objective`],
//! [`optimizer`], [`config`], [`checkpoint`], [`evaluate`], [`scores`], [`record`], [`figures`], [`report`],
//! [`train`], [`mod@advise`],
//! [`bottleneck`], [`mod@bench`]. Each imports only from those before it.
//!
//! Shape letters throughout: B batch, H, W, C image, D latents, K factors, N data set. Losses are
//! in nats per image unless a name says otherwise.

pub mod advise;
pub mod bench;
pub mod bottleneck;
pub mod checkpoint;
pub mod codes;
pub mod config;
pub mod cpu;
pub mod data;
mod error;
pub mod evaluate;
pub mod explore;
pub mod export;
pub mod figures;
mod files;
pub mod model;
pub mod npz;
mod numbers;
pub mod objective;
pub mod optimizer;
pub mod random;
pub mod record;
pub mod report;
pub mod scores;
pub mod torch;
pub mod train;
pub mod words;

pub use betavae_kernels::{Activation, Window};
pub use burn;
pub use burn::tensor::{Device, Tensor, TensorData};
pub use error::{Error, Result};
