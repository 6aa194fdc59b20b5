//! Encoded images of any size as prepared pixels of one shape.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::super::bundle::Bundle;
use super::super::cache::CacheEntry;
use super::super::geometry::{Geometry, sides};
use super::super::reader::{ImageReader, OpenedImages, ReaderSummary};
use super::super::stored::{OpenContext, StoredDataset};
use super::super::{Background, Factors, ImageShape};
use super::decode::{ImageHeader, decode, read_header};
use crate::error::{Error, Result, in_order};
use crate::words::{counted, thousands};

/// Damaged files that a message names.
const NAMED: usize = 10;

/// Encoded images in their order.
pub(in crate::data) trait EncodedImages: Send {
    /// Number of images.
    fn len(&self) -> usize;

    /// Reads the headers of all of them.
    fn headers(&mut self) -> Result<Vec<Result<ImageHeader>>>;

    /// Calls `decode` with the content of the images at `positions`, which rise and come after those of the
    /// last call, one for each of `pixels`, from any number of threads.
    fn next(
        &mut self,
        positions: &[usize],
        pixels: Vec<&mut [u8]>,
        decode: &Decode<'_>,
    ) -> Result<()>;
}

/// Fills pixels from position, place for messages, and content of an image file, if it could be read.
pub(in crate::data) type Decode<'a> =
    dyn Fn(usize, &Path, Result<&[u8]>, &mut [u8]) -> Result<()> + Sync + 'a;

/// The files of a bundle.
pub(in crate::data) struct ImageFiles(pub(in crate::data) Bundle);

impl EncodedImages for ImageFiles {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn headers(&mut self) -> Result<Vec<Result<ImageHeader>>> {
        let bundle = &self.0;
        let header = |index| read_header(bundle.place(index), bundle.open(index)?);
        Ok((0..bundle.len()).into_par_iter().map(header).collect())
    }

    fn next(
        &mut self,
        positions: &[usize],
        pixels: Vec<&mut [u8]>,
        decode: &Decode<'_>,
    ) -> Result<()> {
        let bundle = &self.0;
        let images = positions.par_iter().zip(pixels).map(|(position, pixels)| {
            let content = bundle.read(*position);
            decode(
                *position,
                &bundle.place(*position),
                content.as_deref().map_err(copy_of_error),
                pixels,
            )
        });
        in_order(images).map(drop)
    }
}

/// A copy of an error, because the caller keeps the original to report it.
fn copy_of_error(error: &Error) -> Error {
    let reason = error.to_string();
    Error::file_hint("", reason, error.hint().unwrap_or_default())
}

/// Which images of a source are in a data set, by the positions of those that are not.
pub(in crate::data) struct KeptImages(Vec<usize>);

impl KeptImages {
    /// What belongs to the images that are kept.
    pub(in crate::data) fn select<T>(&self, of_all: Vec<T>) -> Vec<T> {
        let mut position = 0..;
        let kept = |_: &T| position.next().is_some_and(|i| self.0.binary_search(&i).is_err());
        let mut kept_only = of_all;
        kept_only.retain(kept);
        kept_only
    }

    /// The factors of the images that are kept.
    pub(in crate::data) fn select_factors(&self, factors: Factors) -> Factors {
        match self.0.is_empty() {
            true => factors,
            false => factors.select(&self.select((0..factors.len()).collect())),
        }
    }
}

