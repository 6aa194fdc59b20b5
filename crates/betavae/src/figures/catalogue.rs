//! Every figure by name, so that commands and reports draw the same ones.

use std::path::Path;

use image::RgbImage;

use super::plot::Figure;
use super::{
    Traversal, TraversalOptions, kl_capacity, kl_training, matrices, mosaic, rate_distortion,
    reconstructions, responses, score_beta, terms,
};
use crate::checkpoint::Trained;
use crate::data::Dataset;
use crate::error::Result;
use crate::evaluate::{Codes, encode, load, subset};
use crate::objective::ACTIVE_NATS;
use crate::runs::Record;

/// Images that responses and matrices are computed from.
const SAMPLE: usize = 30_000;
/// Images next to their reconstructions.
const RECONSTRUCTIONS: usize = 32;
/// Latents that are shown where none is active.
const INACTIVE: usize = 3;
/// Draws from the prior.
const DRAWS: usize = 64;
/// The seed of the draws.
const SEED: u64 = 1;

/// A figure that the toolkit knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureName {
    /// One latent varied at a time.
    Traversal,
    /// Images next to their reconstructions.
    Reconstructions,
    /// Draws from the prior.
    Samples,
    /// Means of latents over factors.
    Responses,
    /// Latents by factors: importance, mutual information, correlation.
    Matrices,
    /// Terms of the loss over the steps.
    Terms,
    /// KL of each latent over the steps.
    KlTraining,
    /// KL of each latent against the capacity.
    KlCapacity,
    /// KL against reconstruction.
    RateDistortion,
    /// Scores against beta_norm.
    ScoreBeta,
}

impl FigureName {
    /// Every figure.
    pub const ALL: [Self; 10] = [
        Self::Traversal,
        Self::Reconstructions,
        Self::Samples,
        Self::Responses,
        Self::Matrices,
        Self::Terms,
        Self::KlTraining,
        Self::KlCapacity,
        Self::RateDistortion,
        Self::ScoreBeta,
    ];

    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traversal => "traversal",
            Self::Reconstructions => "reconstructions",
            Self::Samples => "samples",
            Self::Responses => "responses",
            Self::Matrices => "matrices",
            Self::Terms => "terms",
            Self::KlTraining => "kl-training",
            Self::KlCapacity => "kl-capacity",
            Self::RateDistortion => "rate-distortion",
            Self::ScoreBeta => "score-beta",
        }
    }

    /// Whether it compares runs, rather than shows one.
    pub fn compares(self) -> bool {
        matches!(self, Self::RateDistortion | Self::ScoreBeta)
    }

    /// What the figure needs, for the message that says why it is missing.
    pub fn needs(self) -> &'static str {
        match self {
            Self::Traversal | Self::Samples => "a model",
            Self::Reconstructions => "a model and the images it was trained on",
            Self::Responses => "a model, and data with factors that vary",
            Self::Matrices => "a model, and data with known factors that recur",
            Self::Terms | Self::KlTraining => "a run folder with metrics",
            Self::KlCapacity => "a run folder, trained with loss B and a rising capacity",
            Self::RateDistortion => "run folders with metrics",
            Self::ScoreBeta => "run folders with scores.json, trained with loss H",
        }
    }
}

/// A figure that was drawn.
pub enum Drawing {
    /// Made of pictures.
    Picture(RgbImage),
    /// Made of axes.
    Figure(Box<Figure>),
}

impl Drawing {
    /// Whether it can be written as SVG.
    pub fn is_vector(&self) -> bool {
        matches!(self, Self::Figure(_))
    }

    /// Writes it to a file: pictures as `.png`, figures as `.svg` or `.png`.
    ///
    /// # Errors
    /// If the name ends otherwise, or the disk fails.
    pub fn save(&self, path: &Path) -> Result<()> {
        match self {
            Self::Picture(picture) => super::save(picture, path),
            Self::Figure(figure) => figure.save(path),
        }
    }
}

/// What figures are drawn of.
#[derive(Default)]
pub struct FigureInput<'a> {
    trained: Option<&'a Trained>,
    data: Option<&'a dyn Dataset>,
    runs: Vec<&'a Record>,
    /// Codes of a sample of the data, once a figure needs them.
    codes: Option<(Vec<usize>, Codes)>,
}

