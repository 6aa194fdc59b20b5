//! Terms of the loss over the steps of a run.

use super::plot::{Axis, Figure, LEGEND_LINE, Lines, Mark, Panel, Series};
use crate::objective::ACTIVE_NATS;
use crate::runs::Record;

/// Height of the curves of many latents at most.
const TALLEST: u32 = 1100;

/// Panels of reconstruction, KL, loss and the number of active latents over the steps, with what the KL is held at beside
/// it; and of the terms and weights that only this objective has, where they change.
pub(crate) fn terms(run: &Record) -> Figure {
    let panel = |title: &str, terms: &[(&str, &str, Mark)]| {
        let series = terms.iter().map(|(term, label, mark)| Series {
            mark: *mark,
            ..Series::line(*label, run.history.term(term).to_vec())
        });
        let series = series.filter(|series| !series.points.is_empty()).collect();
        // The first rows are far above all others.
        let log = terms[0].0 != "kl" && wide(run.history.term(terms[0].0));
        let (x, y) = (Axis::new("step"), Axis { log, ..Axis::default() });
        Panel::Lines(Lines { title: title.into(), x, y, series })
    };
    // What the KL is held at, by loss B and by ControlVAE.
    let target = ["capacity", "target"].into_iter().find(|name| !run.history.term(name).is_empty());
    let kl = match target {
        Some("capacity") => "KL and, thin, C in nats",
        Some(_) => "KL and, thin, its target in nats",
        None => "KL in nats",
    };
    let mut panels = vec![
        panel("\u{2212}ln p(x | z) in nats", &[("reconstruction", "", Mark::Line)]),
        panel(kl, &[("kl", "", Mark::Line), (target.unwrap_or("capacity"), "", Mark::Guide)]),
        panel("loss", &[("total", "", Mark::Line)]),
        panel(
            &format!("latents with KL > {ACTIVE_NATS} nats"),
            &[("active_latents", "", Mark::Line)],
        ),
    ];
    // Terms and weights that only this objective has, where they change.
    let known =
        ["reconstruction", "kl", "total", "active_latents", "capacity", "target", "beta_norm"];
    let own = run.history.names().filter(|name| {
        let is_latent = name.strip_prefix("kl_").is_some_and(|j| j.parse::<usize>().is_ok());
        !is_latent && !known.contains(name) && changes(run.history.term(name))
    });
    panels.extend(own.map(|name| panel(&name.replace('_', " "), &[(name, "", Mark::Line)])));
    Figure { title: String::new(), panels, columns: 2, panel: [420, 270] }
}

/// KL of each latent over the steps (Burgess et al. 2018, Fig. 5 has it against C).
pub(crate) fn kl_training(run: &Record) -> Figure {
    let curves = run.history.kl_per_latent().into_iter().map(<[_]>::to_vec).collect();
    kl_curves(curves, Axis::new("step"))
}

/// KL of each latent against the capacity C, if the run raises C: latents join as it grows (Burgess et al.
/// 2018, Fig. 5, left).
pub(crate) fn kl_capacity(run: &Record) -> Option<Figure> {
    let capacity = run.history.term("capacity");
    if !rises(capacity) {
        return None;
    }
    // Rows of all terms are written together, so that they correspond. Where C has reached its end the
    // KL goes on changing; that part would be a vertical line.
    let most = capacity.iter().fold(f64::MIN, |most, [_, c]| most.max(*c));
    let rising = capacity.iter().position(|[_, c]| *c >= most).map_or(capacity.len(), |at| at + 1);
    let against = |kl: &[[f64; 2]]| {
        let pairs = capacity[..rising].iter().zip(kl);
        pairs.map(|([_, c], [_, kl])| [*c, *kl]).collect()
    };
    let curves = run.history.kl_per_latent().into_iter().map(against).collect();
    Some(kl_curves(curves, Axis::new("capacity C in nats")))
}

