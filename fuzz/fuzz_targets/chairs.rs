//! 3D Chairs.

#![no_main]

use betavae_fuzz::{official, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| with_file("rendered_chairs.tar", data, official));
