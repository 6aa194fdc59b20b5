//! Fused CPU operators for convolutional variational autoencoders, as functions over Burn's tensors.
//!
//! [`ops`] is what to call. Below it, `function` connects slices with Burn's tape; `stack` runs
//! convolutional layers depth first, `chain` those with batch normalisation between them, `linear`,
//! `elementwise` and `optimizer` are the other operators; `reduce` and `weight_gradient` describe convolutions to `contract`, the one inner loop;
//! `simd` is what that needs of a processor. [`mod@reference`] has the readable twins.
//!
//! Without the feature `burn` there is only [`plain`]: slices in, slices out, no gradients.
//!
//! This is the only crate of the workspace with `unsafe`: loads and stores behind checked lengths,
//! and calls of functions compiled for an instruction set that was detected.
#![allow(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]
// Numerical loops index several arrays at once.
#![allow(clippy::needless_range_loop)]
// Gradients are only called by functions over tensors.
#![cfg_attr(not(feature = "burn"), allow(dead_code))]

mod activation;
mod bf16;
mod buffer;
mod chain;
mod contract;
mod elementwise;
#[cfg(feature = "burn")]
mod function;
mod geometry;
mod linear;
mod math;
mod narrow;
mod norm;
#[cfg(feature = "burn")]
pub mod ops;
mod optimizer;
mod peak;
pub mod plain;
mod pool;
mod reduce;
#[cfg(feature = "burn")]
pub mod reference;
mod simd;
mod stack;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;
mod weight_gradient;
mod winograd;

pub use activation::{Activation, LEAK, Window};
pub use bf16::{Precision, has_bf16};
pub use elementwise::Nll;
pub use norm::BATCH_NORM_EPSILON;
pub use optimizer::AdamStep;
pub use peak::{peak_gflops, thread_peak_gflops};
pub use pool::awake;
pub use simd::{Level, checked_level, level};
pub use stack::{Layer, LayerSpeed, layer_speed};
