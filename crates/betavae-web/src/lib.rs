//! A trained model as a [`Program`]: the layers of encoder and decoder in order, with their weights,
//! and nothing else. It runs on the kernels of `betavae-kernels` alone, so it is small enough for a
//! web page, whose functions are in `exports`.

#[cfg(target_arch = "wasm32")]
mod exports;
mod program;
mod words;

pub use betavae_kernels::{Activation, Layer, Window};
pub use program::{Output, Program, Step};
pub use words::Malformed;
