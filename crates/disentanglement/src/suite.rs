//! All scores by name, each with its uncertainty, its number of samples and its convention.

mod names;
mod results;
mod special;

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::array::{Codes, Labelled, Matrix};
use crate::beta_vae::{BetaVaeSettings, beta_vae};
use crate::dci::{Predictor, dci};
use crate::downstream::{DOWNSTREAM_SIZES, Learner, downstream, fitting};
use crate::error::Result;
use crate::estimate::{bootstrap, repeated};
use crate::explicitness::explicitness;
use crate::factor_vae::{FactorVaeSettings, factor_vae};
use crate::infomec::infomec;
use crate::information::BINS;
use crate::irs::{IrsSettings, irs};
use crate::learn::{BoostingSettings, ForestSettings, LassoSettings, SvmSettings};
use crate::mig::mig;
use crate::modularity::modularity;
use crate::random::Random;
use crate::sap::sap;
use crate::source::Pool;
use crate::split::Split;
use crate::udr::UdrModel;
use crate::unsupervised::unsupervised;
pub use names::ScoreName;
use names::{BOOSTING, LOGISTIC};
use results::Group;
pub use results::{Score, Scores};

/// What predicts factors for DCI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DciWith {
    /// Boosted trees, as in disentanglement_lib.
    #[default]
    Boosting,
    /// A random forest, as in Eastwood and Williams 2018.
    Forest,
    /// The lasso with alpha 0.02, as in Eastwood and Williams 2018.
    Lasso,
}

/// How scores are estimated.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteSettings {
    /// Seed of all draws.
    pub seed: u64,
    /// Rows that a score is computed or learned from, with half as many more to test on where it
    /// learns; of fewer rows all are used. 10,000 in disentanglement_lib.
    pub samples: usize,
    /// Repeats with other draws, or resamples of a bootstrap where all rows are used.
    pub repeats: usize,
    /// What predicts factors for DCI.
    pub dci: DciWith,
    /// The factors of `beta_vae_higgins`, all if empty. Higgins et al. 2017 leave out dSprites' shape.
    pub higgins_factors: Vec<usize>,
}

impl Default for SuiteSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            samples: 10_000,
            repeats: 3,
            dci: DciWith::Boosting,
            higgins_factors: Vec::new(),
        }
    }
}

/// Resamples of a bootstrap.
const RESAMPLES: usize = 50;

/// Hears what is being worked on and how far that is, from 0 to 1.
pub type Progress<'a> = &'a (dyn Fn(&str, f64) + Sync);

/// What scores are computed from.
#[derive(Clone, Copy)]
pub struct Suite<'a> {
    /// Codes and factors. Codes are posterior means, or whatever the representation is.
    pub pool: &'a Pool,
    /// Posterior log-variances of the same rows, for scores that need them.
    pub log_var: Option<&'a Codes>,
    /// Codes of the same rows by models with other seeds, for `udr`.
    pub others: &'a [UdrModel],
    /// How scores are estimated.
    pub settings: &'a SuiteSettings,
}

