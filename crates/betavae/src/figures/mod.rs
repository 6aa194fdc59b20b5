//! What a model has learned and how, to look at: pictures as RGB images (reconstructions, samples,
//! traversals), and figures with axes (responses, matrices, curves, comparisons). [`FigureInput`] draws each by
//! its name.

mod catalogue;
mod compare;
mod curves;
mod grid;
mod matrices;
pub(crate) mod plot;
mod responses;
mod traversal;

pub use catalogue::{Drawing, FigureInput, FigureName};
pub(crate) use compare::{rate_distortion, score_beta};
pub(crate) use curves::{kl_capacity, kl_training, terms};
pub(crate) use grid::{PictureGrid, pictures};
pub(crate) use matrices::matrices;
pub use plot::Figure;
pub(crate) use responses::responses;
pub use traversal::{Traversal, TraversalOptions};

use std::io::Cursor;
use std::path::Path;

use burn::tensor::Tensor;
use image::RgbImage;

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::model::BetaVae;

/// Writes a picture, completely or not at all; the ending of the name tells the format.
///
/// # Errors
/// If the name's ending is unknown, or the disk fails.
pub fn save(picture: &RgbImage, path: &Path) -> Result<()> {
    let unwritable = |error: image::ImageError| Error::file(path, error.to_string());
    let format = image::ImageFormat::from_path(path).map_err(unwritable)?;
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).map_err(unwritable)?;
    write_atomically(path, bytes.get_ref())
}

/// Originals above their reconstructions at z = mean, `columns` per line.
///
/// # Shapes
/// - `images`: [B, H, W, C] in [0, 1]
pub fn reconstructions(model: &BetaVae, images: Tensor<4>, columns: usize) -> RgbImage {
    let originals = pictures(images.clone());
    let copies = pictures(model.reconstruct(images));
    let mut grid = PictureGrid::new();
    for (originals, copies) in originals.chunks(columns).zip(copies.chunks(columns)) {
        grid.row("data", originals.to_vec());
        grid.row("model", copies.to_vec());
    }
    grid.render()
}

/// Images in a square, row by row.
///
/// # Shapes
/// - `images`: [B, H, W, C] in [0, 1]
pub fn mosaic(images: Tensor<4>) -> RgbImage {
    let pictures = pictures(images);
    let columns = (pictures.len() as f64).sqrt().ceil().max(1.0) as usize;
    let mut grid = PictureGrid::new();
    pictures.chunks(columns).for_each(|row| grid.row("", row.to_vec()));
    grid.render()
}