/// The latents that end with a KL in colours, by falling KL; the others as thin lines.
fn kl_curves(curves: Vec<Vec<[f64; 2]>>, x: Axis) -> Figure {
    let last = |curve: &[[f64; 2]]| curve.last().map_or(0.0, |[_, kl]| *kl);
    let mut curves: Vec<_> = curves.into_iter().enumerate().collect();
    curves.sort_by(|(_, a), (_, b)| last(b).total_cmp(&last(a)));
    let (active, others): (Vec<_>, Vec<_>) =
        curves.into_iter().partition(|(_, curve)| last(curve) > f64::from(ACTIVE_NATS));
    let active = active.into_iter().map(|(j, curve)| Series::line(format!("z{j}"), curve));
    let others = others.into_iter().enumerate().map(|(i, (_, curve))| Series {
        mark: Mark::Guide,
        ..Series::line(if i == 0 { "inactive" } else { "" }, curve)
    });
    let series: Vec<Series> = active.chain(others).collect();
    let y = Axis::new("KL per latent in nats");
    let labels = series.iter().filter(|series| !series.label.is_empty()).count();
    let mut figure = Figure::one(Panel::Lines(Lines { x, y, series, ..Lines::default() }));
    // A line of the legend for each of up to some sixty latents; more stand in columns.
    figure.panel[1] = figure.panel[1].max(24 + LEGEND_LINE * labels as u32).min(TALLEST);
    figure
}

/// Whether a positive curve is seen better on a logarithmic axis.
fn wide(curve: &[[f64; 2]]) -> bool {
    let values = || curve.iter().map(|[_, value]| *value);
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    least > 0.0 && most > 5.0 * least
}

fn changes(curve: &[[f64; 2]]) -> bool {
    curve.windows(2).any(|pair| pair[0][1] != pair[1][1])
}

fn rises(curve: &[[f64; 2]]) -> bool {
    curve.windows(2).any(|pair| pair[0][1] < pair[1][1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_of_an_objective_have_panels_where_they_change() {
        let mut rows = String::new();
        for (step, tc) in [(1, 0.5), (2, 0.25)] {
            for (name, value) in [
                ("total", 9.0),
                ("kl", 2.0),
                ("total_correlation", tc),
                ("gamma", 35.0),
                ("kl_0", 2.0),
            ] {
                rows += &format!("{step},{name},{value}\n");
            }
        }
        let run = Record::sketch("a", "objective.kind = 'factor-vae'", &rows);
        let titles: Vec<String> = terms(&run)
            .panels
            .into_iter()
            .map(|panel| match panel {
                Panel::Lines(lines) => lines.title,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(titles[4..], ["total correlation"]);
    }

    #[test]
    fn latents_join_as_the_capacity_rises() {
        let mut rows = String::new();
        for (step, c, kl) in [(1, 0.0, [0.0, 0.0]), (2, 1.0, [0.9, 0.0]), (3, 1.0, [0.95, 0.02])] {
            rows += &format!("{step},capacity,{c}\n{step},kl_0,{}\n{step},kl_1,{}\n", kl[0], kl[1]);
        }
        let run = Record::sketch("a", "objective.kind = 'b'", &rows);
        let series = |figure: Figure| match figure.panels.into_iter().next() {
            Some(Panel::Lines(lines)) => lines.series,
            other => panic!("{other:?}"),
        };
        let against_c = series(kl_capacity(&run).unwrap());
        assert_eq!(against_c[0].points, [[0.0, 0.0], [1.0, 0.9]]);
        assert_eq!((against_c[1].mark, &*against_c[1].label), (Mark::Guide, "inactive"));
        let over_steps = series(kl_training(&run));
        assert_eq!((over_steps[1].mark, &*over_steps[1].label), (Mark::Line, "z1"));
        assert_eq!(over_steps[1].points[2], [3.0, 0.02]);
    }
}
