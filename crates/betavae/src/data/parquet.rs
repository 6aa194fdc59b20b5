//! Parquet files with a column of encoded images, as the Hugging Face hub has them: a structure of
//! `bytes` and `path`, or plain binary. Other columns become factors. Here they are recognised; `rows` reads them
//! (cargo feature `formats`).

#[cfg(feature = "formats")]
mod rows;

use std::path::{Path, PathBuf};

use super::bundle::Bundle;
use crate::error::Result;
use crate::files::extension_of;
#[cfg(feature = "formats")]
pub(super) use rows::open;

/// Whether `path` is a Parquet file or a folder that has some.
pub(super) fn reads(path: &Path) -> bool {
    is_parquet(path) || (path.is_dir() && files(path).is_ok_and(|files| !files.is_empty()))
}

fn is_parquet(path: &Path) -> bool {
    extension_of(path) == "parquet"
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(Bundle::folder(folder, is_parquet)?.names().map(Path::to_owned).collect())
}

/// Stands for the reader in builds without it.
#[cfg(not(feature = "formats"))]
pub(super) fn open(
    path: &Path,
    _: &mut super::stored::OpenContext<'_>,
) -> Result<super::stored::StoredDataset> {
    Err(crate::error::Error::needs_formats(path, "Parquet files"))
}
