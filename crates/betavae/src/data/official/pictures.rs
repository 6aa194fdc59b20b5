//! PNG and JPEG files of a bundle as images of one size.

use std::path::Path;

use rayon::prelude::*;

use super::super::pictures::{Geometry, decode_bytes};
use super::super::reader::{Images, Opened};
use super::super::{DataConfig, FactorTable, ImageShape};
use super::bundle::Bundle;
use super::raw::{grid_or_table, plain};
use crate::error::Result;

/// The usual size of images made of photographs and renderings.
const SIZE: [usize; 2] = [64, 64];

/// Files that are unpacked and decoded together.
const AT_ONCE: usize = 64;

/// All files of `bundle` as images, 64x64 in RGB unless configured otherwise.
pub(super) fn open(
    path: &Path,
    bundle: Bundle,
    config: &DataConfig,
    about: &str,
    factors: Option<FactorTable>,
) -> Result<Opened> {
    let size = config.size.unwrap_or(SIZE);
    let geometry = Geometry::new(path, &DataConfig { size: Some(size), ..plain(config) })?;
    let shape = ImageShape::new(size[0], size[1], config.channels.unwrap_or(3));
    let (len, factors) = (bundle.names().len(), factors.map(grid_or_table));
    let images = Box::new(Pictures { bundle, geometry, shape, next: 0 });
    Ok(Opened { about: about.to_owned(), len, shape, white: 255, factors, images })
}

struct Pictures {
    bundle: Bundle,
    geometry: Geometry,
    shape: ImageShape,
    next: usize,
}

impl Images for Pictures {
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        let values = self.shape.values();
        for bytes in bytes.chunks_mut(AT_ONCE * values) {
            let indices = self.next..self.next + bytes.len() / values;
            self.next = indices.end;
            let files = indices
                .map(|index| Ok((self.bundle.place(index), self.bundle.read(index)?)))
                .collect::<Result<Vec<_>>>()?;
            let (geometry, shape) = (&self.geometry, self.shape);
            bytes.par_chunks_exact_mut(values).zip(files).try_for_each(
                |(pixels, (place, file))| {
                    pixels.copy_from_slice(&geometry.apply(
                        &place,
                        decode_bytes(&place, &file)?,
                        shape,
                    )?);
                    Ok(())
                },
            )?;
        }
        Ok(())
    }
}
