//! A report of one run or several: one HTML file that needs no network and no script.

mod compare;
mod live;
pub(crate) mod page;

pub use live::{live, live_page};

use std::path::Path;
use std::sync::Arc;

use maud::Markup;

use crate::Device;
use crate::checkpoint::Trained;
use crate::data::Dataset;
use crate::error::Result;
use crate::figures::{FigureInput, FigureName};
use crate::files::write_atomically;
use crate::runs::Record;

/// A run with what of it can be opened.
pub struct ReportedRun {
    /// The run folder's files.
    pub run: Record,
    /// Its newest model, if there is a complete checkpoint.
    pub trained: Option<Trained>,
    /// What it was trained on, if it is still there.
    pub data: Option<Arc<dyn Dataset>>,
}

impl ReportedRun {
    /// Reads a run folder and its newest model.
    ///
    /// # Errors
    /// If it is not one, or a file in it is damaged.
    pub fn read(folder: &Path, device: &Device) -> Result<Self> {
        let run = Record::read(folder)?;
        let none = crate::checkpoint::list(&folder.join("checkpoints"))?.is_empty();
        let trained = if none { None } else { Some(Trained::load(folder, device)?) };
        Ok(Self { run, trained, data: None })
    }
}

/// What figures show, below them.
fn caption(name: FigureName) -> &'static str {
    match name {
        FigureName::Traversal => {
            "Traversals: in each row one latent runs from \u{2212}3 to 3 prior deviations, the others stay \
             at the prior mean. Rows are ordered by KL."
        }
        FigureName::Reconstructions => {
            "Images of the data above their reconstructions at z = mean."
        }
        FigureName::Samples => "Decoded draws from the prior.",
        FigureName::Responses => {
            "Responses of the active latents: the mean of the codes over position as a map (purple above \
             zero, orange below), over other factors as curves."
        }
        FigureName::Matrices => {
            "Latents by factors: how much trees use a latent to predict a factor, mutual information, \
             correlation."
        }
        FigureName::Terms => "Terms of the loss over the steps, in nats per image.",
        FigureName::KlTraining => "KL of each latent over the steps.",
        FigureName::KlCapacity => "KL of each latent against the capacity C while it rises.",
        FigureName::RateDistortion => {
            "Rate and distortion at the end; along a thin line the ELBO is the same, further to the lower \
             left it is higher."
        }
        FigureName::ScoreBeta => {
            "Scores against beta_norm; bands are intervals, or ranges over seeds."
        }
    }
}

/// A figure of a report, or why it is not there.
fn figure(subject: &mut FigureInput<'_>, name: FigureName) -> Markup {
    match subject.draw(name) {
        Ok(Some(drawing)) => page::figure(&drawing, caption(name)),
        Ok(None) => Markup::default(),
        Err(error) => page::note(&format!("There is no figure `{}`: {error}.", name.name())),
    }
}

/// The page. A figure that cannot be drawn is replaced by the reason.
pub fn page(entries: &[ReportedRun]) -> String {
    let mut body = Vec::new();
    if entries.len() > 1 {
        let runs: Vec<&Record> = entries.iter().map(|entry| &entry.run).collect();
        let mut subject = FigureInput::runs(runs.clone());
        body.push(compare::table(&runs));
        for name in FigureName::ALL.into_iter().filter(|name| name.compares()) {
            body.push(figure(&mut subject, name));
        }
    }
    for entry in entries {
        body.push(page::run(entry, entries.len() > 1));
    }
    let names: Vec<&str> = entries.iter().map(|entry| entry.run.name.as_str()).collect();
    page::whole(&names.join(", "), &body)
}

/// Writes a page to a file, completely or not at all.
///
/// # Errors
/// If the disk fails.
pub fn write(path: &Path, entries: &[ReportedRun]) -> Result<()> {
    write_atomically(path, page(entries).as_bytes())
}