impl<'a> FigureInput<'a> {
    /// A model, with its images and its run where there are any.
    pub fn model(
        trained: &'a Trained,
        data: Option<&'a dyn Dataset>,
        run: Option<&'a Record>,
    ) -> Self {
        let data = data.filter(|data| !data.is_empty());
        Self { trained: Some(trained), data, runs: run.into_iter().collect(), codes: None }
    }

    /// Runs that are compared.
    pub fn runs(runs: Vec<&'a Record>) -> Self {
        Self { runs, ..Self::default() }
    }

    /// Draws a figure; `None` if the subject lacks what it needs.
    ///
    /// # Errors
    /// If an image cannot be read or does not fit the model, or the data cannot be scored.
    pub fn draw(&mut self, name: FigureName) -> Result<Option<Drawing>> {
        let figure = |figure| Some(Drawing::Figure(Box::new(figure)));
        let run = match self.runs[..] {
            [run] => Some(run),
            _ => None,
        };
        Ok(match name {
            FigureName::Traversal => self.trained.map(|trained| {
                let centre = vec![0.0; trained.model.latents()];
                let traversal =
                    Traversal::new(trained, &TraversalOptions { range: 3.0, frames: 11, centre });
                let title = "traversals around the prior mean, in prior deviations";
                Drawing::Picture(traversal.figure(title))
            }),
            FigureName::Reconstructions => match (self.trained, self.data) {
                (Some(trained), Some(data)) => {
                    let indices = subset(data.len(), RECONSTRUCTIONS);
                    let images = load(data, &indices, &trained.model.device())?;
                    let columns = RECONSTRUCTIONS / 2;
                    Some(Drawing::Picture(reconstructions(&trained.model, images, columns)))
                }
                _ => None,
            },
            FigureName::Samples => self
                .trained
                .map(|trained| Drawing::Picture(mosaic(trained.model.sample(DRAWS, SEED)))),
            FigureName::Responses => {
                let Some((trained, data)) = self.with_factors() else { return Ok(None) };
                let (latents, active) = shown(trained);
                let (indices, codes) = self.codes(trained, data)?;
                let drawn =
                    data.factors().and_then(|known| responses(codes, indices, known, &latents));
                drawn
                    .map(|mut drawn| {
                        if !active {
                            drawn.title += &format!(
                                "\nno latent has more than {ACTIVE_NATS} nats of KL; these have most"
                            );
                        }
                        drawn
                    })
                    .and_then(figure)
            }
            FigureName::Matrices => {
                let Some((trained, data)) = self.with_factors() else { return Ok(None) };
                let latents = trained.latents_by_kl();
                let (indices, codes) = self.codes(trained, data)?;
                figure(matrices(codes, indices, data, &latents, true, &|_, _| ())?)
            }
            FigureName::Terms => {
                run.filter(|run| run.history.step() > 0).map(terms).and_then(figure)
            }
            FigureName::KlTraining => {
                run.filter(|run| run.history.step() > 0).map(kl_training).and_then(figure)
            }
            FigureName::KlCapacity => run.and_then(kl_capacity).and_then(figure),
            FigureName::RateDistortion => rate_distortion(&self.runs).and_then(figure),
            FigureName::ScoreBeta => score_beta(&self.runs).and_then(figure),
        })
    }

    fn with_factors(&self) -> Option<(&'a Trained, &'a dyn Dataset)> {
        let data = self.data.filter(|data| data.factors().is_some())?;
        Some((self.trained?, data))
    }

    fn codes(&mut self, trained: &Trained, data: &dyn Dataset) -> Result<&(Vec<usize>, Codes)> {
        if self.codes.is_none() {
            let indices = subset(data.len(), SAMPLE);
            let codes = encode(&trained.model, data, &indices, &mut |_| Ok(()))?;
            self.codes = Some((indices, codes));
        }
        Ok(self.codes.as_ref().unwrap_or_else(|| unreachable!("just made")))
    }
}

/// The active latents by falling KL, and whether there are any; if there are none, the first few. All where
/// the KL is unknown.
fn shown(trained: &Trained) -> (Vec<usize>, bool) {
    let known = &trained.description.kl_per_latent;
    let active = |j: &usize| known.get(*j).is_none_or(|kl| *kl > f64::from(ACTIVE_NATS));
    let (mut active, others): (Vec<usize>, Vec<usize>) =
        trained.latents_by_kl().into_iter().partition(active);
    let any = !active.is_empty();
    if !any {
        active = others.into_iter().take(INACTIVE).collect();
    }
    (active, any)
}
