#![no_main]

use betavae::data::open_name_or_path;
use betavae_fuzz::with_file;
use libfuzzer_sys::fuzz_target;

// The content tells a zip from a tar archive, whatever the name says.
fuzz_target!(|data: &[u8]| {
    with_file("images.tar", data, |path| {
        drop(path.to_str().map(|path| open_name_or_path(path, 1)));
    });
});
