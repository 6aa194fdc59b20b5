//! Several runs in one figure.

use std::collections::BTreeMap;

use super::plot::{Axis, Figure, Lines, Mark, Panel, Series, round_step, short};
use crate::runs::{Record, groups};
use crate::scores::ScoreName;

/// Points of a curve with their names.
type NamedPoints = Vec<([f64; 2], String)>;

/// Rate, the KL, against distortion, -ln p(x | z), both in nats per image: a point per run, those that
/// differ in nothing but beta, C and seed joined to a curve, and lines of equal ELBO (Alemi et al. 2018,
/// Fig. 1). `None` if no run has finished.
pub(crate) fn rate_distortion(runs: &[&Record]) -> Option<Figure> {
    let runs: Vec<&Record> =
        runs.iter().copied().filter(|run| run.rate_and_distortion().is_some()).collect();
    let curves: Vec<(String, NamedPoints)> =
        groups(&runs, &["seed", "objective.beta", "objective.c_max"])
            .into_iter()
            .map(|group| {
                let point = |run: &&Record| {
                    Some((run.rate_and_distortion()?, run.config.objective().kind.label()))
                };
                (group.label, group.runs.iter().filter_map(point).collect())
            })
            .collect();
    let points: Vec<[f64; 2]> =
        curves.iter().flat_map(|(_, points)| points).map(|(point, _)| *point).collect();
    if points.is_empty() {
        return None;
    }
    let x = around(points.iter().map(|[rate, _]| *rate));
    let y = around(points.iter().map(|[_, distortion]| *distortion));
    let mut series: Vec<Series> = curves
        .into_iter()
        .map(|(label, mut points)| {
            points.sort_by(|(a, _), (b, _)| a[0].total_cmp(&b[0]));
            let (points, names) = points.into_iter().unzip();
            Series { mark: Mark::Points, names, ..Series::line(label, points) }
        })
        .collect();
    series.extend(equal_elbo(x, y));
    let axis = |label: &str, range| Axis { range: Some(range), ..Axis::new(label) };
    Some(Figure::one(Panel::Lines(Lines {
        title: String::new(),
        x: axis("rate: KL in nats per image", x),
        y: axis("distortion: \u{2212}ln p(x | z) in nats per image", y),
        series,
    })))
}

/// Lines on which rate + distortion, the negative ELBO, is the same, within a box.
fn equal_elbo(x: [f64; 2], y: [f64; 2]) -> Vec<Series> {
    let (least, most) = (x[0] + y[0], x[1] + y[1]);
    let step = round_step((most - least) / 6.0);
    let first = (least / step).ceil() as i64;
    let lines = (first..).map(|i| i as f64 * step).take_while(|sum| *sum < most);
    lines
        .map(|sum| {
            // The ends of the line in the box.
            let from = x[0].max(sum - y[1]);
            let to = x[1].min(sum - y[0]);
            let points = vec![[from, sum - from], [to, sum - to]];
            Series { mark: Mark::Contour, ..Series::line(format!("ELBO {}", short(-sum)), points) }
        })
        .collect()
}

/// The ends of an axis with room for points at its edge.
fn around(values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let room = 0.1 * (high - low) + 0.1 * high.abs().max(1.0);
    [(low - room).max(0.0), high + room]
}

/// Scores against beta_norm, a panel per score and a curve for runs that are equal but for beta and seed
/// (Higgins et al. 2017, Fig. 6). Runs that differ in their seed alone make one point, their mean; its interval runs from
/// the lowest to the highest, or is the score's own if there is one run. `None` without scores of a run with
/// loss H.
pub(crate) fn score_beta(runs: &[&Record]) -> Option<Figure> {
    let panels: Vec<Panel> =
        ScoreName::ALL.iter().filter_map(|name| score_panel(runs, *name)).collect();
    (!panels.is_empty()).then(|| Figure {
        title: String::new(),
        columns: panels.len().min(2),
        panels,
        panel: [440, 300],
    })
}

