//! Pseudo-random images of any shape, so that speed can be measured without a file.

use crate::data::{Dataset, ImageShape};
use crate::error::Result;
use crate::random::Stream;

/// Images in memory, one byte per value as they come from most files.
pub(super) struct Pixels {
    shape: ImageShape,
    bytes: Vec<u8>,
}

impl Pixels {
    pub(super) fn new(shape: ImageShape, images: usize) -> Self {
        let mut stream = Stream::new(1, "bench", 0);
        let words = (images * shape.values()).div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| stream.bits().to_le_bytes()).collect();
        bytes.truncate(images * shape.values());
        Self { shape, bytes }
    }
}

impl Dataset for Pixels {
    fn name(&self) -> &str {
        "pseudo-random pixels"
    }

    fn description(&self) -> String {
        format!("{} images of pseudo-random pixels", self.len())
    }

    fn len(&self) -> usize {
        self.bytes.len() / self.shape.values()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn read(&self, index: usize, _epoch: u64, pixels: &mut [f32]) -> Result<()> {
        let bytes = &self.bytes[index * pixels.len()..];
        pixels.iter_mut().zip(bytes).for_each(|(pixel, byte)| *pixel = f32::from(*byte) / 255.0);
        Ok(())
    }

    fn is_fixed(&self) -> bool {
        true
    }
}
