//! The parts of a report as HTML. `maud` escapes everything that is put in.

use std::io::Cursor;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::{ImageFormat, RgbImage};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{ReportedRun, figure as drawn};
use crate::config::value_in_words;
use crate::evaluate::Evaluation;
use crate::figures::plot::{GRID, INK};
use crate::figures::{Drawing, FigureInput, FigureName};
use crate::runs::Record;
use crate::scores::ScoreName;
use crate::words;

const STYLE: &str = include_str!("report.css");
const WATCH: &str = include_str!("watch.js");

/// A document.
pub(crate) fn whole(title: &str, body: &[Markup]) -> String {
    let title = format!("Report: {title}");
    let content = html! {
        h1 { (title) }
        @for part in body { (part) }
        footer { "Written by betavae " (env!("CARGO_PKG_VERSION")) "." }
    };
    document(&title, &content, None)
}

/// A document whose middle is replaced by newer ones of its server's.
pub(super) fn watched(title: &str, fragment: &str) -> String {
    let content = html! {
        h1 { (title) }
        div id="live" { (PreEscaped(fragment)) }
        p.note id="connection" hidden { "The server does not answer: is `betavae watch` still running?" }
    };
    document(title, &content, Some(WATCH))
}

fn document(title: &str, content: &Markup, script: Option<&str>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                // Browsers ask servers for an icon otherwise.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (content) }
                @if let Some(script) = script { script { (PreEscaped(script)) } }
            }
        }
    };
    page.into_string()
}

/// A run, from what was trained to how to train it again.
pub(super) fn run(entry: &ReportedRun, titled: bool) -> Markup {
    let ReportedRun { run, trained, data } = entry;
    let mut subject = match trained {
        Some(trained) => FigureInput::model(trained, data.as_deref(), Some(run)),
        None => FigureInput::runs(vec![run]),
    };
    let mut figures = |names: &[FigureName]| -> Vec<Markup> {
        names.iter().map(|name| drawn(&mut subject, *name)).collect()
    };
    let [looks, factors, curves] = [
        figures(&[FigureName::Traversal, FigureName::Reconstructions, FigureName::Samples]),
        figures(&[FigureName::Responses, FigureName::Matrices]),
        figures(&[FigureName::Terms, FigureName::KlTraining, FigureName::KlCapacity]),
    ];
    html! {
        section {
            @if titled { h2 { (run.name) } }
            (facts(run))
            @if let Some(evaluation) = &run.evaluation { (terms(evaluation)) }
            @if !run.scores.is_empty() { (scores(run)) }
            h3 { "What the latents show" }
            @if data.is_none() {
                (note("The images it was trained on could not be opened: figures that need them are left out."))
            }
            @for part in looks.iter().chain(&factors) { (part) }
            h3 { "Training" }
            @for part in &curves { (part) }
            h3 { "How to get this again" }
            p { "Save the configuration below as " code { "recipe.toml" } " and run" }
            pre { code { "betavae train recipe.toml" } }
            p {
                "With the same version, data and instruction set the result has the same bytes, on any number \
                 of threads."
            }
            details { summary { "Configuration" } pre { code { (run.config.to_toml()) } } }
            details { summary { "Provenance" } (provenance(&run.provenance)) }
        }
    }
}

/// What is trained, in words, and how far that is.
pub(super) fn facts(run: &Record) -> Markup {
    let count = |key: &str| {
        let known = run.provenance.get(key).and_then(toml::Value::as_integer);
        known.map_or(0, |count| count as usize)
    };
    let data = run.provenance.get("data").and_then(toml::Value::as_str).unwrap_or("images");
    let words = run.config.in_words(data, count("images"), count("parameters"));
    html! {
        dl {
            @for (label, text) in words { dt { (label) } dd { (text) } }
            dt { "state" } dd { (state(run)) }
        }
    }
}

/// Whether it has finished, and how long it took.
fn state(run: &Record) -> String {
    let (step, steps) = (run.history.step(), run.config.train().steps);
    let time = run.seconds.map(|seconds| {
        let speed = step as f64 / seconds.max(1e-9);
        format!(" in {} ({speed:.1} steps/s)", words::duration(seconds))
    });
    let time = time.unwrap_or_default();
    match &run.evaluation {
        Some(_) => format!("finished{time}"),
        None => {
            format!(
                "at step {} of {}{time}",
                words::thousands(step as usize),
                words::thousands(steps as usize)
            )
        }
    }
}

