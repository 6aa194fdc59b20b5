//! The numbers that a run comes to.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

use crate::runs::Record;
use crate::scores::ScoreName;
use crate::words;

/// A number that a run comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// -ln p(x | z) with sampled z, in nats per image.
    Reconstruction,
    /// KL(q(z | x) || N(0, 1)) in nats per image.
    Kl,
    /// -(reconstruction + KL) with sampled z, in nats per image.
    Elbo,
    /// Latents with more than 0.01 nats of KL.
    ActiveLatents,
    /// Seconds of training.
    Seconds,
    /// A score.
    Score(ScoreName),
}

impl Quantity {
    /// What every run has.
    pub(super) const TERMS: [Self; 5] =
        [Self::Reconstruction, Self::Kl, Self::Elbo, Self::ActiveLatents, Self::Seconds];

    /// The scores that any of these runs has.
    pub(super) fn scores(runs: &[&Record]) -> Vec<Self> {
        let names = runs.iter().flat_map(|run| run.scores.iter().map(|(name, _)| *name));
        names.collect::<BTreeSet<_>>().into_iter().map(Self::Score).collect()
    }

    /// Its name in tables, the one that it has in the table of every run.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconstruction => "sampled.reconstruction",
            Self::Kl => "sampled.kl",
            Self::Elbo => "sampled.elbo",
            Self::ActiveLatents => "active_latents",
            Self::Seconds => "seconds",
            Self::Score(name) => name.name(),
        }
    }

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Reconstruction => "\u{2212}ln p(x | z)",
            Self::Kl => "KL",
            Self::Elbo => "ELBO",
            Self::ActiveLatents => "active latents",
            Self::Seconds => "training",
            Self::Score(name) => name.name(),
        }
    }

    /// A value in words.
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::Reconstruction | Self::Kl | Self::Elbo => format!("{value:.2}"),
            Self::ActiveLatents | Self::Score(ScoreName::ActiveUnits) => format!("{value:.1}"),
            Self::Seconds if value < 60.0 => format!("{value:.1} s"),
            Self::Seconds => words::duration(value),
            Self::Score(_) => format!("{value:.3}"),
        }
    }

    /// The value of a run, where it has one that is finite.
    pub fn of(self, run: &Record) -> Option<f64> {
        let evaluation = || run.evaluation.as_ref();
        let value = match self {
            Self::Reconstruction => evaluation()?.sampled.reconstruction,
            Self::Kl => evaluation()?.sampled.kl,
            Self::Elbo => evaluation()?.sampled.elbo,
            Self::ActiveLatents => evaluation()?.active_latents as f64,
            Self::Seconds => run.seconds?,
            Self::Score(name) => run.scores.iter().find(|(known, _)| *known == name)?.1.value,
        };
        Some(value).filter(|value| value.is_finite())
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
