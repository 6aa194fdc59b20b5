//! Image files of every format.

#![no_main]

use betavae_fuzz::{opened, with_files};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 6] = ["0.png", "0.jpg", "0.gif", "0.webp", "0.tiff", "0.bmp"];

// The first byte chooses the ending.
fuzz_target!(|data: &[u8]| {
    let Some((name, content)) = data.split_first() else { return };
    with_files(&[(NAMES[usize::from(*name) % NAMES.len()], content)], opened);
});
