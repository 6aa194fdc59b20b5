//! Tables of codes and factors.

#![no_main]

use betavae::scores::CodesAndFactors;
use betavae_fuzz::with_file;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 4] = ["x.csv", "x.txt", "x.jsonl", "x.json"];

// The first byte chooses the ending. Codes and factors are the same table, so that rows are joined too.
fuzz_target!(|data: &[u8]| {
    let Some((name, content)) = data.split_first() else { return };
    with_file(NAMES[usize::from(*name) % NAMES.len()], content, |path| {
        drop(CodesAndFactors::read(path, &[], path));
    });
});
