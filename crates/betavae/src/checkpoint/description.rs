//! What a `model.safetensors` says about itself: what is needed to use the model, and where it comes from.
//!
//! The format has a number of its own and shares no table with the configuration of trainings but those that describe
//! the network and the images, so that models outlive what trained them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::Config;
use crate::data::DataConfig;
use crate::error::{Error, Result};
use crate::model::{ModelConfig, ModelSpec};

/// The format that is written. The first, of version 0.1.0, had no number and held the whole configuration.
const NEWEST: i64 = 2;

/// What a model file says beside its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Version of this library that wrote the file.
    pub version: String,
    /// Optimisation steps taken.
    pub step: u64,
    /// KL of each latent in nats over a sample of the training data, `[D]`; empty if unknown.
    pub kl_per_latent: Vec<f64>,
    /// Seed of its training; noise of evaluations follows from it.
    pub seed: u64,
    /// The network, the likelihood, and the shape and range of the images.
    pub model: ModelSpec,
    /// The objective of its training, in words.
    pub objective: String,
    /// The images of its training, as a `[data]` table.
    data: Table,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Second {
    format: i64,
    version: String,
    step: u64,
    seed: u64,
    objective: String,
    kl_per_latent: Vec<f64>,
    model: ModelConfig,
    data: Table,
}

/// The file of version 0.1.0.
#[derive(Deserialize)]
struct First {
    version: String,
    step: u64,
    kl_per_latent: Vec<f64>,
    config: Table,
}

impl Description {
    /// A model as a training has it now.
    pub fn new(config: &Config, step: u64, kl_per_latent: Vec<f64>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            step,
            kl_per_latent,
            seed: config.seed(),
            model: config.model().clone(),
            objective: config.objective_in_words(),
            data: crate::tagged::to_table(config.data()),
        }
    }

    /// The images of its training.
    ///
    /// # Errors
    /// If the description of them is of another version.
    pub fn data(&self) -> Result<DataConfig> {
        Value::Table(self.data.clone()).try_into().map_err(|error: toml::de::Error| {
            Error::config(
                format!("what the model says about its images cannot be read: {}", error.message()),
                "name images with --data INPUT",
            )
        })
    }

    /// As it is written into files, in TOML.
    pub fn to_toml(&self) -> String {
        let Self { version, step, kl_per_latent, seed, model, objective, data } = self.clone();
        let model = model.table().clone();
        let file =
            Second { format: NEWEST, version, step, seed, objective, kl_per_latent, model, data };
        toml::to_string(&file).unwrap_or_else(|error| unreachable!("plain tables: {error}"))
    }

    /// Reads what [`Description::to_toml`] has written, of this format or an earlier one, in the file `path`.
    pub(super) fn from_toml(path: &Path, text: &str) -> Result<Self> {
        let unreadable = |reason: &str| {
            Error::file_hint(
                path,
                format!("its description cannot be read: {}", reason.trim()),
                "was it written by a newer version?",
            )
        };
        let bad = |error: toml::de::Error| unreadable(error.message());
        let table: Table = text.parse().map_err(bad)?;
        match table.get("format") {
            None => {
                let First { version, step, kl_per_latent, config } =
                    Value::Table(table).try_into().map_err(bad)?;
                let wrap = |error: Error| unreadable(&error.to_string());
                let config = Config::from_toml(&config.to_string()).map_err(wrap)?;
                Ok(Self { version, ..Self::new(&config, step, kl_per_latent) })
            }
            Some(Value::Integer(NEWEST)) => {
                let file: Second = Value::Table(table).try_into().map_err(bad)?;
                let Second { version, step, seed, objective, kl_per_latent, model, data, .. } =
                    file;
                let image = model.image.ok_or_else(|| unreadable("model.image is missing"))?;
                let model = model.resolve(image).map_err(|error| unreadable(&error.to_string()))?;
                Ok(Self { version, step, kl_per_latent, seed, model, objective, data })
            }
            Some(format) => Err(unreadable(&format!(
                "expected format {NEWEST} or one before it, found {format}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Recipe;
    use crate::data::ImageShape;

    fn config() -> Config {
        let recipe =
            "seed = 5\nmodel.latents = 3\ndata = { name = 'blobs' }\nmodel.likelihood = 'gaussian'";
        Recipe::from_toml(recipe).unwrap().resolve(ImageShape::new(32, 32, 1)).unwrap()
    }

    #[test]
    fn descriptions_are_read_as_they_were_written() {
        let description = Description::new(&config(), 7, vec![0.5, 0.25, 0.0]);
        let (path, text) = (Path::new("m.safetensors"), description.to_toml());
        assert_eq!(Description::from_toml(path, &text).unwrap(), description);
        assert_eq!(description.data().unwrap().name.as_deref(), Some("blobs"));
        let newer = text.replace("format = 2", "format = 3");
        let error = Description::from_toml(path, &newer).unwrap_err();
        assert!(error.to_string().contains("found 3"), "{error}");
        assert!(error.hint().unwrap().contains("newer version"));
    }

    #[test]
    fn what_is_said_of_the_images_cannot_make_a_model_unreadable() {
        let description = Description::new(&config(), 7, Vec::new());
        let text = description.to_toml().replace("name = \"blobs\"", "renamed = \"blobs\"");
        let found = Description::from_toml(Path::new("m.safetensors"), &text).unwrap();
        assert_eq!(found.model, description.model);
        let error = found.data().unwrap_err();
        assert!(error.to_string().contains("`renamed`") && error.hint().is_some(), "{error}");
    }
}