impl Suite<'_> {
    /// Computes the wanted scores; `mig_chen` only where log-variances are known, `udr` only with
    /// these and other models.
    ///
    /// # Errors
    /// If there are too few codes for a score.
    pub fn run(&self, wanted: &[ScoreName], progress: Progress<'_>) -> Result<Scores> {
        use ScoreName as N;
        let mut found = Scores::default();
        let wants = |names: &[ScoreName]| names.iter().any(|name| wanted.contains(name));
        let (data, settings) = (self.pool.data(), self.settings);
        let [latents, factors] = [data.codes().latents(), data.factors().count()];
        let (train, test) = (settings.samples, settings.samples.div_ceil(2));

        // From codes and factors alone.
        let mut closed =
            |names: &[ScoreName], conventions: &[&str], matrix, values: &Values<'_>| {
                if !wants(names) {
                    return Ok(());
                }
                progress(names[0].name(), 0.0);
                self.closed(&mut found, Group { names, conventions, matrix }, values)
            };
        let bins = ["20 equal-width bins"];
        let matrix = Some(("mutual_information", [latents, factors]));
        closed(&[N::Mig], &bins, matrix, &|data| {
            let mig = mig(data, BINS);
            with_matrix(vec![mig.score], &mig.information)
        })?;
        closed(&[N::Modularity], &bins, None, &|data| vec![modularity(data, BINS).score])?;
        let matrix = Some(("irs", [latents, factors]));
        closed(&[N::Irs], &["99 % quantile, factors in 20 bins"], matrix, &|data| {
            let irs = irs(data, IrsSettings::default());
            with_matrix(vec![irs.score], &irs.matrix)
        })?;
        let names =
            [N::GaussianTotalCorrelation, N::Wasserstein, N::MutualInformation, N::ActiveUnits];
        let conventions = [
            "disentanglement_lib: of a Gaussian with the codes' covariance",
            "disentanglement_lib: between that Gaussian and the product of its marginals",
            "of pairs of codes, mean; 20 equal-width bins",
            "Burda et al.: codes with variance above 0.01",
        ];
        let matrix = Some(("covariance", [latents, latents]));
        closed(&names, &conventions, matrix, &|data| {
            let found = unsupervised(data.codes(), BINS);
            let [tc, distance] = [found.gaussian_total_correlation, found.wasserstein];
            let active =
                (0..latents).filter(|d| found.covariance[[*d, *d]] > crate::ACTIVE).count();
            with_matrix(
                vec![tc, distance, found.mutual_information, active as f64],
                &found.covariance,
            )
        })?;

        // From draws with a fixed factor, or from rows to learn from and rows to test on.
        let rows = data.len();
        let both = rows.min(train + test);
        let mut learned = |names: &[ScoreName],
                           convention: &str,
                           samples: &[usize],
                           matrix,
                           values: &Draws<'_>| {
            if !wants(names) {
                return Ok(());
            }
            let group = Group { names, conventions: &[convention], matrix };
            self.repeated(&mut found, group, samples, progress, values)
        };
        let convention = "disentanglement_lib: 64 pairs, logistic regression";
        learned(&[N::BetaVae], convention, &[both], None, &|random| {
            let settings = BetaVaeSettings { train, test, ..BetaVaeSettings::default() };
            Ok(vec![beta_vae(self.pool, &settings, random)?.score])
        })?;
        let convention = "disentanglement_lib: batches of 64, latents with deviation 0.05 and more";
        let matrix = Some(("votes", [latents, factors]));
        learned(&[N::FactorVae], convention, &[both], matrix, &|random| {
            let settings =
                FactorVaeSettings { variances: train, train, test, ..FactorVaeSettings::default() };
            let found = factor_vae(self.pool, settings, random)?;
            Ok(with_matrix(vec![found.score], &found.votes))
        })?;
        let convention = "disentanglement_lib: linear SVM, C = 0.01, balanced classes";
        let matrix = Some(("sap", [latents, factors]));
        learned(&[N::Sap], convention, &[both], matrix, &|random| {
            let sap = sap(&Split::draw(data, train, test, random)?, SvmSettings::default());
            Ok(with_matrix(vec![sap.score], &sap.predictions))
        })?;
        let names = [N::DciDisentanglement, N::DciCompleteness, N::DciInformativeness];
        let convention = match settings.dci {
            DciWith::Boosting => "disentanglement_lib: boosted trees; informativeness is accuracy",
            DciWith::Forest => "Eastwood and Williams: random forest; informativeness is accuracy",
            DciWith::Lasso => "Eastwood and Williams: lasso, alpha 0.02; informativeness 1 - NRMSE",
        };
        let too_fine = self.too_fine();
        let convention = match settings.dci {
            DciWith::Lasso => convention.to_owned(),
            DciWith::Boosting | DciWith::Forest => format!("{convention}{too_fine}"),
        };
        let matrix = Some(("importance", [latents, factors]));
        learned(&names, &convention, &[both], matrix, &|random| {
            let split = Split::draw(data, train, test, random)?;
            let seed = random.seed();
            let found = dci(
                &split,
                match settings.dci {
                    DciWith::Boosting => Predictor::Boosting(BoostingSettings {
                        seed,
                        ..BoostingSettings::default()
                    }),
                    DciWith::Forest => {
                        Predictor::Forest(ForestSettings { seed, ..ForestSettings::default() })
                    }
                    DciWith::Lasso => {
                        Predictor::Lasso(LassoSettings { alpha: 0.02, ..LassoSettings::default() })
                    }
                },
            );
            let values = vec![found.disentanglement, found.completeness, found.informativeness];
            Ok(with_matrix(values, &found.importance))
        })?;
        let convention = "disentanglement_lib: logistic regression, area under the ROC curve; \
                          without classes that no test row has";
        learned(&[N::Explicitness], convention, &[both], None, &|random| {
            Ok(vec![explicitness(&Split::draw(data, train, test, random)?).score])
        })?;
        let convention = "Hsu et al.: 10 nearest neighbours; logistic regression without penalty; \
                          without latents of a twentieth of the largest range or less";
        let matrix = Some(("infomec", [latents, factors]));
        let samples = rows.min(train);
        learned(&[N::InfoM, N::InfoE, N::InfoC], convention, &[samples], matrix, &|random| {
            // Without replacement: a repeated row would be its own nearest neighbour.
            let rows = random.permutation(data.len());
            let drawn = data.select(&rows[..samples]);
            let found = infomec(&drawn, random);
            let values = vec![found.modularity, found.explicitness, found.compactness];
            Ok(with_matrix(values, &found.information))
        })?;
        let sizes = self.downstream_sizes();
        let most = sizes.last().copied().unwrap_or(0);
        let samples: Vec<usize> =
            sizes.iter().map(|size| size + test.min(rows.saturating_sub(most))).collect();
        let trees = format!("disentanglement_lib: accuracy of boosted trees{too_fine}");
        let logistic = "disentanglement_lib: accuracy, C by cross-validation";
        for (names, learner, convention) in
            [(BOOSTING, Learner::Boosting, trees.as_str()), (LOGISTIC, Learner::Logistic, logistic)]
        {
            if sizes.is_empty() {
                continue;
            }
            learned(&names[..sizes.len()], convention, &samples, None, &|random| {
                let found = downstream(data, &sizes, test, learner, random)?;
                let mean = |row| found.accuracies.row(row).iter().sum::<f64>() / factors as f64;
                Ok((0..sizes.len()).map(mean).collect())
            })?;
        }
        if wants(&[N::BetaVaeHiggins]) {
            self.higgins(&mut found, progress)?;
        }
        if let Some(log_var) = self.log_var {
            if wants(&[N::MigChen]) {
                self.chen(&mut found, log_var, progress)?;
            }
            if wants(&[N::Udr]) && !self.others.is_empty() {
                self.udr(&mut found, log_var, progress)?;
            }
        }
        found.scores.retain(|(name, _)| wanted.contains(name));
        found.scores.sort_by_key(|(name, _)| *name);
        Ok(found)
    }

    /// Says which latents differ in digits that trees do not see: these take codes as f32 and split
    /// nothing that differs by less than 1e-7, as scikit-learn's do.
    fn too_fine(&self) -> String {
        let codes = self.pool.data().codes();
        let is_too_fine = |latent: &usize| {
            let values = codes.matrix().column(*latent);
            let low = values.clone().fold(f64::INFINITY, f64::min);
            let high = values.fold(f64::NEG_INFINITY, f64::max);
            high > low && high - low < 1e-5 * low.abs().max(high.abs()).max(1.0)
        };
        let latents: Vec<String> =
            (0..codes.latents()).filter(is_too_fine).map(|latent| format!("z{latent}")).collect();
        match latents.is_empty() {
            true => String::new(),
            false => format!("; too fine for trees: {}", latents.join(", ")),
        }
    }

    /// The numbers of rows to learn from downstream that leave a third of the rows to test on and are
    /// at most as many as the settings ask for.
    pub(crate) fn downstream_sizes(&self) -> Vec<usize> {
        let mut sizes = fitting(&DOWNSTREAM_SIZES, self.pool.data().len());
        sizes.retain(|size| *size <= self.settings.samples);
        sizes
    }

    /// Scores that are functions of codes and factors: of all rows, or of repeated draws where there
    /// are more than the settings ask for.
    fn closed(&self, found: &mut Scores, group: Group<'_>, values: &Values<'_>) -> Result<()> {
        let (data, &SuiteSettings { seed, samples, repeats, .. }) =
            (self.pool.data(), self.settings);
        if data.len() > samples {
            let draw = |random: &mut Random| Ok(values(&self.pool.sample(samples, random)));
            let estimates = repeated(repeats, seed, draw)?;
            found.add(group, estimates, &[samples], &draws(repeats));
        } else {
            let estimates =
                bootstrap(data.len(), RESAMPLES, seed, |rows| Ok(values(&data.select(rows))))?;
            found.add(group, estimates, &[data.len()], &format!("bootstrap of {RESAMPLES}"));
        }
        Ok(())
    }

    /// Scores of draws, repeated. `samples` for all names, or for each.
    fn repeated(
        &self,
        found: &mut Scores,
        group: Group<'_>,
        samples: &[usize],
        progress: Progress<'_>,
        values: &Draws<'_>,
    ) -> Result<()> {
        let (name, done) = (group.names[0].name(), AtomicUsize::new(0));
        let repeats = self.settings.repeats;
        progress(name, 0.0);
        let estimates = repeated(repeats, self.settings.seed, |random| {
            let values = values(random);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(name, done as f64 / repeats as f64);
            values
        })?;
        found.add(group, estimates, samples, &draws(repeats));
        Ok(())
    }
}

