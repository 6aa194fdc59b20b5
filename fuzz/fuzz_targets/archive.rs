//! Archives of images, zip or tar.

#![no_main]

use betavae_fuzz::{opened, with_file};
use libfuzzer_sys::fuzz_target;

// The content tells a zip from a tar archive, whatever the name says.
fuzz_target!(|data: &[u8]| with_file("images.tar", data, opened));
