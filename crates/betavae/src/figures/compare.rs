//! Several runs in one figure.

use std::collections::BTreeMap;

use super::plot::{Axis, Figure, Lines, Mark, Panel, Series, short};
use crate::record::Record;
use crate::scores::ScoreName;

/// Rate, the KL, against distortion, -ln p(x | z), both in nats per image: a point per run, those that
/// differ in nothing but beta, C and seed joined to a curve, and lines of equal ELBO (Alemi et al. 2018,
/// Fig. 1). `None` if no run has finished.
pub fn rate_distortion(runs: &[&Record]) -> Option<Figure> {
    let mut curves: BTreeMap<String, Vec<[f64; 2]>> = BTreeMap::new();
    for run in runs {
        let Some(point) = run.rate_and_distortion() else { continue };
        curves.entry(kind(run)).or_default().push(point);
    }
    let points: Vec<[f64; 2]> = curves.values().flatten().copied().collect();
    if points.is_empty() {
        return None;
    }
    let x = around(points.iter().map(|[rate, _]| *rate));
    let y = around(points.iter().map(|[_, distortion]| *distortion));
    let mut series: Vec<Series> = curves
        .into_iter()
        .map(|(label, mut points)| {
            points.sort_by(|a, b| a[0].total_cmp(&b[0]));
            Series { mark: Mark::Points, ..Series::line(label, points) }
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
            Series { mark: Mark::Guide, ..Series::line(format!("ELBO {}", short(-sum)), points) }
        })
        .collect()
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|s| *s >= step)
        .unwrap_or(10.0 * power)
}

/// The ends of an axis with room for points at its edge.
fn around(values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let room = 0.1 * (high - low) + 0.1 * high.abs().max(1.0);
    [(low - room).max(0.0), high + room]
}

/// What runs of one curve share.
fn kind(run: &Record) -> String {
    let config = &run.config;
    let data = config.data.name.clone().unwrap_or_else(|| "images".into());
    format!("{data}, {} latents", config.model.latents)
}

/// Scores against beta_norm, a panel per score and a curve per number of latents (Higgins et al. 2017,
/// Fig. 6). Runs that differ in their seed alone make one point, their mean; its interval runs from the
/// lowest to the highest, or is the score's own if there is one run. `None` without scores of a run with
/// loss H.
pub fn score_beta(runs: &[&Record]) -> Option<Figure> {
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
    // By latents, then by the bits of beta_norm, which rise with it.
    let mut curves: BTreeMap<usize, BTreeMap<u64, Vec<[f64; 3]>>> = BTreeMap::new();
    for run in runs {
        let found = run.scores.iter().find(|(known, _)| *known == name);
        let (Some(norm), Some((_, score))) = (run.beta_norm().filter(|n| *n > 0.0), found) else {
            continue;
        };
        let curve = curves.entry(run.config.model.latents).or_default();
        curve.entry(norm.to_bits()).or_default().push([score.value, score.low, score.high]);
    }
    if curves.is_empty() {
        return None;
    }
    let series = curves.into_iter().map(|(latents, points)| {
        let (mut line, mut band) = (Vec::new(), Vec::new());
        for (norm, scores) in points {
            let values = scores.iter().map(|[value, ..]| *value);
            line.push([f64::from_bits(norm), values.clone().sum::<f64>() / scores.len() as f64]);
            band.push(match scores[..] {
                [[_, low, high]] => [low, high],
                _ => [values.clone().fold(f64::MAX, f64::min), values.fold(f64::MIN, f64::max)],
            });
        }
        Series { mark: Mark::Points, band, ..Series::line(format!("{latents} latents"), line) }
    });
    Some(Panel::Lines(Lines {
        title: name.name().into(),
        x: Axis::log("beta_norm"),
        y: Axis { range: Some([0.0, 1.0]), ..Axis::default() },
        series: series.collect(),
    }))
}
