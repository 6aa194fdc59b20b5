//! Which setting varies within the runs of an objective, and curves over it.

use std::collections::{BTreeMap, BTreeSet};

use toml::Value;

use super::summary::Summarised;
use crate::config::Config;
use crate::runs::{Record, groups};

/// Groups that are equal but for one setting and what follows from it.
pub(super) struct Curve<'a> {
    /// The setting, such as `objective.beta`.
    pub(super) key: String,
    /// The kind of the objective, and what else distinguishes it from other curves of the kind.
    pub(super) label: String,
    /// The setting's value and the group, by rising value.
    pub(super) points: Vec<(f64, &'a Summarised<'a>)>,
}

/// Curves over what varies within each kind of objective, and the groups of kinds in which nothing does.
pub(super) struct Varying<'a> {
    pub(super) curves: Vec<Curve<'a>>,
    pub(super) rest: Vec<&'a Summarised<'a>>,
}

/// Weights that are chosen before others of as many values.
const FIRST: [&str; 5] = ["beta", "gamma", "c_max", "lambda_od", "target"];

impl<'a> Varying<'a> {
    /// Of some groups.
    pub(super) fn of(groups: &[&'a Summarised<'a>]) -> Self {
        let mut kinds: Vec<(&str, Vec<&Summarised<'_>>)> = Vec::new();
        for group in groups {
            let kind = group.runs[0].config.objective().kind.name();
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, members)) => members.push(group),
                None => kinds.push((kind, vec![group])),
            }
        }
        let (mut curves, mut rest) = (Vec::new(), Vec::new());
        for (kind, members) in kinds {
            let configs: Vec<&Config> = members.iter().map(|group| &group.runs[0].config).collect();
            match varying_key(&configs) {
                Some(key) => curves.extend(along(kind, &key, &members)),
                None => rest.extend(members),
            }
        }
        Self { curves, rest }
    }
}

/// The curves of a kind over a setting.
fn along<'a>(kind: &str, key: &str, members: &[&'a Summarised<'a>]) -> Vec<Curve<'a>> {
    let configs: Vec<&Config> = members.iter().map(|group| &group.runs[0].config).collect();
    let followers = followers(&configs, key);
    let mut free = vec!["seed", key];
    free.extend(followers.iter().map(String::as_str));
    let firsts: Vec<&Record> = members.iter().map(|group| group.runs[0]).collect();
    let found = groups(&firsts, &free);
    let single = found.len() == 1;
    let curves = found.into_iter().map(|curve| {
        let is_on = |group: &&&Summarised<'_>| {
            curve.runs.iter().any(|run| std::ptr::eq(*run, group.runs[0]))
        };
        let on = members.iter().filter(is_on);
        let mut points: Vec<(f64, &Summarised<'_>)> =
            on.filter_map(|group| Some((number(&group.runs[0].config, key)?.0, *group))).collect();
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let label = if single { kind.to_owned() } else { format!("{kind}, {}", curve.label) };
        Curve { key: key.to_owned(), label, points }
    });
    curves.collect()
}

/// The number in a setting; in a schedule the one that it ends with, beside the rest of the schedule.
fn number(config: &Config, key: &str) -> Option<(f64, Option<toml::Table>)> {
    let (section, key) = key.split_once('.')?;
    match config.to_table().remove(section)?.get(key)? {
        Value::Integer(value) => Some((*value as f64, None)),
        Value::Float(value) => Some((*value, None)),
        Value::Table(schedule) => {
            let mut rest = schedule.clone();
            let end = rest.remove("to")?;
            let end = end.as_float().or_else(|| end.as_integer().map(|end| end as f64))?;
            Some((end, Some(rest)))
        }
        _ => None,
    }
}

/// The setting of the objective that has most values; where none has several, any other one that is a number.
fn varying_key(configs: &[&Config]) -> Option<String> {
    let settings = configs.first()?.settings().into_iter().map(|(key, _)| key);
    let keys: Vec<String> = settings.filter(|key| key.contains('.')).collect();
    let most = |of_objective: bool| {
        let wanted = keys.iter().filter(|key| key.starts_with("objective.") == of_objective);
        let counted = wanted.filter_map(|key| {
            let found: Option<Vec<_>> = configs.iter().map(|config| number(config, key)).collect();
            let found = found?;
            // Schedules of different courses are no numbers on one axis.
            if found.iter().any(|(_, rest)| *rest != found[0].1) {
                return None;
            }
            let values: BTreeSet<u64> = found.iter().map(|(value, _)| value.to_bits()).collect();
            (values.len() > 1).then_some((values.len(), key))
        });
        let place = |key: &str| {
            let name = key.rsplit('.').next().unwrap_or(key);
            FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len())
        };
        counted.max_by_key(|(count, key)| (*count, FIRST.len() - place(key)))
    };
    most(true).or_else(|| most(false)).map(|(_, key)| key.clone())
}

/// Other settings of the objective whose value follows from that of `key`, as where two weights are raised together.
fn followers(configs: &[&Config], key: &str) -> Vec<String> {
    let all: Vec<BTreeMap<String, String>> =
        configs.iter().map(|config| config.settings().into_iter().collect()).collect();
    let follows = |other: &&String| {
        let mut known: BTreeMap<Option<&String>, Option<&String>> = BTreeMap::new();
        other.as_str() != key
            && all.iter().all(|settings| {
                let value = settings.get(*other);
                *known.entry(settings.get(key)).or_insert(value) == value
            })
    };
    let keys = all.first().into_iter().flat_map(BTreeMap::keys);
    keys.filter(|key| key.starts_with("objective.")).filter(follows).cloned().collect()
}
