//! What the targets share: bytes become files of an official name.

use std::fs;
use std::path::Path;

use betavae::data::{DataConfig, read_all};

/// Calls `read` with the path of a file of this name and content, in a folder of its own.
pub fn with_file(name: &str, content: &[u8], read: impl FnOnce(&Path)) {
    with_files(&[(name, content)], |folder| read(&folder.join(name)));
}

/// Calls `read` with a folder that holds these files.
pub fn with_files(files: &[(&str, &[u8])], read: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("a temporary file");
    }
    read(folder.path());
}

/// Reads an official file; errors are fine, everything else is not.
pub fn official(path: &Path) {
    let config = DataConfig { size: Some([8, 8]), ..DataConfig::default() };
    let _ = read_all(path, &config);
}