/// Decodes images into a store. `parts` are the files that they lie in, relative to `path`; `make` opens
/// them. Images get the size and the channels of `usual` where the configuration leaves them open.
///
/// # Errors
/// If images are damaged and `data.skip_damaged` is not set, or their shapes differ.
pub(in crate::data) fn load(
    path: &Path,
    parts: &[PathBuf],
    make: &dyn Fn() -> Result<Box<dyn EncodedImages>>,
    usual: Option<ImageShape>,
    opening: &mut OpenContext<'_>,
) -> Result<(StoredDataset, KeptImages)> {
    let config = opening.config;
    let geometry = Geometry::new(config)?;
    let geometry = geometry.or_size(usual.map(|shape| [shape.height, shape.width]));
    let background = config.background.unwrap_or_default();
    let mut left_out = Vec::new();
    // A second pass leaves out the images that the first one found damaged.
    loop {
        let damage = DamagedImages::default();
        let mut encoded = make()?;
        let images = encoded.len();
        let stored = StoredDataset::from_reader(opening, path, parts, |known| {
            let mut report = HeaderSummary::default();
            let shape = match (known, usual) {
                (Some(CacheEntry { form, facts, .. }), _) => {
                    left_out.clone_from(&facts.ending.left_out);
                    form.shape
                }
                (None, Some(usual)) => {
                    let [height, width] = geometry.size_or([usual.height, usual.width]);
                    ImageShape::new(height, width, geometry.channels().unwrap_or(usual.channels))
                }
                (None, None) => {
                    let headers = encoded.headers()?;
                    let headers: Vec<ImageHeader> = headers
                        .into_iter()
                        .enumerate()
                        .filter(|(position, _)| !left_out.contains(position))
                        .filter_map(|(position, header)| match header {
                            Ok(header) => Some(header),
                            Err(error) => {
                                damage.add(position, error);
                                None
                            }
                        })
                        .collect();
                    if headers.is_empty() {
                        damage.check(path, encoded.len())?;
                    }
                    report = HeaderSummary::of(&headers);
                    report.shape(path, &headers, &geometry)?
                }
            };
            // Images without a header are reported at the end, together with those that fail to decode.
            let damaged = damage.positions();
            let is_kept =
                |position: &usize| !left_out.contains(position) && !damaged.contains(position);
            let kept: Vec<usize> = (0..encoded.len()).filter(is_kept).collect();
            if kept.is_empty() {
                return Err(Error::file(path, "none of its images can be decoded"));
            }
            let (len, about) = (kept.len(), "image files".to_owned());
            let images = Box::new(Decoder {
                path: path.to_owned(),
                encoded,
                geometry: geometry.clone(),
                shape,
                background,
                left_out: left_out.clone(),
                kept,
                done: 0,
                damage: damage.clone(),
                report,
                found: DecodeCounts::default(),
            });
            Ok(OpenedImages { about, len, shape, white: 255, factors: None, images })
        });
        match stored {
            Ok(stored) => {
                let kept = KeptImages(stored.left_out.clone());
                return Ok((stored, kept));
            }
            Err(error) => {
                let damaged = damage.positions();
                left_out.extend(&damaged);
                if !config.skip_damaged || damaged.is_empty() || left_out.len() == images {
                    return Err(error);
                }
                left_out.sort_unstable();
            }
        }
    }
}

/// Images that cannot be decoded, by their positions.
#[derive(Clone, Default)]
struct DamagedImages(Arc<Mutex<Vec<(usize, Error)>>>);

impl DamagedImages {
    fn add(&self, position: usize, error: Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((position, error));
    }

    fn positions(&self) -> Vec<usize> {
        let damaged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        damaged.iter().map(|(position, _)| *position).collect()
    }

    /// One error that names the damaged images.
    fn check(&self, path: &Path, images: usize) -> Result<()> {
        let mut damaged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        damaged.sort_by_key(|(position, _)| *position);
        let hint = "remove, convert or replace what is damaged, or go on without it with `--set \
                    data.skip_damaged=true`";
        match damaged.as_slice() {
            [] => Ok(()),
            [(_, error), ..] if damaged.len() == images && images > 1 => {
                let (count, first) = (counted(images, "image"), relative(path, error));
                let reason = format!("none of its {count} can be read: {first}");
                Err(Error::file_hint(path, reason, error.hint().unwrap_or_default()))
            }
            [(_, Error::File { path, reason, .. })] => {
                Err(Error::file_hint(path, reason.clone(), hint))
            }
            several => {
                let all: Vec<String> =
                    several.iter().take(NAMED).map(|(_, error)| relative(path, error)).collect();
                let more = match several.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!("; and {more} more"),
                };
                let reason = format!(
                    "{} of {} cannot be read: {}{more}",
                    thousands(several.len()),
                    counted(images, "image"),
                    all.join("; ")
                );
                Err(Error::file_hint(path, reason, hint))
            }
        }
    }
}

/// An error about a file in `path` without the path.
fn relative(path: &Path, error: &Error) -> String {
    match error {
        Error::File { path: place, reason, .. } => {
            let place = place.strip_prefix(path).unwrap_or(place);
            let reason = reason.trim_start_matches("cannot decode the image: ");
            format!("{}: {reason}", place.display())
        }
        other => match std::error::Error::source(other) {
            Some(cause) => format!("{other}: {cause}"),
            None => other.to_string(),
        },
    }
}

/// What is known of the images once their headers are read.
#[derive(Default)]
struct HeaderSummary {
    turned: usize,
    notes: Vec<String>,
}

impl HeaderSummary {
    fn of(headers: &[ImageHeader]) -> Self {
        Self { turned: headers.iter().filter(|header| header.turned).count(), notes: Vec::new() }
    }

