#![no_main]

use betavae::scores::{read_codes, read_factors};
use betavae_fuzz::with_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    with_file("x.csv", data, |path| {
        let _ = read_codes(path);
        let _ = read_factors(path);
    });
});
