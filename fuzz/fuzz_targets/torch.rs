//! Checkpoints of PyTorch programs.

#![no_main]

use betavae::Device;
use betavae::torch::{ImportOptions, import};
use betavae_fuzz::{caught, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: caught("/pytorch-reader-"),
    |data: &[u8]| with_file("model.pt", data, |path| {
        drop(import(path, &ImportOptions::default(), &Device::flex()));
    })
);
