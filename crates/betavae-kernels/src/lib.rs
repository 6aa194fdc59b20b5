//! Fused CPU operators for convolutional variational autoencoders, as functions over Burn's tensors.
//! Models, losses and training are in the library `betavae`.
//!
//! Call the functions of [`ops`]. Below them, `function` connects slices with Burn's tape; `stack` runs
//! convolutional layers depth first, `conv_norm_stack` those with batch norm between them; `linear`,
//! `elementwise` and `optimizer` are the other operators; `prepared_conv` and `weight_gradient` describe
//! convolutions as products of `indirect_gemm`; and `simd` has the vector operations of each instruction
//! set. [`mod@reference`] has slow implementations of the same operators.
//!
//! Without the feature `burn` there is only [`inference`]: functions over slices, without gradients.
//!
//! This is the only crate of the workspace with `unsafe` kernels: loads and stores behind checked lengths,
//! and calls of functions compiled for an instruction set that was detected.
#![allow(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]
// Numerical loops index several arrays at once.
#![allow(clippy::needless_range_loop)]
// Only functions over tensors call gradients.
#![cfg_attr(not(feature = "burn"), allow(dead_code))]

mod activation;
mod aggregate_posterior;
mod batch_norm;
mod bf16;
mod buffer;
mod conv_norm_stack;
mod elementwise;
mod epilogue;
#[cfg(feature = "burn")]
mod function;
mod geometry;
mod indirect_gemm;
pub mod inference;
mod linear;
mod math;
#[cfg(test)]
mod naive;
mod narrow_conv;
#[cfg(feature = "burn")]
pub mod ops;
mod optimizer;
mod peak_flops;
mod prepared_conv;
#[cfg(feature = "burn")]
pub mod reference;
mod simd;
mod stack;
#[cfg(test)]
mod tests;
mod thread_pool;
mod weight_gradient;
mod winograd;

pub use activation::{Activation, ConvOptions, LEAKY_RELU_SLOPE};
pub use aggregate_posterior::MixtureWeights;
pub use batch_norm::BATCH_NORM_EPSILON;
pub use bf16::{Precision, has_bf16};
pub use elementwise::Nll;
pub use optimizer::AdamStep;
pub use peak_flops::{peak_gflops, thread_peak_gflops};
pub use simd::{SimdLevel, checked_simd_level, simd_level};
pub use stack::{Layer, LayerSpeed, layer_speed};
pub use thread_pool::with_spinning_threads;

/// Compiles the example of the README.
#[cfg(all(doctest, feature = "burn"))]
#[doc = include_str!("../README.md")]
struct Readme;
