//! What a run folder must be before training enters it.

use std::fs;
use std::path::Path;

use crate::checkpoint;
use crate::config::Config;
use crate::data::{Dataset, pairs};
use crate::error::{Error, IoContext, Result};
use crate::files;

/// What names of event files begin with.
pub(super) const EVENT_FILE_PREFIX: &str = "events.out.tfevents.";

/// The fingerprint of the data that a run began with.
pub(super) fn recorded_data(folder: &Path) -> Result<Option<String>> {
    let path = folder.join("provenance.toml");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).context("read", &path)?;
    let table = text.parse::<toml::Table>().ok();
    Ok(table.and_then(|table| Some(table.get("data_sha256")?.as_str()?.to_owned())))
}

/// The fingerprint of what a run trains on: of its data, and of a table of pairs, if it has one.
pub(super) fn fingerprint(config: &Config, data: &dyn Dataset) -> Result<String> {
    let images = data.fingerprint()?;
    let Some(wanted) = config.objective().kind.pairs() else { return Ok(images) };
    let table = pairs::sha256(wanted, config.data().path.as_deref())?;
    Ok(table.map_or(images.clone(), |table| files::sha256(format!("{images} {table}").as_bytes())))
}

/// Refuses data that a run was not trained on.
pub(super) fn check_data(expected: Option<String>, found: &str) -> Result<()> {
    match expected.filter(|expected| expected != found) {
        None => Ok(()),
        Some(expected) => Err(Error::Mismatch {
            what: "this is not the data the run was trained on".into(),
            expected: format!("SHA-256 {expected}"),
            found: found.into(),
            hint: "restore the original files, or start a new run".into(),
        }),
    }
}

/// Refuses to make a run shorter than it is.
pub(super) fn check_length(steps: Option<u64>, taken: u64) -> Result<()> {
    match steps.filter(|steps| *steps < taken) {
        Some(steps) => Err(Error::config(
            format!("the run has taken {taken} steps already, more than the {steps} asked for"),
            format!("ask for more than {taken}, the length of the whole run"),
        )),
        None => Ok(()),
    }
}

/// Whether a folder is absent or holds nothing but what an interrupted start left.
pub(super) fn is_empty(folder: &Path) -> Result<bool> {
    if !folder.exists() {
        return Ok(true);
    }
    let ours = [
        "checkpoints",
        "metrics.csv",
        "timing.csv",
        "provenance.toml",
        "run.lock",
        "lease.json",
        "lease.log",
    ];
    for entry in fs::read_dir(folder).context("read", folder)? {
        let name = entry.context("read", folder)?.file_name();
        let name = name.to_string_lossy();
        if !ours.contains(&&*name)
            && ![".tmp-", ".lease-", EVENT_FILE_PREFIX].iter().any(|p| name.starts_with(p))
        {
            return Ok(false);
        }
    }
    Ok(checkpoint::list(&folder.join("checkpoints"))?.is_empty())
}
