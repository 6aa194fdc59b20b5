//! The inference runtime `betavae-infer` as the WASM module of the explorer's page. `exports` has the
//! functions that the page calls; they exist only where the target is WASM. Rust programs depend on
//! `betavae-infer` instead.

#[cfg(target_arch = "wasm32")]
mod exports;

pub use betavae_infer::Program;
