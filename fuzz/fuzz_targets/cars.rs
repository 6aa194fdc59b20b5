//! Cars3D.

#![no_main]

use betavae_fuzz::{official, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| with_file("nips2015-analogy-data.tar.gz", data, official));
