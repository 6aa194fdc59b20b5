//! What the runs of a sweep come to together: aggregates over seeds, figures, model selection with labels and without.
//!
//! | module | what it is |
//! | --- | --- |
//! | `quantity` | the numbers that a run comes to |
//! | `summary` | groups of runs that are equal but for their seed, and their means with intervals |
//! | `ranking` | UDR, which ranks models without labels |
//! | `weights` | what varies within the runs of an objective |
//! | `figures` | scores over weights, rank correlations, reconstruction against scores |
//! | `choice` | the best and the median run by a score |
//! | `page`, `write` | all of it as HTML; files |
//!
//! It is made of the runs that are done, so that a sweep can be looked at while it is at work.

mod choice;
mod figures;
mod page;
mod quantity;
mod ranking;
mod summary;
mod weights;
mod write;

pub use choice::{Choice, ChosenRun};
pub use quantity::Quantity;
pub use summary::{Aggregate, GroupSummary};

use std::fs;

use serde::Serialize;

use super::plan::Sweep;
use super::state::{RunState, SweepProgress};
use crate::Device;
use crate::error::Result;
use crate::runs::{DataColumn, Group, Record, groups};
use crate::scores::ScoreName;
use crate::studies::Progress;
use figures::ReportFigure;
use summary::{Summarised, summarise};

/// What the runs of a sweep come to.
#[derive(Serialize)]
pub struct SweepReport {
    /// The sweep's name.
    pub name: String,
    /// How far the sweep is.
    pub progress: SweepProgress,
    /// Groups of runs that are done and equal but for their seed.
    pub groups: Vec<GroupSummary>,
    /// What is compared on each data set.
    pub data_sets: Vec<DataSetReport>,
    /// UDR of each run whose group has several.
    pub udr: Vec<RankedRun>,
    /// Runs that failed, and models and images that could not be used.
    pub failures: Vec<Failure>,
    /// The sweep's recipe, its file, and the commands that go on with it.
    #[serde(skip)]
    about: About,
    #[serde(skip)]
    summary: Vec<DataColumn>,
}

/// What is compared on a data set.
#[derive(Serialize)]
pub struct DataSetReport {
    /// What distinguishes it from the others.
    pub label: String,
    /// Runs on it that are done.
    pub runs: usize,
    /// How well UDR agrees with each score of factors.
    pub udr_agreement: Vec<Agreement>,
    /// The best and the median run.
    pub choice: Option<Choice>,
    #[serde(skip)]
    figures: Vec<ReportFigure>,
}

/// Rank correlation of UDR and a score over runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// The score.
    pub score: Quantity,
    /// Runs that have both.
    pub n: usize,
    /// Spearman's; absent for fewer than three runs, or where one of the two is the same for all.
    pub spearman: Option<f64>,
}

/// A run with its UDR.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankedRun {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// The median of its likeness with the others of the group.
    pub udr: f64,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The run, or the group.
    pub name: String,
    /// Why.
    pub message: String,
}

/// What the page says of the sweep itself.
struct About {
    recipe: String,
    text: Option<String>,
    commands: [String; 2],
}

