//! The user's images as a data set: looked at once from the first to the last, then read by index.
//!
//! Whatever the files are, their pixels end up in a [`Store`]: where they lie in an uncompressed
//! array, in memory up to [`Cache::memory`], and in a prepared file above it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::cache::{Cache, Entry, Key, Partial};
use super::reader::{Images, Opened};
use super::store::{Facts, Form, Scan, Store};
use super::{DataConfig, Dataset, Factors, ImageShape};
use crate::error::{Error, Result};
use crate::npz::{Dtype, Fault};
use crate::words::counted;

/// Bytes of pixels that are worked on at a time.
const CHUNK: usize = 16 << 20;

/// What opening a data set needs to know, and whom it tells how far it is: images done and in all.
pub(super) struct Opening<'a> {
    pub(super) config: &'a DataConfig,
    pub(super) cache: &'a Cache,
    pub(super) progress: &'a mut dyn FnMut(usize, usize),
    /// What was found, left out and lies unused, a line each.
    pub(super) notes: Vec<String>,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        config: &'a DataConfig,
        cache: &'a Cache,
        progress: &'a mut dyn FnMut(usize, usize),
    ) -> Self {
        Self { config, cache, progress, notes: Vec::new() }
    }
}

/// Images of the user's files.
pub(super) struct Stored {
    /// As shown to the user.
    pub(super) name: String,
    /// What follows number and shape in the description.
    pub(super) about: String,
    pub(super) store: Store,
    pub(super) white: u8,
    /// SHA-256 over shape and content.
    pub(super) sha256: String,
    pub(super) factors: Option<Factors>,
    /// The files the images come from, relative to the folder or archive; empty if there is one.
    pub(super) files: Vec<PathBuf>,
    /// Positions of the images that are left out, among those that the source has.
    pub(super) left_out: Vec<usize>,
    /// What was found, turned, left out and lies unused.
    pub(super) notes: Vec<String>,
}

impl Stored {
    /// Images that a reader hands out in their order. `files` are what the data set at `path` is made
    /// of, relative to it: a change of theirs makes prepared pixels invalid. `open` is told what is known
    /// from the last time.
    pub(super) fn from_reader(
        opening: &mut Opening<'_>,
        path: &Path,
        files: &[PathBuf],
        open: impl FnOnce(Option<&Entry>) -> Result<Opened>,
    ) -> Result<Self> {
        let key = Key::new(path, files, opening.config)?;
        let found = opening.cache.find(&key);
        let mut opened = open(found.as_ref())?;
        let form = Form::bytes(opened.len, opened.shape);
        let (store, facts) = match found {
            Some(Entry { store: Some(store), facts, form: found }) if found == form => {
                (store, facts)
            }
            _ => {
                let blame = |fault: Fault| fault.at(path);
                Pass { form, images: &mut *opened.images, blame: &blame }.prepare(opening, &key)?
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

impl Dataset for Stored {
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

/// All images from the first to the last.
pub(super) struct Pass<'a> {
    pub(super) form: Form,
    /// Gives the images that come next, as they are stored.
    pub(super) images: &'a mut dyn Images,
    /// Says which array or file it is that has a fault.
    pub(super) blame: &'a dyn Fn(Fault) -> Error,
}

impl Pass<'_> {
    /// Looks at the pixels and leaves them where they are.
    pub(super) fn look(self, opening: &mut Opening<'_>) -> Result<Facts> {
        self.run(opening, &mut |_| Ok(()))
    }

    /// Copies the pixels into memory, or into a prepared file if they are many.
    pub(super) fn prepare(self, opening: &mut Opening<'_>, key: &Key) -> Result<(Store, Facts)> {
        let form = self.form;
        let bytes = self.sizes()?.1;
        if bytes <= opening.cache.memory {
            return self.into_memory(opening, key, bytes as usize);
        }
        let mut partial = opening.cache.begin(key, form)?;
        // Somebody else may have prepared the pixels while we waited.
        if let Some(Entry { store: Some(store), facts, .. }) = opening.cache.find(key) {
            return Ok((store, facts));
        }
        partial.start()?;
        let facts = self.run(opening, &mut |images| partial.write(images))?;
        Ok((partial.finish(&facts)?, facts))
    }

    fn into_memory(
        self,
        opening: &mut Opening<'_>,
        key: &Key,
        bytes: usize,
    ) -> Result<(Store, Facts)> {
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
            // Only a matter of time: without it, the images are decoded again.
            let keep = |mut partial: Partial| -> Result<()> {
                partial.start()?;
                partial.write(&pixels)?;
                partial.finish(&facts).map(drop)
            };
            let _ = opening.cache.begin(key, form).and_then(keep);
        }
        Ok((Store::memory(form, pixels), facts))
    }

    fn run(
        self,
        opening: &mut Opening<'_>,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Facts> {
        let (form, (image, _)) = (self.form, self.sizes()?);
        let at_once = (CHUNK / image).clamp(1, form.len.max(1));
        let mut buffer = vec![0; at_once * image];
        let mut scan = Scan::new(form);
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
            let Form { len, shape, .. } = self.form;
            let reason = format!("{len} images of {shape} are none or more than can be read");
            (self.blame)(Fault::new(reason, "choose a smaller size"))
        })
    }
}

/// What the values of a set are called in descriptions.
pub(super) fn kind(dtype: Dtype, white: u8) -> &'static str {
    match dtype {
        Dtype::F32 { .. } => "f32",
        _ if white == 1 => "binary",
        _ => "u8",
    }
}

#[cfg(test)]
mod tests;
