//! Aggregates over seeds: of groups of runs that are equal but for their seed.

use std::collections::BTreeMap;

use disentanglement::{bootstrap_mean, median};
use serde::Serialize;

use super::quantity::Quantity;
use crate::runs::{DataColumn, DataValues, Record, groups};
use crate::scores::ScoreName;
use crate::studies::sweep::collect;

/// Draws of the bootstrap, and their seed.
const RESAMPLES: usize = 10_000;
const SEED: u64 = 0;

/// Runs that are equal but for their seed, and what they come to.
#[derive(Clone, Debug, Serialize)]
pub struct GroupSummary {
    /// What distinguishes it from the other groups, such as `objective.beta 4.0`.
    pub label: String,
    /// Names of its runs that are done.
    pub runs: Vec<String>,
    /// What they come to.
    pub quantities: BTreeMap<Quantity, Aggregate>,
}

/// A quantity over some runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Aggregate {
    /// Runs that have it.
    pub n: usize,
    /// Of all values.
    pub mean: f64,
    /// Of all values.
    pub median: f64,
    /// Divided by n - 1; absent for one run.
    pub standard_deviation: Option<f64>,
    /// The 95 % interval of the mean by the bootstrap over runs; absent for fewer than three runs, and for `udr`, since the
    /// UDR of a run is made of the others.
    pub interval: Option<[f64; 2]>,
}

impl Aggregate {
    /// Of the values of a quantity; `None` without values.
    pub(super) fn new(quantity: Quantity, values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let dependent = quantity == Quantity::Score(ScoreName::Udr);
        Some(Self {
            n,
            mean,
            median: median(values),
            standard_deviation: (n > 1).then(|| (squares / (n as f64 - 1.0)).sqrt()),
            interval: if dependent { None } else { bootstrap_mean(values, RESAMPLES, SEED) },
        })
    }
}

/// A group with its runs.
pub(super) struct Summarised<'a> {
    /// Equal but for their seed; at least one.
    pub(super) runs: Vec<&'a Record>,
    pub(super) summary: GroupSummary,
}

/// The groups of some runs, in the order of their first ones.
pub(super) fn summarise<'a>(runs: &[&'a Record]) -> Vec<Summarised<'a>> {
    let scores = Quantity::scores(runs);
    let quantities: Vec<Quantity> = Quantity::TERMS.into_iter().chain(scores).collect();
    let summarised = groups(runs, &["seed"]).into_iter().map(|group| {
        let aggregate = |quantity: &Quantity| {
            let values: Vec<f64> = group.runs.iter().filter_map(|run| quantity.of(run)).collect();
            Some((*quantity, Aggregate::new(*quantity, &values)?))
        };
        let summary = GroupSummary {
            label: group.label,
            runs: group.runs.iter().map(|run| run.name.clone()).collect(),
            quantities: quantities.iter().filter_map(aggregate).collect(),
        };
        Summarised { runs: group.runs, summary }
    });
    summarised.collect()
}

/// A row for each group: its label, the settings in which groups differ, its number of runs, and for each quantity `NAME.n`,
/// `.mean`, `.median`, `.sd`, and the ends of the interval of the mean, `.mean_low` and `.mean_high`.
pub(super) fn columns(groups: &[Summarised<'_>]) -> Vec<DataColumn> {
    let label = groups.iter().map(|group| Some(group.summary.label.clone()));
    let mut columns = vec![DataColumn::words("group", label)];
    let configs = groups.iter().map(|group| &group.runs[0].config);
    let differ = |column: &DataColumn| match &column.values {
        DataValues::Numbers(values) => values.iter().any(|value| *value != values[0]),
        DataValues::Words(values) => values.iter().any(|value| *value != values[0]),
    };
    let settings = collect::settings(configs).into_iter();
    // The seed is that of the first run.
    columns.extend(settings.filter(|column| column.name != "seed" && differ(column)));
    let n = groups.iter().map(|group| Some(group.runs.len() as f64));
    columns.push(DataColumn::numbers("n", n));
    let all: Vec<&Record> = groups.iter().flat_map(|group| group.runs.iter().copied()).collect();
    type Part = (&'static str, fn(&Aggregate) -> Option<f64>);
    let parts: [Part; 6] = [
        ("n", |found| Some(found.n as f64)),
        ("mean", |found| Some(found.mean)),
        ("mean_low", |found| found.interval.map(|[low, _]| low)),
        ("mean_high", |found| found.interval.map(|[_, high]| high)),
        ("median", |found| Some(found.median)),
        ("sd", |found| found.standard_deviation),
    ];
    for quantity in Quantity::TERMS.into_iter().chain(Quantity::scores(&all)) {
        for (name, part) in parts {
            let values = groups.iter().map(|group| part(group.summary.quantities.get(&quantity)?));
            columns.push(DataColumn::numbers(format!("{}.{name}", quantity.name()), values));
        }
    }
    columns
}
