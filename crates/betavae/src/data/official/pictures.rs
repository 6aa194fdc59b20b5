//! PNG and JPEG files of a bundle as images of one size.

use std::path::Path;

use super::super::bundle::Bundle;
use super::super::pictures::{self, Geometry};
use super::super::reader::Opened;
use super::super::{DataConfig, FactorTable, ImageShape};
use super::raw::{grid_or_table, plain};
use crate::error::Result;

/// The usual size of images made of photographs and renderings.
const SIZE: [usize; 2] = [64, 64];

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
    let (len, factors) = (bundle.len(), factors.map(grid_or_table));
    let images = pictures::images(bundle, geometry, shape);
    Ok(Opened { about: about.to_owned(), len, shape, white: 255, factors, images })
}
