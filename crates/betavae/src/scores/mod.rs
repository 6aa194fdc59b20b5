//! Scores of a model's codes or any tool's: codes and factors from `.npz`, `.npy` or `.csv` files, or
//! from a data set whose factors are known.

use std::collections::HashSet;

mod read;

use disentanglement::{Codes, Factors, Labelled, Pool, Similarity, Suite, UdrModel, activity};
pub use disentanglement::{DciWith, Progress, Score, ScoreName, Scores, SuiteSettings};
use rayon::prelude::*;

use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::evaluate;
pub use read::{CodesAndFactors, read_codes};

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
    numbered(known, indices.iter().copied())
}

/// The classes of factors in some rows, as scores take them.
fn numbered(known: &data::Factors, rows: impl Iterator<Item = usize>) -> Result<Factors> {
    let sizes = known.factors().iter().map(|factor| factor.values.len()).collect();
    let classes = rows.flat_map(|row| known.classes(row));
    let classes = classes.map(|class| class as u32).collect();
    Factors::numbered(classes, sizes).map_err(unscored)
}

/// The names of the factors of a data set; none if it knows none.
pub fn factor_names(data: &dyn Dataset) -> Vec<String> {
    let factors = data.factors().map(|known| known.factors()).unwrap_or_default();
    factors.iter().map(|factor| factor.name.clone()).collect()
}

/// The factors that Higgins et al. 2017 ask for: all but the shape, which is no matter of degree. Of
/// these the ones that can be scored; all that can be if there are none.
pub fn higgins_factors(names: &[String], factors: &Factors) -> Vec<usize> {
    let named = scored_factors(factors).into_iter();
    named.filter(|k| names.get(*k).is_none_or(|name| name != "shape")).collect()
}

/// Rows below which a score says little of other rows: the plug-in information of 20 bins and a factor
/// of 10 classes is then too high by (20 - 1) (10 - 1) / 2N = 0.09 nats or more (Miller 1955), 4 % of the
/// factor's entropy, and an accuracy on a third of the rows is uncertain by 5 %.
pub const FEW: usize = 1000;

/// Computes the wanted scores of codes and of factors with these `names`. Factors with a single class
/// tell nothing and are left out, and so are those that number the images: with more than half as many
/// classes as rows. The convention of every score of factors names them. `others` are codes of the same
/// images by models with other seeds, for `udr`. What [`missing`] names is not computed.
///
/// # Errors
/// If codes, factors and names do not belong together, there are too few rows for a score, or the
/// factors of `beta_vae_higgins` are unknown, named twice, or all left out.
pub fn score(
    codes: Representation,
    others: &[Representation],
    factors: &Factors,
    names: &[String],
    wanted: &[ScoreName],
    mut settings: SuiteSettings,
    progress: Progress<'_>,
) -> Result<Scores> {
    if names.len() != factors.count() {
        return Err(Error::Mismatch {
            what: "names of factors".into(),
            expected: format!("{}, one for each factor", factors.count()),
            found: names.len().to_string(),
            hint: String::new(),
        });
    }
    let left_out = left_out(factors);
    let reasons: Vec<String> =
        left_out.iter().map(|(k, reason)| format!("{} ({reason})", names[*k])).collect();
    let varying = scored_factors(factors);
    let higgins = higgins_choice(&settings.higgins_factors, &varying, names, &left_out)?;
    let fixed: Vec<&str> = higgins.iter().map(|place| &*names[varying[*place]]).collect();
    let fixed = fixed.join(", ");
    settings.higgins_factors = higgins;
    let factors = factors.choose(&varying).map_err(|_| Error::Mismatch {
        what: "factors".into(),
        expected: "at least one factor with two classes or more, and at least two images in most"
            .into(),
        found: reasons.join(", "),
        hint: "scores tell how codes go with factors that change and recur; bin continuous ones"
            .into(),
    })?;
    let data = Labelled::new(codes.mean, factors).map_err(unscored)?;
    let pool = Pool::new(data).map_err(unscored)?;
    let others: Vec<UdrModel> = others.iter().map(udr_model).collect::<Result<_>>()?;
    let log_var = codes.log_var.as_ref();
    let suite = Suite { pool: &pool, log_var, others: &others, settings: &settings };
    let mut found = suite.run(wanted, progress).map_err(unscored)?;
    for (name, score) in &mut found.scores {
        if *name == ScoreName::BetaVaeHiggins && !fixed.is_empty() {
            score.convention += &format!("; fixed: {fixed}");
        }
        if name.uses_factors() && !reasons.is_empty() {
            score.convention += &format!("; without {}", reasons.join(", "));
        }
    }
    Ok(found)
}

