//! The part of a page that shows a run while it is trained.

use std::fs;

use maud::{Markup, html};

use super::page;
use crate::figures::{Drawing, kl_capacity, kl_training, terms};
use crate::runs::Record;
use crate::words;

/// What is trained, how far that is, the KL of each latent, curves, and pictures, as a piece of HTML.
/// `pictures` are addresses of the newest ones.
pub fn live(run: &Record, pictures: &[String]) -> String {
    let (step, steps) = (run.history.step(), run.config.train().steps);
    let share = 100.0 * step as f64 / steps.max(1) as f64;
    let kl: Vec<f64> = run
        .history
        .kl_per_latent()
        .iter()
        .map(|curve| curve.last().map_or(0.0, |at| at[1]))
        .collect();
    let curves = [Some(terms(run)), Some(kl_training(run)), kl_capacity(run)];
    let curves = curves.into_iter().flatten().map(|curve| Drawing::Figure(Box::new(curve)));
    let fragment: Markup = html! {
        div.bar role="progressbar" aria-valuenow=(format!("{share:.0}")) { div style=(format!("width:{share:.2}%")) {} }
        (page::facts(run))
        @if let Some(age) = quiet(run) {
            (page::note(&format!("The newest row is {} old: has the training stopped?", words::duration(age))))
        }
        @if step == 0 {
            (page::note("There is no row of metrics.csv yet."))
        } @else {
            h3 { "KL per latent" }
            (page::bars(&kl))
            h3 { "Training" }
            @for curve in curves { (page::figure(&curve, "")) }
        }
        @for picture in pictures {
            figure { div.wide { img alt="" src=(picture); } figcaption { (picture.trim_start_matches("figures/")) } }
        }
    };
    fragment.into_string()
}

/// The age in seconds of the newest row, if it is due for a successor.
fn quiet(run: &Record) -> Option<f64> {
    if run.history.step() >= run.config.train().steps {
        return None;
    }
    let written =
        fs::metadata(run.folder.join("metrics.csv")).and_then(|file| file.modified()).ok()?;
    let age = written.elapsed().ok()?.as_secs_f64();
    let usual =
        run.seconds? / run.history.step().max(1) as f64 * run.config.train().log_every as f64;
    (age > 30.0 + 3.0 * usual).then_some(age)
}

/// A page that shows [`live`] and asks its server for news.
pub fn live_page(run: &Record, fragment: &str) -> String {
    page::watched(&run.name, fragment)
}
