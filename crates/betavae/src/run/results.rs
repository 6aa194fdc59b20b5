//! What a finished run comes to: its evaluation, its scores, its report.

use std::path::PathBuf;
use std::sync::Mutex;

use burn::tensor::Device;
use serde::Serialize;

use super::observer::Observer;
use super::{Run, figures};
use crate::checkpoint::Trained;
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, encode, evaluate, subset};
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
    /// The scores that take seconds; `scores.json`. Absent where factors are unknown or cannot be scored.
    pub scores: Option<Scores>,
    /// Why there are no scores, where the factors are known.
    pub notes: Vec<String>,
    /// Where the report is, in builds with the feature `figures`.
    pub report: Option<PathBuf>,
}

impl Run {
    /// Evaluates the model as it is now, scores it where factors are known, and writes both and a report into the
    /// run's folder. Each file is written completely or not at all.
    ///
    /// # Errors
    /// If an image cannot be read or the disk fails. Data that cannot be scored is no reason to fail.
    pub fn finish(&self, device: &Device, observer: &mut dyn Observer) -> Result<Results> {
        let trained = self.trained()?;
        let data = &**self.trainer.data();
        let indices = subset(data.len(), EVALUATED_IMAGES);
        let (evaluation, _) = evaluate(&trained, data, &indices, &mut |_| ())?;
        self.write("evaluation.json", &evaluation)?;
        let (mut scores, mut notes) = (None, Vec::new());
        match self.quick_scores(&trained, observer)? {
            Some(Ok(found)) => {
                self.write("scores.json", &found)?;
                scores = Some(found);
            }
            Some(Err(error)) => notes.push(error.to_string()),
            None => {}
        }
        let report = figures::report(&self.folder, self.trainer.data(), device)?;
        Ok(Results { evaluation, scores, notes, report })
    }

    /// The scores that take seconds, or why they cannot be computed, where factors are known.
    fn quick_scores(
        &self,
        trained: &Trained,
        observer: &mut dyn Observer,
    ) -> Result<Option<Result<Scores>>> {
        let data = &**self.trainer.data();
        let indices = subset(data.len(), SCORED_IMAGES);
        let Ok(factors) = scores::factors_of(data, &indices) else { return Ok(None) };
        let codes = encode(&trained.model, data, &indices, &mut |_| ())?;
        let (names, settings) = (scores::factor_names(data), SuiteSettings::default());
        // Scores are computed on several threads, and whoever watches need not know.
        let observer = Mutex::new(observer);
        let progress = |score: &str, share: f64| {
            if let Ok(mut observer) = observer.lock() {
                observer.scoring(score, share);
            }
        };
        Ok(Some(Representation::try_from(&codes).and_then(|codes| {
            scores::score(codes, &[], &factors, &names, QUICK, settings, &progress)
        })))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.folder.join(name);
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::file(&path, format!("cannot be written: {error}")))?;
        write_atomically(&path, text.as_bytes())
    }
}
