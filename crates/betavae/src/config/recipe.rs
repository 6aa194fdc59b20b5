//! A configuration as people write it.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::resolved::Config;
use super::train::TrainConfig;
use super::{changes, format};
use crate::data::{DataConfig, ImageShape};
use crate::error::{Error, IoContext, Result};
use crate::model::ModelConfig;
use crate::objective::ObjectiveConfig;
use crate::optimizer::OptimizerConfig;
use crate::words::nearest;

/// Everything that people choose about a run. What they leave out has defaults, of which some depend on the images.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// Which images.
    pub data: DataConfig,
    /// Which network and likelihood.
    pub model: ModelConfig,
    /// What is minimised.
    pub objective: ObjectiveConfig,
    /// How.
    pub optimizer: OptimizerConfig,
    /// For how long, and what is written meanwhile.
    pub train: TrainConfig,
}

impl Default for Recipe {
    fn default() -> Self {
        Self::from_toml("").unwrap_or_else(|error| unreachable!("defaults: {error}"))
    }
}

/// The tables of a recipe. Those with a `kind` are read by their own modules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sections {
    #[serde(default = "default_seed")]
    seed: u64,
    #[serde(default)]
    data: DataConfig,
    #[serde(default)]
    model: ModelConfig,
    #[serde(default)]
    objective: Table,
    #[serde(default)]
    optimizer: Table,
    #[serde(default)]
    train: TrainConfig,
}

fn default_seed() -> u64 {
    1
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// If a key is unknown or a value has the wrong type; the message names the nearest key.
    pub fn from_toml(text: &str) -> Result<Self> {
        Ok(Self::with_changes(text, &[])?.0)
    }

    /// Reads a recipe and applies changes of the form `section.key=value`, where the value is TOML,
    /// or a word that stands for a string, or nothing, which removes the key.
    ///
    /// A change of a `kind` drops those keys of the recipe that only other kinds have;
    /// they are returned, so that the user can be told.
    ///
    /// # Errors
    /// If a key is unknown or a value has the wrong type; the message names the nearest key.
    pub fn with_changes(text: &str, changes: &[String]) -> Result<(Self, Vec<String>)> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            Error::config(format!("the recipe is not valid TOML: {error}"), "")
        })?;
        format::bring_up_to_date(&mut table)?;
        let dropped = changes::apply_all(&mut table, changes)?;
        let sections: Sections = Value::Table(table).try_into().map_err(explain)?;
        let Sections { seed, data, model, objective, optimizer, train } = sections;
        let objective = ObjectiveConfig::from_table(objective)?;
        let optimizer = OptimizerConfig::from_table(optimizer)?;
        Ok((Self { seed, data, model, objective, optimizer, train }, dropped))
    }

    /// The configuration for images of one shape, with every value.
    ///
    /// # Errors
    /// If a number is impossible or the parts do not fit together.
    pub fn resolve(&self, image: ImageShape) -> Result<Config> {
        let Self { seed, data, model, objective, optimizer, train } = self.clone();
        if i64::try_from(seed).is_err() {
            let message = format!("seed: expected at most {}, found {seed}", i64::MAX);
            return Err(Error::config(message, "files of configurations hold no larger numbers"));
        }
        let model = model.resolve(image)?;
        objective.check()?;
        optimizer.check()?;
        train.check()?;
        Ok(Config { seed, data, model, objective, optimizer, train })
    }
}

/// The text of a recipe file, in UTF-8 or UTF-16.
///
/// # Errors
/// If it cannot be read or is no text.
pub fn read_recipe(path: &Path) -> Result<String> {
    let bytes = fs::read(path).context("read", path)?;
    crate::table::decode(path, &bytes).map(std::borrow::Cow::into_owned)
}

/// Turns serde's complaint into one with the nearest valid key as a hint.
pub(crate) fn explain(error: toml::de::Error) -> Error {
    // "unknown field `modle`, expected one of `seed`, `data`, ..."
    let message = error.message().trim().to_owned();
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let hint = match words.as_slice() {
        [found, valid @ ..] if message.starts_with("unknown ") => {
            let nearest = nearest(found, valid.iter().copied());
            nearest.map(|word| format!("did you mean `{word}`?"))
        }
        _ => None,
    };
    let place = error.to_string();
    let place = place.lines().rev().find_map(|line| line.trim().strip_prefix("in `"));
    let place = place.map(|p| format!(" in [{}]", p.trim_end_matches('`'))).unwrap_or_default();
    Error::config(format!("configuration{place}: {message}"), hint.unwrap_or_default())
}
