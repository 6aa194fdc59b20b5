//! What prevents a file from being written: the folder it is to be in.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::words::quoted;

/// The operating system's error, without the name of a temporary file that the crate `tempfile` adds.
pub(super) fn without_temporary_name(error: io::Error) -> io::Error {
    let text = error.get_ref().map(ToString::to_string).unwrap_or_default();
    match text.rsplit_once(" at path ") {
        Some((reason, _)) => io::Error::new(error.kind(), reason.to_owned()),
        None => error,
    }
}

/// Why `path` cannot be written, with a hint, if its folder or its own protection is the reason.
pub(super) fn obstacle(action: &str, path: &Path, kind: ErrorKind) -> Option<(String, String)> {
    if !matches!(action, "create" | "write" | "rename" | "delete") {
        return None;
    }
    let elsewhere = "write to another place";
    let parent = named(path.parent()?);
    // A folder that is there is itself what must take new files.
    let folder = if path.is_dir() { path.to_owned() } else { nearest(&parent) };
    match kind {
        ErrorKind::NotFound if !parent.exists() => Some((
            format!("the folder `{}` does not exist", parent.display()),
            format!("`mkdir -p {}` makes the folder; or {elsewhere}", quoted(&parent)),
        )),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists if !folder.is_dir() => {
            Some((format!("`{}` is a file, not a folder", folder.display()), elsewhere.to_owned()))
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            let protected = path.is_file()
                && path.metadata().is_ok_and(|metadata| metadata.permissions().readonly());
            let reason = match protected {
                true => "it is write-protected".to_owned(),
                false => {
                    format!("the folder `{}` is not writable", folder.display())
                }
            };
            let what = if protected { path } else { &folder };
            let hint = match kind {
                ErrorKind::ReadOnlyFilesystem => format!("its disk is read-only: {elsewhere}"),
                _ => format!("`chmod u+w {}` if it is yours; or {elsewhere}", quoted(what)),
            };
            Some((reason, hint))
        }
        _ => None,
    }
}

/// A folder in words: the current one has an empty name.
fn named(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
}

/// The nearest of a folder and those it is in that exists.
fn nearest(folder: &Path) -> PathBuf {
    let mut nearest = named(folder);
    while !nearest.exists() {
        match nearest.parent() {
            Some(parent) => nearest = named(parent),
            None => break,
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_atomically;

    #[test]
    fn the_folder_that_is_missing_is_named_and_no_temporary_file() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("my runs/a/codes.csv");
        let error = write_atomically(&path, b"").unwrap_err();
        let folder = scratch.path().join("my runs/a");
        let said = error.to_string();
        assert!(
            said.contains(&format!("the folder `{}` does not exist", folder.display())),
            "{said}"
        );
        assert!(!said.contains(".tmp-"), "{said}");
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("mkdir -p '{}'", folder.display())), "{hint}");

        let file = scratch.path().join("file");
        write_atomically(&file, b"").unwrap();
        let said = write_atomically(&file.join("codes.csv"), b"").unwrap_err().to_string();
        assert!(said.contains("file` is a file, not a folder"), "{said}");
    }

    #[test]
    fn folders_that_are_not_writable_are_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a/b/x.npz");
        let (reason, hint) = obstacle("create", &path, ErrorKind::PermissionDenied).unwrap();
        let folder = scratch.path().display();
        assert_eq!(reason, format!("the folder `{folder}` is not writable"));
        assert!(hint.contains(&format!("chmod u+w {folder}`")), "{hint}");
        let run = scratch.path().join("run");
        std::fs::create_dir(&run).unwrap();
        let (reason, _) = obstacle("create", &run, ErrorKind::PermissionDenied).unwrap();
        assert!(reason.contains(&format!("the folder `{}` is not", run.display())), "{reason}");
        let (_, hint) = obstacle("write", &path, ErrorKind::ReadOnlyFilesystem).unwrap();
        assert!(hint.contains("read-only"), "{hint}");
        assert_eq!(obstacle("read", &path, ErrorKind::PermissionDenied), None);
        assert_eq!(obstacle("write", &path, ErrorKind::StorageFull), None);
    }

    #[test]
    fn other_errors_lose_the_name_of_the_temporary_file_only() {
        let missing = Path::new("no/such/folder");
        let error = tempfile::Builder::new().prefix(".tmp-").tempfile_in(missing).unwrap_err();
        assert!(error.to_string().contains(".tmp-"));
        let error = without_temporary_name(error);
        assert!(!error.to_string().contains(".tmp-"), "{error}");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
