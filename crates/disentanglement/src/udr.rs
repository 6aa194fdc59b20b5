//! Unsupervised disentanglement ranking.

use rayon::prelude::*;
use serde::Serialize;

use crate::activity::ACTIVE;
use crate::array::{Codes, Matrix};
use crate::dci::standard;
use crate::error::{Error, Result};
use crate::learn::{Gram, LassoSettings};
use crate::statistics::{median, ranks};

/// How alike two models' latents are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Similarity {
    /// Absolute weights of a lasso with alpha 0.1 from one model's latents to each of the other's.
    Lasso,
    /// Absolute rank correlation.
    Spearman,
}

/// One of the models that [`udr`] compares.
#[derive(Clone, Debug, PartialEq)]
pub struct UdrModel {
    /// Posterior means [N, D] of the same images for all models.
    pub codes: Codes,
    /// Mean KL of each latent in nats, `[D]`.
    pub kl: Vec<f64>,
}

/// The result of [`udr`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Udr {
    /// The score of each model.
    pub scores: Vec<f64>,
    /// How alike models are, [from, to]; 0 on the diagonal.
    pub pairs: Matrix,
}

/// How far a model's active latents are those of models with other seeds, up to order and sign (Duan
/// et al. 2020): of disentangled models they are, of entangled ones not. For two models, with R the
/// likeness of latents with more than 0.01 nats of KL,
///
/// UDR_ij = ½ (mean_b (max_a R_ab)² / Σ_a R_ab + mean_a (max_b R_ab)² / Σ_b R_ab),
///
/// and a model's score is the median over the others.
///
/// Convention of disentanglement_lib (`udr/metrics/udr.py`): standardised means; a latent like no other
/// counts 0; no active latent on one side gives 0.
///
/// # Errors
/// If there are fewer than two models, or they differ in the number of images or latents.
pub fn udr(models: &[UdrModel], similarity: Similarity) -> Result<Udr> {
    let [first, ..] = models else {
        return Err(Error::TooFew {
            score: "udr",
            needs: "at least two models".into(),
            found: "none".into(),
        });
    };
    if models.len() < 2 {
        return Err(Error::TooFew {
            score: "udr",
            needs: "at least two models".into(),
            found: "one".into(),
        });
    }
    let shape = [first.codes.len(), first.codes.latents()];
    for (i, UdrModel { codes, kl }) in models.iter().enumerate() {
        let found = [codes.len(), codes.latents()];
        if found != shape || kl.len() != shape[1] {
            return Err(Error::Shape {
                what: format!("codes and KL of model {i}"),
                expected: format!("{shape:?} and {} as of the first model", shape[1]),
                found: format!("{found:?} and {}", kl.len()),
            });
        }
    }
    let active: Vec<Vec<Vec<f64>>> = models.iter().map(|model| active(model, similarity)).collect();
    // Of inactive latents nothing is left, so they need not be among the lasso's features either.
    let row = |from: usize| {
        let columns = &active[from];
        let features = Matrix::from_fn(shape[0], columns.len(), |i, d| columns[d][i]);
        let gram = Gram::new(&features);
        let likeness = |to: usize| {
            if from == to {
                return 0.0;
            }
            let targets = &active[to];
            let likeness = match similarity {
                Similarity::Lasso => {
                    let fit =
                        |target: &Vec<f64>| gram.fit(target, LassoSettings::default()).weights;
                    let weights: Vec<Vec<f64>> = targets.iter().map(fit).collect();
                    Matrix::from_fn(columns.len(), targets.len(), |a, b| weights[b][a].abs())
                }
                Similarity::Spearman => Matrix::from_fn(columns.len(), targets.len(), |a, b| {
                    let products = columns[a].iter().zip(&targets[b]).map(|(x, y)| x * y);
                    (products.sum::<f64>() / shape[0] as f64).abs()
                }),
            };
            (strength(&likeness) + strength(&likeness.transposed())) / 2.0
        };
        (0..models.len()).map(likeness).collect::<Vec<f64>>()
    };
    let rows: Vec<Vec<f64>> = (0..models.len()).into_par_iter().map(row).collect();
    let pairs = Matrix::from_vec(models.len(), models.len(), rows.concat());
    let score = |to: usize| {
        let others = (0..models.len()).filter(|from| *from != to);
        median(&others.map(|from| pairs[[from, to]]).collect::<Vec<f64>>())
    };
    Ok(Udr { scores: (0..models.len()).map(score).collect(), pairs })
}

