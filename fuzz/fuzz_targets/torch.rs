#![no_main]

use betavae::Device;
use betavae::torch::{ImportOptions, import};
use betavae_fuzz::with_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    with_file("model.pt", data, |path| {
        drop(import(path, &ImportOptions::default(), &Device::flex()));
    });
});
