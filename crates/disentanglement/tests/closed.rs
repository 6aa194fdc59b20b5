//! Scores with a closed form against numpy, scipy and scikit-learn (`fixtures/closed.py`).

use disentanglement::{
    Codes, Factors, IrsSettings, Labelled, irs, mig, mig_chen, modularity, unsupervised,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    codes: Vec<Vec<f64>>,
    factors: Vec<Vec<i64>>,
    mig: f64,
    modularity: f64,
    irs: f64,
    mutual_information: f64,
    gaussian_total_correlation: f64,
    wasserstein: f64,
    wasserstein_normalised: f64,
    chen: Chen,
}

#[derive(Deserialize)]
struct Chen {
    mean: Vec<Vec<f64>>,
    log_var: Vec<Vec<f64>>,
    factors: Vec<Vec<i64>>,
    information: Vec<Vec<f64>>,
    mig_chen: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/closed.json")).unwrap()
}

fn codes(rows: &[Vec<f64>]) -> Codes {
    Codes::new(&rows.concat(), rows[0].len()).unwrap()
}

fn factors(rows: &[Vec<i64>]) -> Factors {
    Factors::new(&rows.concat(), rows[0].len()).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn scores_of_codes_and_factors() {
    let fixture = fixture();
    let data = Labelled::new(codes(&fixture.codes), factors(&fixture.factors)).unwrap();
    close(mig(&data, 20).score, fixture.mig);
    close(modularity(&data, 20).score, fixture.modularity);
    let irs = irs(&data, IrsSettings::default());
    close(irs.score, fixture.irs);
    assert_eq!(irs.active_latents, 5);
}

#[test]
fn scores_of_codes_alone() {
    let fixture = fixture();
    let found = unsupervised(&codes(&fixture.codes), 20);
    close(found.gaussian_total_correlation, fixture.gaussian_total_correlation);
    close(found.wasserstein, fixture.wasserstein);
    close(found.wasserstein_normalised, fixture.wasserstein_normalised);
    close(found.mutual_information, fixture.mutual_information);
}

#[test]
fn information_of_posteriors() {
    let Chen { mean, log_var, factors: classes, information, mig_chen: expected } = fixture().chen;
    let found = mig_chen(&codes(&mean), &codes(&log_var), &factors(&classes), |_| ()).unwrap();
    for (latent, row) in information.iter().enumerate() {
        for (factor, expected) in row.iter().enumerate() {
            close(found.information[[latent, factor]], *expected);
        }
    }
    close(found.score, expected);
}
