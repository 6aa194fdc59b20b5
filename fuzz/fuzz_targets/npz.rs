//! Arrays of numbers in NumPy files.

#![no_main]

use betavae::npz::read_f32;
use betavae_fuzz::with_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    with_file("codes.npz", data, |path| drop(read_f32(path, "mean")));
});
