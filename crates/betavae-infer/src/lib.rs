//! The inference runtime: a trained encoder and decoder as a [`Program`], which runs on the kernels of
//! `betavae-kernels` and needs no tensor library.
//!
//! `program` holds the graph and runs it; `format` writes it to the file `model.bvae` and reads it
//! back. Nothing here trains: the library `betavae` makes programs from its models. The crate
//! `betavae-web` compiles this one for the browser.

mod format;
mod program;

pub use betavae_kernels::{Activation, ConvOptions, Layer};
pub use program::{DecoderOutput, InvalidProgram, Op, Program};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
