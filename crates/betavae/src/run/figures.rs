//! What a run shows of itself: event files, pictures that come with a checkpoint, and the report at its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;

use super::events::Events;
use super::observer::Observer;
use crate::checkpoint::Trained;
use crate::config::Config;
use crate::data::Dataset;
use crate::error::{IoContext, Result};
use crate::evaluate::{load, subset};
use crate::figures::{self, Traversal, TraversalOptions};
use crate::objective::Terms;
use crate::report::{self, ReportedRun};
use crate::train::Trainer;

/// Pictures per figure of reconstructions.
const IMAGES: usize = 16;

/// What configurations want and this build cannot do, in words.
pub(super) fn missing(_: &Config) -> Vec<String> {
    Vec::new()
}

/// The report of a finished run: `report.html`.
pub(super) fn report(
    folder: &Path,
    data: &Arc<dyn Dataset>,
    device: &Device,
) -> Result<Option<PathBuf>> {
    let mut entry = ReportedRun::read(folder, device)?;
    entry.data = Some(data.clone());
    let path = folder.join("report.html");
    report::write(&path, &[entry])?;
    Ok(Some(path))
}

/// What is written while a run goes on.
pub(super) struct Figures {
    /// For TensorBoard, if wanted.
    events: Option<Events>,
}

impl Figures {
    pub(super) fn open(folder: &Path, trainer: &Trainer) -> Result<Self> {
        let wanted = trainer.config().train().tensorboard;
        let events = wanted.then(|| Events::create(folder, trainer.steps_taken())).transpose()?;
        Ok(Self { events })
    }

    /// The terms of a row of `metrics.csv`.
    pub(super) fn terms(&mut self, step: u64, terms: &Terms) -> Result<()> {
        self.events.as_mut().map_or(Ok(()), |events| events.terms(step, terms))
    }

    /// Draws reconstructions and traversals around the prior mean into `figures/` and into the event file.
    pub(super) fn preview(
        &mut self,
        folder: &Path,
        trained: &Trained,
        data: &dyn Dataset,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let (model, step) = (&trained.model, trained.description.step);
        let images = load(data, &subset(data.len(), IMAGES), &model.device())?;
        let centre = vec![0.0; model.latents()];
        let traversal =
            Traversal::new(trained, &TraversalOptions { range: 3.0, frames: 11, centre });
        let title = format!("step {step}: traversals around the prior mean, in prior deviations");
        let reconstructions = figures::reconstructions(model, images, IMAGES / 2);
        let pictures =
            [("reconstructions", reconstructions), ("traversal", traversal.figure(&title))];
        let folder = folder.join("figures");
        fs::create_dir_all(&folder).context("create", &folder)?;
        for (name, picture) in &pictures {
            figures::save(picture, &folder.join(format!("step-{step:09}-{name}.png")))?;
            if let Some(events) = &mut self.events {
                events.picture(step, name, picture)?;
            }
            observer.previewed(step, name, picture);
        }
        Ok(())
    }
}
