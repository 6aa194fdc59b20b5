//! Learners and the scores that use them against scikit-learn (`fixtures/learners.py`).

use disentanglement::learn::{
    Boosting, BoostingSettings, Forest, ForestSettings, Lasso, LassoSettings, LinearSvm, Logistic,
    LogisticSettings, SvmSettings, accuracy, logistic_with_best_c,
};
use disentanglement::{
    Codes, Factors, Labelled, Matrix, Predictor, Random, Similarity, Split, UdrModel, dci,
    explicitness, infomec, sap, udr,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    train: Rows,
    test: Rows,
    logistic: Vec<Probabilities>,
    logistic_cv: Vec<BestC>,
    svm: Vec<Vec<f64>>,
    sap: f64,
    lasso: Vec<Weights>,
    boosting: Vec<Trees>,
    forest: Vec<Trees>,
    dci: DciOf,
    explicitness: f64,
    infomec: InfoMec,
    udr: Udr,
}

#[derive(Deserialize)]
struct Rows {
    codes: Vec<Vec<f64>>,
    factors: Vec<Vec<i64>>,
}

#[derive(Deserialize)]
struct Probabilities {
    probabilities: Vec<Vec<f64>>,
    accuracy: f64,
}

#[derive(Deserialize)]
struct BestC {
    accuracy: f64,
}

#[derive(Deserialize)]
struct Weights {
    weights: Vec<f64>,
    informativeness: f64,
}

#[derive(Deserialize)]
struct Trees {
    importances: Vec<f64>,
    accuracy: f64,
}

#[derive(Deserialize)]
struct DciOf {
    boosting: Pair,
    forest: Pair,
    lasso: Pair,
}

#[derive(Deserialize)]
struct Pair {
    disentanglement: f64,
    completeness: f64,
}

#[derive(Deserialize)]
struct InfoMec {
    modularity: f64,
    compactness: f64,
    explicitness: f64,
}

#[derive(Deserialize)]
struct Udr {
    models: Vec<Model>,
    lasso: Vec<f64>,
    spearman: Vec<f64>,
}

#[derive(Deserialize)]
struct Model {
    codes: Vec<Vec<f64>>,
    kl: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/learners.json")).unwrap()
}

fn codes(rows: &[Vec<f64>]) -> Codes {
    Codes::new(&rows.concat(), rows[0].len()).unwrap()
}

fn labelled(rows: &Rows) -> Labelled {
    let factors = Factors::new(&rows.factors.concat(), rows.factors[0].len()).unwrap();
    Labelled::new(codes(&rows.codes), factors).unwrap()
}

