//! What a process does with a run of a sweep.

use std::sync::Arc;

use burn::tensor::Device;

use super::plan::{PlannedRun, Sweep};
use crate::data::{self, DataConfig, Dataset};
use crate::error::{Error, Result};
use crate::run::{Entered, Observer, Outcome, Run};

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// Trained and scored now, or already before.
    Done,
    /// The observer asked to stop; it can be gone on with.
    Stopped,
    /// Another process is at work on it.
    Busy {
        /// Which one.
        owner: String,
    },
    /// It cannot be done, and that has been noted.
    Failed {
        /// Why.
        message: String,
    },
}

/// Executes runs one after the other, and keeps the newest data sets, which runs of a sweep mostly share.
pub struct Executor<'a> {
    sweep: &'a Sweep,
    device: Device,
    #[cfg(feature = "gpu")]
    gpu: Option<betavae_gpu::Device>,
    data: Vec<(DataConfig, u64, Arc<dyn Dataset>)>,
}

/// Data sets that are kept.
const KEPT: usize = 2;

impl<'a> Executor<'a> {
    /// For runs of this sweep.
    pub fn new(sweep: &'a Sweep, device: &Device) -> Self {
        Self {
            sweep,
            device: device.clone(),
            #[cfg(feature = "gpu")]
            gpu: None,
            data: Vec::new(),
        }
    }

    /// The same with steps that a GPU takes.
    #[cfg(feature = "gpu")]
    #[must_use]
    pub fn on_gpu(self, gpu: betavae_gpu::Device) -> Self {
        Self { gpu: Some(gpu), ..self }
    }

    /// Does a run, from wherever it stands to its end. Where it fails, that is noted in the sweep's folder.
    ///
    /// # Errors
    /// If even that cannot be noted.
    pub fn execute(&mut self, run: &PlannedRun, observer: &mut dyn Observer) -> Result<Executed> {
        match self.attempt(run, observer) {
            Ok(Outcome::Finished) => {
                self.sweep.forget_failure(run)?;
                Ok(Executed::Done)
            }
            Ok(Outcome::Stopped) => Ok(Executed::Stopped),
            Err(Error::Busy { owner, .. }) => Ok(Executed::Busy { owner }),
            Err(error) => {
                let mut message = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(next) = cause {
                    message += &format!(": {next}");
                    cause = next.source();
                }
                self.sweep.fail(run, &message)?;
                Ok(Executed::Failed { message })
            }
        }
    }

    fn attempt(&mut self, run: &PlannedRun, observer: &mut dyn Observer) -> Result<Outcome> {
        let finish = &self.sweep.file.finish;
        let folder = self.sweep.folder_of(run);
        if crate::run::is_finished(&folder, run.config.train().steps, finish) {
            return Ok(Outcome::Finished);
        }
        let data = self.open(run)?;
        match Run::enter(&folder, run.config.clone(), data, finish, &self.device)? {
            Entered::Done => Ok(Outcome::Finished),
            Entered::Training(mut training) => {
                #[cfg(feature = "gpu")]
                if let Some(gpu) = &self.gpu {
                    training.move_to_gpu(gpu)?;
                }
                if training.train(observer)? == Outcome::Stopped {
                    return Ok(Outcome::Stopped);
                }
                match training.finish(finish, &self.device, observer) {
                    Err(Error::Stopped) => Ok(Outcome::Stopped),
                    finished => finished.map(|_| Outcome::Finished),
                }
            }
        }
    }

    fn open(&mut self, run: &PlannedRun) -> Result<Arc<dyn Dataset>> {
        let (config, seed) = (run.config.data(), run.config.seed());
        // Only the noise of some rendered sets depends on the seed.
        let seed = if data::depends_on_seed(config) { seed } else { 0 };
        let known =
            |(other, other_seed, _): &&(DataConfig, u64, _)| other == config && *other_seed == seed;
        if let Some((.., data)) = self.data.iter().find(known) {
            return Ok(data.clone());
        }
        let data = data::open(config, seed)?;
        self.data.truncate(KEPT - 1);
        self.data.insert(0, (config.clone(), seed, data.clone()));
        Ok(data)
    }
}