impl Sweep {
    /// Puts together what the runs that are done come to. `by` is the score by which the best and the median run are chosen:
    /// MIG if it is absent, or the first score where there is no MIG.
    ///
    /// # Errors
    /// If no run has the score `by`, a figure cannot be drawn, or the caller wants to stop. What is wrong with single runs is
    /// told in the report.
    pub fn report(
        &self,
        by: Option<ScoreName>,
        device: &Device,
        progress: &mut dyn Progress,
    ) -> Result<SweepReport> {
        let runs = self.collect();
        let counts = SweepProgress::of(runs.iter().map(|run| &run.status.state));
        let (mut done, mut failures) = (Vec::new(), Vec::new());
        for run in runs {
            match (run.status.state, run.record) {
                (RunState::Done, Some(record)) => done.push(record),
                (RunState::Failed { message }, _) => {
                    failures.push(Failure { name: run.status.name, message });
                }
                (RunState::Running { .. } | RunState::Waiting | RunState::Done, _) => {}
            }
        }
        // A score that no run has is told before models are encoded.
        if by.is_some_and(|by| by != ScoreName::Udr) {
            choice::score(by, &done)?;
        }
        failures.extend(ranking::rank(&mut done, device, progress)?);
        let by = choice::score(by, &done)?;
        let runs: Vec<&Record> = done.iter().collect();
        let groups = summarise(&runs);
        let mut data_sets = Vec::new();
        for data in alike(&runs, &["data"]) {
            data_sets.push(data_set(&data, &groups, by, device, &mut failures)?);
        }
        let udr = Quantity::Score(ScoreName::Udr);
        let ranked = groups.iter().flat_map(|group| {
            group.runs.iter().filter_map(|run| {
                let group = group.summary.label.clone();
                Some(RankedRun { name: run.name.clone(), group, udr: udr.of(run)? })
            })
        });
        Ok(SweepReport {
            name: self.file.name.clone(),
            progress: counts,
            udr: ranked.collect(),
            data_sets,
            failures,
            about: self.about(),
            summary: summary::columns(&groups),
            groups: groups.into_iter().map(|group| group.summary).collect(),
        })
    }

    fn about(&self) -> About {
        let place = self.on_command_line();
        About {
            recipe: self.file.recipe.clone(),
            text: fs::read_to_string(&self.file.path).ok(),
            commands: ["run", "collect"].map(|verb| format!("betavae sweep {verb} {place}")),
        }
    }
}

/// The runs in groups of such that have the same settings `kept`, which are keys or whole sections.
fn alike<'a>(runs: &[&'a Record], kept: &[&str]) -> Vec<Group<'a>> {
    let settings = runs.iter().flat_map(|run| run.config.settings()).map(|(key, _)| key);
    let is_kept = |key: &String| {
        let section = key.split('.').next().unwrap_or(key);
        // In which order images are seen is no matter of which they are.
        (kept.contains(&key.as_str()) || kept.contains(&section)) && key != "data.order"
    };
    let mut free: Vec<String> = settings.filter(|key| !is_kept(key)).collect();
    free.sort_unstable();
    free.dedup();
    groups(runs, &free.iter().map(String::as_str).collect::<Vec<_>>())
}

fn data_set(
    data: &Group<'_>,
    groups: &[Summarised<'_>],
    by: Option<ScoreName>,
    device: &Device,
    failures: &mut Vec<Failure>,
) -> Result<DataSetReport> {
    let on_it =
        |group: &&Summarised<'_>| data.runs.iter().any(|run| std::ptr::eq(*run, group.runs[0]));
    let groups: Vec<&Summarised<'_>> = groups.iter().filter(on_it).collect();
    let mut figures = figures::over_weights(&groups);
    figures.extend(figures::correlations(&data.runs));
    let likelihoods = alike(&data.runs, &["data", "model.likelihood", "model.sigma"]);
    for group in &likelihoods {
        let words = (likelihoods.len() > 1).then_some(group.label.as_str());
        figures.extend(figures::against_reconstruction(&group.runs, words));
    }
    let choice = match by {
        Some(by) => choice::choose(by, &data.runs, device, failures)?,
        None => None,
    };
    Ok(DataSetReport {
        label: data.label.clone(),
        runs: data.runs.len(),
        udr_agreement: agreement(&data.runs),
        choice,
        figures,
    })
}

/// How well UDR agrees with each score of factors.
fn agreement(runs: &[&Record]) -> Vec<Agreement> {
    let udr = Quantity::Score(ScoreName::Udr);
    let scores = Quantity::scores(runs).into_iter();
    let labelled = scores.filter(|score| match score {
        Quantity::Score(name) => name.uses_factors(),
        _ => false,
    });
    labelled
        .map(|score| {
            let pairs: (Vec<f64>, Vec<f64>) =
                runs.iter().filter_map(|run| Some((udr.of(run)?, score.of(run)?))).unzip();
            Agreement { score, n: pairs.0.len(), spearman: figures::rank_correlation(&pairs) }
        })
        .filter(|found| found.n > 0)
        .collect()
}

impl SweepReport {
    /// The page.
    pub fn page(&self) -> String {
        page::page(self)
    }
}

#[cfg(test)]
mod tests;