fn score_panel(runs: &[&Record], name: ScoreName) -> Option<Panel> {
    let at = |run: &Record| {
        let (_, score) = run.scores.iter().find(|(known, _)| *known == name)?;
        let norm = run.beta_norm().filter(|norm| *norm > 0.0)?;
        Some((norm, [score.value, score.low, score.high]))
    };
    let scored: Vec<&Record> = runs.iter().copied().filter(|run| at(run).is_some()).collect();
    if scored.is_empty() {
        return None;
    }
    let bounded = scored.iter().filter_map(|run| at(run)).all(|(_, s)| (0.0..=1.0).contains(&s[0]));
    let series = groups(&scored, &["seed", "objective.beta"]).into_iter().map(|group| {
        // By the bits of beta_norm, which rise with it.
        let mut points: BTreeMap<u64, Vec<[f64; 3]>> = BTreeMap::new();
        for (norm, score) in group.runs.iter().filter_map(|run| at(run)) {
            points.entry(norm.to_bits()).or_default().push(score);
        }
        let (mut line, mut band) = (Vec::new(), Vec::new());
        for (norm, scores) in points {
            let values = scores.iter().map(|[value, ..]| *value);
            line.push([f64::from_bits(norm), values.clone().sum::<f64>() / scores.len() as f64]);
            band.push(match scores[..] {
                [[_, low, high]] => [low, high],
                _ => [values.clone().fold(f64::MAX, f64::min), values.fold(f64::MIN, f64::max)],
            });
        }
        Series { mark: Mark::Points, band, ..Series::line(group.label, line) }
    });
    let series = series.collect();
    Some(Panel::Lines(Lines {
        title: name.name().into(),
        x: Axis::log("beta_norm"),
        y: Axis { range: bounded.then_some([0.0, 1.0]), ..Axis::default() },
        series,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::Score;

    /// A run with these latents, beta and seed whose score is `value`.
    fn run(latents: usize, beta: f64, seed: u64, value: f64) -> Record {
        let recipe = format!(
            "seed = {seed}\nmodel.latents = {latents}\nobjective = {{ kind = 'h', beta = {beta:?} }}"
        );
        let (rate, distortion) = (20.0 / beta, 100.0 + beta);
        let rows = format!("9,kl,{rate}\n9,reconstruction,{distortion}\n");
        let score =
            Score { value, low: value - 0.1, high: value + 0.1, samples: 9, convention: "".into() };
        let scores = vec![(ScoreName::Mig, score)];
        Record { scores, ..Record::sketch("a", &recipe, &rows) }
    }

    fn curves(panel: &Panel) -> &[Series] {
        match panel {
            Panel::Lines(lines) => &lines.series,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn runs_that_differ_in_beta_make_a_curve_over_lines_of_equal_elbo() {
        let runs = [run(10, 4.0, 1, 0.2), run(10, 1.0, 1, 0.1), run(5, 2.0, 1, 0.1)];
        let figure = rate_distortion(&runs.iter().collect::<Vec<_>>()).unwrap();
        let series = curves(&figure.panels[0]);
        assert_eq!(series[0].label, "model.latents 10");
        assert_eq!(series[0].points, [[5.0, 104.0], [20.0, 101.0]]);
        assert_eq!(series[0].names, ["\u{3b2} 4", "\u{3b2} 1"]);
        assert_eq!(series[1].points, [[10.0, 102.0]]);
        let contours = &series[2..];
        assert!((3..=8).contains(&contours.len()));
        for line in contours {
            let sum = |point: &[f64; 2]| point[0] + point[1];
            assert!((sum(&line.points[0]) - sum(&line.points[1])).abs() < 1e-9);
            assert_eq!(line.label, format!("ELBO -{}", sum(&line.points[0])));
        }
        assert!(rate_distortion(&[]).is_none());
    }

    #[test]
    fn seeds_are_averaged_and_latents_have_curves() {
        let runs =
            [run(10, 4.0, 1, 0.2), run(10, 4.0, 2, 0.4), run(10, 1.0, 1, 0.1), run(5, 4.0, 1, 0.6)];
        let figure = score_beta(&runs.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(figure.panels.len(), 1);
        let series = curves(&figure.panels[0]);
        assert_eq!([&series[0].label, &series[1].label], ["model.latents 10", "model.latents 5"]);
        let values: Vec<f64> = series[0].points.iter().map(|[_, value]| *value).collect();
        assert!((values[0] - 0.1).abs() < 1e-12 && (values[1] - 0.3).abs() < 1e-12, "{values:?}");
        // One run has its own interval, two have their range.
        assert_eq!(series[0].band, [[0.0, 0.2], [0.2, 0.4]]);
        assert!((series[0].points[1][0] - 40.0 / 4096.0).abs() < 1e-12);
    }

    #[test]
    fn unlike_runs_are_never_pooled() {
        let with = |change: &str| {
            let recipe = format!("seed = 1\nobjective.beta = 4.0\n{change}");
            let sketch = Record::sketch("a", &recipe, "9,kl,20\n9,reconstruction,100\n");
            Record { scores: run(10, 4.0, 1, 0.2).scores, ..sketch }
        };
        for [a, b] in [
            ["", "model.architecture = 'higgins-fc'"],
            ["data.path = '/a'", "data.path = '/b'"],
            ["", "optimizer.kind = 'adagrad'"],
        ] {
            let runs = [with(a), with(b)];
            let runs: Vec<&Record> = runs.iter().collect();
            let lines = rate_distortion(&runs).unwrap();
            let points = |series: &&Series| series.mark == Mark::Points;
            assert_eq!(curves(&lines.panels[0]).iter().filter(points).count(), 2, "{b}");
            let scores = score_beta(&runs).unwrap();
            assert_eq!(curves(&scores.panels[0]).len(), 2, "{b}");
        }
    }
}
