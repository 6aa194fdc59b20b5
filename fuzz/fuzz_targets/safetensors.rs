//! Models in safetensors files.

#![no_main]

use betavae::Device;
use betavae::checkpoint::Trained;
use betavae_fuzz::with_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    with_file("model.safetensors", data, |path| drop(Trained::load(path, &Device::flex())));
});
