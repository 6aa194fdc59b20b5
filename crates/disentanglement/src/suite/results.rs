//! Scores with their intervals, as they are found and written.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::ScoreName;
use crate::array::Matrix;
use crate::estimate::Estimate;
use crate::number;

/// A score with its 95 % interval.
///
/// In JSON an infinite value is the text `"inf"` or `"-inf"`, as JSON has no number for it; an
/// interval that is unknown, NaN here, is `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The score.
    #[serde(with = "number")]
    pub value: f64,
    /// Lower end of the interval, within [`ScoreName::bounds`]; NaN if it is unknown.
    #[serde(with = "number")]
    pub low: f64,
    /// Upper end of the interval.
    #[serde(with = "number")]
    pub high: f64,
    /// Rows that one value of the score rests on: those that were learned from and those that were
    /// tested on, together, or those that it was computed from where nothing is learned; never more
    /// than there are. In `beta_vae`, `beta_vae_higgins` and `factor_vae` a row is a mean or a vote of
    /// 64 draws.
    pub samples: usize,
    /// Which published definition, and what the interval is.
    pub convention: String,
}

/// Scores in the order of [`ScoreName::ALL`], and the matrices behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The scores.
    pub scores: Vec<(ScoreName, Score)>,
    /// Matrices by name: `mutual_information` [D, K], `importance` [D, K], `covariance` [D, D]...
    /// Means over the repeats.
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

/// Scores that are computed together, and the matrix that comes with them.
pub(super) struct Group<'a> {
    pub(super) names: &'a [ScoreName],
    /// One for all names, or one for each.
    pub(super) conventions: &'a [&'a str],
    pub(super) matrix: Option<(&'static str, [usize; 2])>,
}

impl Scores {
    pub(super) fn add(
        &mut self,
        group: Group<'_>,
        estimates: Vec<Estimate>,
        samples: &[usize],
        interval: &str,
    ) {
        let (scores, rest) = estimates.split_at(group.names.len());
        let named = group.names.iter().zip(group.conventions.iter().cycle());
        let named = named.zip(samples.iter().copied().cycle());
        for (((name, convention), samples), estimate) in named.zip(scores) {
            let Estimate { value, low, high } = estimate.within(name.bounds());
            let convention = format!("{convention}; interval: {interval}");
            self.scores.push((*name, Score { value, low, high, samples, convention }));
        }
        if let Some((name, [rows, columns])) = group.matrix {
            let values = rest.iter().map(|estimate| estimate.value).collect();
            self.matrices.push((name, Matrix::from_vec(rows, columns, values)));
        }
    }
}
