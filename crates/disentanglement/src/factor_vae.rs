//! The score of Kim and Mnih 2018.

use rayon::prelude::*;
use serde::Serialize;

use crate::array::Matrix;
use crate::error::Result;
use crate::random::Random;
use crate::source::{Draw, Source};

/// Settings of [`factor_vae`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FactorVaeSettings {
    /// Codes that the overall variances are estimated from.
    pub variances: usize,
    /// Codes with the same class in one vote.
    pub batch: usize,
    /// Votes that the majorities are taken from.
    pub train: usize,
    /// Votes that are compared with them.
    pub test: usize,
    /// Latents with a smaller standard deviation have no vote.
    pub threshold: f64,
}

/// As in disentanglement_lib's study: 10,000 codes; batches of 64; 10,000 and 5,000 votes; 0.05.
impl Default for FactorVaeSettings {
    fn default() -> Self {
        let (variances, batch, train, test) = (10_000, 64, 10_000, 5_000);
        Self { variances, batch, train, test, threshold: 0.05 }
    }
}

/// The result of [`factor_vae`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FactorVaeScore {
    /// The share of test votes that go to their latent's majority; 0 if no latent is active.
    pub score: f64,
    /// The same of the training votes.
    pub train_accuracy: f64,
    /// Number of latents that may vote.
    pub active_latents: usize,
    /// Training votes by latent and factor, [D, K].
    pub votes: Matrix,
}

/// How well the latent that varies least tells which factor is fixed (Kim and Mnih 2018, section 4).
/// For each vote a factor is drawn and a batch with one class of it; the vote goes to
///
/// d* = argmin_d Var(z_d in the batch) / Var(z_d), over active latents.
///
/// Each latent stands for the factor it gets most training votes for. Variances are divided by N - 1.
/// The ideal code scores 1; with a single active latent it is the share of the most frequent factor,
/// about 1/K.
///
/// Latents that are constant never vote, whatever the threshold: 0 / 0 would always be least. A
/// factor that is constant in the data is fixed in every batch and draws votes like the others.
///
/// # Errors
/// If the source fails.
pub fn factor_vae(
    source: &dyn Source,
    settings: FactorVaeSettings,
    random: &mut Random,
) -> Result<FactorVaeScore> {
    let FactorVaeSettings { variances, batch, train, test, threshold } = settings;
    let (latents, factors) = (source.latents(), source.sizes().len());
    let overall = variance(source.draw(&vec![None; variances], random)?.codes().matrix());
    let active: Vec<usize> =
        (0..latents).filter(|d| overall[*d] > 0.0 && overall[*d].sqrt() >= threshold).collect();
    let mut tables = [Matrix::zeros(latents, factors), Matrix::zeros(latents, factors)];
    if active.is_empty() {
        let [votes, _] = tables;
        return Ok(FactorVaeScore { score: 0.0, train_accuracy: 0.0, active_latents: 0, votes });
    }
    for (table, votes) in tables.iter_mut().zip([train, test]) {
        let seed = random.seed();
        let vote = |i: u64| -> Result<[usize; 2]> {
            let random = &mut Random::new(seed, i);
            let factor = random.below(factors);
            // The class is that of a random image, so that every class has its share of votes.
            let class = source.draw(&[None], random)?.factors().row(0)[factor];
            let fixed = source.draw(&vec![Some(Draw { factor, class }); batch], random)?;
            let local = variance(fixed.codes().matrix());
            let share = |d: &usize| local[*d] / overall[*d];
            let least = active.iter().min_by(|a, b| share(a).total_cmp(&share(b)));
            Ok([least.copied().unwrap_or(0), factor])
        };
        let votes: Vec<_> = (0..votes as u64).into_par_iter().map(vote).collect::<Result<_>>()?;
        votes.into_iter().for_each(|at| table[at] += 1.0);
    }
    let [votes, tests] = tables;
    let majority = |d: usize| crate::learn::argmax(votes.row(d));
    let share = |table: &Matrix| {
        let right: f64 = (0..latents).map(|d| table[[d, majority(d)]]).sum();
        right / table.values().iter().sum::<f64>().max(1.0)
    };
    let (score, train_accuracy) = (share(&tests), share(&votes));
    Ok(FactorVaeScore { score, train_accuracy, active_latents: active.len(), votes })
}

/// Of each column, divided by N - 1. Exactly 0 where all values are equal.
fn variance(values: &Matrix) -> Vec<f64> {
    let rows = values.rows() as f64;
    let of = |d: usize| {
        let first = values[[0, d]];
        let shift = values.column(d).map(|z| z - first);
        let mean = shift.clone().sum::<f64>() / rows;
        shift.map(|z| (z - mean) * (z - mean)).sum::<f64>() / (rows - 1.0).max(1.0)
    };
    (0..values.columns()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Pool;
    use crate::testing::grid;

    fn score(code: impl Fn(&[i64]) -> Vec<f64>) -> FactorVaeScore {
        let settings = FactorVaeSettings { train: 500, test: 300, ..FactorVaeSettings::default() };
        let pool = Pool::new(grid(code)).unwrap();
        factor_vae(&pool, settings, &mut Random::new(0, 0)).unwrap()
    }

    #[test]
    fn ideal_constant_and_tiny_latents() {
        let ideal = score(|y| vec![y[2] as f64, 0.3, -5.0 * y[0] as f64, y[1] as f64]);
        assert_eq!((ideal.score, ideal.active_latents), (1.0, 3));
        assert!(ideal.votes.row(1).iter().all(|votes| *votes == 0.0));
        let constant = score(|_| vec![0.3, 0.1]);
        assert_eq!((constant.score, constant.active_latents), (0.0, 0));
        let tiny = score(|y| vec![0.001 * y[0] as f64, y[1] as f64]);
        assert_eq!(tiny.active_latents, 1);
        assert!((tiny.score - 1.0 / 3.0).abs() < 0.1);
    }
}
