//! Which reader a path is for, and which settings of the `[data]` table it takes.

use std::path::Path;

use super::{DataConfig, bundle, official, pictures};
use crate::error::{Error, Result};

/// Where images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A set that is rendered in memory.
    Rendered,
    /// The array of an `.npy` file.
    Npy,
    /// An array of an `.npz` file.
    Npz,
    /// Image files in a folder or in archives, or a single one.
    Pictures,
    /// Image files in columns of Parquet files.
    Parquet,
    /// A file or folder of an official set, or an HDF5 file.
    Official(official::OfficialFormat),
}

impl Source {
    /// The reader of the file or folder `path`.
    pub(super) fn of(path: &Path) -> Result<Self> {
        if let Some(kind) = official::OfficialFormat::of(path)? {
            return Ok(Self::Official(kind));
        }
        if super::parquet::reads(path) && !(path.is_dir() && pictures::has_any(path)?) {
            return Ok(Self::Parquet);
        }
        if pictures::reads(path) {
            return Ok(Self::Pictures);
        }
        Ok(if bundle::is_npz(path) { Self::Npz } else { Self::Npy })
    }

    /// In words, after the path.
    fn name(self) -> &'static str {
        match self {
            Self::Rendered => "a rendered data set",
            Self::Npy => "a NumPy array",
            Self::Npz => "an .npz file",
            Self::Pictures => "image files",
            Self::Parquet => "Parquet",
            Self::Official(kind) => kind.name(),
        }
    }

    /// The keys of `[data]` that apply to it, besides `name`, `path` and `order`.
    pub(super) fn settings(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::Rendered => &[],
            Self::Npy => &["labels", "layout"],
            Self::Npz => &["key", "labels", "layout", "split"],
            Self::Pictures => &["background", "skip_damaged", "labels", "split"],
            Self::Parquet => &["background", "skip_damaged", "key", "labels", "split"],
            Self::Official(kind) => kind.settings(),
        };
        ["size", "crop", "channels"].iter().chain(own).copied().collect()
    }

    /// Whether images are brought to a size when they are read from files of any size.
    pub(super) fn has_files_of_any_size(self) -> bool {
        match self {
            Self::Rendered | Self::Npy | Self::Npz => false,
            Self::Pictures | Self::Parquet => true,
            Self::Official(kind) => kind.has_pictures(),
        }
    }

    /// Refuses settings that do not apply to this source, because ignoring them would hide a mistake.
    pub(super) fn check(self, config: &DataConfig) -> Result<()> {
        let takes = self.settings();
        let Some(key) = config.keys().into_iter().find(|key| !takes.contains(key)) else {
            return Ok(());
        };
        let path = config.path.as_ref().map(|path| path.display().to_string());
        let name = path.or(config.name.clone()).unwrap_or_default();
        let takes: Vec<String> = takes.iter().map(|key| format!("data.{key}")).collect();
        Err(Error::config(
            format!("data.{key} does not apply to {name}, {}", self.name()),
            format!("remove data.{key}; what applies is {}", takes.join(", ")),
        ))
    }
}
