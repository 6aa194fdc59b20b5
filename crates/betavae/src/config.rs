//! A run's configuration: a recipe in TOML, changes to single keys, and the resolved whole that is
//! written into the run folder. Nothing unknown passes silently.

use std::fs;
use std::path::{Path, PathBuf};

use betavae_kernels::Precision;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::data::{DataConfig, ImageShape};
use crate::error::{Error, IoContext, Result};
use crate::model::{BetaVae, Likelihood, ModelConfig, Network};
use crate::objective::{self, Objective, ObjectiveConfig};
use crate::optimizer::OptimizerConfig;
use crate::words::nearest;

/// Everything that determines a run, except the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed of every random stream of the run.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Which images.
    #[serde(default)]
    pub data: DataConfig,
    /// Which network.
    #[serde(default)]
    pub model: ModelConfig,
    /// What is minimised.
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// How.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// For how long, and what is written meanwhile.
    #[serde(default)]
    pub train: TrainConfig,
}

fn default_seed() -> u64 {
    1
}

/// The `[train]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimisation steps of the whole run.
    pub steps: u64,
    /// Images per step.
    pub batch: usize,
    /// Steps between rows of metrics.csv, each the mean over the steps since the last.
    pub log_every: u64,
    /// Steps between checkpoints; there is always one at the end.
    pub checkpoint_every: u64,
    /// How many of the newest checkpoints are kept; 0 keeps all.
    pub keep_checkpoints: usize,
    /// Start from the weights of this MODEL, with a fresh optimiser; its network must be `model`'s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Whether checkpoints come with pictures of reconstructions and traversals.
    pub previews: bool,
    /// Whether the run folder has event files for TensorBoard.
    pub tensorboard: bool,
    /// How layers multiply in training: `f32`, or `bf16` with sums in f32, which is faster on
    /// processors with AVX-512 BF16 and slower elsewhere.
    pub precision: Precision,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 10_000,
            batch: 64,
            log_every: 50,
            checkpoint_every: 1000,
            keep_checkpoints: 3,
            init: None,
            previews: true,
            tensorboard: true,
            precision: Precision::F32,
        }
    }
}

impl Config {
    /// Reads a recipe and applies changes of the form `section.key=value`, where the value is TOML,
    /// or a word that stands for a string, or nothing, which removes the key.
    ///
    /// A change of `objective.kind` drops those keys of the recipe that only the other kind uses;
    /// they are returned, so that the user can be told.
    ///
    /// # Errors
    /// If a key is unknown or a value has the wrong type; the message names the nearest key.
    pub fn from_recipe(recipe: &str, changes: &[String]) -> Result<(Self, Vec<String>)> {
        let mut table: Table = recipe.parse().map_err(|error: toml::de::Error| {
            Error::config(format!("the recipe is not valid TOML: {error}"), "")
        })?;
        for change in changes {
            check_section(change)?;
            apply(&mut table, change)?;
        }
        let dropped = drop_foreign_objective_keys(&mut table, changes);
        let config = Value::Table(table).try_into().map_err(explain)?;
        Ok((config, dropped))
    }

