//! Files of SmallNORB.

#![no_main]

use betavae_fuzz::{official, with_files};
use libfuzzer_sys::fuzz_target;

// The first two bytes divide the rest into images, categories and the other factors.
fuzz_target!(|data: &[u8]| {
    let [a, b, rest @ ..] = data else { return };
    let (images, rest) = rest.split_at(rest.len() * usize::from(*a) / 255);
    let (categories, info) = rest.split_at(rest.len() * usize::from(*b) / 255);
    let files = [
        ("smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat", images),
        ("smallnorb-5x46789x9x18x6x2x96x96-training-cat.mat", categories),
        ("smallnorb-5x46789x9x18x6x2x96x96-training-info.mat", info),
    ];
    with_files(&files, |folder| official(folder));
});
