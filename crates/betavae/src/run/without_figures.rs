//! Stands for `figures` in builds without that cargo feature: nothing is drawn, and that is said.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;

use super::observer::Observer;
use crate::checkpoint::Trained;
use crate::config::Config;
use crate::data::Dataset;
use crate::error::Result;
use crate::objective::Terms;
use crate::train::Trainer;

pub(super) fn missing(config: &Config) -> Vec<String> {
    let wanted = [
        ("train.previews", config.train().previews),
        ("train.tensorboard", config.train().tensorboard),
    ];
    let wanted = wanted.into_iter().filter(|(_, wanted)| *wanted);
    wanted
        .map(|(key, _)| format!("{key} needs the cargo feature `figures`: nothing is drawn"))
        .collect()
}

pub(super) fn report(_: &Path, _: &Arc<dyn Dataset>, _: &Device) -> Result<Option<PathBuf>> {
    Ok(None)
}

pub(super) struct Figures;

impl Figures {
    pub(super) fn open(_: &Path, _: &Trainer) -> Result<Self> {
        Ok(Self)
    }

    pub(super) fn terms(&mut self, _: u64, _: &Terms) -> Result<()> {
        Ok(())
    }

    pub(super) fn preview(
        &mut self,
        _: &Path,
        _: &Trained,
        _: &dyn Dataset,
        _: &mut dyn Observer,
    ) -> Result<()> {
        Ok(())
    }
}
