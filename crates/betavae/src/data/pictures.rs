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
use super::reader::{Images, Opened};
use super::stored::{Opening, Stored};
use super::{Factors, ImageShape, labels};
use crate::error::{Error, Result};
use decode::is_image;
pub(super) use decode::{Header, decode_bytes, read_header};
pub(super) use geometry::Geometry;
use geometry::sides;

/// Tables of factors that are found by themselves.
const TABLES: [&str; 2] = ["factors.csv", "labels.csv"];

/// Whether [`open`] is the reader for `path`: a folder, an archive, or a single image file.
pub(super) fn reads(path: &Path) -> bool {
    path.is_dir() || is_image(path) || is_tar(path) || (has_extension(path, "zip") && !is_npz(path))
}

/// Opens all images in and below the folder `path`, where hidden files are skipped, in the archive or
/// archives at `path`, or the one image file `path`; nothing if there is none.
pub(super) fn open(path: &Path, opening: &mut Opening<'_>) -> Result<Option<Stored>> {
    let Some(Pictures { bundle, factors }) = find(path, opening.config.labels.as_deref())? else {
        return Ok(None);
    };
    let names: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    let parts = if path.is_dir() { bundle.parts() } else { Vec::new() };
    let stored = load(path, &parts, Box::new(Files { bundle, done: 0 }), factors, opening)?;
    let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let slash = if path.is_dir() { "/" } else { "" };
    let about = format!("from {}{slash}", file_name.trim_end_matches('/'));
    Ok(Some(Stored { about, files: names, ..stored }))
}

/// Encoded images in their order.
pub(super) trait Encoded: Send {
    /// Number of images.
    fn len(&self) -> usize;

    /// Reads the headers of all of them.
    fn headers(&mut self) -> Result<Vec<Header>>;

    /// Calls `decode` with place and content of the images that come after those of the last call,
    /// one for each of `images`, from any number of threads.
    fn next(&mut self, images: Vec<&mut [u8]>, decode: &Decode<'_>) -> Result<()>;
}

/// Fills pixels from an image file, whose name is for messages.
pub(super) type Decode<'a> = dyn Fn(&Path, &[u8], &mut [u8]) -> Result<()> + Sync + 'a;

/// Decodes images into a store. `parts` are the files that they lie in, relative to `path`.
pub(super) fn load(
    path: &Path,
    parts: &[PathBuf],
    mut encoded: Box<dyn Encoded>,
    factors: Option<Factors>,
    opening: &mut Opening<'_>,
) -> Result<Stored> {
    let geometry = Geometry::new(path, opening.config)?;
    let channels = opening.config.channels;
    Stored::from_reader(opening, path, parts, |known| {
        let shape = match known {
            Some(shape) => shape,
            None => common_shape(path, &encoded.headers()?, &geometry, channels)?,
        };
        let (about, len) = ("image files".to_owned(), encoded.len());
        let images = Box::new(Decoder { encoded, geometry, shape });
        Ok(Opened { about, len, shape, white: 255, factors, images })
    })
}

/// Images that are decoded when they are asked for.
struct Decoder {
    encoded: Box<dyn Encoded>,
    geometry: Geometry,
    shape: ImageShape,
}

impl Images for Decoder {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        let Self { encoded, geometry, shape } = self;
        let decode = |place: &Path, content: &[u8], pixels: &mut [u8]| {
            let image = geometry.apply(place, decode_bytes(place, content)?, *shape)?;
            if image.len() != pixels.len() {
                return Err(Error::file(place, "the file changed while it was read"));
            }
            pixels.copy_from_slice(&image);
            Ok(())
        };
        encoded.next(bytes.chunks_exact_mut(shape.values()).collect(), &decode)
    }
}

/// The files of a bundle as images of one shape.
pub(super) fn images(bundle: Bundle, geometry: Geometry, shape: ImageShape) -> Box<dyn Images> {
    Box::new(Decoder { encoded: Box::new(Files { bundle, done: 0 }), geometry, shape })
}

/// The files of a bundle, and how many of them are decoded.
struct Files {
    bundle: Bundle,
    done: usize,
}

impl Encoded for Files {
    fn len(&self) -> usize {
        self.bundle.len()
    }

    fn headers(&mut self) -> Result<Vec<Header>> {
        let bundle = &self.bundle;
        let header = |index| read_header(bundle.place(index), bundle.open(index)?);
        (0..bundle.len()).into_par_iter().map(header).collect()
    }

    fn next(&mut self, images: Vec<&mut [u8]>, decode: &Decode<'_>) -> Result<()> {
        let (bundle, first) = (&self.bundle, self.done);
        self.done += images.len();
        images.into_par_iter().enumerate().try_for_each(|(i, pixels)| {
            decode(&bundle.place(first + i), &bundle.read(first + i)?, pixels)
        })
    }
}

/// Image files and what is known about them.
struct Pictures {
    bundle: Bundle,
    factors: Option<Factors>,
}

/// The images at `path`; `table` is a table of factors that was asked for.
fn find(path: &Path, table: Option<&Path>) -> Result<Option<Pictures>> {
    let shown = |name: &Path| !name.iter().any(is_hidden);
    let mut bundle = if is_image(path) && !path.is_dir() {
        Bundle::file(path)
    } else if path.is_dir() {
        let images = Bundle::folder(path, is_image)?;
        if images.len() == 0 {
            let shards = Bundle::folder(path, is_tar)?;
            let shards: Vec<PathBuf> = shards.names().map(Path::to_owned).collect();
            if shards.is_empty() {
                return Ok(None);
            }
            return samples::open(Bundle::shards(path, &shards, shown)?).map(Some);
        }
        images
    } else {
        let all = Bundle::archive(path, shown)?;
        if is_tar(path) && table.is_none() && samples::has_labels(&all) {
            return samples::open(all).map(Some);
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
        return Ok(None);
    }
    let names: Vec<PathBuf> = bundle.names().map(Path::to_owned).collect();
    let factors = match (beside, inside) {
        (Some(table), _) => Some(labels::of_files(&table, None, &names)?),
        (None, Some((table, content))) => Some(labels::of_files(&table, Some(&content), &names)?),
        (None, None) => None,
    };
    Ok(Some(Pictures { bundle, factors }))
}

/// The shape that all images get, from their headers.
fn common_shape(
    path: &Path,
    headers: &[Header],
    geometry: &Geometry,
    channels: Option<usize>,
) -> Result<ImageShape> {
    let mut first: Option<(&Header, [usize; 2])> = None;
    for header in headers {
        let size = geometry.target(&header.place, header.size)?;
        let (other, expected) = *first.get_or_insert((header, size));
        if size != expected {
            let name = |header: &Header| {
                let place = header.place.strip_prefix(path).unwrap_or(&header.place);
                place.display().to_string()
            };
            let reason = format!(
                "the images differ in size: {} is {}, {} is {}",
                name(other),
                sides(expected),
                name(header),
                sides(size)
            );
            let hint = "bring them to one size with `--set data.size=[64,64]`";
            return Err(Error::file_hint(path, reason, hint));
        }
    }
    let [height, width] = first.map_or([0, 0], |(_, size)| size);
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

#[cfg(test)]
mod tests;
