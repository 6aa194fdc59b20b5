//! What a run folder says of its training, read without its model: for curves, comparisons and reports.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::error::{Error, IoContext, Result};
use crate::evaluate::Evaluation;
use crate::objective::beta_norm;
use crate::scores::{Score, ScoreName};

/// The rows of `metrics.csv`: every term over the steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(BTreeMap<String, Vec<[f64; 2]>>);

impl History {
    /// Reads `metrics.csv`. A last line that is still being written is left out.
    ///
    /// # Errors
    /// If the file cannot be read or is not such a table.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(path).context("read", path)?)
            .map_err(|reason| Error::file(path, reason))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut history = Self::default();
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        for (number, line) in complete.lines().enumerate() {
            let fields: Vec<&str> = line.split(',').collect();
            let row = match fields[..] {
                ["step", "term", "value"] if number == 0 => continue,
                [step, term, value] => {
                    step.parse().ok().zip(value.parse().ok()).map(|at| (term, at))
                }
                _ => None,
            };
            let Some((term, (step, value))) = row else {
                return Err(format!(
                    "line {}: expected step,term,value, found `{line}`",
                    number + 1
                ));
            };
            history.0.entry(term.to_owned()).or_default().push([step, value]);
        }
        Ok(history)
    }

    /// Step and value of a term; nothing if it is unknown.
    pub fn term(&self, name: &str) -> &[[f64; 2]] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The newest value of a term.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.term(name).last().map(|[_, value]| *value)
    }

    /// KL of every latent over the steps.
    pub fn kl_per_latent(&self) -> Vec<&[[f64; 2]]> {
        let latent = |j: usize| self.0.get(&format!("kl_{j}")).map(Vec::as_slice);
        (0..).map_while(latent).collect()
    }

    /// The newest step.
    pub fn step(&self) -> u64 {
        self.0
            .values()
            .filter_map(|rows| rows.last())
            .map(|[step, _]| *step as u64)
            .max()
            .unwrap_or(0)
    }
}

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
        let config = read_config(folder)?;
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
        let (mut config, _) = Config::from_recipe(recipe, &[]).unwrap();
        config.resolve(crate::data::ImageShape::new(64, 64, 1)).unwrap();
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

    /// H * W * C.
    pub fn image_values(&self) -> usize {
        self.config.model.image.map_or(0, |image| image.values())
    }

    /// What beta amounts to per latent and image value, for runs with loss H (Higgins et al. 2017, 4.2).
    pub fn beta_norm(&self) -> Option<f64> {
        let beta = self.config.objective.beta?;
        Some(beta_norm(beta, self.config.model.latents, self.image_values()))
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

/// The resolved configuration of a run folder.
///
/// # Errors
/// If it is not one.
pub fn read_config(folder: &Path) -> Result<Config> {
    let path = folder.join("config.toml");
    if !path.exists() {
        return Err(Error::file_hint(
            folder,
            "not a run folder: there is no config.toml in it",
            "give the folder that `betavae train` printed",
        ));
    }
    Config::from_toml(&fs::read_to_string(&path).context("read", &path)?)
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
    fn a_table_of_metrics_is_read_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let text = "step,term,value\n1,kl,2.5\n1,kl_0,2\n1,kl_1,0.5\n2,kl,3\n2,kl_0,2.5\n2,kl_1,0";
        fs::write(&path, text).unwrap();
        let history = History::read(&path).unwrap();
        assert_eq!(history.term("kl"), [[1.0, 2.5], [2.0, 3.0]]);
        assert_eq!(history.kl_per_latent(), [&[[1.0, 2.0], [2.0, 2.5]][..], &[[1.0, 0.5]]]);
        assert_eq!(
            (history.step(), history.last("kl"), history.last("beta")),
            (2, Some(3.0), None)
        );
        fs::write(&path, "step,term,value\n1,kl\n").unwrap();
        let error = History::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("line 2: expected step,term,value, found `1,kl`"), "{error}");
    }

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
