//! Every run of a sweep as a row: how far it is, its configuration, terms, scores and times.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::plan::{PlannedRun, Sweep};
use super::state::{RunState, RunStatus};
use crate::config::Config;
use crate::evaluate::{AverageLoss, Evaluation};
use crate::runs::{DataColumn, Record};
use crate::scores::{Score, ScoreName};

/// A run, and what there is of it.
#[derive(Clone, Debug)]
pub struct CollectedRun<'a> {
    /// What was planned.
    pub planned: &'a PlannedRun,
    /// How far it is.
    pub status: RunStatus,
    /// What it has come to; absent before it has begun.
    pub record: Option<Record>,
}

impl Sweep {
    /// Reads the folders of all runs, of those too that are not done. A folder that is damaged counts as failed, with what is
    /// wrong with it.
    pub fn collect(&self) -> Vec<CollectedRun<'_>> {
        let collect = |planned| {
            let mut status = self.status_of(planned);
            let folder = self.folder_of(planned);
            let record = folder.join("config.toml").exists().then(|| Record::read(&folder));
            let record = record.and_then(|record| {
                record
                    .map_err(|error| {
                        status.state = RunState::Failed { message: error.to_string() };
                    })
                    .ok()
            });
            CollectedRun { planned, status, record }
        };
        self.runs.par_iter().map(collect).collect()
    }
}

/// A term of an evaluation.
type LossTerm = (&'static str, fn(&AverageLoss) -> f64);

const TERMS: [LossTerm; 3] = [
    ("reconstruction", |loss| loss.reconstruction),
    ("kl", |loss| loss.kl),
    ("elbo", |loss| loss.elbo),
];

/// The columns of a table of runs. Settings have their key, terms in nats per image are those with sampled z or at the mean,
/// scores have their interval beside them.
pub fn columns(runs: &[CollectedRun<'_>]) -> Vec<DataColumn> {
    let words = |name: &str, value: &dyn Fn(&CollectedRun<'_>) -> Option<String>| {
        DataColumn::words(name, runs.iter().map(value))
    };
    let numbers = |name: &str, value: &dyn Fn(&CollectedRun<'_>) -> Option<f64>| {
        DataColumn::numbers(name, runs.iter().map(value))
    };
    let mut columns = vec![
        words("name", &|run| Some(run.status.name.clone())),
        words("state", &|run| Some(run.status.state.name().to_owned())),
        words("message", &|run| match &run.status.state {
            RunState::Failed { message } => Some(message.clone()),
            RunState::Done | RunState::Running { .. } | RunState::Waiting => None,
        }),
        numbers("step", &|run| Some(run.status.step as f64)),
        numbers("restarts", &|run| Some(run.status.restarts as f64)),
        numbers("seconds", &|run| run.record.as_ref()?.seconds),
    ];
    columns.extend(settings(runs.iter().map(|run| &run.planned.config)));
    let evaluation =
        |run: &CollectedRun<'_>| -> Option<Evaluation> { run.record.as_ref()?.evaluation.clone() };
    for (name, term) in TERMS {
        let sampled = |run: &CollectedRun<'_>| Some(term(&evaluation(run)?.sampled));
        let at_mean = |run: &CollectedRun<'_>| Some(term(&evaluation(run)?.at_mean));
        columns.push(numbers(&format!("sampled.{name}"), &sampled));
        columns.push(numbers(&format!("at_mean.{name}"), &at_mean));
    }
    columns.push(numbers("active_latents", &|run| Some(evaluation(run)?.active_latents as f64)));
    let scores = runs.iter().filter_map(|run| run.record.as_ref()).flat_map(|run| &run.scores);
    let scores: BTreeSet<ScoreName> = scores.map(|(name, _)| *name).collect();
    for name in scores {
        let part = |part: fn(&Score) -> f64| {
            move |run: &CollectedRun<'_>| -> Option<f64> {
                let scores = &run.record.as_ref()?.scores;
                let (_, score) = scores.iter().find(|(known, _)| *known == name)?;
                Some(part(score)).filter(|value| value.is_finite())
            }
        };
        columns.push(numbers(name.name(), &part(|score| score.value)));
        columns.push(numbers(&format!("{}.low", name.name()), &part(|score| score.low)));
        columns.push(numbers(&format!("{}.high", name.name()), &part(|score| score.high)));
    }
    columns
}

/// A column for each setting: of numbers if every value is one.
pub(super) fn settings<'a>(configs: impl Iterator<Item = &'a Config>) -> Vec<DataColumn> {
    let flat: Vec<Vec<(String, String)>> = configs.map(Config::settings).collect();
    let mut keys: Vec<&String> = Vec::new();
    let mut known: BTreeSet<&String> = BTreeSet::new();
    for (key, _) in flat.iter().flatten() {
        if key != "format" && known.insert(key) {
            keys.push(key);
        }
    }
    let column = |key: &&String| {
        let value = |settings: &Vec<(String, String)>| {
            settings.iter().find(|(known, _)| known == *key).map(|(_, value)| value.clone())
        };
        let values: Vec<Option<String>> = flat.iter().map(value).collect();
        let numbers: Option<Vec<Option<f64>>> = values
            .iter()
            .map(|value| {
                value
                    .as_ref()
                    .map(|value| value.parse().ok())
                    .map_or(Some(None), |x: Option<f64>| x.map(Some))
            })
            .collect();
        match numbers {
            Some(numbers) => DataColumn::numbers(key.as_str(), numbers.into_iter()),
            None => DataColumn::words(key.as_str(), values.into_iter()),
        }
    };
    keys.iter().map(column).collect()
}
