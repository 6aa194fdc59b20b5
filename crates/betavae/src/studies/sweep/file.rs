//! A sweep as people write it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::config;
use crate::error::{Error, IoContext, Result};
use crate::run::Finish;
use crate::scores::ScoreName;
use crate::words::nearest;

/// A sweep: a recipe, changes for all runs, grids, single runs, exclusions, and what to score.
///
/// ```
/// let text = r#"
///     name = "beta"
///     recipe = "default"
///     [set]
///     train.steps = 1000
///     [grid]
///     objective.beta = [1, 4, 16]
///     seed = "1..=3"
/// "#;
/// let file = betavae::studies::SweepFile::parse(text, "beta.toml".as_ref())?;
/// assert_eq!(file.name, "beta");
/// # Ok::<(), betavae::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SweepFile {
    /// What the sweep is called; the folder of its runs has this name.
    pub name: String,
    /// A built-in recipe, or the path of one.
    pub recipe: String,
    /// Where the file is, for messages and for paths in it that are relative.
    pub path: PathBuf,
    /// How much may be done.
    pub budget: Budget,
    /// What is done with a trained model.
    pub finish: Finish,
    /// Changes of every run.
    pub(super) set: Vec<Change>,
    /// For each grid its axes, and for each of these its options: one or more changes each.
    pub(super) grids: Vec<Vec<Vec<Vec<Change>>>>,
    /// Runs beside the grids.
    pub(super) runs: Vec<Vec<Change>>,
    /// What is left out of the grids and runs.
    pub(super) exclude: Vec<Vec<Change>>,
}

/// A key, such as `objective.beta`, and its value.
pub(super) type Change = (String, Value);

/// Limits of a sweep; without them there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Most runs that the sweep may have, as a guard against a grid that is larger than it looks.
    pub runs: Option<usize>,
    /// Hours after which no more runs are begun on this machine.
    pub hours: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    #[serde(default = "default_recipe")]
    recipe: String,
    #[serde(default)]
    set: Table,
    grid: Option<Value>,
    #[serde(default)]
    run: Vec<Table>,
    #[serde(default)]
    exclude: Vec<Table>,
    #[serde(default)]
    scores: RawScores,
    #[serde(default)]
    budget: Budget,
}

fn default_recipe() -> String {
    "default".into()
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScores {
    names: Option<Vec<String>>,
    limit: Option<usize>,
}

impl SweepFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read or is no sweep.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).context("read", path)?;
        Self::parse(&text, path)
    }

    /// Reads the text of a file that is at `path`.
    ///
    /// # Errors
    /// If it is no sweep: a key is unknown or has the wrong type, is given twice, or a list is empty.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        Self::of_text(text, path).map_err(|error| match error {
            Error::Config { message, hint } => {
                Error::Config { message: format!("{}: {message}", path.display()), hint }
            }
            other => other,
        })
    }

    fn of_text(text: &str, path: &Path) -> Result<Self> {
        let raw: Raw = toml::from_str(text).map_err(config::explain)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if raw.name.is_empty() || raw.name.starts_with('.') || !raw.name.chars().all(is_name) {
            return Err(Error::config(
                format!(
                    "name: expected letters, digits, `-`, `_` and `.`, as folders are called, found {:?}",
                    raw.name
                ),
                "",
            ));
        }
        let set = flat(&raw.set, "[set]")?;
        if let Some((key, _)) = set.iter().find(|(key, value)| is_seed_range(key, value)) {
            return Err(Error::config(
                format!("{key} in [set] has several values"),
                "lists and ranges stand in [grid]",
            ));
        }
        let tables: Vec<Table> = match raw.grid {
            None => Vec::new(),
            Some(Value::Table(table)) => vec![table],
            Some(Value::Array(tables)) => {
                let table = |value: Value| match value {
                    Value::Table(table) => Ok(table),
                    other => {
                        Err(Error::config(format!("grid: expected tables, found {other}"), ""))
                    }
                };
                tables.into_iter().map(table).collect::<Result<_>>()?
            }
            Some(other) => {
                return Err(Error::config(format!("grid: expected a table, found {other}"), ""));
            }
        };
        let mut grids = Vec::new();
        for (number, table) in (1..).zip(&tables) {
            let place =
                if tables.len() == 1 { "[grid]".into() } else { format!("[[grid]] {number}") };
            let mut grid: Vec<Vec<Vec<Change>>> = Vec::new();
            let mut table = table.clone();
            let mut axes = Vec::new();
            if let Some(list) = table.remove("list") {
                axes.push(list_of_changes(list, &place)?);
            }
            for (key, value) in flat(&table, &place)? {
                let options = options(&key, value, &place)?;
                axes.push(options.into_iter().map(|option| vec![(key.clone(), option)]).collect());
            }
            let mut keys: HashSet<String> = HashSet::new();
            for axis in axes {
                let own: HashSet<String> =
                    axis.iter().flatten().map(|(key, _): &Change| key.clone()).collect();
                for key in own {
                    not_twice(&key, &set, &place)?;
                    if !keys.insert(key.clone()) {
                        return Err(Error::config(format!("{key} stands twice in {place}"), ""));
                    }
                }
                grid.push(axis);
            }
            grids.push(grid);
        }
        let lists = |tables: &[Table], kind: &str| -> Result<Vec<Vec<Change>>> {
            let numbered = (1..).zip(tables);
            numbered.map(|(number, table)| flat(table, &format!("[[{kind}]] {number}"))).collect()
        };
        let (runs, exclude) = (lists(&raw.run, "run")?, lists(&raw.exclude, "exclude")?);
        for (number, run) in (1..).zip(&runs) {
            for (key, _) in run {
                not_twice(key, &set, &format!("[[run]] {number}"))?;
            }
        }
        if let Some(number) = exclude.iter().position(Vec::is_empty) {
            let message =
                format!("[[exclude]] {} is empty and would exclude every run", number + 1);
            return Err(Error::config(message, ""));
        }
        if grids.is_empty() && runs.is_empty() {
            return Err(Error::config(
                "there are no runs: neither [grid] nor [[run]]",
                "for example [grid] with seed = \"1..=5\"",
            ));
        }
        Ok(Self {
            name: raw.name,
            recipe: raw.recipe,
            path: path.to_owned(),
            budget: raw.budget,
            finish: finish(raw.scores)?,
            set,
            grids,
            runs,
            exclude,
        })
    }

    /// The folder that relative paths in the file are relative to.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// What is done with a trained model.
