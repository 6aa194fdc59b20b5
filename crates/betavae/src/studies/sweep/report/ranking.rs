//! Models by how alike those of other seeds are, without labels: UDR (Duan et al. 2020).

use std::sync::Arc;

use super::Failure;
use crate::Device;
use crate::checkpoint::Trained;
use crate::data::{self, DataConfig, Dataset};
use crate::error::Result;
use crate::evaluate::{encode, subset};
use crate::runs::{Group, Record, groups};
use crate::scores::{Representation, Score, ScoreName, udr};
use crate::studies::{Progress, go_on};

/// Images that the models of a group are compared on.
pub(super) const IMAGES: usize = 2000;

/// Gives every run whose group has at least two models its UDR, as a score beside the others. Each model is encoded once,
/// each data set opened once. Returns what could not be compared.
///
/// # Errors
/// If the caller wants to stop.
pub(super) fn rank(
    runs: &mut [Record],
    device: &Device,
    progress: &mut dyn Progress,
) -> Result<Vec<Failure>> {
    let all: Vec<&Record> = runs.iter().collect();
    let groups: Vec<Group<'_>> =
        groups(&all, &["seed"]).into_iter().filter(|group| group.runs.len() > 1).collect();
    let mut encoding = Encoding {
        device,
        total: groups.iter().map(|group| group.runs.len() as u64).sum(),
        done: 0,
        data: Vec::new(),
        failures: Vec::new(),
    };
    let mut found: Vec<(String, Score)> = Vec::new();
    for group in &groups {
        let codes = encoding.group(group, progress)?;
        if codes.len() < 2 {
            continue;
        }
        let (names, codes): (Vec<String>, Vec<Representation>) = codes.into_iter().unzip();
        match udr(&codes) {
            Ok(values) => {
                let samples = codes[0].mean.len();
                let convention = format!("Duan et al.: lasso, {} other models", codes.len() - 1);
                let score = |value| {
                    let (low, high) = (f64::NAN, f64::NAN);
                    Score { value, low, high, samples, convention: convention.clone() }
                };
                found.extend(names.into_iter().zip(values.into_iter().map(score)));
            }
            Err(error) => encoding.fail(&group.label, "its models cannot be compared", &error),
        }
    }
    let failures = encoding.failures;
    for (name, score) in found {
        if let Some(run) = runs.iter_mut().find(|run| run.name == name) {
            run.scores.retain(|(known, _)| *known != ScoreName::Udr);
            run.scores.push((ScoreName::Udr, score));
        }
    }
    Ok(failures)
}

struct Encoding<'a> {
    device: &'a Device,
    /// Models to encode, and those that are.
    total: u64,
    done: u64,
    /// Those that were opened; absent ones could not be.
    data: Vec<(DataConfig, Option<Arc<dyn Dataset>>)>,
    failures: Vec<Failure>,
}

impl Encoding<'_> {
    /// The codes of the same images by each model of a group that can be loaded.
    fn group(
        &mut self,
        group: &Group<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(String, Representation)>> {
        let mut found = Vec::new();
        for run in &group.runs {
            go_on(progress)?;
            // Where a seed makes the images too, all models see those of the first one's.
            if let Some(data) = self.open(group.runs[0]) {
                match self.encode(run, &*data) {
                    Ok(codes) => found.push((run.name.clone(), codes)),
                    Err(error) => self.fail(&run.name, "its model cannot be used", &error),
                }
            }
            self.done += 1;
            progress.stepped("encoding images for UDR", self.done, self.total);
        }
        Ok(found)
    }

    fn encode(&self, run: &Record, data: &dyn Dataset) -> Result<Representation> {
        let trained = Trained::load(&run.folder, self.device)?;
        let indices = subset(data.len(), IMAGES);
        Representation::try_from(&encode(&trained.model, data, &indices, &mut |_| Ok(()))?)
    }

    fn open(&mut self, run: &Record) -> Option<Arc<dyn Dataset>> {
        let config = run.config.data();
        if let Some((_, known)) = self.data.iter().find(|(known, _)| known == config) {
            return known.clone();
        }
        let opened = match data::open(config, run.config.seed()) {
            Ok(data) => Some(data),
            Err(error) => {
                self.fail(&run.name, "its images cannot be opened, for UDR", &error);
                None
            }
        };
        self.data.push((config.clone(), opened.clone()));
        opened
    }

    fn fail(&mut self, name: &str, what: &str, error: &crate::Error) {
        self.failures.push(Failure { name: name.to_owned(), message: format!("{what}: {error}") });
    }
}
