//! All scores by name, each with its uncertainty, its number of samples and its convention.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::array::{Codes, Labelled, Matrix};
use crate::error::Result;
use crate::estimate::{Estimate, bootstrap};
use crate::information::BINS;
use crate::irs::{IrsSettings, irs};
use crate::mig::mig;
use crate::mig_chen::mig_chen;
use crate::modularity::modularity;
use crate::random::Random;
use crate::source::Pool;
use crate::unsupervised::unsupervised;

/// The names of scores, as in files and on the command line.
macro_rules! names {
    ($($variant:ident $name:literal,)*) => {
        /// A score.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ScoreName {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl ScoreName {
            /// Every score.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in files and on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

names! {
    Mig "mig",
    MigChen "mig_chen",
    Modularity "modularity",
    Irs "irs",
    GaussianTotalCorrelation "gaussian_total_correlation",
    Wasserstein "wasserstein",
    MutualInformation "mutual_information",
}

/// A score with its 95 % interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The score.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Codes that one value of the score is computed from.
    pub samples: usize,
    /// Which published definition, and what the interval is.
    pub convention: String,
}

/// Scores in the order of [`ScoreName::ALL`], and the matrices behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The scores.
    pub scores: Vec<(ScoreName, Score)>,
    /// Matrices by name: `mutual_information_with_factors` [D, K], `irs` [D, K], `covariance` [D, D]...
    pub matrices: Vec<(&'static str, Matrix)>,
}

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.scores.len()))?;
        for (name, score) in &self.scores {
            map.serialize_entry(name.name(), score)?;
        }
        map.end()
    }
}

/// How scores are estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuiteSettings {
    /// Seed of all draws.
    pub seed: u64,
    /// Codes drawn for one value of a score; fewer rows are all used. 10,000 in disentanglement_lib.
    pub samples: usize,
    /// Repeats with other draws, or resamples of a bootstrap where all rows are used.
    pub repeats: usize,
}

impl Default for SuiteSettings {
    fn default() -> Self {
        Self { seed: 0, samples: 10_000, repeats: 5 }
    }
}

/// Resamples of a bootstrap.
const RESAMPLES: usize = 50;

/// What scores are computed from.
#[derive(Clone, Copy)]
pub struct Suite<'a> {
    /// Codes and factors. Codes are posterior means, or whatever the representation is.
    pub pool: &'a Pool,
    /// Posterior log-variances of the same rows, for scores that need them.
    pub log_var: Option<&'a Codes>,
    /// How scores are estimated.
    pub settings: SuiteSettings,
}

