//! Official images in memory.

use std::path::Path;

use super::super::arrays::content_hash;
use super::super::reader::Opened;
use super::super::{Dataset, Factors, ImageShape};
use crate::error::{Error, Result};

/// All images of opened files, as bytes.
pub(in crate::data) struct Memory {
    name: String,
    about: String,
    len: usize,
    shape: ImageShape,
    white: u8,
    factors: Option<Factors>,
    /// [N, H, W, C]
    pixels: Vec<u8>,
}

impl Memory {
    pub(in crate::data) fn new(path: &Path, mut opened: Opened) -> Result<Self> {
        let (len, shape) = (opened.len, opened.shape);
        let mut pixels: Vec<u8> = Vec::new();
        let bytes = len.saturating_mul(shape.values());
        pixels.try_reserve_exact(bytes).map_err(|_| {
            let gib = len as f64 * shape.values() as f64 / (1 << 30) as f64;
            Error::file(path, format!("{len} images of {shape} need {gib:.1} GiB of memory"))
        })?;
        // Piece by piece, so that a damaged file costs no more than what it holds.
        let piece = ((1 << 24) / shape.values()).max(1) * shape.values();
        while pixels.len() < bytes {
            let start = pixels.len();
            pixels.resize(bytes.min(start + piece), 0);
            opened.images.next(&mut pixels[start..])?;
        }
        let Opened { about, white, factors, .. } = opened;
        Ok(Self { name: path.display().to_string(), about, len, shape, white, factors, pixels })
    }
}

impl Dataset for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> String {
        format!("{} images {} ({})", self.len, self.shape, self.about)
    }

    fn len(&self) -> usize {
        self.len
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn read(&self, index: usize, _epoch: u64, pixels: &mut [f32]) -> Result<()> {
        let values = self.shape.values();
        let bytes = &self.pixels[index * values..(index + 1) * values];
        let white = f32::from(self.white);
        pixels.iter_mut().zip(bytes).for_each(|(pixel, byte)| *pixel = f32::from(*byte) / white);
        Ok(())
    }

    fn factors(&self) -> Option<&Factors> {
        self.factors.as_ref()
    }

    fn white(&self) -> u8 {
        self.white
    }

    fn fingerprint(&self) -> Result<String> {
        Ok(content_hash(self.len, self.shape, &self.pixels))
    }
}
