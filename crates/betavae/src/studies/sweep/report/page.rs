//! A sweep's report as HTML.

use maud::{Markup, html};

use super::choice::{Choice, ChosenRun, less_is_better};
use super::figures::ReportFigure;
use super::quantity::Quantity;
use super::ranking::IMAGES;
use super::{Aggregate, DataSetReport, GroupSummary, SweepReport};
use crate::figures::Drawing;
use crate::report::page::{figure, note, whole};
use crate::scores::ScoreName;
use crate::words::{counted, thousands};

/// The whole document.
pub(super) fn page(report: &SweepReport) -> String {
    let mut body = vec![facts(report)];
    if report.groups.is_empty() {
        body.push(note("No run is done yet: there is nothing to compare."));
    } else {
        body.push(over_seeds(&report.groups));
    }
    let titled = report.data_sets.len() > 1;
    for data in &report.data_sets {
        if titled {
            body.push(html! { h2 { (data.label) } });
        }
        body.push(compared(data, titled));
    }
    if !report.udr.is_empty() {
        body.push(ranking(report));
    }
    body.push(failures(report));
    body.push(again(report));
    whole(&report.name, &body)
}

/// How far the sweep is.
fn facts(report: &SweepReport) -> Markup {
    let state = &report.progress;
    let done = (state.done > 0).then(|| format!("{} done", thousands(state.done)));
    let kinds: Vec<String> = done.into_iter().chain(state.others_in_words()).collect();
    html! {
        dl {
            dt { "recipe" } dd { (report.about.recipe) }
            dt { "runs" } dd { (thousands(state.runs)) ": " (kinds.join(", ")) }
            dt { "groups" } dd { (counted(report.groups.len(), "group")) " of done runs that are equal but for their seed" }
        }
    }
}

/// Tables of terms and scores with a row per group.
fn over_seeds(groups: &[GroupSummary]) -> Markup {
    let mut scores: Vec<Quantity> =
        groups.iter().flat_map(|group| group.quantities.keys().copied()).collect();
    scores.sort_unstable();
    scores.dedup();
    scores.retain(|quantity| matches!(quantity, Quantity::Score(_)));
    html! {
        h2 { "Over seeds" }
        p {
            "A row is a group of runs that are equal but for their seed. In a cell stand the mean, its interval (bootstrap \
             over runs, 95\u{a0}%; none for fewer than 3 runs), and the median. Of few runs this interval is too narrow: of \
             normally distributed values it has the true mean in about 75\u{a0}% of the cases for 3 runs, 84\u{a0}% for 5, 90\u{a0}% for 10."
        }
        h3 { "Loss terms in nats per image with sampled z, and time of training" }
        (table(groups, &Quantity::TERMS))
        @if !scores.is_empty() {
            h3 { "Scores" }
            (table(groups, &scores))
            @if scores.contains(&Quantity::Score(ScoreName::Udr)) {
                p { "UDR has no interval over runs: that of a run is made of the others." }
            }
        }
    }
}

