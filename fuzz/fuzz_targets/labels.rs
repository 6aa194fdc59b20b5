//! Tables of labels beside images.

#![no_main]

use betavae_fuzz::{opened, with_files};
use libfuzzer_sys::fuzz_target;

const PIXEL: &[u8] = include_bytes!("../seeds/pixel.png");
const NAMES: [&str; 4] = ["factors.csv", "labels.tsv", "metadata.csv", "metadata.jsonl"];

// The first byte chooses the name of the table, the rest is about two images in folders.
fuzz_target!(|data: &[u8]| {
    let Some((name, content)) = data.split_first() else { return };
    let table = (NAMES[usize::from(*name) % NAMES.len()], content);
    with_files(&[("a.png", PIXEL), ("b.png", PIXEL), table], opened);
});
