//! Pairs of images, for weak supervision: two images that share all but k of the data set's factors, or the pairs of
//! a table.
//!
//! | module | what it is |
//! | --- | --- |
//! | `config` | [`PairsConfig`], which pairs are wanted |
//! | `shared` | partners that share all but k factors |
//! | `listed` | the pairs of a user's table |

mod config;
mod listed;
mod shared;
#[cfg(test)]
mod tests;

pub use config::PairsConfig;

use std::path::{Path, PathBuf};

use crate::data::Dataset;
use crate::data::labels::path_beside;
use crate::error::{Error, IoContext, Result};
use crate::files;
use crate::random::Stream;
use crate::words::thousands;
use listed::ListedPairs;
use shared::SharedFactors;

/// The pairs of a data set. A pair is a first image, of which there are [`Pairs::len`], and a partner of it.
pub(crate) struct Pairs {
    source: Source,
    notes: Vec<String>,
}

enum Source {
    Shared(SharedFactors),
    Listed(ListedPairs),
}

impl Pairs {
    /// The pairs that `config` wants of `data`. A table may lie beside the images, which are at `place`.
    ///
    /// # Errors
    /// If the data has no such pairs, or the table is not one of pairs of its images.
    pub(crate) fn open(
        config: &PairsConfig,
        data: &dyn Dataset,
        place: Option<&Path>,
    ) -> Result<Self> {
        let changed = match config {
            PairsConfig::Random => None,
            PairsConfig::Changed(count) => Some(*count),
            PairsConfig::Table(path) => {
                let path = table_path(path, place)?;
                let (listed, notes) = ListedPairs::read(&path, data)?;
                return Ok(Self { source: Source::Listed(listed), notes });
            }
        };
        let (shared, mut notes) = SharedFactors::of(data, changed)?;
        let of = match changed {
            None => "any number of factors".to_owned(),
            Some(1) => "one factor".to_owned(),
            Some(count) => format!("{count} factors"),
        };
        let first = match (shared.len(), data.len()) {
            (some, all) if some == all => "every image".to_owned(),
            (some, all) => format!("{} of {} images", thousands(some), thousands(all)),
        };
        notes.push(format!("pairs: {first} with partners that differ in {of}"));
        Ok(Self { source: Source::Shared(shared), notes })
    }

    /// Number of first images.
    pub(crate) fn len(&self) -> usize {
        match &self.source {
            Source::Shared(shared) => shared.len(),
            Source::Listed(listed) => listed.len(),
        }
    }

    /// The first image at `position` and a partner of it, which the stream chooses where there are several.
    pub(crate) fn get(&self, position: usize, stream: &mut Stream) -> [usize; 2] {
        match &self.source {
            Source::Shared(shared) => shared.get(position, stream),
            Source::Listed(listed) => listed.get(position),
        }
    }

    /// What was found, a line each.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// SHA-256 of the table that `config` names, if it names one.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn sha256(config: &PairsConfig, place: Option<&Path>) -> Result<Option<String>> {
    let PairsConfig::Table(path) = config else { return Ok(None) };
    let path = table_path(path, place)?;
    let content = std::fs::read(&path).context("read", &path)?;
    Ok(Some(files::sha256(&content)))
}

fn table_path(path: &Path, place: Option<&Path>) -> Result<PathBuf> {
    let found = match place {
        Some(place) => path_beside(place, path),
        None => path.to_owned(),
    };
    if found.is_file() {
        return Ok(found);
    }
    Err(Error::file_hint(
        &found,
        "there is no such file, which objective.pairs names",
        "objective.pairs is `random`, a number of factors, or a table of pairs; its path may be relative to the data",
    ))
}
