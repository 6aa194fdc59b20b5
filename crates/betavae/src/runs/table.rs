//! A table of many runs: the settings in which they differ, and what they came to.

use std::collections::BTreeSet;

use super::record::Record;
use crate::scores::{Score, ScoreName};
use crate::words;

/// One property of every run.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Such as `objective.beta`, `KL` or `mig`.
    pub name: String,
    /// Of each run, in words; absent where a run has none.
    pub values: Vec<Option<String>>,
}

/// What distinguishes runs and what they came to.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTable {
    /// Names of the runs.
    pub runs: Vec<String>,
    /// The settings that are not the same in all runs.
    pub settings: Vec<Column>,
    /// Steps, time, and loss terms in nats per image with sampled z.
    pub terms: Vec<Column>,
    /// Scores with half their intervals.
    pub scores: Vec<Column>,
}

/// A quantity and how a run tells it.
type Quantity = (&'static str, fn(&Record) -> Option<String>);

const TERMS: [Quantity; 7] = [
    ("steps", |run| {
        let logged = run.history.step();
        let step = run.evaluation.as_ref().map_or(logged, |found| found.step);
        Some(words::thousands(step as usize))
    }),
    ("time", |run| run.seconds.map(words::duration)),
    ("beta_norm", |run| run.beta_norm().map(|norm| format!("{norm:.4}"))),
    ("\u{2212}ln p(x | z)", |run| {
        run.evaluation.as_ref().map(|found| format!("{:.2}", found.sampled.reconstruction))
    }),
    ("KL", |run| run.evaluation.as_ref().map(|found| format!("{:.2}", found.sampled.kl))),
    ("ELBO", |run| run.evaluation.as_ref().map(|found| format!("{:.2}", found.sampled.elbo))),
    ("active latents", |run| run.evaluation.as_ref().map(|found| found.active_latents.to_string())),
];

impl RunTable {
    /// The table of some runs.
    pub fn new(runs: &[&Record]) -> Self {
        let column = |name: &str, value: &dyn Fn(&Record) -> Option<String>| Column {
            name: name.to_owned(),
            values: runs.iter().map(|run| value(run)).collect(),
        };
        let scored = runs.iter().flat_map(|run| run.scores.iter().map(|(name, _)| *name));
        let scored: BTreeSet<ScoreName> = scored.collect();
        Self {
            runs: runs.iter().map(|run| run.name.clone()).collect(),
            settings: differences(runs),
            terms: TERMS.iter().map(|(name, value)| column(name, value)).collect(),
            scores: scored
                .into_iter()
                .map(|name| column(name.name(), &|run| score(run, name)))
                .collect(),
        }
    }
}

fn score(run: &Record, name: ScoreName) -> Option<String> {
    let (_, Score { value, low, high, .. }) =
        run.scores.iter().find(|(known, _)| *known == name)?;
    Some(match low.is_finite() && high.is_finite() {
        true => format!("{value:.3} \u{b1} {:.3}", (high - low) / 2.0),
        false => format!("{value:.3}"),
    })
}

/// The settings that are not the same in all runs, with the value of each.
fn differences(runs: &[&Record]) -> Vec<Column> {
    let flat: Vec<Vec<(String, String)>> = runs.iter().map(|run| run.config.settings()).collect();
    let keys: BTreeSet<&String> = flat.iter().flatten().map(|(key, _)| key).collect();
    let column = |key: &String| {
        let value = |settings: &Vec<(String, String)>| {
            let found = settings.iter().find(|(known, _)| known == key);
            found.map(|(_, value)| value.clone())
        };
        Column { name: key.clone(), values: flat.iter().map(value).collect() }
    };
    let differ = |column: &Column| column.values.iter().any(|value| *value != column.values[0]);
    keys.into_iter().map(column).filter(differ).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_differ_are_compared() {
        let [a, b] = [
            Record::sketch("a", "seed = 1\nobjective = { kind = 'h', beta = 8.0 }", ""),
            Record::sketch("b", "seed = 2\nobjective = { kind = 'b', gamma = 100.0 }", ""),
        ];
        let table = RunTable::new(&[&a, &b]);
        let column = |name: &str, values: [Option<&str>; 2]| Column {
            name: name.into(),
            values: values.map(|value| value.map(str::to_owned)).to_vec(),
        };
        assert!(table.settings.contains(&column("seed", [Some("1"), Some("2")])), "{table:?}");
        assert!(table.settings.contains(&column("objective.beta", [Some("8.0"), None])));
        let about =
            |column: &Column| column.name.starts_with("objective.") || column.name == "seed";
        assert!(table.settings.iter().all(about), "{table:?}");
        assert!(table.terms.contains(&column("steps", [Some("0"), Some("0")])));
        assert!(table.scores.is_empty());
    }
}
