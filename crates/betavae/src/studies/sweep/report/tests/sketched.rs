//! Aggregates, curves and choices of runs that only exist on paper.

use crate::Device;
use crate::evaluate::{AverageLoss, Evaluation};
use crate::figures::plot::{Panel, Series};
use crate::runs::Record;
use crate::scores::{Score, ScoreName};
use crate::studies::sweep::report::summary::{Summarised, columns, summarise};
use crate::studies::sweep::report::weights::Varying;
use crate::studies::sweep::report::{Quantity, agreement, alike, choice, figures};

const MIG: Quantity = Quantity::Score(ScoreName::Mig);

/// A run that has ended, with these scores.
fn run(name: &str, recipe: &str, scores: &[(ScoreName, f64)]) -> Record {
    let loss =
        AverageLoss { reconstruction: 100.0, kl: 5.0, kl_per_latent: vec![5.0], elbo: -105.0 };
    let evaluation = Evaluation {
        step: 9,
        data: "blobs".into(),
        images: 9,
        active_latents: 1,
        at_mean: loss.clone(),
        sampled: loss,
    };
    let score = |&(name, value): &(ScoreName, f64)| {
        let (low, high, convention) = (value - 0.1, value + 0.1, String::new());
        (name, Score { value, low, high, samples: 9, convention })
    };
    Record {
        evaluation: Some(evaluation),
        scores: scores.iter().map(score).collect(),
        seconds: Some(2.0),
        ..Record::sketch(name, recipe, "")
    }
}

/// With MIG alone.
fn mig(name: &str, recipe: &str, value: f64) -> Record {
    run(name, recipe, &[(ScoreName::Mig, value)])
}

fn seeds(recipe: &str, values: &[f64]) -> Vec<Record> {
    let of = |(seed, value): (usize, &f64)| {
        mig(&format!("{recipe}-{seed}"), &format!("seed = {seed}\n{recipe}"), *value)
    };
    values.iter().enumerate().map(of).collect()
}

#[test]
fn only_runs_that_differ_in_their_seed_are_averaged() {
    let mut runs = seeds("objective.beta = 4.0", &[0.1, 0.2, 0.6]);
    for unlike in [
        "objective.beta = 1.0",
        "objective.beta = 4.0\nmodel.latents = 5",
        "objective.beta = 4.0\ntrain.steps = 77",
        "objective.beta = 4.0\noptimizer.learning_rate = 1e-3",
        "objective.beta = 4.0\ndata.path = '/elsewhere'",
        "objective.kind = 'factor-vae'",
    ] {
        runs.extend(seeds(unlike, &[0.9, 0.8]));
    }
    let runs: Vec<&Record> = runs.iter().collect();
    let groups = summarise(&runs);
    let sizes: Vec<usize> = groups.iter().map(|group| group.runs.len()).collect();
    assert_eq!(sizes, [3, 2, 2, 2, 2, 2, 2]);
    let found = &groups[0].summary.quantities[&MIG];
    assert_eq!((found.n, found.median), (3, 0.2));
    assert!((found.mean - 0.3).abs() < 1e-12, "{found:?}");
    // (0.04 + 0.01 + 0.09) / 2
    assert!((found.standard_deviation.unwrap() - 0.07_f64.sqrt()).abs() < 1e-12);
    let [low, high] = found.interval.unwrap();
    assert!((low - 0.1).abs() < 1e-12 && (high - 0.6).abs() < 1e-12, "{low} {high}");
    assert_eq!(groups[1].summary.quantities[&MIG].interval, None, "of two runs");
    // Labels are different, and say what the groups differ in.
    let mut labels: Vec<&str> = groups.iter().map(|group| &*group.summary.label).collect();
    assert!(labels[3].contains("train.steps 77"), "{labels:?}");
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), 7);
}