/// The places among `varying` of the factors that were chosen for `beta_vae_higgins`.
fn higgins_choice(
    given: &[usize],
    varying: &[usize],
    names: &[String],
    left_out: &[(usize, String)],
) -> Result<Vec<usize>> {
    let wrong = |expected: String, found: String, hint: &str| {
        let what = "the factors of beta_vae_higgins".into();
        Error::Mismatch { what, expected, found, hint: hint.into() }
    };
    let count = names.len();
    if let Some(factor) = given.iter().find(|k| **k >= count) {
        let hint = "factors are numbered from 0";
        return Err(wrong(format!("numbers below {count}"), factor.to_string(), hint));
    }
    if let Some((_, twice)) = given.iter().enumerate().find(|(i, k)| given[..*i].contains(k)) {
        return Err(wrong("each number once".into(), format!("{twice} twice"), ""));
    }
    let place = |factor: &usize| varying.iter().position(|other| other == factor);
    let places: Vec<usize> = given.iter().filter_map(place).collect();
    if places.is_empty() && !given.is_empty() && !varying.is_empty() {
        let reasons = left_out.iter().filter(|(k, _)| given.contains(k));
        let reasons = reasons.map(|(k, reason)| format!("{k}: {} ({reason})", names[*k]));
        let usable = varying.iter().map(|k| format!("{k} ({})", names[*k]));
        return Err(wrong(
            "at least one that varies and recurs".into(),
            reasons.collect::<Vec<_>>().join(", "),
            &format!("choose from {}", usable.collect::<Vec<_>>().join(", ")),
        ));
    }
    Ok(places)
}

/// The wanted scores that cannot be computed, each with what it needs: of `rows` codes, with or without
/// log-variances, beside so many `others`.
pub fn missing(
    wanted: &[ScoreName],
    rows: usize,
    log_var: bool,
    others: usize,
    settings: &SuiteSettings,
) -> Vec<(ScoreName, String)> {
    let needs = |name: ScoreName| match name {
        ScoreName::MigChen | ScoreName::Udr if !log_var => {
            Some("it needs `log_var` beside `mean`".to_owned())
        }
        ScoreName::Udr if others == 0 => {
            Some("it compares models: give others of the same images with --with".to_owned())
        }
        name => {
            let size = name.downstream_rows()?;
            let enough = (3 * size).div_ceil(2);
            if rows < enough {
                Some(format!("it learns from {size} codes and needs {enough}, found {rows}"))
            } else {
                let fewer = size > settings.samples;
                fewer.then(|| format!("it learns from {size} codes, more than --samples"))
            }
        }
    };
    wanted.iter().filter_map(|name| Some((*name, needs(*name)?))).collect()
}

/// The factors that change, and whose classes recur.
pub(crate) fn scored_factors(factors: &Factors) -> Vec<usize> {
    let left_out = left_out(factors);
    let is_left_out = |factor: &usize| left_out.iter().any(|(other, _)| other == factor);
    (0..factors.count()).filter(|factor| !is_left_out(factor)).collect()
}

/// The factors that are not scored because they carry no information, and why.
pub(crate) fn left_out(factors: &Factors) -> Vec<(usize, String)> {
    let reason = |factor: usize| {
        let classes: HashSet<u32> = factors.factor(factor).into_iter().collect();
        match classes.len() {
            0 | 1 => Some((factor, "constant".to_owned())),
            many if data::numbers_images(many, factors.len()) => {
                Some((factor, format!("{many} classes of {} rows", factors.len())))
            }
            _ => None,
        }
    };
    (0..factors.count()).filter_map(reason).collect()
}

