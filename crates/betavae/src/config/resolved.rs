//! A configuration as it trains.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::recipe::Recipe;
use super::{format, train::TrainConfig};
use crate::data::{DataConfig, ImageShape};
use crate::error::{Error, IoContext, Result};
use crate::model::{Likelihood, ModelSpec};
use crate::objective::ObjectiveConfig;
use crate::optimizer::OptimizerConfig;
use crate::tagged::to_table;

/// Everything that determines a run, except the machine: complete and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub(super) seed: u64,
    pub(super) data: DataConfig,
    pub(super) model: ModelSpec,
    pub(super) objective: ObjectiveConfig,
    pub(super) optimizer: OptimizerConfig,
    pub(super) train: TrainConfig,
}

impl Config {
    /// Reads a configuration that was written by [`Config::to_toml`], of this format or an earlier one.
    ///
    /// # Errors
    /// If it is not one.
    pub fn from_toml(text: &str) -> Result<Self> {
        let recipe = Recipe::from_toml(text)?;
        let image = recipe.model.image.ok_or_else(|| {
            Error::config("model.image is missing", "configurations in run folders have it")
        })?;
        recipe.resolve(image)
    }

    /// Reads the configuration of a run folder.
    ///
    /// # Errors
    /// If it is not one.
    pub fn of_run(folder: &Path) -> Result<Self> {
        let path = folder.join("config.toml");
        if !path.exists() {
            return Err(Error::file_hint(
                folder,
                "not a run folder: there is no config.toml in it",
                "give the folder that `betavae train` printed",
            ));
        }
        Self::from_toml(&fs::read_to_string(&path).context("read", &path)?)
    }

    /// The configuration as TOML, with every value.
    pub fn to_toml(&self) -> String {
        self.to_table().to_string()
    }

    /// The same as a table of tables.
    pub fn to_table(&self) -> Table {
        Table::from_iter([
            ("format".to_owned(), Value::from(format::NEWEST)),
            ("seed".to_owned(), format::integer(self.seed)),
            ("data".to_owned(), to_table(&self.data).into()),
            ("model".to_owned(), to_table(self.model.table()).into()),
            ("objective".to_owned(), self.objective.to_table().into()),
            ("optimizer".to_owned(), self.optimizer.to_table().into()),
            ("train".to_owned(), to_table(&self.train).into()),
        ])
    }

    /// `section.key` and value of every setting, in words.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (key, value) in self.to_table() {
            match value {
                Value::Table(section) => found.extend(
                    section.into_iter().map(|(k, v)| (format!("{key}.{k}"), value_in_words(&v))),
                ),
                value => found.push((key, value_in_words(&value))),
            }
        }
        found
    }

    /// Seed of every random stream of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Which images.
    pub fn data(&self) -> &DataConfig {
        &self.data
    }

    /// Which network and likelihood.
    pub fn model(&self) -> &ModelSpec {
        &self.model
    }

    /// What is minimised.
    pub fn objective(&self) -> &ObjectiveConfig {
        &self.objective
    }

    /// How.
    pub fn optimizer(&self) -> &OptimizerConfig {
        &self.optimizer
    }

    /// For how long, and what is written meanwhile.
    pub fn train(&self) -> &TrainConfig {
        &self.train
    }

    /// Shape of the images.
    pub fn image(&self) -> ImageShape {
        self.model.image()
    }

    /// Distribution of a pixel.
    pub fn likelihood(&self) -> Likelihood {
        self.model.likelihood()
    }

    /// The objective in words.
    pub fn objective_in_words(&self) -> String {
        let (latents, image_values) = (self.model.latents(), self.image().values());
        self.objective.describe(self.likelihood(), latents, image_values)
    }

    /// The same with other images, for a run whose data has moved.
    #[must_use]
    pub fn with_data(self, data: DataConfig) -> Self {
        Self { data, ..self }
    }

    /// The same for another number of steps.
    #[must_use]
    pub fn with_steps(mut self, steps: u64) -> Self {
        self.train.steps = steps;
        self
    }
}

/// A value as people read it: strings without quotes.
pub(crate) fn value_in_words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
