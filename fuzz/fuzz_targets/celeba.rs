//! CelebA.

#![no_main]

use betavae_fuzz::{official, with_files};
use libfuzzer_sys::fuzz_target;

// The first byte divides the rest into the archive and the list of attributes.
fuzz_target!(|data: &[u8]| {
    let Some((at, rest)) = data.split_first() else { return };
    let (images, list) = rest.split_at(rest.len() * usize::from(*at) / 255);
    let files = [("img_align_celeba.zip", images), ("list_attr_celeba.txt", list)];
    with_files(&files, |folder| official(&folder.join("img_align_celeba.zip")));
});