fn finish(raw: RawScores) -> Result<Finish> {
    let mut finish = Finish { report: false, ..Finish::default() };
    finish.images = raw.limit.unwrap_or(finish.images);
    if finish.images == 0 {
        return Err(Error::config("scores.limit: expected at least 1 image, found 0", ""));
    }
    let Some(names) = raw.names else { return Ok(finish) };
    let known = || ScoreName::ALL.iter().map(|name| name.name());
    finish.scores.clear();
    for name in names {
        if name == "all" {
            let all = ScoreName::ALL.iter().copied();
            finish.scores = all.filter(|score| *score != ScoreName::Udr).collect();
            continue;
        }
        let score = ScoreName::ALL.iter().copied().find(|score| score.name() == name);
        match score {
            Some(ScoreName::Udr) => {
                return Err(Error::config(
                    "scores.names: udr compares runs with each other",
                    "leave it out; the report of a sweep has it",
                ));
            }
            Some(score) if finish.scores.contains(&score) => {}
            Some(score) => finish.scores.push(score),
            None => {
                let hint = match nearest(&name, known()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => format!("`all`, or {}", known().collect::<Vec<_>>().join(", ")),
                };
                return Err(Error::config(
                    format!("scores.names: there is no score `{name}`"),
                    hint,
                ));
            }
        }
    }
    finish.scores.sort();
    Ok(finish)
}

/// The keys of a table of settings, such as `objective.beta`: those of sections as tables, and those that are written as one
/// word in quotes.
fn flat(table: &Table, place: &str) -> Result<Vec<Change>> {
    let mut changes: Vec<Change> = Vec::new();
    let mut add = |key: String, value: Value| {
        if changes.iter().any(|(known, _)| *known == key) {
            return Err(Error::config(format!("{key} stands twice in {place}"), ""));
        }
        changes.push((key, value));
        Ok(())
    };
    for (key, value) in table {
        match value {
            // What is deeper than a key of a section is a value.
            Value::Table(section) if !key.contains('.') => {
                for (name, value) in section {
                    add(format!("{key}.{name}"), value.clone())?;
                }
            }
            value => add(key.clone(), value.clone())?,
        }
    }
    Ok(changes)
}

/// The options of a list whose entries change several keys together.
fn list_of_changes(list: Value, place: &str) -> Result<Vec<Vec<Change>>> {
    let wrong = |found: &Value| {
        Error::config(format!("list in {place}: expected tables of changes, found {found}"), "")
    };
    let Value::Array(entries) = list else { return Err(wrong(&list)) };
    if entries.is_empty() {
        return Err(Error::config(format!("list in {place} is empty"), ""));
    }
    let changes = |entry: Value| match entry {
        Value::Table(table) => flat(&table, &format!("list in {place}")),
        other => Err(wrong(&other)),
    };
    entries.into_iter().map(changes).collect()
}

/// Refuses a key that [set] has too.
fn not_twice(key: &str, set: &[Change], place: &str) -> Result<()> {
    match set.iter().find(|(known, _)| known == key) {
        None => Ok(()),
        Some(_) => Err(Error::config(
            format!("{key} stands in [set] and in {place}"),
            "remove it from one of them",
        )),
    }
}

