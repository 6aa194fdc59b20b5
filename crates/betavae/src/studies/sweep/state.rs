//! How far the runs of a sweep are, read from their folders.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use super::plan::{PlannedRun, Sweep};
use crate::checkpoint;
use crate::error::{Error, IoContext, Result};
use crate::files::write_atomically;
use crate::run;
use crate::words::thousands;

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum RunState {
    /// Trained and scored.
    Done,
    /// A process is at work on it.
    Running {
        /// Which one.
        owner: String,
        /// Seconds since it began.
        seconds: f64,
    },
    /// It has not begun, or was stopped.
    Waiting,
    /// It failed and is left alone until it is to be retried.
    Failed {
        /// Why.
        message: String,
    },
}

impl RunState {
    /// What it is called in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running { .. } => "running",
            Self::Waiting => "waiting",
            Self::Failed { .. } => "failed",
        }
    }
}

/// How many runs there are, and in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SweepProgress {
    /// That the sweep has.
    pub runs: usize,
    /// Trained and scored.
    pub done: usize,
    /// At work.
    pub running: usize,
    /// Not begun, or stopped.
    pub waiting: usize,
    /// Failed.
    pub failed: usize,
}

impl SweepProgress {
    /// Of these runs.
    pub fn of<'a>(states: impl Iterator<Item = &'a RunState>) -> Self {
        let mut counts = Self::default();
        for state in states {
            counts.runs += 1;
            *match state {
                RunState::Done => &mut counts.done,
                RunState::Running { .. } => &mut counts.running,
                RunState::Waiting => &mut counts.waiting,
                RunState::Failed { .. } => &mut counts.failed,
            } += 1;
        }
        counts
    }

    /// The states in which there are runs besides those that are done, in words such as `3 running`.
    pub fn others_in_words(&self) -> Vec<String> {
        let kinds = [(self.running, "running"), (self.waiting, "waiting"), (self.failed, "failed")];
        let some = kinds.into_iter().filter(|(count, _)| *count > 0);
        some.map(|(count, kind)| format!("{} {kind}", thousands(count))).collect()
    }
}

/// What is known of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStatus {
    /// Its name.
    pub name: String,
    /// How far it is.
    #[serde(flatten)]
    pub state: RunState,
    /// Steps of its newest checkpoint.
    pub step: u64,
    /// Steps that it is to take.
    pub steps: u64,
    /// How often it was begun again after it had been stopped or killed.
    pub restarts: usize,
}

/// What a run that failed leaves: `failed/NAME.json` in the folder of the sweep, as its own folder may be what is wrong.
#[derive(Serialize, serde::Deserialize)]
struct Failure {
    message: String,
}

impl Sweep {
    /// How far every run is.
    pub fn status(&self) -> Vec<RunStatus> {
        self.runs.iter().map(|run| self.status_of(run)).collect()
    }

    /// How far a run is.
    pub fn status_of(&self, run: &PlannedRun) -> RunStatus {
        let folder = self.folder_of(run);
        let steps = run.config.train().steps;
        let state = if run::is_finished(&folder, steps, &self.file.finish) {
            RunState::Done
        } else if let Some((owner, since)) = run::at_work(&folder) {
            let seconds = SystemTime::now().duration_since(since).unwrap_or_default().as_secs_f64();
            RunState::Running { owner, seconds }
        } else if let Some(message) = self.failure(run) {
            RunState::Failed { message }
        } else {
            RunState::Waiting
        };
        RunStatus {
            name: run.name.clone(),
            state,
            // Complete or not: this is for people, and to verify thousands takes long.
            step: checkpoint::list(&folder.join("checkpoints"))
                .map_or(0, |all| all.last().map_or(0, |(step, _)| *step)),
            steps,
            restarts: run::times_taken(&folder).saturating_sub(1),
        }
    }

    /// Why a run failed, if it did.
    pub fn failure(&self, run: &PlannedRun) -> Option<String> {
        let text = fs::read(self.failure_path(run)).ok()?;
        // A file that cannot be read stands for a failure all the same.
        let failure: std::result::Result<Failure, _> = serde_json::from_slice(&text);
        Some(failure.map_or("unknown".into(), |failure| failure.message))
    }

    /// Notes that a run failed, for whoever asks later and so that nobody tries it again unasked.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn fail(&self, run: &PlannedRun, message: &str) -> Result<()> {
        let path = self.failure_path(run);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).context("create", folder)?;
        let text = serde_json::to_string(&Failure { message: message.to_owned() })
            .map_err(|error| Error::file(&path, format!("cannot be written: {error}")))?;
        write_atomically(&path, text.as_bytes())
    }

    /// Forgets that a run failed, so that it is tried again.
    ///
    /// # Errors
    /// If that cannot be removed.
    pub fn forget_failure(&self, run: &PlannedRun) -> Result<()> {
        let path = self.failure_path(run);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn failure_path(&self, run: &PlannedRun) -> PathBuf {
        self.folder.join("failed").join(format!("{}.json", run.name))
    }
}
