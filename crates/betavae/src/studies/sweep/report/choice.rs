//! The best and the median run by a score.

use std::collections::BTreeMap;
use std::path::PathBuf;

use image::RgbImage;
use serde::Serialize;

use super::Failure;
use super::quantity::Quantity;
use crate::Device;
use crate::checkpoint::Trained;
use crate::error::{Error, Result};
use crate::figures::{Drawing, FigureInput, FigureName};
use crate::runs::Record;
use crate::scores::ScoreName;
use crate::words::quoted;

/// The best and the median of some runs by a score.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// The score.
    pub by: Quantity,
    /// Runs that have it.
    pub n: usize,
    /// The best one.
    pub best: ChosenRun,
    /// The one in the middle; the worse of the two in the middle of an even number.
    pub median: ChosenRun,
}

/// A run that was chosen.
#[derive(Clone, Debug, Serialize)]
pub struct ChosenRun {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub folder: PathBuf,
    /// What it comes to.
    pub quantities: BTreeMap<Quantity, f64>,
    /// The command that opens it in the explorer.
    pub explore: String,
    /// Its traversals; absent where its model cannot be loaded.
    #[serde(skip)]
    pub traversal: Option<RgbImage>,
}

/// The score to choose by: the wanted one, else MIG, else the first one with labels, else UDR, else the first one.
///
/// # Errors
/// If a score is wanted that no run has, while there are runs that are done.
pub(super) fn score(wanted: Option<ScoreName>, runs: &[Record]) -> Result<Option<ScoreName>> {
    let all: Vec<&Record> = runs.iter().collect();
    let known: Vec<ScoreName> = Quantity::scores(&all)
        .into_iter()
        .filter_map(|quantity| match quantity {
            Quantity::Score(name) => Some(name),
            _ => None,
        })
        .collect();
    match wanted {
        Some(name) if known.contains(&name) || runs.is_empty() => Ok(Some(name)),
        Some(name) => {
            let known: Vec<&str> = known.iter().map(|name| name.name()).collect();
            Err(Error::config(
                format!("no run that is done has the score `{}`", name.name()),
                match known.is_empty() {
                    true => "none has any score".to_owned(),
                    false => format!("there are {}", known.join(", ")),
                },
            ))
        }
        None => {
            let first = |is: &dyn Fn(&ScoreName) -> bool| known.iter().copied().find(|x| is(x));
            Ok(first(&|name| *name == ScoreName::Mig)
                .or_else(|| first(&|name| name.uses_factors()))
                .or_else(|| first(&|name| *name == ScoreName::Udr))
                .or_else(|| known.first().copied()))
        }
    }
}

/// Whether less of a score is better.
pub(super) fn less_is_better(score: ScoreName) -> bool {
    matches!(
        score,
        ScoreName::GaussianTotalCorrelation | ScoreName::Wasserstein | ScoreName::MutualInformation
    )
}

/// The best and the median run; `None` if none has the score. A model that cannot be loaded is told among the failures.
///
/// # Errors
/// If a traversal cannot be drawn.
pub(super) fn choose(
    by: ScoreName,
    runs: &[&Record],
    device: &Device,
    failures: &mut Vec<Failure>,
) -> Result<Option<Choice>> {
    let value = |run: &&Record| Quantity::Score(by).of(run);
    let mut order: Vec<(&Record, f64)> =
        runs.iter().filter_map(|run| Some((*run, value(run)?))).collect();
    order.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    if less_is_better(by) {
        order.reverse();
    }
    if order.is_empty() {
        return Ok(None);
    }
    let (best, median) = (order[0].0, order[order.len() / 2].0);
    Ok(Some(Choice {
        by: Quantity::Score(by),
        n: order.len(),
        best: chosen(best, device, failures)?,
        median: chosen(median, device, failures)?,
    }))
}

fn chosen(run: &Record, device: &Device, failures: &mut Vec<Failure>) -> Result<ChosenRun> {
    let quantities = Quantity::TERMS.into_iter().chain(Quantity::scores(&[run]));
    let quantities = quantities.filter_map(|quantity| Some((quantity, quantity.of(run)?)));
    let traversal = match Trained::load(&run.folder, device) {
        Ok(trained) => {
            match FigureInput::model(&trained, None, None).draw(FigureName::Traversal)? {
                Some(Drawing::Picture(picture)) => Some(picture),
                _ => None,
            }
        }
        Err(error) => {
            if failures.iter().all(|failure| failure.name != run.name) {
                let message = format!("its model cannot be used: {error}");
                failures.push(Failure { name: run.name.clone(), message });
            }
            None
        }
    };
    Ok(ChosenRun {
        name: run.name.clone(),
        folder: run.folder.clone(),
        quantities: quantities.collect(),
        explore: format!("betavae explore {}", quoted(&run.folder)),
        traversal,
    })
}