fn terms(evaluation: &Evaluation) -> Markup {
    let (mean, sampled) = (&evaluation.at_mean, &evaluation.sampled);
    let rows = [
        ("reconstruction, \u{2212}ln p(x | z)", mean.reconstruction, sampled.reconstruction),
        ("KL", mean.kl, sampled.kl),
        ("ELBO", mean.elbo, sampled.elbo),
    ];
    let kl = &mean.kl_per_latent;
    html! {
        h3 { "Loss terms" }
        p {
            (words::thousands(evaluation.images)) " images of " (evaluation.data) " after "
            (words::thousands(evaluation.step as usize)) " steps, in nats per image. "
            (evaluation.active_latents) " of " (kl.len()) " latents are active: their KL is above 0.01 nats."
        }
        div.wide {
            table {
                thead { tr { th {} th { "z = mean" } th { "z sampled" } } }
                tbody {
                    @for (name, mean, sampled) in rows {
                        tr { th { (name) } td { (format!("{mean:.2}")) } td { (format!("{sampled:.2}")) } }
                    }
                }
            }
        }
        h3 { "KL per latent" }
        (bars(kl))
    }
}

/// A bar for the KL of each latent, the longest first.
pub(super) fn bars(kl: &[f64]) -> Markup {
    let most = kl.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut order: Vec<usize> = (0..kl.len()).collect();
    order.sort_by(|a, b| kl[*b].total_cmp(&kl[*a]));
    html! {
        table.bars {
            @for latent in order {
                tr {
                    th { "z" (latent) }
                    td { (format!("{:.3}", kl[latent])) }
                    td.bar { div style=(format!("width:{:.1}%", 100.0 * kl[latent] / most)) {} }
                }
            }
        }
    }
}

fn scores(run: &Record) -> Markup {
    html! {
        h3 { "Scores" }
        p {
            "Intervals are at 95 %. Scores by different definitions are not comparable; each has its \
             convention beside it."
        }
        div.wide {
            table {
                thead { tr { th { "score" } th { "value" } th { "interval" } th { "codes" } th.text { "convention" } } }
                tbody {
                    @for (name, score) in &run.scores {
                        tr {
                            th { (name.name()) }
                            td { (format!("{:.3}", score.value)) }
                            td { (interval(*name, score.low, score.high)) }
                            td { (words::thousands(score.samples)) }
                            td.text { (score.convention) }
                        }
                    }
                }
            }
        }
    }
}

/// The ends of an interval, if there is one.
fn interval(name: ScoreName, low: f64, high: f64) -> String {
    match low.is_finite() && high.is_finite() {
        _ if name.is_exact() => "exact".into(),
        true => format!("{low:.3} .. {high:.3}"),
        false => "\u{2013}".into(),
    }
}

fn provenance(table: &toml::Table) -> Markup {
    html! {
        dl.facts {
            @for (key, value) in table {
                @if let toml::Value::Table(inner) = value {
                    @for (key, value) in inner { dt { (key) } dd { (value_in_words(value)) } }
                } @else {
                    dt { (key) } dd { (value_in_words(value)) }
                }
            }
        }
    }
}

/// A figure with its caption: pictures as data URLs, figures with axes as SVG in the page's colours.
pub(crate) fn figure(drawing: &Drawing, caption: &str) -> Markup {
    html! {
        figure {
            div.wide {
                @match drawing {
                    Drawing::Picture(picture) => {
                        img alt=(caption) width=(picture.width()) height=(picture.height()) src=(data_url(picture));
                    }
                    Drawing::Figure(figure) => {
                        (PreEscaped(figure.svg().replace(INK, "currentColor").replace(GRID, "var(--grid)")))
                    }
                }
            }
            @if !caption.is_empty() { figcaption { (caption) } }
        }
    }
}

fn data_url(picture: &RgbImage) -> String {
    let mut png = Cursor::new(Vec::new());
    let written = picture.write_to(&mut png, ImageFormat::Png);
    written.unwrap_or_else(|error| unreachable!("memory takes a PNG: {error}"));
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner()))
}

/// Something the reader should know.
pub(crate) fn note(text: &str) -> Markup {
    html! { p.note { (text) } }
}
