//! The pictures that come with a checkpoint.

use image::RgbImage;

use crate::checkpoint::Trained;
use crate::data::Dataset;
use crate::error::Result;
use crate::evaluate::{load, subset};
use crate::figures::{self, Traversal, TraversalOptions};

/// Pictures per figure of reconstructions.
const IMAGES: usize = 16;

/// Reconstructions and traversals around the prior mean, by name.
pub(super) fn draw(trained: &Trained, data: &dyn Dataset) -> Result<[(&'static str, RgbImage); 2]> {
    let model = &trained.model;
    let step = trained.metadata.step;
    let images = load(data, &subset(data.len(), IMAGES), &model.device())?;
    let options = TraversalOptions { range: 3.0, frames: 11, centre: vec![0.0; model.latents()] };
    let traversal = Traversal::new(trained, &options);
    let title = format!("step {step}: traversals around the prior mean, in prior deviations");
    let reconstructions = figures::reconstructions(model, images, IMAGES / 2);
    Ok([("reconstructions", reconstructions), ("traversal", traversal.figure(&title))])
}
