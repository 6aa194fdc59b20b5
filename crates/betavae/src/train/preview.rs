//! The pictures that come with a checkpoint.

use std::fs;
use std::path::Path;

use crate::checkpoint::Trained;
use crate::data::Dataset;
use crate::error::{IoContext, Result};
use crate::evaluate::{load, subset};
use crate::figures::{self, Traversal, TraversalOptions};

/// Pictures per figure of reconstructions.
const IMAGES: usize = 16;

/// Writes `step-<n>-reconstructions.png` and `step-<n>-traversal.png`.
pub(super) fn write(folder: &Path, trained: &Trained, data: &dyn Dataset) -> Result<()> {
    fs::create_dir_all(folder).context("create", folder)?;
    let model = &trained.model;
    let step = trained.metadata.step;
    let images = load(data, &subset(data.len(), IMAGES), &model.device())?;
    let options = TraversalOptions { range: 3.0, frames: 11, centre: vec![0.0; model.latents()] };
    let traversal = Traversal::new(trained, &options);
    let title = format!("step {step}: traversals around the prior mean, in prior deviations");
    for (name, figure) in [
        ("reconstructions", figures::reconstructions(model, images, IMAGES / 2)),
        ("traversal", traversal.figure(&title)),
    ] {
        let path = folder.join(format!("step-{step:09}-{name}.png"));
        figures::save(&figure, &path)?;
    }
    Ok(())
}