impl Fixture {
    fn split(&self) -> Split {
        Split { train: labelled(&self.train), test: labelled(&self.test) }
    }
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

/// Features and classes of the training and of the test rows, for every factor.
fn each_factor(split: &Split) -> impl Iterator<Item = [(&Matrix, Vec<u32>); 2]> {
    (0..split.train.factors().count()).map(move |k| {
        [&split.train, &split.test].map(|data| (data.codes().matrix(), data.factors().factor(k)))
    })
}

#[test]
fn logistic_regression() {
    let fixture = fixture();
    let split = fixture.split();
    for ([(x, y), (xt, yt)], expected) in each_factor(&split).zip(&fixture.logistic) {
        let settings = LogisticSettings { tolerance: 1e-9, ..LogisticSettings::default() };
        let probabilities = Logistic::fit(x, &y, settings).probabilities(xt);
        for (row, expected) in expected.probabilities.iter().enumerate() {
            for (found, expected) in probabilities.row(row).iter().zip(expected) {
                close(*found, *expected, 1e-6);
            }
        }
        let fit = Logistic::fit(x, &y, LogisticSettings::default());
        close(accuracy(&fit, xt, &yt), expected.accuracy, 0.002);
    }
}

#[test]
fn logistic_regression_with_the_best_c() {
    let fixture = fixture();
    let split = fixture.split();
    for ([(x, y), (xt, yt)], expected) in each_factor(&split).zip(&fixture.logistic_cv) {
        let fit = logistic_with_best_c(x, &y);
        close(accuracy(&fit, xt, &yt), expected.accuracy, 0.008);
    }
}

#[test]
fn linear_svm_and_sap() {
    let fixture = fixture();
    let split = fixture.split();
    let found = sap(&split, SvmSettings::default());
    for (d, row) in fixture.svm.iter().enumerate() {
        for (k, expected) in row.iter().enumerate() {
            close(found.predictions[[d, k]], *expected, 0.002);
        }
    }
    close(found.score, fixture.sap, 0.002);
    let classes = split.train.factors().factor(0);
    let svm = LinearSvm::fit(&split.train.codes().latent(0), &classes, SvmSettings::default());
    let column = Matrix::from_vec(split.test.len(), 1, split.test.codes().latent(0));
    let test = split.test.factors().factor(0);
    close(accuracy(&svm, &column, &test), fixture.svm[0][0], 0.002);
}

#[test]
fn lasso() {
    let fixture = fixture();
    let split = fixture.split();
    let settings = LassoSettings { alpha: 0.02, ..LassoSettings::default() };
    let found = dci(&split, Predictor::Lasso(settings));
    for (k, expected) in fixture.lasso.iter().enumerate() {
        for (d, weight) in expected.weights.iter().enumerate() {
            close(found.importance[[d, k]], weight.abs(), 1e-8);
        }
        close(found.predictions[k], expected.informativeness, 1e-8);
    }
    close(found.disentanglement, fixture.dci.lasso.disentanglement, 1e-8);
    close(found.completeness, fixture.dci.lasso.completeness, 1e-8);
    let target: Vec<f64> = split.train.codes().latent(0);
    let alone = Lasso::fit(split.train.codes().matrix(), &target, LassoSettings::default());
    assert!(alone.weights[0] > 0.8);
}

#[test]
fn boosted_trees_and_dci() {
    let fixture = fixture();
    let split = fixture.split();
    for ([(x, y), (xt, yt)], expected) in each_factor(&split).zip(&fixture.boosting) {
        let fit = Boosting::fit(x, &y, BoostingSettings::default());
        for (found, expected) in fit.importances().iter().zip(&expected.importances) {
            close(*found, *expected, 0.002);
        }
        close(accuracy(&fit, xt, &yt), expected.accuracy, 0.006);
    }
    let found = dci(&split, Predictor::default());
    close(found.disentanglement, fixture.dci.boosting.disentanglement, 0.002);
    close(found.completeness, fixture.dci.boosting.completeness, 0.002);
    let informativeness = fixture.boosting.iter().map(|trees| trees.accuracy).sum::<f64>() / 4.0;
    close(found.informativeness, informativeness, 0.004);
}

#[test]
fn random_forest_and_dci() {
    let fixture = fixture();
    let split = fixture.split();
    for ([(x, y), (xt, yt)], expected) in each_factor(&split).zip(&fixture.forest) {
        let fits = (0..5)
            .map(|seed| Forest::fit(x, &y, ForestSettings { seed, ..ForestSettings::default() }));
        let fits: Vec<Forest> = fits.collect();
        for (d, expected) in expected.importances.iter().enumerate() {
            let mean = fits.iter().map(|fit| fit.importances()[d]).sum::<f64>() / 5.0;
            close(mean, *expected, 0.01);
        }
        let mean = fits.iter().map(|fit| accuracy(fit, xt, &yt)).sum::<f64>() / 5.0;
        close(mean, expected.accuracy, 0.01);
    }
    let found = dci(&split, Predictor::Forest(ForestSettings::default()));
    close(found.disentanglement, fixture.dci.forest.disentanglement, 0.01);
    close(found.completeness, fixture.dci.forest.completeness, 0.01);
}

#[test]
fn explicitness_of_logistic_regression() {
    let fixture = fixture();
    close(explicitness(&fixture.split()).score, fixture.explicitness, 1e-5);
}

#[test]
fn infomec_of_neighbours() {
    let fixture = fixture();
    let found = infomec(&labelled(&fixture.train), &mut Random::new(0, 0));
    close(found.modularity, fixture.infomec.modularity, 1e-3);
    close(found.compactness, fixture.infomec.compactness, 1e-3);
    close(found.explicitness, fixture.infomec.explicitness, 1e-3);
}

#[test]
fn udr_of_four_models() {
    let fixture = fixture().udr;
    let model = |model: &Model| UdrModel { codes: codes(&model.codes), kl: model.kl.clone() };
    let models: Vec<UdrModel> = fixture.models.iter().map(model).collect();
    for (similarity, expected) in
        [(Similarity::Lasso, fixture.lasso), (Similarity::Spearman, fixture.spearman)]
    {
        let found = udr(&models, similarity).unwrap();
        found
            .scores
            .iter()
            .zip(expected)
            .for_each(|(found, expected)| close(*found, expected, 1e-9));
    }
}
