//! The MATLAB files of Cars3D.

#![no_main]

use betavae_fuzz::{official, with_files};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| with_files(&[("car_001_mesh.mat", data)], official));
