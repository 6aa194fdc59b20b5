//! `state.toml`: what a run needs beside its tensors to go on as if it had never stopped.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::objective::{Term, Terms, Unit};

/// The format that is written. The first, of version 0.1.0, had no number and nameless sums.
const NEWEST: u32 = 2;

/// What a run needs beside its tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Optimisation steps taken.
    pub step: u64,
    /// Length of `metrics.csv` at this step.
    pub metrics_bytes: u64,
    /// Sums of the terms since the last row of `metrics.csv`.
    pub window: Window,
    /// Fingerprint of the data set.
    pub data: String,
}

/// Sums of the terms of the steps since the last row of `metrics.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Number of steps.
    pub steps: u64,
    /// Sums of the losses by name. The KL is that of the latents.
    losses: BTreeMap<String, f64>,
    /// Sums of the KL of each latent, `[D]`.
    kl_per_latent: Vec<f64>,
}

impl Window {
    /// Adds the terms of one step.
    pub(crate) fn add(&mut self, terms: &Terms) {
        for term in terms.losses.iter().filter(|term| term.name != "kl") {
            *self.losses.entry(term.name.to_owned()).or_default() += f64::from(term.value);
        }
        self.kl_per_latent.resize(terms.kl_per_latent.len(), 0.0);
        let sums = self.kl_per_latent.iter_mut().zip(&terms.kl_per_latent);
        sums.for_each(|(sum, kl)| *sum += f64::from(*kl));
        self.steps += 1;
    }

    /// The means over the steps since the last call, of the losses that an objective has by name, and the weights in
    /// force now.
    pub(crate) fn take(&mut self, names: &[(&'static str, Unit)], weights: Vec<Term>) -> Terms {
        let window = std::mem::take(self);
        let mean = |sum: f64| (sum / window.steps as f64) as f32;
        let loss = |&(name, unit): &(&'static str, Unit)| {
            let sum = match name {
                "kl" => window.kl_per_latent.iter().sum(),
                name => window.losses.get(name).copied().unwrap_or(f64::NAN),
            };
            Term { name, unit, value: mean(sum) }
        };
        Terms {
            losses: names.iter().map(loss).collect(),
            kl_per_latent: window.kl_per_latent.iter().copied().map(mean).collect(),
            weights,
        }
    }
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Second {
    format: u32,
    step: u64,
    metrics_bytes: u64,
    data: String,
    window: Window,
    /// Of the objective, such as the integral of a controller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    objective: BTreeMap<String, f64>,
}

/// The file of version 0.1.0.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    step: u64,
    metrics_bytes: u64,
    data: String,
    window: FirstWindow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstWindow {
    steps: u64,
    /// Total, reconstruction and the KL of each latent.
    sums: Vec<f64>,
}

impl State {
    /// The file, with the numbers of the objective's state.
    pub(super) fn to_toml(&self, objective: &BTreeMap<String, f64>) -> String {
        let (objective, Self { step, metrics_bytes, window, data }) =
            (objective.clone(), self.clone());
        let file = Second { format: NEWEST, step, metrics_bytes, data, window, objective };
        toml::to_string(&file).unwrap_or_else(|error| unreachable!("plain tables: {error}"))
    }

    /// Reads a file, and the numbers of the objective's state in it.
    pub(super) fn from_toml(path: &Path, text: &str) -> Result<(Self, BTreeMap<String, f64>)> {
        let bad =
            |error: toml::de::Error| Error::file(path, format!("not a state: {}", error.message()));
        #[derive(Deserialize)]
        struct Numbered {
            format: Option<u32>,
        }
        let Numbered { format } = toml::from_str(text).map_err(bad)?;
        match format {
            Some(NEWEST) => {
                let file: Second = toml::from_str(text).map_err(bad)?;
                let Second { step, metrics_bytes, data, window, objective, .. } = file;
                Ok((Self { step, metrics_bytes, window, data }, objective))
            }
            None => {
                let First { step, metrics_bytes, data, window } =
                    toml::from_str(text).map_err(bad)?;
                let window = window.into();
                Ok((Self { step, metrics_bytes, window, data }, BTreeMap::new()))
            }
            Some(format) => Err(Error::file_hint(
                path,
                format!("expected format {NEWEST} or one before it, found {format}"),
                "was it written by a newer version?",
            )),
        }
    }
}

impl From<FirstWindow> for Window {
    fn from(FirstWindow { steps, sums }: FirstWindow) -> Self {
        let named = ["total", "reconstruction"].iter().zip(&sums);
        Self {
            steps,
            losses: named.map(|(name, sum)| ((*name).to_owned(), *sum)).collect(),
            kl_per_latent: sums.get(2..).unwrap_or_default().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(total: f32, kl: [f32; 2]) -> Terms {
        let losses = [total, total - 1.0, kl[0] + kl[1]];
        let losses = Terms::COMMON.iter().zip(losses);
        Terms {
            losses: losses.map(|((name, unit), value)| Term { name, unit: *unit, value }).collect(),
            kl_per_latent: kl.to_vec(),
            weights: Vec::new(),
        }
    }

    #[test]
    fn a_window_averages_and_starts_again() {
        let mut window = Window::default();
        window.add(&terms(2.0, [1.0, 0.0]));
        window.add(&terms(4.0, [3.0, 0.0]));
        let weights = vec![Term::new("beta", Unit::Number, 4.0)];
        let mean = window.take(&Terms::COMMON, weights.clone());
        assert_eq!((mean.total(), mean.reconstruction(), mean.kl()), (3.0, 2.0, 2.0));
        assert_eq!((mean.active_latents(), mean.weights), (1, weights));
        assert_eq!(window, Window::default());
    }

    #[test]
    fn states_of_both_formats_are_read() {
        let mut window = Window::default();
        window.add(&terms(2.0, [1.0, 0.5]));
        let state = State { step: 9, metrics_bytes: 120, window, data: "abc".into() };
        let path = Path::new("state.toml");
        let numbers = BTreeMap::from([("integral".to_owned(), 0.25)]);
        let text = state.to_toml(&numbers);
        assert_eq!(State::from_toml(path, &text).unwrap(), (state.clone(), numbers));
        let first = "step = 9\nmetrics_bytes = 120\ndata = \"abc\"\n\n[window]\nsteps = 1\n\
                     sums = [2.0, 1.0, 1.0, 0.5]\n";
        assert_eq!(State::from_toml(path, first).unwrap(), (state, BTreeMap::new()));
        let error = State::from_toml(path, &text.replace("format = 2", "format = 3"));
        assert!(error.unwrap_err().to_string().contains("found 3"));
    }
}
