//! The files below a folder.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};

/// All files in and below `folder` that are `wanted`, relative to it, in the order of their bytes.
pub(super) fn find(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    // Links are followed, but no folder is visited twice.
    let mut visited = HashSet::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let absolute = folder.join(&relative);
        if !visited.insert(absolute.canonicalize().context("read", &absolute)?) {
            continue;
        }
        let mut folders = Vec::new();
        for entry in fs::read_dir(&absolute).context("read", &absolute)? {
            let name = entry.context("read", &absolute)?.file_name();
            let path = relative.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match fs::metadata(folder.join(&path)) {
                Ok(metadata) if metadata.is_dir() => folders.push(path),
                Ok(metadata) if metadata.is_file() && wanted(&path) => files.push(path),
                // A dangling link, reported when it is opened.
                Err(_) if wanted(&path) => files.push(path),
                _ => {}
            }
        }
        folders.sort_by(|a, b| b.cmp(a));
        pending.extend(folders);
    }
    files.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(files)
}