/// The unsupervised disentanglement ranking of models that differ in their seed (Duan et al. 2020), one number for each,
/// from codes of the same images; likeness by the lasso, as in `udr` of [`score`].
///
/// # Errors
/// If there are fewer than two models, they differ in the number of images or latents, or lack log-variances.
pub fn udr(models: &[Representation]) -> Result<Vec<f64>> {
    let models: Vec<UdrModel> = models.iter().map(udr_model).collect::<Result<_>>()?;
    Ok(disentanglement::udr(&models, Similarity::Lasso).map_err(unscored)?.scores)
}

fn udr_model(codes: &Representation) -> Result<UdrModel> {
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
pub struct Representation {
    /// Posterior means, or whatever the representation is, [N, D].
    pub mean: Codes,
    /// Posterior log-variances [N, D], where the file has them.
    pub log_var: Option<Codes>,
}

impl TryFrom<&evaluate::Codes> for Representation {
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
        let factors = Factors::new(&rows, 3).unwrap();
        assert_eq!(scored_factors(&factors), [0]);
        assert_eq!(left_out(&factors)[0], (1, "20 classes of 20 rows".into()));
        assert_eq!(left_out(&factors)[1], (2, "constant".into()));
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|k| format!("f{k}")).collect()
    }

    /// Scores of codes that are the first factor, over rows of three factors of which one varies.
    fn scored(wanted: &[ScoreName], higgins_factors: Vec<usize>) -> Result<Scores> {
        let rows = (0..60_i64).flat_map(|i| [i % 3, i, 7]).collect::<Vec<_>>();
        let factors = Factors::new(&rows, 3).unwrap();
        let mean: Vec<f64> = (0..60).map(|i| f64::from(i % 3)).collect();
        let codes = Representation { mean: Codes::new(&mean, 1).unwrap(), log_var: None };
        let settings = SuiteSettings { higgins_factors, samples: 50, ..SuiteSettings::default() };
        score(codes, &[], &factors, &names(3), wanted, settings, &|_, _| ())
    }

    #[test]
    fn conventions_name_what_was_left_out() {
        let wanted = [ScoreName::Mig, ScoreName::BetaVaeHiggins, ScoreName::ActiveUnits];
        let found = scored(&wanted, vec![2, 0]).unwrap();
        let convention = |name| {
            let score = found.scores.iter().find(|(other, _)| *other == name);
            score.map(|(_, score)| score.convention.clone()).unwrap()
        };
        let without = "; without f1 (60 classes of 60 rows), f2 (constant)";
        assert!(convention(ScoreName::Mig).ends_with(without), "{found:?}");
        let higgins = convention(ScoreName::BetaVaeHiggins);
        assert!(higgins.ends_with(&format!("; fixed: f0{without}")), "{higgins}");
        assert!(!convention(ScoreName::ActiveUnits).contains("without"));
    }

    #[test]
    fn factors_to_fix_must_be_there_once_and_vary() {
        for (given, expected) in [
            (vec![0, 3], "expected numbers below 3, found 3"),
            (vec![0, 0], "expected each number once, found 0 twice"),
            (vec![2, 1], "found 1: f1 (60 classes of 60 rows), 2: f2 (constant)"),
        ] {
            let error = scored(&[ScoreName::BetaVaeHiggins], given).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn scores_that_lack_something_say_what() {
        let settings = SuiteSettings { samples: 500, ..SuiteSettings::default() };
        let found = missing(ScoreName::ALL, 1600, true, 0, &settings);
        let about = |name| found.iter().find(|(other, _)| *other == name).map(|(_, why)| &**why);
        assert_eq!(about(ScoreName::Mig), None);
        assert_eq!(about(ScoreName::Boosting100), None);
        assert!(about(ScoreName::Udr).unwrap().contains("--with"));
        assert!(about(ScoreName::Logistic1000).unwrap().contains("more than --samples"));
        assert!(about(ScoreName::Logistic10000).unwrap().contains("needs 15000, found 1600"));
        let bare = missing(&[ScoreName::MigChen], 1600, false, 0, &settings);
        assert!(bare[0].1.contains("log_var"));
    }
}
