//! The user's images as a data set: scanned once in order, then read by index.
//!
//! Whatever the files are, their pixels end up in a [`PixelStore`]: where they lie in an uncompressed
//! array, in memory up to [`Cache::memory`], and in a prepared file above it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::cache::{Cache, CacheEntry, CacheKey, UnfinishedEntry};
use super::reader::{ImageReader, OpenedImages};
use super::store::{PixelFacts, PixelLayout, PixelScan, PixelStore};
use super::{DataConfig, Dataset, Factors, ImageShape};
use crate::error::{Error, Result};
use crate::npz::{ArrayFault, Dtype};
use crate::words::counted;

/// Bytes of pixels that are worked on at a time.
const CHUNK: usize = 16 << 20;

/// What readers need while a data set is opened; `progress` gets the number of images done and in all.
pub(super) struct OpenContext<'a> {
    pub(super) config: &'a DataConfig,
    pub(super) cache: &'a Cache,
    pub(super) progress: &'a mut dyn FnMut(usize, usize),
    /// Notes about what was found, left out and is unused, a line each.
    pub(super) notes: Vec<String>,
}

impl<'a> OpenContext<'a> {
    pub(super) fn new(
        config: &'a DataConfig,
        cache: &'a Cache,
        progress: &'a mut dyn FnMut(usize, usize),
    ) -> Self {
        Self { config, cache, progress, notes: Vec::new() }
    }
}

/// Images of the user's files.
pub(super) struct StoredDataset {
    /// As shown to the user.
    pub(super) name: String,
    /// What follows number and shape in the description.
    pub(super) about: String,
    pub(super) store: PixelStore,
    pub(super) white: u8,
    /// SHA-256 over shape and content.
    pub(super) sha256: String,
    pub(super) factors: Option<Factors>,
    /// The files the images come from, relative to the folder or archive; empty if there is one.
    pub(super) files: Vec<PathBuf>,
    /// Positions of the images that are left out, among those that the source has.
    pub(super) left_out: Vec<usize>,
    /// Notes about what was found, turned, left out and is unused.
    pub(super) notes: Vec<String>,
}

impl StoredDataset {
    /// Images that a reader hands out in their order. `files` are what the data set at `path` is made
    /// of, relative to it: if they change, prepared pixels become invalid. `open` gets what the
    /// cache holds.
    pub(super) fn from_reader(
        opening: &mut OpenContext<'_>,
        path: &Path,
        files: &[PathBuf],
        open: impl FnOnce(Option<&CacheEntry>) -> Result<OpenedImages>,
    ) -> Result<Self> {
        let key = CacheKey::new(path, files, opening.config)?;
        let found = opening.cache.find(&key);
        let mut opened = open(found.as_ref())?;
        let form = PixelLayout::bytes(opened.len, opened.shape);
        let (store, facts) = match found {
            Some(CacheEntry { store: Some(store), facts, form: found }) if found == form => {
                (store, facts)
            }
            _ => {
                let blame = |fault: ArrayFault| fault.at(path);
                PixelPass { form, images: &mut *opened.images, blame: &blame }
                    .prepare(opening, &key)?
            }
        };
        opening.notes.extend(facts.ending.notes.iter().cloned());
        if facts.brightest > opened.white {
            let (found, most) = (facts.brightest, opened.white);
            return Err(Error::file(path, format!("a pixel is {found}, expected at most {most}")));
        }
        Ok(Self {
            name: path.display().to_string(),
            about: format!("({})", opened.about),
            store,
            white: opened.white,
            sha256: facts.sha256,
            factors: opened.factors,
            files: Vec::new(),
            left_out: facts.ending.left_out,
            notes: std::mem::take(&mut opening.notes),
        })
    }
}

impl Dataset for StoredDataset {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> String {
        format!("{} {} {}", counted(self.len(), "image"), self.shape(), self.about)
    }

    fn len(&self) -> usize {
        self.store.form().len
    }

    fn shape(&self) -> ImageShape {
        self.store.form().shape
    }