fn table(groups: &[GroupSummary], quantities: &[Quantity]) -> Markup {
    html! {
        div.wide {
            table.groups {
                thead { tr { th { "group" } th { "n" } @for quantity in quantities { th { (quantity.title()) } } } }
                tbody {
                    @for group in groups {
                        tr {
                            th { (group.label) }
                            td { (group.runs.len()) }
                            @for quantity in quantities {
                                td { (cell(*quantity, group.quantities.get(quantity), group.runs.len())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(quantity: Quantity, found: Option<&Aggregate>, runs: usize) -> Markup {
    let Some(found) = found else { return html! { "\u{2013}" } };
    let text = |value| quantity.text(value);
    html! {
        (text(found.mean))
        @if let Some([low, high]) = found.interval { small { (text(low)) " .. " (text(high)) } }
        @if found.n > 1 { small { "median " (text(found.median)) } }
        @if found.n < runs { small { "of " (counted(found.n, "run")) } }
    }
}

/// What is compared on a data set.
fn compared(data: &DataSetReport, titled: bool) -> Markup {
    html! {
        @if !data.figures.is_empty() {
            @if titled { h3 { "Figures" } } @else { h2 { "Figures" } }
            @for drawn in &data.figures { (drawing(drawn)) }
        }
        @if let Some(choice) = &data.choice { (chosen(choice, titled)) }
    }
}

fn drawing(ReportFigure { caption, figure: drawn, .. }: &ReportFigure) -> Markup {
    figure(&Drawing::Figure(Box::new(drawn.clone())), caption)
}

fn chosen(choice: &Choice, titled: bool) -> Markup {
    let title = format!("Best and median run by {}", choice.by.title());
    let less = match choice.by {
        Quantity::Score(name) => less_is_better(name),
        _ => false,
    };
    html! {
        @if titled { h3 { (title) } } @else { h2 { (title) } }
        p {
            "Of " (counted(choice.n, "run")) " that have this score, "
            @if less { "of which less is better; " }
            "the best of many is better by luck too, the median shows what a run comes to."
        }
        @let runs: &[(&str, &ChosenRun)] = &[("best", &choice.best), ("median", &choice.median)];
        @let same = choice.best.name == choice.median.name;
        @for (what, run) in &runs[..if same { 1 } else { 2 }] {
            h3 { @if same { "Best and median" } @else if *what == "best" { "Best" } @else { "Median" } ": " (run.name) }
            p {
                @for (place, (quantity, value)) in run.quantities.iter().enumerate() {
                    @if place > 0 { ", " }
                    (quantity.title()) " " (quantity.text(*value))
                }
            }
            @match &run.traversal {
                Some(picture) => (figure(&Drawing::Picture(picture.clone()), TRAVERSAL)),
                None => (note("Its model could not be loaded.")),
            }
            pre { code { (run.explore) } }
        }
    }
}

const TRAVERSAL: &str = "Traversals: in each row one latent runs from \u{2212}3 to 3 prior deviations, the others stay at the \
                         prior mean. Rows are ordered by KL.";

/// UDR by group and by run, and how well it agrees with labels.
fn ranking(report: &SweepReport) -> Markup {
    let udr = Quantity::Score(ScoreName::Udr);
    let groups = report.groups.iter().filter_map(|group| {
        let found = group.quantities.get(&udr)?;
        let mut runs: Vec<_> = report.udr.iter().filter(|run| run.group == group.label).collect();
        runs.sort_by(|a, b| b.udr.total_cmp(&a.udr));
        Some((group, found, runs))
    });
    let groups: Vec<_> = groups.collect();
    let agreeing: Vec<&DataSetReport> =
        report.data_sets.iter().filter(|data| !data.udr_agreement.is_empty()).collect();
    html! {
        h2 { "Without labels: UDR" }
        p {
            "Unsupervised disentanglement ranking (Duan et al. 2020): models of other seeds find the same latents, up to order \
             and sign, where these are disentangled. The UDR of a run is the median of its likeness (lasso) with the other \
             runs of its group, from codes of the same " (thousands(IMAGES)) " images or of all where there are fewer. It \
             ranks runs and settings without any factors, and more surely the more seeds there are."
        }
        div.wide {
            table.groups {
                thead { tr { th { "group" } th { "n" } th { "median" } th { "lowest" } th { "highest" } th.text { "highest run" } } }
                tbody {
                    @for (group, found, runs) in &groups {
                        tr {
                            th { (group.label) }
                            td { (found.n) }
                            td { (udr.text(found.median)) }
                            td { @if let Some(run) = runs.last() { (udr.text(run.udr)) } }
                            td { @if let Some(run) = runs.first() { (udr.text(run.udr)) } }
                            td.text { @if let Some(run) = runs.first() { (run.name) } }
                        }
                    }
                }
            }
        }
        @for data in &agreeing {
            h3 { "How well UDR agrees with labels" @if agreeing.len() > 1 { ": " (data.label) } }
            p { "Spearman's rank correlation of UDR and a score of factors over runs." }
            div.wide {
                table {
                    thead { tr { th { "score" } th { "correlation" } th { "runs" } } }
                    tbody {
                        @for found in &data.udr_agreement {
                            tr {
                                th { (found.score.title()) }
                                td { @match found.spearman { Some(value) => (format!("{value:.2}")), None => "\u{2013}" } }
                                td { (found.n) }
                            }
                        }
                    }
                }
            }
        }
        details {
            summary { "UDR of every run" }
            div.wide {
                table {
                    thead { tr { th { "run" } th { "UDR" } } }
                    tbody {
                        @for (_, _, runs) in &groups {
                            @for run in runs { tr { th { (run.name) } td { (udr.text(run.udr)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn failures(report: &SweepReport) -> Markup {
    html! {
        @if !report.failures.is_empty() {
            h2 { "Failures" }
            div.wide {
                table.groups {
                    tbody {
                        @for failure in &report.failures {
                            tr { th { (failure.name) } td.text { (failure.message) } }
                        }
                    }
                }
            }
        }
    }
}

fn again(report: &SweepReport) -> Markup {
    let [run, collect] = &report.about.commands;
    html! {
        h2 { "How to get this again" }
        p { "The sweep goes on where it stands, and does what is not done yet, with" }
        pre { code { (run) } }
        p { "A table with a row for every run is written by" }
        pre { code { (collect) } }
        @if let Some(text) = &report.about.text {
            details { summary { "The sweep's file" } pre { code { (text) } } }
        }
    }
}
