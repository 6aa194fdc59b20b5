//! One way into a run's folder that can be taken again and again: it starts the run, goes on with it, or finds it done.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;

use super::{Finish, Run, results};
use crate::config::Config;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::words::quoted;

/// What [`Run::enter`] found.
pub enum Entered {
    /// A run with steps to take or results to write.
    Training(Box<Run>),
    /// A run whose steps are taken and whose results are written.
    Done,
}

impl Run {
    /// Starts the run of this configuration in a folder, or goes on with it at its newest checkpoint, or finds it done, with
    /// what [`Run::finish`] is to do.
    ///
    /// # Errors
    /// If the folder holds something else, or a run with other settings; [`Error::Busy`] if another process has it.
    pub fn enter(
        folder: &Path,
        config: Config,
        data: Arc<dyn Dataset>,
        finish: &Finish,
        device: &Device,
    ) -> Result<Entered> {
        if !folder.join("config.toml").exists() {
            return Ok(Entered::Training(Box::new(Self::create(folder, config, data, device)?)));
        }
        let stored = Config::of_run(folder)?;
        if let Some((key, there, wanted)) = first_difference(&stored, &config) {
            return Err(Error::Mismatch {
                what: format!("{} has a run with another {key}", folder.display()),
                expected: wanted,
                found: there,
                hint: format!(
                    "choose another folder, or go on with that run: betavae resume {}",
                    quoted(folder)
                ),
            });
        }
        if results::is_finished(folder, config.train().steps, finish) {
            return Ok(Entered::Done);
        }
        Ok(Entered::Training(Box::new(Self::resume(folder, None, None, data, device)?)))
    }
}

/// The first setting in which two configurations differ, with the value in each.
fn first_difference(a: &Config, b: &Config) -> Option<(String, String, String)> {
    let (a, b) = (a.settings(), b.settings());
    let value = |settings: &[(String, String)], key: &str| {
        let found = settings.iter().find(|(other, _)| other == key);
        found.map_or("nothing".to_owned(), |(_, value)| value.clone())
    };
    let keys = a.iter().chain(&b).map(|(key, _)| key);
    let different = keys.map(|key| (key.clone(), value(&a, key), value(&b, key)));
    different.into_iter().find(|(_, a, b)| a != b)
}
