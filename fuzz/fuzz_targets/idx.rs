//! Files of MNIST.

#![no_main]

use betavae_fuzz::{official, with_files};
use libfuzzer_sys::fuzz_target;

// The first byte divides the rest into images and labels.
fuzz_target!(|data: &[u8]| {
    let Some((at, rest)) = data.split_first() else { return };
    let (images, labels) = rest.split_at(rest.len() * usize::from(*at) / 255);
    let files = [("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)];
    with_files(&files, |folder| official(folder));
});