    fn read(&self, index: usize, _epoch: u64, pixels: &mut [f32]) -> Result<()> {
        self.store.read(index, self.white, pixels)
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn factors(&self) -> Option<&Factors> {
        self.factors.as_ref()
    }

    fn file_name(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(PathBuf::as_path)
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn white(&self) -> u8 {
        self.white
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(self.sha256.clone())
    }
}

/// One pass over all images in their order.
pub(super) struct PixelPass<'a> {
    pub(super) form: PixelLayout,
    /// Gives the images that come next, as they are stored.
    pub(super) images: &'a mut dyn ImageReader,
    /// Turns a fault into an error that names the array or file.
    pub(super) blame: &'a dyn Fn(ArrayFault) -> Error,
}

impl PixelPass<'_> {
    /// Scans the pixels without copying them.
    pub(super) fn scan(self, opening: &mut OpenContext<'_>) -> Result<PixelFacts> {
        self.run(opening, &mut |_| Ok(()))
    }

    /// Copies the pixels into memory, or into a prepared file if they are many.
    pub(super) fn prepare(
        self,
        opening: &mut OpenContext<'_>,
        key: &CacheKey,
    ) -> Result<(PixelStore, PixelFacts)> {
        let form = self.form;
        let bytes = self.sizes()?.1;
        if bytes <= opening.cache.memory {
            return self.into_memory(opening, key, bytes as usize);
        }
        let mut partial = opening.cache.begin(key, form)?;
        // Another process may have prepared the pixels while this one waited for the lock.
        if let Some(CacheEntry { store: Some(store), facts, .. }) = opening.cache.find(key) {
            return Ok((store, facts));
        }
        partial.start()?;
        let facts = self.run(opening, &mut |images| partial.write(images))?;
        Ok((partial.finish(&facts)?, facts))
    }

    fn into_memory(
        self,
        opening: &mut OpenContext<'_>,
        key: &CacheKey,
        bytes: usize,
    ) -> Result<(PixelStore, PixelFacts)> {
        let (form, start) = (self.form, Instant::now());
        let mut pixels: Vec<u8> = Vec::new();
        let facts = self.run(opening, &mut |images| {
            // Never much more than what has come out of the file.
            if pixels.capacity() - pixels.len() < images.len() {
                let room = (2 * pixels.len()).clamp(images.len(), bytes) - pixels.len();
                pixels.reserve_exact(room.max(images.len()));
            }
            pixels.extend_from_slice(images);
            Ok(())
        })?;
        if start.elapsed() > opening.cache.patience {
            // A failure only costs time: the images are decoded again at the next start.
            let keep = |mut partial: UnfinishedEntry| -> Result<()> {
                partial.start()?;
                partial.write(&pixels)?;
                partial.finish(&facts).map(drop)
            };
            let _ = opening.cache.begin(key, form).and_then(keep);
        }
        Ok((PixelStore::memory(form, pixels), facts))
    }

    fn run(
        self,
        opening: &mut OpenContext<'_>,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<PixelFacts> {
        let (form, (image, _)) = (self.form, self.sizes()?);
        let at_once = (CHUNK / image).clamp(1, form.len.max(1));
        let mut buffer = vec![0; at_once * image];
        let mut scan = PixelScan::new(form);
        let mut done = 0;
        while done < form.len {
            let count = at_once.min(form.len - done);
            let bytes = &mut buffer[..count * image];
            self.images.next(bytes)?;
            if form != form.arranged() {
                bytes.par_chunks_exact_mut(image).for_each(|image| form.arrange(image));
            }
            scan.take(bytes).map_err(self.blame)?;
            sink(bytes)?;
            done += count;
            (opening.progress)(done, form.len);
        }
        Ok(scan.finish(self.images.finish()?))
    }

    fn sizes(&self) -> Result<(usize, u64)> {
        self.form.sizes().ok_or_else(|| {
            let PixelLayout { len, shape, .. } = self.form;
            let reason = format!("{len} images of {shape} are none or more than can be read");
            (self.blame)(ArrayFault::new(reason, "choose a smaller size"))
        })
    }
}

/// The type of the values, for descriptions.
pub(super) fn value_type(dtype: Dtype, white: u8) -> &'static str {
    match dtype {
        Dtype::F32 { .. } => "f32",
        _ if white == 1 => "binary",
        _ => "u8",
    }
}

#[cfg(test)]
mod tests;
