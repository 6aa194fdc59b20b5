//! Pictures of what a model has learned, as RGB images: reconstructions, samples, traversals.

mod grid;
mod traversal;

pub use grid::{Grid, pictures};
pub use traversal::{Traversal, TraversalOptions};

use burn::tensor::Tensor;
use image::RgbImage;

use crate::model::BetaVae;

/// Originals above their reconstructions at z = mean, `columns` per line.
///
/// # Shapes
/// - `images`: [B, H, W, C] in [0, 1]
pub fn reconstructions(model: &BetaVae, images: Tensor<4>, columns: usize) -> RgbImage {
    let originals = pictures(images.clone());
    let copies = pictures(model.reconstruct(images));
    let mut grid = Grid::new();
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
    let mut grid = Grid::new();
    pictures.chunks(columns).for_each(|row| grid.row("", row.to_vec()));
    grid.render()
}
