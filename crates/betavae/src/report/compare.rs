//! Runs side by side.

use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::record::Record;
use crate::scores::{Score, ScoreName};
use crate::words;

/// A quantity and how a run tells it.
type Row = (&'static str, fn(&Record) -> Option<String>);

/// A column per run; rows for the settings in which they differ, the loss terms, and the scores.
pub(super) fn table(runs: &[&Record]) -> Markup {
    let terms: [Row; 7] = [
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
        ("active latents", |run| {
            run.evaluation.as_ref().map(|found| found.active_latents.to_string())
        }),
    ];
    let scored: BTreeSet<ScoreName> =
        runs.iter().flat_map(|run| run.scores.iter().map(|(name, _)| *name)).collect();
    html! {
        h2 { "Comparison" }
        div.wide {
            table {
                thead { tr { th {} @for run in runs { th { (run.name) } } } }
                tbody {
                    @for (key, values) in differences(runs) {
                        tr.setting { th { (key) } @for value in values { td { (value) } } }
                    }
                    @for (name, value) in terms {
                        tr { th { (name) } @for run in runs { td { (or_dash(value(run))) } } }
                    }
                    @for name in scored {
                        tr { th { (name.name()) } @for run in runs { td { (or_dash(score(run, name))) } } }
                    }
                }
            }
        }
        p {
            "First the settings in which the runs differ, then loss terms in nats per image with sampled z, then \
             scores with half their interval."
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

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "\u{2013}".into())
}

/// The keys of the configurations that are not the same in all runs, with the value of each.
fn differences(runs: &[&Record]) -> Vec<(String, Vec<String>)> {
    let flat: Vec<Vec<(String, String)>> = runs.iter().map(|run| settings(run)).collect();
    let keys: BTreeSet<&String> = flat.iter().flatten().map(|(key, _)| key).collect();
    let value = |settings: &[(String, String)], key: &str| {
        let found = settings.iter().find(|(known, _)| known == key);
        or_dash(found.map(|(_, value)| value.clone()))
    };
    keys.into_iter()
        .map(|key| (key.clone(), flat.iter().map(|settings| value(settings, key)).collect()))
        .filter(|(_, values): &(String, Vec<String>)| {
            values.iter().any(|other| *other != values[0])
        })
        .collect()
}

/// `section.key` and value of every setting.
fn settings(run: &Record) -> Vec<(String, String)> {
    let table: toml::Table =
        toml::Table::try_from(&run.config).unwrap_or_else(|error| unreachable!("plain: {error}"));
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(section) => {
                found.extend(
                    section.into_iter().map(|(k, value)| (format!("{key}.{k}"), plain(&value))),
                );
            }
            value => found.push((key, plain(&value))),
        }
    }
    found
}

fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_differ_are_compared() {
        let [a, b] = [
            Record::sketch("a", "seed = 1\nobjective = { kind = 'h', beta = 8.0 }", ""),
            Record::sketch("<b>", "seed = 2\nobjective = { kind = 'b', gamma = 100.0 }", ""),
        ];
        let found = differences(&[&a, &b]);
        let expected =
            |key: &str, a: &str, b: &str| (key.to_owned(), vec![a.to_owned(), b.to_owned()]);
        assert!(found.contains(&expected("seed", "1", "2")), "{found:?}");
        assert!(found.contains(&expected("objective.beta", "8.0", "\u{2013}")), "{found:?}");
        assert!(found.iter().all(|(key, _)| key.starts_with("objective.") || key == "seed"));
        let page = table(&[&a, &b]).into_string();
        assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
    }
}