#[test]
fn a_table_has_a_row_for_each_group() {
    let mut runs = seeds("objective.beta = 4.0", &[0.1, 0.2, 0.6]);
    runs.extend(seeds("objective.beta = 8.0", &[0.5]));
    let score = runs[3].scores[0].1.clone();
    runs[3].scores.push((ScoreName::Udr, score));
    let runs: Vec<&Record> = runs.iter().collect();
    let columns = columns(&summarise(&runs));
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names[..3], ["group", "objective.beta", "n"]);
    for name in ["sampled.kl.mean", "seconds.median", "mig.mean_low", "mig.sd", "udr.n"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary.csv");
    crate::runs::write_columns(&path, &columns).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows[1].starts_with("objective.beta 4.0,4,3,3,100,100,100,100,0,"), "{text}");
    assert!(rows[2].starts_with("objective.beta 8.0,8,1,1,100,,,100,,"), "{text}");
}

fn labels_and_weights(groups: &[Summarised<'_>]) -> (Vec<(String, String, Vec<f64>)>, usize) {
    let groups: Vec<&Summarised<'_>> = groups.iter().collect();
    let Varying { curves, rest } = Varying::of(&groups);
    let curves = curves.into_iter().map(|curve| {
        (curve.key, curve.label, curve.points.iter().map(|(weight, _)| *weight).collect())
    });
    (curves.collect(), rest.len())
}

#[test]
fn curves_are_over_the_weight_that_varies_within_a_kind() {
    let mut runs = Vec::new();
    for recipe in [
        "objective = { kind = 'h', beta = 16.0 }",
        "objective = { kind = 'h', beta = 1 }",
        "objective = { kind = 'h', beta = 4.0 }\nmodel.latents = 5",
        // Two weights that are raised together.
        "objective = { kind = 'dip-vae-i', lambda_od = 2.0, lambda_d = 20.0 }",
        "objective = { kind = 'dip-vae-i', lambda_od = 1.0, lambda_d = 10.0 }",
        "objective = { kind = 'b', c_max = 5.0 }",
    ] {
        runs.extend(seeds(recipe, &[0.1, 0.3]));
    }
    let runs: Vec<&Record> = runs.iter().collect();
    let (curves, rest) = labels_and_weights(&summarise(&runs));
    let curve = |key: &str, label: &str, weights: &[f64]| {
        (key.to_owned(), label.to_owned(), weights.to_vec())
    };
    let expected = [
        curve("objective.beta", "h, model.latents 10", &[1.0, 16.0]),
        curve("objective.beta", "h, model.latents 5", &[4.0]),
        curve("objective.lambda_od", "dip-vae-i", &[1.0, 2.0]),
    ];
    assert_eq!((curves, rest), (expected.to_vec(), 1));
}

#[test]
fn schedules_of_one_course_are_weights_and_others_are_not() {
    let linear = |to: f64, steps: u64| {
        format!(
            "objective.beta = {{ schedule = 'linear', to = {to:?}, steps = {steps} }}\nseed = {steps}"
        )
    };
    let of = |recipes: [String; 2]| {
        let runs = recipes.map(|recipe| mig("a", &recipe, 0.1));
        let runs: Vec<&Record> = runs.iter().collect();
        labels_and_weights(&summarise(&runs))
    };
    let (curves, rest) = of([linear(2.0, 50), linear(8.0, 50)]);
    assert_eq!((&curves[0].2[..], rest), (&[2.0, 8.0][..], 0));
    assert_eq!(of([linear(2.0, 50), linear(8.0, 60)]), (Vec::new(), 2));
}

fn series(panel: &Panel) -> &[Series] {
    match panel {
        Panel::Lines(lines) => &lines.series,
        other => panic!("{other:?}"),
    }
}

#[test]
fn scores_are_drawn_over_weights_with_intervals_or_as_points() {
    let mut runs = seeds("objective = { kind = 'h', beta = 1.0 }", &[0.1, 0.2, 0.6]);
    runs.extend(seeds("objective = { kind = 'h', beta = 9.0 }", &[0.4, 0.6]));
    runs.extend(seeds("objective = { kind = 'factor-vae', gamma = 30.0 }", &[0.2, 0.3, 0.4]));
    let runs: Vec<&Record> = runs.iter().collect();
    let groups = summarise(&runs);
    let drawn = figures::over_weights(&groups.iter().collect::<Vec<_>>());
    let names: Vec<&str> = drawn.iter().map(|figure| &*figure.name).collect();
    assert_eq!(names, ["score-weight", "score-groups"]);
    let curve = &series(&drawn[0].figure.panels[0])[0];
    assert!((curve.points[0][1] - 0.3).abs() < 1e-12 && curve.points[1] == [9.0, 0.5]);
    assert!(curve.band[0][0] < 0.3 && curve.band[1][0].is_nan(), "{curve:?}");
    let [means, runs] = series(&drawn[1].figure.panels[0]) else { panic!() };
    assert_eq!((means.points.len(), runs.points.len()), (1, 3));
    for figure in &drawn {
        assert!(!figure.figure.svg().contains("NaN"), "{}", figure.name);
    }
}

#[test]
fn rank_correlations_are_over_the_runs_of_a_data_set() {
    let of = |name: &str, data: &str, mig: f64, sap: f64, udr: f64| {
        let scores = [(ScoreName::Mig, mig), (ScoreName::Sap, sap), (ScoreName::Udr, udr)];
        run(name, &format!("data.path = '/{data}'\nobjective.beta = {mig:?}"), &scores)
    };
    let runs = [
        of("a", "x", 0.1, 0.3, 0.1),
        of("b", "x", 0.2, 0.2, 0.2),
        of("c", "x", 0.4, 0.1, 0.2),
        of("d", "y", 0.4, 0.9, 0.2),
    ];
    let runs: Vec<&Record> = runs.iter().collect();
    let data_sets = alike(&runs, &["data"]);
    assert_eq!(data_sets.iter().map(|data| data.runs.len()).collect::<Vec<_>>(), [3, 1]);
    let figure = figures::correlations(&data_sets[0].runs).unwrap();
    let Panel::Heatmap(heat) = &figure.figure.panels[0] else { panic!() };
    assert_eq!(heat.rows, ["mig", "sap", "udr"]);
    let tied = 1.5 / 3.0_f64.sqrt();
    let expected = [1.0, -1.0, tied, -1.0, 1.0, -tied, tied, -tied, 1.0];
    assert!(heat.values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{heat:?}");
    let found = agreement(&data_sets[0].runs);
    assert_eq!(found.iter().map(|found| found.score).collect::<Vec<_>>()[0], MIG);
    assert!(found[0].n == 3 && (found[0].spearman.unwrap() - tied).abs() < 1e-12);
    assert_eq!(agreement(&data_sets[1].runs)[0].spearman, None);
    assert!(figures::correlations(&data_sets[1].runs).is_none());
}

#[test]
fn the_best_and_the_median_run_are_chosen_by_a_score() {
    let scored = |name: &str, mig: f64| {
        run(name, "", &[(ScoreName::Mig, mig), (ScoreName::Wasserstein, mig)])
    };
    let runs = [scored("a", 0.2), scored("b", 0.9), scored("c", 0.4), scored("d", 0.1)];
    let all: Vec<&Record> = runs.iter().collect();
    let names = |by| {
        let mut failures = Vec::new();
        let found = choice::choose(by, &all, &Device::flex(), &mut failures).unwrap().unwrap();
        assert!(found.best.traversal.is_none() && failures.len() == 2, "{failures:?}");
        (found.best.name, found.median.name)
    };
    assert_eq!(names(ScoreName::Mig), ("b".into(), "a".into()));
    assert_eq!(names(ScoreName::Wasserstein), ("d".into(), "c".into()));
    assert_eq!(choice::score(None, &runs).unwrap(), Some(ScoreName::Mig));
    assert_eq!(choice::score(None, &[]).unwrap(), None);
    let error = choice::score(Some(ScoreName::Irs), &runs).unwrap_err();
    assert!(error.to_string().contains("`irs`") && error.hint().unwrap().contains("mig"));
    let without = [run("a", "", &[(ScoreName::Wasserstein, 0.1), (ScoreName::Udr, 0.1)])];
    assert_eq!(choice::score(None, &without).unwrap(), Some(ScoreName::Udr));
}