impl Suite<'_> {
    /// Computes the wanted scores; those that need log-variances only where they are known.
    /// `progress` hears what is being worked on and how far that is, from 0 to 1.
    ///
    /// # Errors
    /// If there are too few codes for a score.
    pub fn run(
        &self,
        wanted: &[ScoreName],
        progress: &(dyn Fn(&str, f64) + Sync),
    ) -> Result<Scores> {
        let mut found = Scores::default();
        let wants = |names: &[ScoreName]| names.iter().any(|name| wanted.contains(name));
        if wants(&[ScoreName::Mig]) {
            progress("mig", 0.0);
            let values = |data: &Labelled| vec![mig(data, BINS).score];
            self.closed(&mut found, &[ScoreName::Mig], "20 equal-width bins", values)?;
        }
        if let (true, Some(log_var)) = (wants(&[ScoreName::MigChen]), self.log_var) {
            self.chen(&mut found, log_var, progress)?;
        }
        if wants(&[ScoreName::Modularity]) {
            progress("modularity", 0.0);
            let values = |data: &Labelled| vec![modularity(data, BINS).score];
            self.closed(&mut found, &[ScoreName::Modularity], "20 equal-width bins", values)?;
        }
        if wants(&[ScoreName::Irs]) {
            progress("irs", 0.0);
            let values = |data: &Labelled| vec![irs(data, IrsSettings::default()).score];
            let convention = "99 % quantile, factors in 20 bins";
            self.closed(&mut found, &[ScoreName::Irs], convention, values)?;
        }
        let names = [
            ScoreName::GaussianTotalCorrelation,
            ScoreName::Wasserstein,
            ScoreName::MutualInformation,
        ];
        if wants(&names) {
            progress("unsupervised", 0.0);
            let values = |data: &Labelled| {
                let found = unsupervised(data.codes(), BINS);
                let [tc, distance] = [found.gaussian_total_correlation, found.wasserstein];
                vec![tc, distance, found.mutual_information]
            };
            let convention = "of the codes' covariance, or of 20 equal-width bins";
            self.closed(&mut found, &names, convention, values)?;
        }
        found.scores.retain(|(name, _)| wanted.contains(name));
        found.scores.sort_by_key(|(name, _)| *name);
        Ok(found)
    }

    /// Scores that are functions of codes and factors: of all rows, or of repeated draws where there
    /// are more than the settings ask for.
    fn closed(
        &self,
        found: &mut Scores,
        names: &[ScoreName],
        convention: &str,
        values: impl Fn(&Labelled) -> Vec<f64> + Sync,
    ) -> Result<()> {
        let (data, SuiteSettings { seed, samples, repeats }) = (self.pool.data(), self.settings);
        let (samples, interval, estimates) = if data.len() <= samples {
            let scores = |rows: &[usize]| Ok(values(&data.select(rows)));
            let estimates = bootstrap(data.len(), RESAMPLES, seed, scores)?;
            (data.len(), format!("bootstrap of {RESAMPLES}"), estimates)
        } else {
            let scores = |random: &mut Random| Ok(values(&self.pool.sample(samples, random)));
            let repeated = crate::estimate::repeated(repeats, seed, scores)?;
            (samples, format!("{repeats} draws"), repeated)
        };
        for (name, Estimate { value, low, high }) in names.iter().zip(estimates) {
            let convention = format!("{convention}; interval: {interval}");
            found.scores.push((*name, Score { value, low, high, samples, convention }));
        }
        Ok(())
    }

    fn chen(
        &self,
        found: &mut Scores,
        log_var: &Codes,
        progress: &(dyn Fn(&str, f64) + Sync),
    ) -> Result<()> {
        let (data, name) = (self.pool.data(), ScoreName::MigChen.name());
        progress(name, 0.0);
        let latents = data.codes().latents() as f64;
        let mig = mig_chen(data.codes(), log_var, data.factors(), |done| {
            progress(name, done as f64 / latents);
        })?;
        let convention = "posterior mixtures over all codes; exact, nothing is drawn".to_owned();
        let (value, samples) = (mig.score, data.len());
        let score = Score { value, low: value, high: value, samples, convention };
        found.scores.push((ScoreName::MigChen, score));
        found.matrices.push(("mig_chen_information", mig.information));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::grid;

    #[test]
    fn names_are_distinct_and_wanted_scores_come_in_order() {
        let names: std::collections::BTreeSet<_> =
            ScoreName::ALL.iter().map(|name| name.name()).collect();
        assert_eq!(names.len(), ScoreName::ALL.len());
        let pool = Pool::new(grid(|y| vec![y[0] as f64, y[1] as f64, y[2] as f64])).unwrap();
        for samples in [100, 10_000] {
            let settings = SuiteSettings { samples, ..SuiteSettings::default() };
            let suite = Suite { pool: &pool, log_var: None, settings };
            let wanted = [ScoreName::Irs, ScoreName::Mig];
            let found = suite.run(&wanted, &|_, _| ()).unwrap();
            let names: Vec<_> = found.scores.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [ScoreName::Mig, ScoreName::Irs]);
            assert!(found.scores.iter().all(|(_, score)| score.value > 0.9), "{found:?}");
            let json = serde_json::to_value(&found).unwrap();
            assert_eq!(json["mig"]["samples"], samples.min(480));
        }
    }
}
