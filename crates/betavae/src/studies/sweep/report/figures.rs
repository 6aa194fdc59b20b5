//! The figures of a sweep's report.

use disentanglement::spearman;

use super::quantity::Quantity;
use super::summary::Summarised;
use super::weights::{Curve, Varying};
use crate::figures::plot::{Axis, Figure, Heatmap, Lines, Mark, Panel, Series};
use crate::runs::{self, Record};

/// A figure with its name in files and what it shows.
pub(super) struct ReportFigure {
    pub(super) name: String,
    pub(super) caption: String,
    pub(super) figure: Figure,
}

/// Width and height of a panel.
const PANEL: [u32; 2] = [480, 300];
/// Groups and runs stand so far to the left and right of their name.
const ASIDE: f64 = 0.12;
/// Weights whose ratio is larger are on an axis of ratios.
const WIDE: f64 = 3.0;
/// Share of an axis beyond its outermost values.
const ROOM: f64 = 0.05;

/// What is drawn over weights: the scores, and loss terms where there are none.
fn drawn(runs: &[&Record]) -> Vec<Quantity> {
    let scores = Quantity::scores(runs);
    if !scores.is_empty() {
        return scores;
    }
    vec![Quantity::Reconstruction, Quantity::Kl, Quantity::Elbo, Quantity::ActiveLatents]
}

/// Panels below each other, two in a row.
fn figure(panels: Vec<Panel>) -> Figure {
    Figure { title: String::new(), columns: panels.len().min(2), panels, panel: PANEL }
}

/// The label of a quantity's axis, which has a title above it where it is a score.
fn axis(quantity: Quantity) -> Axis {
    match quantity {
        Quantity::Reconstruction | Quantity::Kl | Quantity::Elbo => Axis::new("nats per image"),
        _ => Axis::default(),
    }
}

/// Scores over the weights that vary, a curve for each kind of objective and whatever else differs; and as points for the
/// kinds in which nothing varies.
pub(super) fn over_weights<'a>(groups: &[&'a Summarised<'a>]) -> Vec<ReportFigure> {
    let runs: Vec<&Record> = groups.iter().flat_map(|group| group.runs.iter().copied()).collect();
    let quantities = drawn(&runs);
    let Varying { curves, rest } = Varying::of(groups);
    let mut figures = Vec::new();
    let of_objective = |curve: &&Curve<'_>| curve.key.starts_with("objective.");
    let weights: Vec<&Curve<'_>> = curves.iter().filter(of_objective).collect();
    // A curve that is alone needs no name.
    let alone = curves.len() == 1 && rest.is_empty();
    figures.extend(curves_figure(&weights, "score-weight", &quantities, alone));
    let mut others: Vec<&str> =
        curves.iter().filter(|curve| !of_objective(curve)).map(|curve| &*curve.key).collect();
    others.sort_unstable();
    others.dedup();
    for key in others {
        let curves: Vec<&Curve<'_>> = curves.iter().filter(|curve| curve.key == key).collect();
        figures.extend(curves_figure(&curves, &format!("score-{key}"), &quantities, alone));
    }
    figures.extend(points_figure(&rest, &quantities));
    figures
}

/// An axis of these values, of ratios where they are wide apart, on which the outermost stand clear of the frame.
fn with_room(values: &[f64], axis: Axis) -> Axis {
    let Some([low, high]) = ends(values) else { return axis };
    if low > 0.0 && high > WIDE * low {
        let room = (high / low).powf(ROOM);
        return Axis { log: true, range: Some([low / room, high * room]), ..axis };
    }
    let room = ROOM * (high - low).max(1e-3 * high.abs().max(1e-6));
    Axis { range: Some([low - room, high + room]), ..axis }
}

/// The least and the largest value.
fn ends(values: &[f64]) -> Option<[f64; 2]> {
    let low = values.iter().copied().reduce(f64::min)?;
    Some([low, values.iter().copied().reduce(f64::max)?])
}

