//! A run folder as data, read without its model.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::history::History;
use crate::config::Config;
use crate::error::{Error, IoContext, Result};
use crate::evaluate::Evaluation;
use crate::objective::beta_norm;
use crate::scores::{Score, ScoreName};

/// A run folder.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it is.
    pub folder: PathBuf,
    /// What it is called: the folder's name.
    pub name: String,
    /// The resolved configuration.
    pub config: Config,
    /// Terms over the steps.
    pub history: History,
    /// Loss terms of the trained model; absent before the end of training.
    pub evaluation: Option<Evaluation>,
    /// Scores of the trained model, in the order of [`ScoreName::ALL`]; none where factors are unknown.
    pub scores: Vec<(ScoreName, Score)>,
    /// On what and with what it was made.
    pub provenance: toml::Table,
    /// Seconds from the start to the newest row of `timing.csv`, without pauses between sessions.
    pub seconds: Option<f64>,
}

impl Record {
    /// Reads a run folder, finished or not.
    ///
    /// # Errors
    /// If it is not one, or a file in it is damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let config = Config::of_run(folder)?;
        let scores: HashMap<String, Score> = json(&folder.join("scores.json"))?.unwrap_or_default();
        let score = |name: &ScoreName| Some((*name, scores.get(name.name())?.clone()));
        let full = std::path::absolute(folder).context("find", folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            name: full.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            config,
            history: History::read(&folder.join("metrics.csv"))?,
            evaluation: json(&folder.join("evaluation.json"))?,
            scores: ScoreName::ALL.iter().filter_map(score).collect(),
            provenance: provenance(&folder.join("provenance.toml"))?,
            seconds: seconds(&folder.join("timing.csv")),
        })
    }

    /// A run for tests, on images 64x64x1, of a recipe and the rows of `metrics.csv`.
    #[cfg(test)]
    pub(crate) fn sketch(name: &str, recipe: &str, rows: &str) -> Self {
        let recipe = crate::config::Recipe::from_toml(recipe).unwrap();
        let config = recipe.resolve(crate::data::ImageShape::new(64, 64, 1)).unwrap();
        Self {
            folder: name.into(),
            name: name.into(),
            config,
            history: History::parse(&format!("step,term,value\n{rows}")).unwrap(),
            evaluation: None,
            scores: Vec::new(),
            provenance: toml::Table::new(),
            seconds: None,
        }
    }

    /// What beta amounts to per latent and image value (Higgins et al. 2017, 4.2), for objectives that have one.
    pub fn beta_norm(&self) -> Option<f64> {
        let (model, beta) = (self.config.model(), self.config.objective().kind.beta()?);
        Some(beta_norm(beta, model.latents(), model.image().values()))
    }

    /// KL and -ln p(x | z) in nats per image: of the evaluation with sampled z, or else the newest of the
    /// training.
    pub fn rate_and_distortion(&self) -> Option<[f64; 2]> {
        if let Some(evaluation) = &self.evaluation {
            return Some([evaluation.sampled.kl, evaluation.sampled.reconstruction]);
        }
        Some([self.history.last("kl")?, self.history.last("reconstruction")?])
    }
}

/// A JSON file, if there is one.
fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path: path.to_owned(), source }),
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Error::file(path, format!("not what `betavae train` writes: {error}"))
        }),
    }
}

fn provenance(path: &Path) -> Result<toml::Table> {
    if !path.exists() {
        return Ok(toml::Table::new());
    }
    let text = fs::read_to_string(path).context("read", path)?;
    text.parse().map_err(|error: toml::de::Error| {
        Error::file(path, format!("not valid TOML: {}", error.message()))
    })
}

/// The time that the steps took, from the speeds in `timing.csv`.
fn seconds(path: &Path) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let rows: Vec<[f64; 2]> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(',').map(|field| field.parse().ok());
            let (step, _, rate) = (fields.next()??, fields.next()??, fields.next()??);
            Some([step, rate])
        })
        .collect();
    let mut last = 0.0;
    let mut sum = 0.0;
    for [step, rate] in rows {
        // A resumed run repeats the steps after its checkpoint.
        if step > last && rate > 0.0 {
            sum += (step - last) / rate;
            last = step;
        }
    }
    (last > 0.0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_that_of_the_steps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timing.csv");
        let text =
            "step,unix_seconds,steps_per_second\n50,10,50\n100,11,50\n100,500,10\n150,502,25\n";
        fs::write(&path, text).unwrap();
        assert_eq!(seconds(&path), Some(4.0));
        assert_eq!(seconds(&folder.path().join("none")), None);
    }

    #[test]
    fn another_folder_is_not_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let error = Record::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("not a run folder"), "{error}");
    }
}