    /// The shape that all images get.
    fn shape(
        &mut self,
        path: &Path,
        headers: &[ImageHeader],
        geometry: &Geometry,
    ) -> Result<ImageShape> {
        let mut first: Option<(&ImageHeader, [usize; 2])> = None;
        for header in headers {
            let size = geometry.target_size(&header.place, header.size)?;
            let (other, expected) = *first.get_or_insert((header, size));
            if size != expected {
                let name = |header: &ImageHeader| {
                    let place = header.place.strip_prefix(path).unwrap_or(&header.place);
                    place.display().to_string()
                };
                let (smallest, largest) = extent(headers);
                let reason = format!(
                    "the images differ in size: {} is {}, {} is {}; {} from {} to {}",
                    name(other),
                    sides(expected),
                    name(header),
                    sides(size),
                    counted(headers.len(), "image"),
                    sides(smallest),
                    sides(largest),
                );
                let hint = "bring them to one size with `--set 'data.size=[64,64]'`";
                return Err(Error::file_hint(path, reason, hint));
            }
        }
        let [height, width] = first.map_or([0, 0], |(_, size)| size);
        let all_grey = headers.iter().all(|header| header.grey);
        let stored = if all_grey { 1 } else { 3 };
        let shape = ImageShape::new(height, width, geometry.channels().unwrap_or(stored));
        let (smallest, largest) = extent(headers);
        let from = ImageShape::new(smallest[0], smallest[1], stored);
        if smallest == largest {
            self.notes
                .extend(geometry.words(from, shape).map(|words| format!("images are {words}")));
        } else {
            let range = format!("from {} to {}", sides(smallest), sides(largest));
            self.notes
                .push(format!("images {range} are cut and resized to {}", sides([height, width])));
        }
        Ok(shape)
    }
}

/// The smallest and the largest size by area.
fn extent(headers: &[ImageHeader]) -> ([usize; 2], [usize; 2]) {
    let sizes = || headers.iter().map(|header| header.size);
    let area = |size: &[usize; 2]| (size[0] * size[1], size[0]);
    let least = sizes().min_by_key(area).unwrap_or_default();
    (least, sizes().max_by_key(area).unwrap_or_default())
}

/// Images that are decoded when they are asked for.
struct Decoder {
    path: PathBuf,
    encoded: Box<dyn EncodedImages>,
    geometry: Geometry,
    shape: ImageShape,
    background: Background,
    left_out: Vec<usize>,
    /// Positions of the images that are wanted.
    kept: Vec<usize>,
    done: usize,
    damage: DamagedImages,
    report: HeaderSummary,
    found: DecodeCounts,
}

/// Counts of what was changed while images were decoded, for the notes.
#[derive(Default)]
struct DecodeCounts {
    blended: AtomicUsize,
    deep: AtomicUsize,
    /// The largest value of images of 16 bits.
    brightest: AtomicU16,
}

impl ImageReader for Decoder {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        let Self { encoded, geometry, shape, background, damage, found, .. } = self;
        let fill = |position: usize, place: &Path, content: Result<&[u8]>, pixels: &mut [u8]| {
            let image = match content.and_then(|content| decode(place, content, background.0)) {
                Ok(image) => image,
                Err(error) => {
                    let named = match error {
                        Error::File { path, reason, hint } if path.as_os_str().is_empty() => {
                            Error::File { path: place.to_owned(), reason, hint }
                        }
                        other => other,
                    };
                    damage.add(position, named);
                    return Ok(());
                }
            };
            found.blended.fetch_add(usize::from(image.blended), Ordering::Relaxed);
            if let Some(brightest) = image.brightest16 {
                found.deep.fetch_add(1, Ordering::Relaxed);
                found.brightest.fetch_max(brightest, Ordering::Relaxed);
            }
            let size = [image.shape.height, image.shape.width];
            if geometry.target_size(place, size)? != [shape.height, shape.width] {
                return Err(Error::file(place, "the file changed while it was read"));
            }
            if image.shape == *shape {
                pixels.copy_from_slice(&image.pixels);
            } else {
                let fitted = geometry.fit_bytes(place, &image.pixels, image.shape, *shape)?;
                pixels.copy_from_slice(&fitted);
            }
            Ok(())
        };
        let pixels: Vec<&mut [u8]> = bytes.chunks_exact_mut(shape.values()).collect();
        let positions = &self.kept[self.done..][..pixels.len()];
        self.done += pixels.len();
        encoded.next(positions, pixels, &fill)
    }

    fn finish(&mut self) -> Result<ReaderSummary> {
        self.damage.check(&self.path, self.encoded.len())?;
        let Self { report, found, left_out, .. } = self;
        let mut notes = std::mem::take(&mut report.notes);
        let images = |count: usize| counted(count, "image");
        if report.turned > 0 {
            notes.push(format!("{} turned upright by orientation tags", images(report.turned)));
        }
        let blended = found.blended.load(Ordering::Relaxed);
        if blended > 0 {
            let (images, background) = (images(blended), self.background);
            notes.push(format!(
                "{images} with transparency blended over {background} (data.background)"
            ));
        }
        let brightest = found.brightest.load(Ordering::Relaxed);
        if found.deep.load(Ordering::Relaxed) > 0 && brightest < 1 << 14 {
            let images = images(found.deep.load(Ordering::Relaxed));
            notes.push(format!(
                "{images} of 16 bits use values up to {brightest} of 65535 only and are nearly black: \
                 scale them by {} before saving",
                u16::MAX / brightest.max(1)
            ));
        }
        if !left_out.is_empty() {
            notes.push(format!("{} left out because they are damaged", images(left_out.len())));
        }
        Ok(ReaderSummary { notes, left_out: left_out.clone() })
    }
}