/// Scores of given rows, and after them the values of the matrix.
type Values<'a> = dyn Fn(&Labelled) -> Vec<f64> + Sync + 'a;

/// The same, of rows that it draws.
type Draws<'a> = dyn Fn(&mut Random) -> Result<Vec<f64>> + Sync + 'a;

fn draws(repeats: usize) -> String {
    if repeats == 1 { "unknown from one draw".into() } else { format!("{repeats} draws") }
}

fn with_matrix(mut scores: Vec<f64>, matrix: &Matrix) -> Vec<f64> {
    scores.extend(matrix.values());
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::activity;
    use crate::testing::grid;

    #[test]
    fn names_are_distinct_and_wanted_scores_come_in_order() {
        let names: std::collections::BTreeSet<_> =
            ScoreName::ALL.iter().map(|name| name.name()).collect();
        assert_eq!(names.len(), ScoreName::ALL.len());
        let pool = Pool::new(grid(|y| vec![y[0] as f64, y[1] as f64, y[2] as f64])).unwrap();
        for samples in [100, 10_000] {
            let settings = &SuiteSettings { samples, ..SuiteSettings::default() };
            let suite = Suite { pool: &pool, log_var: None, others: &[], settings };
            let wanted = [ScoreName::Irs, ScoreName::Mig];
            let found = suite.run(&wanted, &|_, _| ()).unwrap();
            let names: Vec<_> = found.scores.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [ScoreName::Mig, ScoreName::Irs]);
            assert!(found.scores.iter().all(|(_, score)| score.value > 0.9), "{found:?}");
            let json = serde_json::to_value(&found).unwrap();
            assert_eq!(json["mig"]["samples"], samples.min(480));
        }
    }

    #[test]
    fn all_scores_of_a_small_data_set() {
        let mut noise = Random::new(1, 0);
        let mut codes =
            || grid(|y| y.iter().map(|class| *class as f64 + 0.01 * noise.normal()).collect());
        let (data, other) = (codes(), codes());
        let log_var = Codes::new(&vec![-6.0; 3 * data.len()], 3).unwrap();
        let kl = activity(other.codes(), &log_var).unwrap().kl;
        let others = [UdrModel { codes: other.codes().clone(), kl }];
        let pool = Pool::new(data).unwrap();
        let settings = &SuiteSettings { samples: 200, repeats: 2, ..SuiteSettings::default() };
        let suite = Suite { pool: &pool, log_var: Some(&log_var), others: &others, settings };
        let found = suite.run(ScoreName::ALL, &|_, _| ()).unwrap();
        let absent: Vec<_> = ScoreName::ALL
            .iter()
            .filter(|name| !found.scores.iter().any(|(other, _)| other == *name))
            .map(|name| name.name())
            .collect();
        assert_eq!(absent.len(), 4, "{absent:?}");
        assert!(absent.iter().all(|name| name.starts_with("downstream") && name.ends_with("000")));
        for (name, score) in &found.scores {
            let unbounded = [ScoreName::Wasserstein, ScoreName::GaussianTotalCorrelation];
            let least = match name {
                ScoreName::ActiveUnits => 3.0,
                ScoreName::Boosting10 | ScoreName::Logistic10 => 0.3,
                ScoreName::Sap => 0.05,
                ScoreName::MutualInformation => 0.0,
                ScoreName::Explicitness => 0.85,
                name if unbounded.contains(name) => f64::NEG_INFINITY,
                _ => 0.8,
            };
            assert!(score.value >= least, "{}: {score:?}", name.name());
            assert!(score.low <= score.value && score.value <= score.high);
        }
        assert!(found.matrices.iter().any(|(name, _)| *name == "importance"));
    }
}
