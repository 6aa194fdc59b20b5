//! Programs of the inference runtime.

#![no_main]

use betavae_infer::Program;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| drop(Program::from_bytes(data)));
