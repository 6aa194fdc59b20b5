//! Scores of a model's codes or any tool's: codes and factors from `.npz`, `.npy` or `.csv` files, or
//! from a data set whose factors are known.

use std::collections::HashSet;

mod read;

use disentanglement::{Codes, Factors, Labelled, Pool, Suite, UdrModel, activity};
pub use disentanglement::{DciWith, Progress, Score, ScoreName, Scores, SuiteSettings};
use rayon::prelude::*;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::evaluate;
pub use read::{Files, read_codes};

/// The factors of images of a data set.
///
/// # Errors
/// If the data set does not know its factors.
pub fn factors_of(data: &dyn Dataset, indices: &[usize]) -> Result<Factors> {
    let known = data.factors().ok_or_else(|| Error::Mismatch {
        what: format!("scores of {}", data.name()),
        expected: "known factors".into(),
        found: "images only".into(),
        hint: "encode it, and give its factors to `betavae score`".into(),
    })?;
    let sizes = known.factors().iter().map(|factor| factor.values.len()).collect();
    let classes = indices.iter().flat_map(|index| known.classes(*index));
    let classes = classes.map(|class| class as u32).collect();
    Factors::numbered(classes, sizes).map_err(unscored)
}

/// The factors that Higgins et al. 2017 ask for: all but the shape, which is no matter of degree.
pub fn higgins_factors(data: &dyn Dataset) -> Vec<usize> {
    let factors = data.factors().map(|known| known.factors().iter().enumerate());
    let graded = factors.into_iter().flatten().filter(|(_, factor)| factor.name != "shape");
    graded.map(|(index, _)| index).collect()
}

/// Computes the wanted scores. Factors with a single class tell nothing and are left out, and so are
/// those that number the images: with more than half as many classes as rows. `others` are codes of
/// the same images by models with other seeds, for `udr`.
///
/// # Errors
/// If codes and factors do not belong together, or there are too few for a score.
pub fn score(
    codes: CodesFile,
    others: &[CodesFile],
    factors: &Factors,
    wanted: &[ScoreName],
    mut settings: SuiteSettings,
    progress: Progress<'_>,
) -> Result<Scores> {
    let varying = telling(factors);
    if let Some(factor) = settings.higgins_factors.iter().find(|k| **k >= factors.count()) {
        return Err(Error::Mismatch {
            what: "a factor of beta_vae_higgins".into(),
            expected: format!("a number below {}", factors.count()),
            found: factor.to_string(),
            hint: "factors are numbered from 0".into(),
        });
    }
    let place = |factor: &usize| varying.iter().position(|other| other == factor);
    settings.higgins_factors = settings.higgins_factors.iter().filter_map(place).collect();
    let factors = factors.choose(&varying).map_err(|_| Error::Mismatch {
        what: "factors".into(),
        expected: "at least one factor with two classes or more, and at least two images in most"
            .into(),
        found: "constant factors, or as many classes as images".into(),
        hint: "scores tell how codes go with factors that change and recur; bin continuous ones"
            .into(),
    })?;
    let data = Labelled::new(codes.mean, factors).map_err(unscored)?;
    let pool = Pool::new(data).map_err(unscored)?;
    let others: Vec<UdrModel> = others.iter().map(udr_model).collect::<Result<_>>()?;
    let log_var = codes.log_var.as_ref();
    let suite = Suite { pool: &pool, log_var, others: &others, settings: &settings };
    suite.run(wanted, progress).map_err(unscored)
}

/// The factors that change, and whose classes recur.
pub(crate) fn telling(factors: &Factors) -> Vec<usize> {
    let recurs = |factor: &usize| {
        let classes: HashSet<u32> = factors.factor(*factor).into_iter().collect();
        2 * classes.len() <= factors.len()
    };
    factors.varying().into_iter().filter(recurs).collect()
}

fn udr_model(codes: &CodesFile) -> Result<UdrModel> {
    let log_var = codes.log_var.as_ref().ok_or_else(|| Error::Mismatch {
        what: "codes of another model".into(),
        expected: "`log_var` beside `mean`, for udr".into(),
        found: "`mean` only".into(),
        hint: "`betavae encode` writes both".into(),
    })?;
    let kl = activity(&codes.mean, log_var).map_err(unscored)?.kl;
    Ok(UdrModel { codes: codes.mean.clone(), kl })
}

fn unscored(error: disentanglement::Error) -> Error {
    Error::Config { message: format!("cannot score: {error}"), hint: String::new() }
}

/// Numbers of single precision as they are written: 0.1 in place of 0.100000001490116.
///
/// A table in text has the shortest decimals that tell a float32 from its neighbours, and an array its bits.
/// Read like this, both are the same numbers, and so are the scores, to the last digit.
fn as_written(values: &[f64]) -> Vec<f64> {
    let shortest = |value: &f64| match *value as f32 {
        single if f64::from(single) == *value => single.to_string().parse().unwrap_or(*value),
        _ => *value,
    };
    values.par_iter().map(shortest).collect()
}

/// Codes of one representation.
#[derive(Clone, Debug, PartialEq)]
pub struct CodesFile {
    /// Posterior means, or whatever the representation is, [N, D].
    pub mean: Codes,
    /// Posterior log-variances [N, D], where the file has them.
    pub log_var: Option<Codes>,
}

impl TryFrom<&evaluate::Codes> for CodesFile {
    type Error = Error;

    /// Fails if a code is not finite.
    fn try_from(codes: &evaluate::Codes) -> Result<Self> {
        let of = |values: &[f32]| {
            let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            Codes::new(&as_written(&values), codes.latents).map_err(unscored)
        };
        Ok(Self { mean: of(&codes.mean)?, log_var: Some(of(&codes.log_var)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_that_number_the_images_are_left_out() {
        let rows = (0..20_i64).flat_map(|i| [i / 10, i, 7]).collect::<Vec<_>>();
        assert_eq!(telling(&Factors::new(&rows, 3).unwrap()), [0]);
    }
}