    /// Reads a configuration that was written by [`Config::to_toml`].
    ///
    /// # Errors
    /// If it is not one.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(explain)
    }

    /// The configuration as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| unreachable!("plain tables: {error}"))
    }

    /// Fixes the image shape and fills in every default, then checks the whole.
    ///
    /// # Errors
    /// If the parts do not fit together.
    pub fn resolve(&mut self, image: ImageShape) -> Result<()> {
        match self.model.image {
            Some(expected) if expected != image => {
                return Err(Error::Mismatch {
                    what: "the data set's images do not fit model.image".into(),
                    expected: expected.to_string(),
                    found: image.to_string(),
                    hint: "use the data the model was made for, or resize it with data.size".into(),
                });
            }
            _ => self.model.image = Some(image),
        }
        let network = Network::new(&self.model, image)?;
        self.objective.resolve(network.ends_in_tanh());
        if network.ends_in_tanh() {
            self.model.image_range = Some(network.image_range);
        }
        self.check()
    }

    /// # Errors
    /// If a number is impossible or the parts do not fit together.
    pub fn check(&self) -> Result<()> {
        self.objective.check()?;
        self.optimizer.check()?;
        let train = &self.train;
        let positive = [
            ("batch", train.batch as u64),
            ("log_every", train.log_every),
            ("checkpoint_every", train.checkpoint_every),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => {
                Err(Error::config(format!("train.{key}: expected at least 1, found 0"), ""))
            }
            None => Ok(()),
        }
    }

    /// The objective and the likelihood.
    ///
    /// # Errors
    /// If the `[objective]` table is not resolved or not valid.
    pub fn objective(&self) -> Result<(Objective, Likelihood)> {
        self.objective.check()
    }

    /// The network with fresh parameters.
    ///
    /// # Errors
    /// If the configuration is not resolved or its parts do not fit.
    pub fn build_model(&self, device: &crate::Device) -> Result<BetaVae> {
        let image = self.model.image.ok_or_else(|| {
            Error::config("model.image is missing", "configurations in run folders have it")
        })?;
        BetaVae::new(&self.model, self.objective()?.1, image, self.seed, device)
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

/// Changes keys of a `[data]` table, each of the form `data.KEY=VALUE`; an empty value removes the key.
///
/// # Errors
/// If a change is about another table, a key is unknown or a value has the wrong type.
pub fn change_data(data: &DataConfig, changes: &[String]) -> Result<DataConfig> {
    if changes.is_empty() {
        return Ok(data.clone());
    }
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Only {
        data: DataConfig,
    }
    let mut table = Table::try_from(Only { data: data.clone() })
        .unwrap_or_else(|error| unreachable!("plain tables: {error}"));
    for change in changes {
        let key = change.split('=').next().unwrap_or_default().trim();
        if !key.starts_with("data.") {
            return Err(Error::config(
                format!("`{change}` changes {key}, but only keys of [data] can be set here"),
                "for example --set data.size=64",
            ));
        }
        apply(&mut table, change)?;
    }
    let only: Only = Value::Table(table).try_into().map_err(explain)?;
    Ok(only.data)
}

/// Sets one key of a table of tables; an empty value removes it.
fn apply(table: &mut Table, change: &str) -> Result<()> {
    let malformed = || {
        Error::config(
            format!("`{change}` is not of the form section.key=value"),
            "for example --set objective.beta=8",
        )
    };
    let (path, text) = change.split_once('=').ok_or_else(malformed)?;
    let (path, text) = (path.trim(), text.trim());
    // Any TOML value; what is none is a string, so that words need no quotes in a shell.
    let value = format!("v={text}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
    let mut keys: Vec<&str> = path.split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(malformed)?;
    let mut here = table;
    for key in keys {
        let next = here.entry(key).or_insert_with(|| Value::Table(Table::new()));
        here = next.as_table_mut().ok_or_else(|| {
            Error::config(format!("`{key}` in `{change}` is a value, not a section"), "")
        })?;
    }
    if text.is_empty() {
        here.remove(last);
    } else {
        here.insert(last.to_owned(), value);
    }
    Ok(())
}

/// Refuses a key without its section, with the section that has it.
fn check_section(change: &str) -> Result<()> {
    let key = change.split('=').next().unwrap_or_default().trim();
    if key.contains('.') || key.is_empty() {
        return Ok(());
    }
    let sections = ["data", "model", "objective", "optimizer", "train"];
    if key == "seed" || sections.contains(&key) {
        return Ok(());
    }
    // An unknown key is told apart from a value of the wrong type by its message.
    let has = |section: &&&str| {
        let text = format!("[{section}]\n{key} = []");
        let error = toml::from_str::<Config>(&text).err();
        error.is_none_or(|error| !error.message().starts_with("unknown field"))
    };
    match sections.iter().find(has) {
        Some(section) => Err(Error::config(
            format!("`{key}` is a key of [{section}]"),
            format!("did you mean `{section}.{change}`?"),
        )),
        None => Ok(()),
    }
}

fn drop_foreign_objective_keys(table: &mut Table, changes: &[String]) -> Vec<String> {
    let changed = |key: &str| {
        changes.iter().any(|c| c.trim_start().starts_with(&format!("objective.{key}=")))
    };
    let Some(objective) = table.get_mut("objective").and_then(Value::as_table_mut) else {
        return Vec::new();
    };
    if !changed("kind") {
        return Vec::new();
    }
    let foreign: &[&str] = match objective.get("kind").and_then(Value::as_str) {
        Some("h") => &objective::B_KEYS,
        Some("b") => &objective::H_KEYS,
        _ => &[],
    };
    let drop = |key: &&&str| !changed(key) && objective.remove(**key).is_some();
    foreign.iter().filter(drop).map(|key| format!("objective.{key}")).collect()
}

/// Turns serde's complaint into one with the nearest valid key as a hint.
fn explain(error: toml::de::Error) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str, changes: &[&str]) -> Result<Config> {
        let changes: Vec<_> = changes.iter().map(|c| (*c).to_owned()).collect();
        let (mut config, _) = Config::from_recipe(text, &changes)?;
        config.resolve(ImageShape::new(64, 64, 1))?;
        Ok(config)
    }

    fn refused(changes: &[&str]) -> (String, String) {
        let error = recipe("", changes).unwrap_err();
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn an_empty_recipe_is_the_default_and_resolves_completely() {
        let config = recipe("", &[]).unwrap();
        assert_eq!(config.model.image, Some(ImageShape::new(64, 64, 1)));
        assert_eq!(config.objective.beta, Some(4.0));
        assert_eq!(Config::from_toml(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn changes_are_toml_or_words() {
        let config = recipe(
            "",
            &[
                "model.architecture=custom",
                "model.widths=[8, 16]",
                "objective.kind=\"b\"",
                "objective.c_max = 12.5",
                "seed=7",
            ],
        )
        .unwrap();
        assert_eq!((config.seed, config.model.widths), (7, Some(vec![8, 16])));
        assert_eq!(config.objective.c_max, Some(12.5));
    }

    #[test]
    fn an_empty_value_removes_a_key() {
        let config = recipe("[data]\nname = \"dsprites\"", &["data.name="]).unwrap();
        assert_eq!(config.data.name, None);
    }

    #[test]
    fn unknown_keys_name_the_nearest_one() {
        let (message, hint) = refused(&["modle.latents=3"]);
        assert!(message.contains("`modle`"), "{message}");
        assert_eq!(hint, "did you mean `model`?");
        let (message, hint) = refused(&["model.latent=3"]);
        assert!(message.contains("`latent`"), "{message}");
        assert_eq!(hint, "did you mean `latents`?");
    }

    #[test]
    fn unknown_kinds_list_the_valid_ones() {
        let (message, _) = refused(&["objective.kind=nonsense"]);
        assert!(message.contains("nonsense") && message.contains("`h`"), "{message}");
        let (message, _) = refused(&["objective.likelihood=poisson"]);
        assert!(message.contains("`bernoulli`") && message.contains("`gaussian`"), "{message}");
        let (message, _) = refused(&["model.architecture=resnet"]);
        assert!(message.contains("`burgess`") && message.contains("`pytorch-vae`"), "{message}");
    }

    #[test]
    fn keys_of_the_other_kind_are_refused_when_asked_for_and_dropped_when_inherited() {
        let (message, hint) = refused(&["objective.gamma=10"]);
        assert!(message.contains("objective.gamma") && hint.contains("beta"), "{message} {hint}");
        let text = "[objective]\nbeta = 4.0";
        let (config, dropped) =
            Config::from_recipe(text, &["objective.kind=b".to_owned()]).unwrap();
        assert_eq!((config.objective.beta, dropped), (None, vec!["objective.beta".to_owned()]));
        assert!(recipe(text, &["objective.kind=b", "objective.beta=2"]).is_err());
    }

    #[test]
    fn impossible_values_are_named() {
        for (change, key) in [
            ("train.batch=0", "train.batch"),
            ("objective.beta=-1", "objective.beta"),
            ("objective.beta=nan", "objective.beta"),
            ("model.latents=0", "model.latents"),
            ("model.kernel=3", "model.kernel"),
            ("objective.sigma=0.5", "objective.sigma"),
            ("objective.kl_weight=0.5", "objective.kl_weight"),
        ] {
            let (message, _) = refused(&[change]);
            assert!(message.contains(key), "{change}: {message}");
        }
        assert!(refused(&["nothing"]).0.contains("section.key=value"));
    }

    #[test]
    fn a_tanh_network_takes_the_gaussian_by_itself_and_refuses_bernoulli() {
        let config = recipe("", &["model.architecture=pytorch-vae"]).unwrap();
        assert_eq!(config.objective.sigma, Some(1.0));
        let config =
            recipe("", &["model.architecture=pytorch-vae", "objective.likelihood=bernoulli"])
                .unwrap();
        assert!(config.build_model(&crate::Device::flex()).is_err());
    }
}
