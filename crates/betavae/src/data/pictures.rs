//! Image files as images of one shape, whether they lie in a folder, in a zip or tar archive, or in
//! WebDataset shards.
//!
//! `find` knows which files are images and which labels belong to them, `load` makes one shape of them, and
//! `decode` knows their formats.

mod decode;
mod find;
mod load;
mod samples;

use std::path::{Path, PathBuf};

use super::bundle::{Bundle, is_npz};
use super::labels::FoundLabels;
use super::stored::{OpenContext, StoredDataset};
use crate::error::Result;
use crate::files::extension_of;
pub(super) use decode::is_image;
#[cfg(feature = "formats")]
pub(super) use decode::{ImageHeader, read_header};
#[cfg(feature = "formats")]
pub(super) use load::Decode;
pub(super) use load::{EncodedImages, ImageFiles, load};

/// Whether [`open`] is the reader for `path`: a folder, an archive, or a single image file.
pub(super) fn reads(path: &Path) -> bool {
    path.is_dir()
        || is_image(path)
        || is_tar(path)
        || (extension_of(path) == "zip" && !is_npz(path))
}

/// Whether there are image files, or archives that may have some, in and below a folder.
pub(super) fn has_any(folder: &Path) -> Result<bool> {
    Ok(Bundle::folder(folder, |name| is_image(name) || is_tar(name))?.len() > 0)
}

/// Opens all images in and below the folder `path`, where hidden files are skipped, in the archive or
/// archives at `path`, or the one image file `path`.
///
/// # Errors
/// If there is no image, or one cannot be decoded.
pub(super) fn open(path: &Path, opening: &mut OpenContext<'_>) -> Result<StoredDataset> {
    let find::Pictures { bundle, labels } = find::find(path, opening)?;
    let parts = if path.is_dir() { bundle.parts() } else { Vec::new() };
    let make = || Ok(Box::new(ImageFiles(bundle.clone())) as Box<dyn EncodedImages>);
    let (stored, kept) = load(path, &parts, &make, None, opening)?;
    let names: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    let files = kept.select(names);
    let FoundLabels { factors, notes } = labels;
    let factors = factors.map(|factors| kept.select_factors(factors));
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let slash = if path.is_dir() { "/" } else { "" };
    let about = format!("from {}{slash}", file_name.trim_end_matches('/'));
    let notes = stored.notes.into_iter().chain(notes).collect();
    Ok(StoredDataset { about, files, factors, notes, ..stored })
}

fn is_tar(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests;
