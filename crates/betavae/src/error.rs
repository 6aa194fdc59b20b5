//! The library's one error type: what was being looked at, what was expected, what was found, and
//! the likely fix as a separate hint that a program can print on its own line.

mod place;

use std::io;
use std::path::{Path, PathBuf};

use rayon::iter::IndexedParallelIterator;

/// Result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The results of parallel work in their order; of several errors the first one, whichever thread was faster.
pub(crate) fn in_order<T: Send>(
    results: impl IndexedParallelIterator<Item = Result<T>>,
) -> Result<Vec<T>> {
    results.collect::<Vec<_>>().into_iter().collect()
}

/// Everything that can go wrong, by what the user has to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be opened, read, written or renamed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted, as a verb: `read`, `write`, `create`...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },

    /// A file or folder cannot be written because of the folder it is to be in, or because it is protected.
    #[error("cannot {action} {}: {reason}", path.display())]
    Unwritable {
        /// What was attempted, as a verb: `write`, `create`...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The folder that is missing or not writable.
        reason: String,
        /// The likely fix.
        hint: String,
    },

    /// A file's content is not what its reader expects.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, with the expected and the actual value.
        reason: String,
        /// The likely fix; may be empty.
        hint: String,
    },

    /// A configuration key or value is unknown, missing or impossible.
    #[error("{message}")]
    Config {
        /// The key, the value found and what would be valid.
        message: String,
        /// The likely fix; may be empty.
        hint: String,
    },

    /// Two things that must agree do not: a model and a data set, weights and a network.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// The thing that is wrong.
        what: String,
        /// What its user needs.
        expected: String,
        /// What it is.
        found: String,
        /// The likely fix; may be empty.
        hint: String,
    },

    /// Another process is at work in a folder; it may be tried again later.
    #[error("{}: {owner} is at work in this folder", folder.display())]
    Busy {
        /// The run's folder.
        folder: PathBuf,
        /// Who, as far as is known.
        owner: String,
    },

    /// The caller stopped a study before its end.
    #[error("stopped before there was a result")]
    Stopped,

    /// A GPU could not do it.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(betavae_gpu::GpuError),

    /// A loss term or a gradient became infinite or NaN; the parameters were left as they were
    /// before the step.
    #[error(
        "{term} is {value} at step {step}: training stopped before the parameters were changed"
    )]
    NonFinite {
        /// Optimisation step, counted from 1.
        step: u64,
        /// `reconstruction`, `kl`, or `the gradient of <parameter>`.
        term: String,
        /// The offending value as text.
        value: String,
        /// What usually helps.
        hint: String,
    },
}

impl Error {
    /// The likely fix, for a `hint:` line of its own.
    pub fn hint(&self) -> Option<&str> {
        let hint = match self {
            Error::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => {
                    "free some space; every checkpoint that was complete is still valid"
                }
                io::ErrorKind::NotFound => "check the path",
                _ => "",
            },
            Error::Busy { .. } => "wait for it, or stop it with Ctrl-C",
            Error::Stopped => "",
            #[cfg(feature = "gpu")]
            Error::Gpu(error) => error.hint(),
            Error::Unwritable { hint, .. }
            | Error::File { hint, .. }
            | Error::Config { hint, .. }
            | Error::Mismatch { hint, .. }
            | Error::NonFinite { hint, .. } => hint,
        };
        (!hint.is_empty()).then_some(hint)
    }

    /// What went wrong when something was tried on a file or folder: [`Error::Unwritable`] where the
    /// folder it is to be in is the reason, [`Error::Io`] otherwise.
    ///
    /// `action` is a verb: `read`, `write`, `create`...
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref();
        let source = place::without_temporary_name(source);
        match place::obstacle(action, path, source.kind()) {
            Some((reason, hint)) => {
                Error::Unwritable { action, path: path.to_owned(), reason, hint }
            }
            None => Error::Io { action, path: path.to_owned(), source },
        }
    }

    /// The same error with another hint, where the caller knows which option helps.
    #[cfg(feature = "model")]
    pub(crate) fn with_hint(self, new: impl Into<String>) -> Self {
        let new = new.into();
        match self {
            Error::Stopped | Error::Busy { .. } => self,
            #[cfg(feature = "gpu")]
            Error::Gpu(_) => self,
            Error::Io { action, path, source } => {
                Error::Unwritable { action, path, reason: source.to_string(), hint: new }
            }
            Error::Unwritable { action, path, reason, .. } => {
                Error::Unwritable { action, path, reason, hint: new }
            }
            Error::File { path, reason, .. } => Error::File { path, reason, hint: new },
            Error::Config { message, .. } => Error::Config { message, hint: new },
            Error::Mismatch { what, expected, found, .. } => {
                Error::Mismatch { what, expected, found, hint: new }
            }
            Error::NonFinite { step, term, value, .. } => {
                Error::NonFinite { step, term, value, hint: new }
            }
        }
    }

    /// An [`Error::File`] without a hint.
    pub(crate) fn file(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Error::file_hint(path, reason, "")
    }

    /// An [`Error::File`] with a hint.
    pub(crate) fn file_hint(
        path: impl AsRef<Path>,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Error::File { path: path.as_ref().to_owned(), reason: reason.into(), hint: hint.into() }
    }

    /// The error for `files`, such as `HDF5 files`, in builds without their reader.
    #[cfg(not(feature = "formats"))]
    pub(crate) fn needs_formats(path: impl AsRef<Path>, files: &str) -> Self {
        let reason = format!("{files} need the cargo feature `formats`, which this build lacks");
        Error::file_hint(path, reason, "build betavae with the cargo feature `formats`")
    }

    /// What went wrong when a table of text was written.
    pub(crate) fn of_csv(path: impl AsRef<Path>, error: csv::Error) -> Self {
        let path = path.as_ref().to_owned();
        match error.into_kind() {
            csv::ErrorKind::Io(source) => Error::Io { action: "write", path, source },
            kind => Error::file(path, format!("{kind:?}")),
        }
    }

    /// What went wrong when a Parquet file was written.
    #[cfg(feature = "formats")]
    pub(crate) fn of_parquet(path: impl AsRef<Path>, error: parquet::errors::ParquetError) -> Self {
        let path = path.as_ref().to_owned();
        let other = match error {
            parquet::errors::ParquetError::External(source) => {
                match source.downcast::<io::Error>() {
                    Ok(source) => return Error::Io { action: "write", path, source: *source },
                    Err(other) => other.to_string(),
                }
            }
            other => other.to_string(),
        };
        Error::file(path, format!("cannot be written: {other}"))
    }

    /// An [`Error::Config`] with a hint, which may be empty.
    pub(crate) fn config(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Config { message: message.into(), hint: hint.into() }
    }
}

/// Turns an [`io::Error`] into an [`Error`] by saying what was attempted on which path.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::io(action, path, source))
    }
}
