//! The files below a folder.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::{Error, Result};

/// All files in and below `folder` that are `wanted`, relative to it, in the order of their bytes.
pub(super) fn find(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    // Links are followed, but no folder is visited twice; one that cannot be resolved is an error below.
    let mut visited = HashSet::new();
    let enter = |entry: &DirEntry| match entry.file_type().is_dir() {
        true if entry.depth() > 0 && is_hidden(entry.path()) => false,
        true => entry.path().canonicalize().map_or(true, |path| visited.insert(path)),
        false => true,
    };
    let all = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    for entry in all.into_iter().filter_entry(enter) {
        let path = match entry {
            Ok(entry) if entry.file_type().is_file() => entry.into_path(),
            Ok(_) => continue,
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                if error.depth() == 0 || path.is_dir() {
                    let source = error.into_io_error().unwrap_or(ErrorKind::Other.into());
                    return Err(Error::io("read", path, source));
                }
                // A dangling link, reported when it is opened.
                path
            }
        };
        let relative = path.strip_prefix(folder).unwrap_or(&path);
        if !is_hidden(relative) && wanted(relative) {
            files.push(relative.to_owned());
        }
    }
    files.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(files)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap_or(OsStr::new("")).as_encoded_bytes().starts_with(b".")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_once_and_what_is_hidden_is_left_out() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for folder in ["set/b/deep", "set/.cache", "elsewhere"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in
            ["set/c.png", "set/b/deep/1.png", "set/b/.2.png", "set/.cache/3.png", "elsewhere/4.png"]
        {
            fs::write(at(file), "").unwrap();
        }
        fs::write(at("set/notes.txt"), "").unwrap();
        for (target, link) in [
            ("../elsewhere", "set/linked"),
            // A second way to the same folder, and a loop.
            ("b", "set/again"),
            ("../..", "set/b/deep/up"),
            ("nowhere.png", "set/dangling.png"),
            ("nowhere", "set/.#lock.png"),
            ("c.png", "set/copy.png"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let is_picture = |path: &Path| path.extension().is_some_and(|ending| ending == "png");
        let found = find(&at("set"), &is_picture).unwrap();
        // `again` comes before `b`, so the folder is known by that name.
        let expected = ["again/deep/1.png", "c.png", "copy.png", "dangling.png", "linked/4.png"];
        assert_eq!(found, expected.map(PathBuf::from));
        let error = find(&at("missing"), &is_picture).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }
}
