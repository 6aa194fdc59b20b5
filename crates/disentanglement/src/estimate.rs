//! Scores with their uncertainty.

use rayon::prelude::*;
use serde::Serialize;

use crate::error::Result;
use crate::random::Random;

/// A mean with its 95 % interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The score.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

impl Estimate {
    /// The mean of independent repeats, with the interval of that mean by Student's t; a single
    /// repeat leaves the interval unknown (NaN).
    pub fn of(repeats: &[f64]) -> Self {
        let n = repeats.len();
        let mean = repeats.iter().sum::<f64>() / n as f64;
        if n < 2 {
            return Self { value: mean, low: f64::NAN, high: f64::NAN };
        }
        let variance = repeats.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let quantile = STUDENT.get(n - 2).copied().unwrap_or(1.96);
        let half = quantile * (variance / n as f64).sqrt();
        Self { value: mean, low: mean - half, high: mean + half }
    }
}

/// Repeats a score with seeds of their own, in parallel.
///
/// # Errors
/// The first error of a repeat.
pub fn repeated(
    repeats: usize,
    seed: u64,
    score: impl Fn(&mut Random) -> Result<f64> + Sync,
) -> Result<Estimate> {
    let once = |i: usize| score(&mut Random::new(seed, i as u64));
    let values: Vec<f64> = (0..repeats).into_par_iter().map(once).collect::<Result<_>>()?;
    Ok(Estimate::of(&values))
}

/// The score of all rows, with the interval between the 2.5 and 97.5 % quantiles of what `resamples`
/// draws of as many rows with replacement give (Efron's percentile interval).
///
/// # Errors
/// The first error of a draw.
pub fn bootstrap(
    rows: usize,
    resamples: usize,
    seed: u64,
    score: impl Fn(&[usize]) -> Result<f64> + Sync,
) -> Result<Estimate> {
    let value = score(&(0..rows).collect::<Vec<_>>())?;
    let once = |i: usize| {
        let mut random = Random::new(seed, i as u64);
        score(&(0..rows).map(|_| random.below(rows)).collect::<Vec<_>>())
    };
    let mut values: Vec<f64> = (0..resamples).into_par_iter().map(once).collect::<Result<_>>()?;
    values.sort_by(f64::total_cmp);
    let quantile = |p: f64| values.get((p * (resamples.max(1) - 1) as f64).round() as usize);
    let quantile = |p| quantile(p).copied().unwrap_or(f64::NAN);
    Ok(Estimate { value, low: quantile(0.025), high: quantile(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0]);
        assert_eq!(estimate.value, 2.0);
        assert!((estimate.high - 2.0 - 4.303 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert!(Estimate::of(&[1.0]).low.is_nan());
    }

    #[test]
    fn a_bootstrap_of_a_mean_covers_it() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let mean = |rows: &[usize]| {
            Ok(rows.iter().map(|row| values[*row]).sum::<f64>() / rows.len() as f64)
        };
        let estimate = bootstrap(400, 1000, 0, mean).unwrap();
        assert_eq!(estimate.value, 9.5);
        // 1.96 standard errors: 1.96 * 5.766 / 20.
        assert!((estimate.high - estimate.low - 2.0 * 0.565).abs() < 0.08, "{estimate:?}");
        assert_eq!(estimate, bootstrap(400, 1000, 0, mean).unwrap());
    }
}