/// Standardised columns of the active latents; of their ranks for the rank correlation.
fn active(model: &UdrModel, similarity: Similarity) -> Vec<Vec<f64>> {
    let standardised = |values: Vec<f64>| {
        let (mean, deviation) = standard(values.iter().copied());
        values.iter().map(|x| (x - mean) / deviation).collect::<Vec<f64>>()
    };
    let latents = (0..model.codes.latents()).filter(|d| model.kl[*d] > ACTIVE);
    let values = latents.map(|d| match similarity {
        Similarity::Lasso => model.codes.latent(d),
        Similarity::Spearman => ranks(&model.codes.latent(d)),
    });
    values.map(standardised).collect()
}

/// The mean over columns of largest² / sum; 0 for a column of zeros.
fn strength(likeness: &Matrix) -> f64 {
    if likeness.rows() == 0 || likeness.columns() == 0 {
        return 0.0;
    }
    let of = |column: usize| {
        let sum: f64 = likeness.column(column).sum();
        let largest = likeness.column(column).fold(0.0, f64::max);
        if sum > 0.0 { largest * largest / sum } else { 0.0 }
    };
    (0..likeness.columns()).map(of).sum::<f64>() / likeness.columns() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn model(mix: impl Fn(&[f64; 3]) -> Vec<f64>, kl: &[f64]) -> UdrModel {
        let mut random = Random::new(5, 0);
        let rows = (0..500).flat_map(|_| mix(&[0; 3].map(|_| random.normal())));
        let codes = Codes::new(&rows.collect::<Vec<f64>>(), kl.len()).unwrap();
        UdrModel { codes, kl: kl.to_vec() }
    }

    #[test]
    fn the_same_latents_score_high_and_mixed_ones_low() {
        let kl = [1.0, 1.0, 1.0, 0.0];
        let models = [
            model(|x| vec![x[0], x[1], x[2], 0.0], &kl),
            model(|x| vec![-2.0 * x[2], x[0], 7.0 * x[1], 0.0], &kl),
            model(|x| vec![x[0] + x[1], x[1] - x[2], x[2] + x[0], 0.0], &kl),
        ];
        for similarity in [Similarity::Lasso, Similarity::Spearman] {
            let two = udr(&models[..2], similarity).unwrap();
            assert!(two.scores[0] > 0.75 && two.scores[1] > 0.75, "{two:?}");
            let three = udr(&models, similarity).unwrap();
            assert!(three.scores[2] < 0.6 && three.pairs[[0, 1]] > 0.75, "{three:?}");
        }
    }

    #[test]
    fn too_few_different_and_collapsed_models() {
        let kl = [1.0, 1.0];
        let one = model(|x| vec![x[0], x[1]], &kl);
        assert!(udr(std::slice::from_ref(&one), Similarity::Lasso).is_err());
        let other = model(|x| vec![x[0], x[1], x[2]], &[1.0; 3]);
        let error = udr(&[one.clone(), other], Similarity::Lasso).unwrap_err();
        assert!(error.to_string().contains("model 1"), "{error}");
        let collapsed = UdrModel { kl: vec![0.0; 2], ..one.clone() };
        assert_eq!(udr(&[one, collapsed], Similarity::Lasso).unwrap().scores, [0.0, 0.0]);
    }
}
