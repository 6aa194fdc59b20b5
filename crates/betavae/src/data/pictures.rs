//! PNG and JPEG files as images of one shape, whether they lie in a folder, in a zip or tar archive, or
//! in WebDataset shards.
//!
//! Files are cut, resized and converted to 8 bits when they are opened, see [`Geometry`]. Orientation
//! tags and colour profiles are not applied.

mod decode;
mod geometry;
mod samples;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::bundle::{Bundle, is_npz};
use super::cache::{Entry, Key};
use super::store::Form;
use super::stored::{Opening, Pass, Stored};
use super::{Factors, ImageShape, labels};
use crate::error::{Error, Result};
use crate::npz::Fault;
pub(super) use decode::decode_bytes;
use decode::{Header, is_image, read_header};
pub(super) use geometry::Geometry;
use geometry::sides;

/// Tables of factors that are found by themselves.
const TABLES: [&str; 2] = ["factors.csv", "labels.csv"];

/// Whether [`open`] is the reader for `path`: a folder, an archive, or a single image file.
pub(super) fn reads(path: &Path) -> bool {
    path.is_dir() || is_image(path) || is_tar(path) || (has_extension(path, "zip") && !is_npz(path))
}

/// Reads all images in and below the folder `path`, where hidden files are skipped, in the archive or
/// archives at `path`, or the one image file `path`.
pub(super) fn open(path: &Path, opening: &mut Opening<'_>) -> Result<Stored> {
    let geometry = Geometry::new(path, opening.config)?;
    let Pictures { bundle, factors } = find(path, opening.config.labels.as_deref())?;
    let key = Key::new(path, &bundle.parts(), opening.config)?;
    let (store, facts) = match opening.cache.find(&key) {
        Some(Entry { store: Some(store), facts, form }) if form.len == bundle.len() => {
            (store, facts)
        }
        _ => {
            let shape = common_shape(path, &bundle, &geometry, opening.config.channels)?;
            let form = Form::bytes(bundle.len(), shape);
            let mut next = 0;
            let mut fill = |bytes: &mut [u8]| {
                let images = bytes.par_chunks_exact_mut(shape.values()).enumerate();
                images.try_for_each(|(i, pixels)| {
                    let place = bundle.place(next + i);
                    let image = decode_bytes(&place, &bundle.read(next + i)?)?;
                    let image = geometry.apply(&place, image, shape)?;
                    if image.len() != pixels.len() {
                        return Err(Error::file(&place, "the file changed while it was read"));
                    }
                    pixels.copy_from_slice(&image);
                    Ok(())
                })?;
                next += bytes.len() / shape.values();
                Ok(())
            };
            let blame = |fault: Fault| fault.at(path);
            Pass { form, fill: &mut fill, blame: &blame }.prepare(opening, &key)?
        }
    };
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let slash = if path.is_dir() { "/" } else { "" };
    Ok(Stored {
        name: path.display().to_string(),
        about: format!("from {}{slash}", file_name.trim_end_matches('/')),
        store,
        white: 255,
        sha256: facts.sha256,
        factors,
        files: bundle.names().map(Path::to_owned).collect(),
    })
}

/// Image files and what is known about them.
struct Pictures {
    bundle: Bundle,
    factors: Option<Factors>,
}

/// The images at `path`; `table` is a table of factors that was asked for.
fn find(path: &Path, table: Option<&Path>) -> Result<Pictures> {
    let shown = |name: &Path| !name.iter().any(is_hidden);
    let mut bundle = if is_image(path) && !path.is_dir() {
        Bundle::file(path)
    } else if path.is_dir() {
        let images = Bundle::folder(path, is_image)?;
        if images.len() == 0 {
            let shards = Bundle::folder(path, is_tar)?;
            let shards: Vec<PathBuf> = shards.names().map(Path::to_owned).collect();
            if shards.is_empty() {
                return Err(none(path));
            }
            return samples::open(Bundle::shards(path, &shards, shown)?);
        }
        images
    } else {
        let all = Bundle::archive(path, shown)?;
        if is_tar(path) && table.is_none() && samples::has_labels(&all) {
            return samples::open(all);
        }
        all
    };
    let beside = match table {
        Some(table) => Some(labels::beside(path, table)),
        None => TABLES.iter().map(|name| path.join(name)).find(|table| table.is_file()),
    };
    let inside = TABLES.iter().find_map(|table| {
        bundle.names().position(|name| name == Path::new(table)).map(|index| (table, index))
    });
    let inside = match inside {
        Some((table, index)) => Some((path.join(table), bundle.read(index)?)),
        None => None,
    };
    let images: Vec<bool> = bundle.names().map(is_image).collect();
    bundle.keep(|position| images[position]);
    bundle.sort()?;
    if bundle.len() == 0 {
        return Err(none(path));
    }
    let names: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    let factors = match (beside, inside) {
        (Some(table), _) => Some(labels::of_files(&table, None, &names)?),
        (None, Some((table, content))) => Some(labels::of_files(&table, Some(&content), &names)?),
        (None, None) => None,
    };
    Ok(Pictures { bundle, factors })
}

/// The shape that all images get, from their headers.
fn common_shape(
    path: &Path,
    bundle: &Bundle,
    geometry: &Geometry,
    channels: Option<usize>,
) -> Result<ImageShape> {
    let header = |index| read_header(&bundle.place(index), bundle.open(index)?);
    let headers = (0..bundle.len()).into_par_iter().map(header).collect::<Result<Vec<Header>>>()?;
    let mut first: Option<[usize; 2]> = None;
    for (index, header) in headers.iter().enumerate() {
        let size = geometry.target(&bundle.place(index), header.size)?;
        let expected = *first.get_or_insert(size);
        if size != expected {
            let reason = format!(
                "the images differ in size: {} is {}, {} is {}",
                bundle.name(0).display(),
                sides(expected),
                bundle.name(index).display(),
                sides(size)
            );
            let hint = "bring them to one size with `--set data.size=[64,64]`";
            return Err(Error::file_hint(path, reason, hint));
        }
    }
    let [height, width] = first.unwrap_or_default();
    let all_grey = headers.iter().all(|header| header.grey);
    Ok(ImageShape::new(height, width, channels.unwrap_or(if all_grey { 1 } else { 3 })))
}

fn is_tar(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|end| name.ends_with(end))
}

fn has_extension(path: &Path, expected: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(expected))
}

/// Files that systems leave in archives.
fn is_hidden(part: &OsStr) -> bool {
    part.as_encoded_bytes().starts_with(b".") || part == "__MACOSX"
}

fn none(path: &Path) -> Error {
    let place = if path.is_dir() { "it or its subfolders" } else { "it" };
    let kinds = ".png, .jpg or .jpeg files";
    Error::file(path, format!("no image found: expected {kinds} in {place}"))
}

#[cfg(test)]
mod tests;
