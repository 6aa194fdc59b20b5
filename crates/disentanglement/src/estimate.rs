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
        let (n, value) = (repeats.len(), mean(repeats));
        if n < 2 {
            return Self { value, low: f64::NAN, high: f64::NAN };
        }
        let quantile = STUDENT.get(n - 2).copied().unwrap_or(1.96);
        let half = quantile * (variance(repeats) / n as f64).sqrt();
        Self { value, low: value - half, high: value + half }
    }

    /// With an interval that does not leave what the score can be, but where the score itself does.
    /// An unknown interval stays unknown.
    pub(crate) fn within(&self, [least, most]: [f64; 2]) -> Self {
        let Self { value, low, high } = *self;
        let low = if low < least { least.min(value) } else { low };
        let high = if high > most { most.max(value) } else { high };
        Self { value, low, high }
    }
}

/// Repeats scores with draws of their own, in parallel. Each repeat gives the same number of values;
/// so many estimates come back.
///
/// # Errors
/// The first error of a repeat.
pub fn repeated(
    repeats: usize,
    seed: u64,
    scores: impl Fn(&mut Random) -> Result<Vec<f64>> + Sync,
) -> Result<Vec<Estimate>> {
    let values = each_repeat(repeats, seed, scores)?;
    Ok(each(&values).map(|repeats| Estimate::of(&repeats)).collect())
}

/// What each repeat gives with random numbers of its own.
pub(crate) fn each_repeat<T: Send>(
    repeats: usize,
    seed: u64,
    once: impl Fn(&mut Random) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let once = |i: usize| once(&mut Random::new(seed, i as u64));
    (0..repeats).into_par_iter().map(once).collect()
}

/// The scores of all rows, with 1.96 standard errors to both sides: the standard deviation of what
/// `resamples` draws of as many rows with replacement give (Efron 1979).
///
/// Not the quantiles of those draws: repeated rows shift plug-in information upwards, and with it the
/// whole interval.
///
/// # Errors
/// The first error of a draw.
pub fn bootstrap(
    rows: usize,
    resamples: usize,
    seed: u64,
    scores: impl Fn(&[usize]) -> Result<Vec<f64>> + Sync,
) -> Result<Vec<Estimate>> {
    let all = scores(&(0..rows).collect::<Vec<_>>())?;
    let once = |i: usize| {
        let mut random = Random::new(seed, i as u64);
        scores(&(0..rows).map(|_| random.below(rows)).collect::<Vec<_>>())
    };
    let values: Vec<_> = (0..resamples).into_par_iter().map(once).collect::<Result<_>>()?;
    let half = each(&values).map(|draws| 1.96 * variance(&draws).sqrt());
    let estimate = |(value, half)| Estimate { value, low: value - half, high: value + half };
    Ok(all.into_iter().zip(half).map(estimate).collect())
}

/// For each score its values over the repeats.
fn each(values: &[Vec<f64>]) -> impl Iterator<Item = Vec<f64>> + '_ {
    let scores = values.first().map_or(0, Vec::len);
    (0..scores).map(|score| values.iter().map(|values| values[score]).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Divided by n - 1; NaN for a single value.
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
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
    fn an_interval_stays_within_what_a_score_can_be() {
        let within = |value, low, high| Estimate { value, low, high }.within([0.0, 1.0]);
        assert_eq!(within(0.9, 0.7, 1.1), Estimate { value: 0.9, low: 0.7, high: 1.0 });
        assert_eq!(within(-0.2, -0.3, 0.1), Estimate { value: -0.2, low: -0.2, high: 0.1 });
        assert!(within(0.5, f64::NAN, f64::NAN).low.is_nan());
    }

    #[test]
    fn a_bootstrap_of_a_mean_covers_it() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let means = |rows: &[usize]| {
            let mean = rows.iter().map(|row| values[*row]).sum::<f64>() / rows.len() as f64;
            Ok(vec![mean, 2.0 * mean])
        };
        let estimates = bootstrap(400, 1000, 0, means).unwrap();
        assert_eq!([estimates[0].value, estimates[1].value], [9.5, 19.0]);
        // 1.96 standard errors: 1.96 * 5.766 / 20.
        assert!((estimates[0].high - 9.5 - 0.565).abs() < 0.04, "{estimates:?}");
        assert_eq!(estimates, bootstrap(400, 1000, 0, means).unwrap());
    }
}
