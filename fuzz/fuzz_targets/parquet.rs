//! Images in Parquet files.

#![no_main]

use betavae_fuzz::{allow, caught, opened, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        caught("/parquet-");
        // The crate reserves, but does not touch, what the header of a page claims.
        allow(1 << 31);
    },
    |data: &[u8]| with_file("images.parquet", data, opened)
);
