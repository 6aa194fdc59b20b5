//! Stands for `tar_archive` in builds without the cargo feature `formats`: whatever is not a zip archive is refused.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Takes name, offset and size of a file.
type Push<'a> = &'a mut dyn FnMut(PathBuf, u64, u64) -> Result<()>;

pub(super) fn list(
    path: &Path,
    _: &mut File,
    _: &dyn Fn(&Path) -> bool,
    _: Push<'_>,
) -> Result<()> {
    Err(Error::needs_formats(path, OTHERS))
}

pub(super) fn unpack(path: &Path, _: File, _: &dyn Fn(&Path) -> bool, _: Push<'_>) -> Result<File> {
    Err(Error::needs_formats(path, OTHERS))
}

/// A damaged zip archive may have come here as well.
const OTHERS: &str = "archives other than zip";