/// A panel for each quantity with all curves.
fn curves_figure(
    curves: &[&Curve<'_>],
    name: &str,
    quantities: &[Quantity],
    alone: bool,
) -> Option<ReportFigure> {
    let first = curves.first()?;
    let same = curves.iter().all(|curve| curve.key == first.key);
    let weight = |key: &str| key.strip_prefix("objective.").unwrap_or(key).to_owned();
    let all: Vec<f64> =
        curves.iter().flat_map(|curve| curve.points.iter().map(|(x, _)| *x)).collect();
    let x = with_room(&all, Axis::new(if same { first.key.clone() } else { "weight".into() }));
    let panel = |quantity: &Quantity| {
        let series = curves.iter().map(|curve| {
            let points = curve.points.iter();
            let found = points.filter_map(|(x, group)| {
                let found = group.summary.quantities.get(quantity)?;
                Some(([*x, found.mean], found.interval.unwrap_or([f64::NAN; 2])))
            });
            let (points, band) = found.unzip();
            let label = match same {
                _ if alone => String::new(),
                true => curve.label.clone(),
                false => format!("{} ({})", curve.label, weight(&curve.key)),
            };
            Series { mark: Mark::Points, band, ..Series::line(label, points) }
        });
        let series = series.collect();
        let (title, y) = (quantity.title().into(), axis(*quantity));
        Panel::Lines(Lines { title, x: x.clone(), y, series })
    };
    let what = match same {
        true => first.key.clone(),
        false => {
            let mut kinds: Vec<String> = Vec::new();
            for curve in curves {
                let kind = curve.points[0].1.runs[0].config.objective().kind.name();
                let words = format!("{} in {kind}", weight(&curve.key));
                if !kinds.contains(&words) {
                    kinds.push(words);
                }
            }
            format!("the weight of each objective: {}", kinds.join(", "))
        }
    };
    Some(ReportFigure {
        name: name.to_owned(),
        caption: format!(
            "Means over seeds against {what}. Bands are intervals of the means (bootstrap over runs, 95 %), \
             where there are at least 3 runs; UDR has none."
        ),
        figure: figure(quantities.iter().map(panel).collect()),
    })
}

/// A panel for each quantity with the mean of each group and its runs beside it.
fn points_figure(groups: &[&Summarised<'_>], quantities: &[Quantity]) -> Option<ReportFigure> {
    if groups.is_empty() {
        return None;
    }
    // What distinguishes these groups, which may be less than what distinguishes all.
    let firsts: Vec<&Record> = groups.iter().map(|group| group.runs[0]).collect();
    let words: Vec<String> =
        runs::groups(&firsts, &["seed"]).into_iter().map(|group| group.label).collect();
    let panel = |quantity: &Quantity| {
        let (mut means, mut bars, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        for (place, group) in groups.iter().enumerate() {
            if let Some(found) = group.summary.quantities.get(quantity) {
                means.push([place as f64 - ASIDE, found.mean]);
                bars.push(found.interval.unwrap_or([f64::NAN; 2]));
            }
            let values = group.runs.iter().filter_map(|run| quantity.of(run));
            runs.extend(values.map(|value| [place as f64 + ASIDE, value]));
        }
        let dots = |label: &str, points| Series { mark: Mark::Dots, ..Series::line(label, points) };
        let series = vec![Series { band: bars, ..dots("mean", means) }, dots("runs", runs)];
        let x = Axis { words: words.clone(), ..Axis::default() };
        let (title, y) = (quantity.title().into(), axis(*quantity));
        Panel::Lines(Lines { title, x, y, series })
    };
    Some(ReportFigure {
        name: "score-groups".into(),
        caption: "Groups of runs in which no weight varies: the mean, with its interval (bootstrap over runs, 95 %) \
                  where there are at least 3 runs, and beside it the runs."
            .into(),
        figure: figure(quantities.iter().map(panel).collect()),
    })
}

/// Rank correlations between scores over runs. `None` for fewer than two scores, or three runs that have both.
pub(super) fn correlations(runs: &[&Record]) -> Option<ReportFigure> {
    let scores = Quantity::scores(runs);
    let pairs = |a: Quantity, b: Quantity| -> (Vec<f64>, Vec<f64>) {
        runs.iter().filter_map(|run| Some((a.of(run)?, b.of(run)?))).unzip()
    };
    let counts = scores.iter().flat_map(|a| scores.iter().map(|b| pairs(*a, *b).0.len()));
    let (least, most) = counts.fold((usize::MAX, 0), |(l, m), n| (l.min(n), m.max(n)));
    if scores.len() < 2 || most < LEAST {
        return None;
    }
    let n = if least < most { format!("{least} to {most}") } else { most.to_string() };
    let value = |a: Quantity, b: Quantity| rank_correlation(&pairs(a, b)).unwrap_or(f64::NAN);
    let values = scores.iter().flat_map(|a| scores.iter().map(|b| value(*a, *b))).collect();
    let names: Vec<String> = scores.iter().map(|score| score.name().to_owned()).collect();
    let heat = Heatmap {
        title: format!("Spearman's rank correlation over {n} runs"),
        shape: [names.len(); 2],
        rows: names.clone(),
        columns: names,
        values,
        around_zero: true,
        most: Some(1.0),
        annotated: true,
        ..Heatmap::default()
    };
    let [wide, tall] = heat.panel_of([if scores.len() > 12 { 40 } else { 56 }, 28]);
    // As wide as a page, which would enlarge it otherwise.
    let panel = [wide.max(2 * PANEL[0]), tall];
    let panels = vec![Panel::Heatmap(heat)];
    Some(ReportFigure {
        name: "score-correlation".into(),
        caption: "Spearman's rank correlation between scores over all runs that are done, of whatever objective and \
                  seed; ties share their rank."
            .into(),
        figure: Figure { title: String::new(), columns: 1, panels, panel },
    })
}

/// Fewer pairs have no rank correlation worth the name.
const LEAST: usize = 3;

/// Of pairs of values; `None` for fewer than three.
pub(super) fn rank_correlation((a, b): &(Vec<f64>, Vec<f64>)) -> Option<f64> {
    if a.len() < LEAST { None } else { spearman(a, b) }
}

/// Scores against the reconstruction, a point per run in the colour of its objective. `None` without scores. `likelihood`
/// is said where there are several, whose terms are no numbers on one axis.
pub(super) fn against_reconstruction(
    runs: &[&Record],
    likelihood: Option<&str>,
) -> Option<ReportFigure> {
    let scores = Quantity::scores(runs);
    let mut kinds: Vec<&str> = Vec::new();
    for run in runs {
        let kind = run.config.objective().kind.name();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let all: Vec<f64> = runs.iter().filter_map(|run| Quantity::Reconstruction.of(run)).collect();
    let x = with_room(&all, Axis::new("\u{2212}ln p(x | z) in nats per image"));
    let panel = |score: Quantity| {
        let series = kinds.iter().map(|kind| {
            let own = runs.iter().filter(|run| run.config.objective().kind.name() == *kind);
            let points = own
                .filter_map(|run| Some([Quantity::Reconstruction.of(run)?, score.of(run)?]))
                .collect();
            let label = if kinds.len() > 1 { *kind } else { "" };
            Series { mark: Mark::Dots, ..Series::line(label, points) }
        });
        let series = series.collect();
        let (title, x, y) = (score.title().into(), x.clone(), Axis::default());
        Panel::Lines(Lines { title, x, y, series })
    };
    let panels: Vec<Panel> = scores.into_iter().map(panel).collect();
    if panels.is_empty() {
        return None;
    }
    let of = likelihood.map_or(String::new(), |words| format!(" ({words})"));
    Some(ReportFigure {
        name: "reconstruction-score".into(),
        caption: format!(
            "Reconstruction with sampled z against scores, a point per run{of}; further to the left images are \
             reconstructed better."
        ),
        figure: figure(panels),
    })
}