/// Whether a value stands for several seeds.
fn is_seed_range(key: &str, value: &Value) -> bool {
    key == "seed" && !value.is_integer()
}

/// The options of a key of a grid: the elements of a list, the seeds of a range, or the one value.
fn options(key: &str, value: Value, place: &str) -> Result<Vec<Value>> {
    let options = match value {
        Value::Array(options) => options,
        Value::String(range) if key == "seed" => seeds(&range, place)?,
        value => vec![value],
    };
    if options.is_empty() {
        return Err(Error::config(format!("{key} in {place} is an empty list"), ""));
    }
    let mut known = HashSet::with_capacity(options.len());
    if let Some(twice) = options.iter().find(|option| !known.insert(option.to_string())) {
        return Err(Error::config(format!("{key} in {place} has {twice} twice"), ""));
    }
    Ok(options)
}

/// The seeds of a range such as `1..=10`.
fn seeds(range: &str, place: &str) -> Result<Vec<Value>> {
    let wrong = || {
        Error::config(
            format!(
                "seed in {place}: expected a list or a range such as \"1..=10\", found {range:?}"
            ),
            "",
        )
    };
    let (first, last) = range.split_once("..=").ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(wrong());
    }
    Ok((first..=last).map(|seed| Value::Integer(seed.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SweepFile> {
        SweepFile::parse(text, Path::new("s.toml"))
    }

    #[test]
    fn a_file_has_what_it_says() {
        let file = parse(
            "name = 'b'
            recipe = 'locatello2019-beta'
            set.train.steps = 10
            [grid]
            'objective.beta' = [1, { schedule = 'linear', to = 4.0, steps = 5 }]
            model.widths = [[4, 8], [8]]
            seed = '3..=5'
            [[run]]
            objective = { kind = 'b', gamma = 10 }
            [scores]
            names = ['mig', 'dci_disentanglement']
            limit = 500
            [budget]
            runs = 100",
        )
        .unwrap();
        assert_eq!(file.set, [("train.steps".to_owned(), Value::Integer(10))]);
        let sizes: Vec<_> = file.grids[0].iter().map(|axis| (&*axis[0][0].0, axis.len())).collect();
        assert_eq!(sizes, [("objective.beta", 2), ("model.widths", 2), ("seed", 3)]);
        assert_eq!(file.runs[0].len(), 2);
        assert_eq!(file.finish.scores, [ScoreName::Mig, ScoreName::DciDisentanglement]);
        assert_eq!((file.finish.images, file.budget.runs), (500, Some(100)));
    }

    #[test]
    fn mistakes_are_named() {
        let seed = "[grid]\nseed = [1]";
        for (text, part, hint) in [
            ("recipe = 'default'".to_owned(), "missing field `name`", ""),
            (format!("name = 'a b'\n{seed}"), "as folders are called", ""),
            (format!("name = '../x'\n{seed}"), "as folders are called", ""),
            ("name = 'a'".into(), "there are no runs", "seed"),
            ("name = 'a'\n[gird]\nseed = [1]".into(), "unknown field `gird`", "`grid`"),
            ("name = 'a'\n[grid]\nseed = []".into(), "empty list", ""),
            ("name = 'a'\n[grid]\nseed = [1, 2, 1]".into(), "has 1 twice", ""),
            ("name = 'a'\n[grid]\nseed = '5..=1'".into(), "such as \"1..=10\"", ""),
            (
                "name = 'a'\n[set]\nseed = 1\n[grid]\nseed = [1]".into(),
                "seed stands in [set] and in [grid]",
                "remove",
            ),
            (
                "name = 'a'\n[set]\nobjective.beta = 1\n'objective.beta' = 2\n[grid]\nseed = [1]"
                    .into(),
                "objective.beta stands twice in [set]",
                "",
            ),
            ("name = 'a'\n[set]\nseed = [1]\n[grid]\nx = [1]".into(), "several values", "[grid]"),
            (format!("name = 'a'\n{seed}\nlist = [1]"), "expected tables of changes, found 1", ""),
            (
                format!("name = 'a'\n{seed}\nlist = [{{ seed = 2 }}]"),
                "seed stands twice in [grid]",
                "",
            ),
            (format!("name = 'a'\n{seed}\n[scores]\nnames = ['migg']"), "no score `migg`", "`mig`"),
            (format!("name = 'a'\n{seed}\n[scores]\nnames = ['udr']"), "compares runs", "report"),
            (format!("name = 'a'\n{seed}\n[[exclude]]"), "exclude every run", ""),
            (format!("name = 'a'\n{seed}\n[budget]\nhour = 1"), "unknown field `hour`", "`hours`"),
        ] {
            let error = parse(&text).unwrap_err();
            let message = error.to_string();
            assert!(message.starts_with("s.toml: ") && message.contains(part), "{text}: {message}");
            assert!(error.hint().unwrap_or_default().contains(hint), "{text}: {error:?}");
        }
    }
}
