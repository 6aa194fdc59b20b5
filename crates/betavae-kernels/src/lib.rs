//! Fused CPU operators for convolutional variational autoencoders.
#![allow(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod activation;
mod contract;
mod elementwise;
mod geometry;
mod math;
mod reduce;
mod simd;
mod stack;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;
mod weight_gradient;

pub use activation::{Activation, Window};
pub use elementwise::Nll;
pub use simd::{Level, checked_level, level};
pub use stack::Layer;
