//! What every data set can do: images of one shape by index, and what is known of them.

use std::path::Path;

use data_encoding::HEXLOWER;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Factors, ImageShape};
use crate::error::{Result, in_order};

/// A set of images of one shape. Reading is a pure function of (index, epoch), so any number of
/// threads may read at once and a resumed run sees the same pixels.
pub trait Dataset: Send + Sync {
    /// Name or path, as shown to the user.
    fn name(&self) -> &str;

    /// One line about the content.
    fn description(&self) -> String;

    /// Number of images N.
    fn len(&self) -> usize;

    /// Whether there are no images at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shape [H, W, C] of every image.
    fn shape(&self) -> ImageShape;

    /// Writes image `index` to `pixels`, `[H * W * C]` channels-last, in [0, 1].
    ///
    /// `epoch` only matters to data sets whose images carry fresh noise at every visit.
    fn read(&self, index: usize, epoch: u64, pixels: &mut [f32]) -> Result<()>;

    /// Whether an image is the same in every epoch. Only such images are kept on a device.
    fn is_fixed(&self) -> bool {
        false
    }

    /// The ground-truth factors, where they are known.
    fn factors(&self) -> Option<&Factors> {
        None
    }

    /// The file that image `index` comes from, relative to the folder or archive, where there is one
    /// file for each.
    fn file_name(&self, _index: usize) -> Option<&Path> {
        None
    }

    /// Notes for people about what was found, turned, left out and is unused, a line each.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// The byte that stands for intensity 1 when images are written as integers: 255, or 1 for
    /// binary sets, which are published as zeros and ones.
    fn white(&self) -> u8 {
        255
    }

    /// SHA-256 in hexadecimal that tells whether two runs saw the same data: over the content for
    /// the user's files, over 1000 evenly spaced images for rendered sets.
    fn fingerprint(&self) -> Result<String> {
        let images = 1000.min(self.len());
        let mut hash = Sha256::new();
        let mut pixels = vec![0.0; self.shape().values()];
        for i in 0..images {
            self.read(i * self.len() / images, 0, &mut pixels)?;
            hash.update(bytemuck::cast_slice(&pixels));
        }
        Ok(HEXLOWER.encode(&hash.finalize()))
    }
}

/// Assembles images into one buffer `[B, H, W, C]`, in parallel.
pub fn read_batch(data: &dyn Dataset, indices: &[usize], epoch: u64) -> Result<Vec<f32>> {
    let values = data.shape().values();
    let mut batch = vec![0.0; indices.len() * values];
    let images = batch.par_chunks_mut(values).zip(indices);
    in_order(images.map(|(pixels, index)| data.read(*index, epoch, pixels)))?;
    Ok(batch)
}
