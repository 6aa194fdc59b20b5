//! What the reader of an official format returns to [`super::open`]: images as they are stored, and a row of
//! factor values for each.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::super::geometry::Geometry;
use super::super::reader::{ImageReader, OpenedImages, ReaderSummary};
use super::super::{DataConfig, Factors, ImageShape};
use super::input::Input;
use crate::error::{Error, Result};

/// Largest number of values in a table of factors, 512 MiB of them: twice what the largest official
/// set needs.
pub(super) const MAX_VALUES: usize = 1 << 26;

/// Largest image in bytes.
const MAX_IMAGE: usize = 1 << 28;

/// Images as stored.
pub(super) struct RawImages {
    pub(super) about: String,
    pub(super) len: usize,
    pub(super) shape: ImageShape,
    pub(super) white: u8,
    /// Names of the factors; none if nothing is known.
    pub(super) names: Vec<String>,
    /// [N, K]
    pub(super) values: Vec<f64>,
    pub(super) images: Box<dyn ImageReader + Send>,
}

impl RawImages {
    /// The images of several files one after the other.
    pub(super) fn concat(path: &Path, parts: Vec<RawImages>) -> Result<RawImages> {
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next() else {
            return Err(Error::file(path, "no images"));
        };
        let mut chain =
            ConcatenatedImages { parts: vec![(all.len, all.images)], values: all.shape.values() };
        for part in parts {
            if part.shape != all.shape || part.names != all.names {
                let sides = |raw: ImageShape, names: &[String]| format!("{raw} and {names:?}");
                return Err(Error::Mismatch {
                    what: format!("the files in {}", path.display()),
                    expected: sides(all.shape, &all.names),
                    found: sides(part.shape, &part.names),
                    hint: "complete the files, or give one of them as data.path".into(),
                });
            }
            all.len += part.len;
            all.values.extend(part.values);
            chain.parts.push((part.len, part.images));
        }
        all.images = Box::new(chain);
        Ok(all)
    }

    /// Attaches factors and brings the images to the size that is configured, or else to `size`.
    pub(super) fn finish(
        self,
        path: &Path,
        config: &DataConfig,
        size: Option<[usize; 2]>,
    ) -> Result<OpenedImages> {
        let shape = self.shape;
        if self.len == 0 || shape.values() == 0 {
            return Err(Error::file(path, format!("{} images of {shape} hold nothing", self.len)));
        }
        let factors = match self.names.as_slice() {
            [] => None,
            names => Some(Factors::from_values(names, &self.values)?),
        };
        let geometry = Geometry::new(config)?.or_size(size);
        let target = geometry.target(path, shape)?;
        let (images, white): (Box<dyn ImageReader + Send>, u8) = match geometry.words(shape, target)
        {
            None => (self.images, self.white),
            Some(words) => {
                let (path, white) = (path.to_owned(), self.white);
                let note = format!("images are {words}");
                let fit = Resizing { path, from: shape, white, target, geometry };
                (Box::new(ResizedImages { images: self.images, fit, note }), 255)
            }
        };
        Ok(OpenedImages { about: self.about, len: self.len, shape: target, white, factors, images })
    }
}

/// The number of bytes of an image of these sides, unless it is absurd.
pub(super) fn image_shape(path: &Path, [h, w, c]: [usize; 3]) -> Result<ImageShape> {
    let bytes = h.checked_mul(w).and_then(|plane| plane.checked_mul(c));
    match bytes {
        Some(bytes) if (1..=MAX_IMAGE).contains(&bytes) => Ok(ImageShape::new(h, w, c)),
        _ => {
            let reason = format!("images of {h}x{w}x{c}, expected 1 to {MAX_IMAGE} bytes each");
            Err(Error::file(path, reason))
        }
    }
}

/// Pixels that follow each other in a file as they are.
pub(super) struct ContiguousImages {
    input: Input,
    left: u64,
}

impl ContiguousImages {
    /// `bytes` of pixels come next in `input`, and then its end.
    pub(super) fn new(input: Input, bytes: u64) -> Self {
        Self { input, left: bytes }
    }
}

impl ImageReader for ContiguousImages {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.input.fill(bytes, "the pixels")?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left == 0 { self.input.end() } else { Ok(()) }
    }
}

/// Images of several readers: how many each has left.
struct ConcatenatedImages {
    parts: Vec<(usize, Box<dyn ImageReader + Send>)>,
    /// Bytes of an image.
    values: usize,
}

impl ImageReader for ConcatenatedImages {
    fn next(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        for (left, images) in &mut self.parts {
            let now = (*left).min(bytes.len() / self.values);
            if now > 0 {
                let (these, rest) = bytes.split_at_mut(now * self.values);
                images.next(these)?;
                *left -= now;
                bytes = rest;
            }
        }
        Ok(())
    }
}

/// Images cut, resized or with other channels.
struct ResizedImages {
    images: Box<dyn ImageReader + Send>,
    fit: Resizing,
    note: String,
}

struct Resizing {
    path: PathBuf,
    from: ImageShape,
    white: u8,
    target: ImageShape,
    geometry: Geometry,
}

impl ImageReader for ResizedImages {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        let fit = &self.fit;
        let (values, target) = (fit.from.values(), fit.target.values());
        // As many stored images at a time as fit into 16 MiB.
        let at_once = ((1 << 24) / values).max(1);
        for bytes in bytes.chunks_mut(at_once * target) {
            let mut stored = vec![0; bytes.len() / target * values];
            self.images.next(&mut stored)?;
            bytes.par_chunks_exact_mut(target).zip(stored.par_chunks_exact(values)).try_for_each(
                |(bytes, stored)| {
                    bytes.copy_from_slice(&fit.apply(stored)?);
                    Ok(())
                },
            )?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ReaderSummary> {
        let mut ending = self.images.finish()?;
        ending.notes.push(self.note.clone());
        Ok(ending)
    }
}

impl Resizing {
    fn apply(&self, stored: &[u8]) -> Result<Vec<u8>> {
        let scale = 255 / self.white.max(1);
        let stored: Vec<u8> = stored.iter().map(|byte| byte.saturating_mul(scale)).collect();
        self.geometry.fit_bytes(&self.path, &stored, self.from, self.target)
    }
}
