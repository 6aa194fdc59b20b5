//! Codes of any size and far from zero: the same scores where these are of order alone, and never a
//! value that a score cannot have.

use disentanglement::{Codes, Factors, Labelled, Pool, Random, ScoreName, Suite, SuiteSettings};

/// Two factors, each told with noise by one of three latents, as scale * z + offset.
fn scores(scale: f64, offset: f64) -> Vec<(ScoreName, f64)> {
    let mut random = Random::new(1, 0);
    let rows = 600_i64;
    let factors: Vec<i64> = (0..rows).flat_map(|i| [i % 3, i / 3 % 4]).collect();
    let codes: Vec<f64> = factors
        .chunks(2)
        .flat_map(|y| {
            let mut noisy = |x: f64| scale * (x + 0.3 * random.normal()) + offset;
            [noisy(y[1] as f64), noisy(2.0 * y[0] as f64), noisy(0.0)]
        })
        .collect();
    let data = Labelled::new(Codes::new(&codes, 3).unwrap(), Factors::new(&factors, 2).unwrap());
    let pool = Pool::new(data.unwrap()).unwrap();
    let settings = &SuiteSettings { samples: 200, repeats: 2, ..SuiteSettings::default() };
    let suite = Suite { pool: &pool, log_var: None, others: &[], settings };
    let wanted: Vec<ScoreName> = ScoreName::ALL
        .iter()
        .copied()
        .filter(|name| name.downstream_rows() != Some(1000))
        .collect();
    let found = suite.run(&wanted, &|_, _| ()).unwrap();
    for (name, score) in &found.scores {
        let [least, most] = name.bounds();
        assert!(
            (least..=most).contains(&score.value) && score.low <= score.value,
            "{} at {scale:e} and {offset:e}: {score:?}",
            name.name()
        );
    }
    let dci = found.scores.iter().find(|(name, _)| *name == ScoreName::DciCompleteness).unwrap();
    assert_eq!(dci.1.convention.contains("too fine for trees"), scale < 1e-5, "{dci:?}");
    found.scores.into_iter().map(|(name, score)| (name, score.value)).collect()
}

#[test]
fn scores_of_order_do_not_depend_on_scale_and_offset() {
    use ScoreName as N;
    let of_order = [
        N::Mig,
        N::Modularity,
        N::Irs,
        N::DciDisentanglement,
        N::DciCompleteness,
        N::DciInformativeness,
        N::Explicitness,
        N::InfoM,
        N::InfoE,
        N::InfoC,
        N::MutualInformation,
        N::GaussianTotalCorrelation,
    ];
    let base = scores(1.0, 0.0);
    for (scale, offset) in
        [(1e37, 0.0), (1e20, 0.0), (1e6, 0.0), (1e-4, 0.0), (1e-20, 0.0), (1e-37, 0.0), (1.0, 1e4)]
    {
        let found = scores(scale, offset);
        for ((name, was), (_, is)) in base.iter().zip(&found) {
            // Trees do not split what differs by less than 1e-7, as scikit-learn's do not.
            let by_trees = name.name().starts_with("dci");
            if of_order.contains(name) && (scale >= 1e-4 || !by_trees) {
                assert!(
                    (was - is).abs() < 0.01,
                    "{} at {scale:e} and {offset:e}: {is}, not {was}",
                    name.name()
                );
            }
        }
    }
}

#[test]
fn the_margin_of_large_codes_has_a_limit() {
    // The penalty of SAP's classifier means nothing any more; it is not a question of 0 or 1.
    let sap = |scale| {
        let found = scores(scale, 0.0);
        found.into_iter().find(|(name, _)| *name == ScoreName::Sap).unwrap().1
    };
    let large = sap(1e6);
    assert!(large > 0.05);
    for scale in [1e15, 1e25, 1e37] {
        assert!((sap(scale) - large).abs() < 0.02, "{scale:e}: {} {large}", sap(scale));
    }
}
