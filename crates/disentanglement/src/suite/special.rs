//! Scores that are estimated in ways of their own.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Group, Progress, RESAMPLES, Score, ScoreName, Scores, Suite, SuiteSettings};
use crate::activity::activity;
use crate::array::Codes;
use crate::beta_vae::{BetaVaeSettings, Guesser, beta_vae};
use crate::error::Result;
use crate::estimate::{Estimate, bootstrap};
use crate::learn::SoftmaxSettings;
use crate::mig_chen::mig_chen;
use crate::random::Random;
use crate::udr::{Similarity, UdrModel, udr};

/// Repeats of Higgins' score, of which the lower half is discarded.
const HIGGINS_REPEATS: usize = 10;

impl Suite<'_> {
    /// Of several repeats the better half, as Higgins et al. 2017 have it.
    pub(super) fn higgins(&self, found: &mut Scores, progress: Progress<'_>) -> Result<()> {
        let &SuiteSettings { seed, samples, ref higgins_factors, .. } = self.settings;
        let (name, done) = (ScoreName::BetaVaeHiggins.name(), AtomicUsize::new(0));
        progress(name, 0.0);
        let settings = BetaVaeSettings {
            factors: higgins_factors.clone(),
            train: samples,
            test: samples.div_ceil(2),
            guesser: Guesser::Softmax(SoftmaxSettings::default()),
            ..BetaVaeSettings::default()
        };
        let mut scores = crate::estimate::each_repeat(HIGGINS_REPEATS, seed, |random| {
            let score = beta_vae(self.pool, &settings, random)?.score;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(name, done as f64 / HIGGINS_REPEATS as f64);
            Ok(score)
        })?;
        scores.sort_by(|a, b| b.total_cmp(a));
        let kept = &scores[..HIGGINS_REPEATS / 2];
        let fixed = if higgins_factors.is_empty() {
            "all factors".to_owned()
        } else {
            format!("{} factors", higgins_factors.len())
        };
        let group = Group {
            names: &[ScoreName::BetaVaeHiggins],
            conventions: &[&format!("Higgins et al.: {fixed}, softmax with Adagrad")],
            matrix: None,
        };
        let samples = (samples + samples.div_ceil(2)).min(self.pool.data().len());
        let interval = format!("the better half of {HIGGINS_REPEATS} draws");
        found.add(group, vec![Estimate::of(kept)], &[samples], &interval);
        Ok(())
    }

    pub(super) fn chen(
        &self,
        found: &mut Scores,
        log_var: &Codes,
        progress: Progress<'_>,
    ) -> Result<()> {
        let (data, name) = (self.pool.data(), ScoreName::MigChen.name());
        progress(name, 0.0);
        let latents = data.codes().latents() as f64;
        let mig = mig_chen(data.codes(), log_var, data.factors(), |done| {
            progress(name, done as f64 / latents);
        })?;
        let convention = "Chen et al.: posterior mixtures over all codes; exact, nothing is drawn";
        let (value, samples) = (mig.score, data.len());
        let convention = convention.to_owned();
        let score = Score { value, low: value, high: value, samples, convention };
        found.scores.push((ScoreName::MigChen, score));
        found.matrices.push(("mig_chen_information", mig.information));
        Ok(())
    }

    pub(super) fn udr(
        &self,
        found: &mut Scores,
        log_var: &Codes,
        progress: Progress<'_>,
    ) -> Result<()> {
        progress(ScoreName::Udr.name(), 0.0);
        let codes = self.pool.data().codes();
        let own = UdrModel { codes: codes.clone(), kl: activity(codes, log_var)?.kl };
        let models: Vec<&UdrModel> = self.others.iter().chain([&own]).collect();
        let &SuiteSettings { seed, samples, .. } = self.settings;
        // The same rows of every model; neighbours in a file may share their factors.
        let mut chosen = Random::new(seed, 0).permutation(codes.len());
        chosen.truncate(samples);
        let draw = |rows: &[usize]| {
            let rows: Vec<usize> = rows.iter().map(|row| chosen[*row]).collect();
            let select = |model: &&UdrModel| UdrModel {
                codes: model.codes.select(&rows),
                kl: model.kl.clone(),
            };
            let selected: Vec<UdrModel> = models.iter().map(select).collect();
            let scores = udr(&selected, Similarity::Lasso)?.scores;
            Ok(scores.last().copied().into_iter().collect())
        };
        let estimates = bootstrap(chosen.len(), RESAMPLES, seed, draw)?;
        let convention = format!("Duan et al.: lasso, {} other models", self.others.len());
        let group = Group { names: &[ScoreName::Udr], conventions: &[&convention], matrix: None };
        found.add(group, estimates, &[chosen.len()], &format!("bootstrap of {RESAMPLES}"));
        Ok(())
    }
}
