//! The rows of `metrics.csv`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::{Error, IoContext, Result};

/// The rows of `metrics.csv`: every term over the steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(BTreeMap<String, Vec<[f64; 2]>>);

impl History {
    /// Reads `metrics.csv`. A last line that is still being written is left out.
    ///
    /// # Errors
    /// If the file cannot be read or is not such a table.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(path).context("read", path)?)
            .map_err(|reason| Error::file(path, reason))
    }

    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut history = Self::default();
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        for (number, line) in complete.lines().enumerate() {
            let fields: Vec<&str> = line.split(',').collect();
            let row = match fields[..] {
                ["step", "term", "value"] if number == 0 => continue,
                [step, term, value] => {
                    step.parse().ok().zip(value.parse().ok()).map(|at| (term, at))
                }
                _ => None,
            };
            let Some((term, (step, value))) = row else {
                return Err(format!(
                    "line {}: expected step,term,value, found `{line}`",
                    number + 1
                ));
            };
            history.0.entry(term.to_owned()).or_default().push([step, value]);
        }
        Ok(history)
    }

    /// Step and value of a term; nothing if it is unknown.
    pub fn term(&self, name: &str) -> &[[f64; 2]] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names of all terms, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The newest value of a term.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.term(name).last().map(|[_, value]| *value)
    }

    /// KL of every latent over the steps.
    pub fn kl_per_latent(&self) -> Vec<&[[f64; 2]]> {
        let latent = |j: usize| self.0.get(&format!("kl_{j}")).map(Vec::as_slice);
        (0..).map_while(latent).collect()
    }

    /// The newest step.
    pub fn step(&self) -> u64 {
        self.0
            .values()
            .filter_map(|rows| rows.last())
            .map(|[step, _]| *step as u64)
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_metrics_is_read_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let text = "step,term,value\n1,kl,2.5\n1,kl_0,2\n1,kl_1,0.5\n2,kl,3\n2,kl_0,2.5\n2,kl_1,0";
        fs::write(&path, text).unwrap();
        let history = History::read(&path).unwrap();
        assert_eq!(history.term("kl"), [[1.0, 2.5], [2.0, 3.0]]);
        assert_eq!(history.kl_per_latent(), [&[[1.0, 2.0], [2.0, 2.5]][..], &[[1.0, 0.5]]]);
        assert_eq!(
            (history.step(), history.last("kl"), history.last("beta")),
            (2, Some(3.0), None)
        );
        fs::write(&path, "step,term,value\n1,kl\n").unwrap();
        let error = History::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("line 2: expected step,term,value, found `1,kl`"), "{error}");
    }
}
