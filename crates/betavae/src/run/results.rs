//! What a finished run comes to: its evaluation, its scores, its report.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::observer::Observer;
use super::{Run, figures};
use crate::checkpoint::Trained;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::evaluate::GpuCoder;
use crate::evaluate::{Coder, Evaluation, encode, evaluate, subset};
use crate::files::write_atomically;
use crate::scores::{self, Representation, ScoreName, Scores, SuiteSettings};

/// Images of the evaluation.
const EVALUATED_IMAGES: usize = 2048;

/// Images of the scores: what they learn from and test on.
const SCORED_IMAGES: usize = 15_000;

/// Scores that take seconds.
const QUICK: &[ScoreName] = &[
    ScoreName::BetaVae,
    ScoreName::FactorVae,
    ScoreName::Mig,
    ScoreName::Sap,
    ScoreName::Modularity,
];

/// What [`Run::finish`] found and wrote.
#[derive(Clone, Debug)]
pub struct Results {
    /// Loss terms of the trained model; `evaluation.json`.
    pub evaluation: Evaluation,
    /// `scores.json`. Absent where factors are unknown or cannot be scored.
    pub scores: Option<Scores>,
    /// Why there are no scores, where the factors are known.
    pub notes: Vec<String>,
    /// Where the report is, in builds with the feature `figures`.
    pub report: Option<PathBuf>,
}

/// What is done with a trained model, beside its evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Scores, where factors are known.
    pub scores: Vec<ScoreName>,
    /// Number of images that scores learn from and are tested on.
    pub images: usize,
    /// Whether a report is written, in builds with the feature `figures`.
    pub report: bool,
}

impl Default for Finish {
    /// The scores that take seconds, and a report.
    fn default() -> Self {
        Self { scores: QUICK.to_vec(), images: SCORED_IMAGES, report: true }
    }
}

/// What is written last of all that a run leaves.
const DONE: &str = "done.json";

#[derive(PartialEq, Eq, Deserialize, Serialize)]
struct Done {
    /// Optimisation steps of the model that was evaluated.
    step: u64,
    /// Names of the scores that were wanted, computed or not.
    scores: Vec<String>,
    /// Number of images that they were wanted of.
    images: usize,
}

impl Done {
    fn new(step: u64, finish: &Finish) -> Self {
        let scores = finish.scores.iter().map(|name| name.name().to_owned()).collect();
        Self { step, scores, images: finish.images }
    }
}

/// Whether the run in a folder has come to its end, with what was wanted of it.
pub(crate) fn is_finished(folder: &Path, steps: u64, finish: &Finish) -> bool {
    let done = fs::read(folder.join(DONE)).ok();
    let done: Option<Done> = done.and_then(|text| serde_json::from_slice(&text).ok());
    done.is_some_and(|done| done == Done::new(steps, finish))
}

/// Takes back that a run is finished, where it is to go on.
pub(super) fn unfinish(folder: &Path) -> Result<()> {
    let path = folder.join(DONE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", &path, error))
        }
        _ => Ok(()),
    }
}

/// # Errors
/// If the observer wants to stop.
fn go_on(observer: &mut dyn Observer) -> Result<()> {
    if observer.should_stop() { Err(Error::Stopped) } else { Ok(()) }
}

impl Run {
    /// Evaluates the model as it is now, scores it where factors are known, and writes both and a report into the
    /// run's folder. Each file is written completely or not at all.
    ///
    /// # Errors
    /// If an image cannot be read or the disk fails, and [`Error::Stopped`] if the observer wants to stop; entering the run again
    /// does the rest. Data that cannot be scored is no reason to fail.
    pub fn finish(
        &self,
        finish: &Finish,
        device: &Device,
        observer: &mut dyn Observer,
    ) -> Result<Results> {
        let trained = self.trained()?;
        let data = &**self.trainer.data();
        let indices = subset(data.len(), EVALUATED_IMAGES);
        let coder = self.coder(&trained);
        let (evaluation, _) =
            evaluate(&trained, &*coder, data, &indices, &mut |_| go_on(observer))?;
        self.write("evaluation.json", &evaluation)?;
        let (mut scores, mut notes) = (None, Vec::new());
        match self.scores(finish, &*coder, observer)? {
            Some(Ok(found)) => {
                self.write("scores.json", &found)?;
                scores = Some(found);
            }
            Some(Err(error)) => notes.push(error.to_string()),
            None => {}
        }
        let report = match finish.report {
            true => figures::report(&self.folder, self.trainer.data(), device)?,
            false => None,
        };
        self.lease.check()?;
        self.write(DONE, &Done::new(self.trainer.steps_taken(), finish))?;
        Ok(Results { evaluation, scores, notes, report })
    }

    /// What encodes: what took the steps.
    fn coder<'a>(&self, trained: &'a Trained) -> Box<dyn Coder + 'a> {
        #[cfg(feature = "gpu")]
        if let Some(gpu) = self.trainer.gpu() {
            return Box::new(GpuCoder::new(&trained.model, gpu));
        }
        Box::new(&trained.model)
    }

    /// The wanted scores, or why they cannot be computed, where factors are known. The images are encoded once for all.
    fn scores(
        &self,
        finish: &Finish,
        coder: &dyn Coder,
        observer: &mut dyn Observer,
    ) -> Result<Option<Result<Scores>>> {
        let data = &**self.trainer.data();
        let indices = subset(data.len(), finish.images);
        let Ok(factors) = scores::factors_of(data, &indices) else { return Ok(None) };
        let codes = encode(coder, data, &indices, &mut |_| go_on(observer))?;
        let (names, settings) = (scores::factor_names(data), SuiteSettings::default());
        // Scores are computed on several threads, and whoever watches need not know.
        let observer = Mutex::new(observer);
        let progress = |score: &str, share: f64| {
            if let Ok(mut observer) = observer.lock() {
                observer.scoring(score, share);
            }
        };
        Ok(Some(Representation::try_from(&codes).and_then(|codes| {
            scores::score(codes, &[], &factors, &names, &finish.scores, settings, &progress)
        })))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.folder.join(name);
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::file(&path, format!("cannot be written: {error}")))?;
        write_atomically(&path, text.as_bytes())
    }
}
