//! HDF5 files of images.

#![no_main]

use betavae_fuzz::{official, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| with_file("3dshapes.h5", data, official));
