//! Pixels and facts about large data sets that are kept from one start to the next.
//!
//! An entry belongs to one source (its path and the settings that shape its pixels) and is valid as
//! long as the files of the source have the sizes and times they had. It is a record, `NAME.toml`, and
//! beside it the pixels, `NAME.npy`, unless they are read in place. The record is written last, so that
//! without it there is nothing.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::reader::ReaderSummary;
use super::store::{PixelFacts, PixelLayout, PixelStore};
use super::{DataConfig, ImageShape};
use crate::error::{Error, IoContext, Result};
use crate::files;
use crate::npz::{self, ArrayFile, Dtype};

/// The folder for what can be downloaded or computed again: `BETAVAE_DATA`, else `betavae` in the user's
/// cache, which is `$XDG_CACHE_HOME` or `~/.cache`, and `%LOCALAPPDATA%` on Windows.
///
/// # Errors
/// If the environment has none of them.
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("BETAVAE_DATA").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    match etcetera::choose_base_strategy() {
        Ok(user) => Ok(user.cache_dir().join("betavae")),
        Err(_) => Err(Error::config(
            "there is no folder for prepared data: no home folder is known",
            "set BETAVAE_DATA to a folder with some space",
        )),
    }
}

/// Creates a folder for what can be computed again.
///
/// # Errors
/// If that is not possible, with the way to have another one.
pub(super) fn create_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        let reason = format!("the folder for prepared data cannot be created: {error}");
        Error::file_hint(folder, reason, "set BETAVAE_DATA to a folder that can be written to")
    })
}

/// Where entries are, and what deserves one.
pub(super) struct Cache {
    folder: Option<PathBuf>,
    /// Pixels up to this many bytes are kept in memory.
    pub(super) memory: u64,
    /// Pixels in memory that took longer to prepare are kept in a file as well.
    pub(super) patience: Duration,
    /// Files up to this many bytes are looked through at every start.
    pub(super) glance: u64,
}

impl Cache {
    pub(super) fn standard() -> Self {
        Self {
            folder: folder().ok().map(|folder| folder.join("prepared")),
            // Small beside what training takes on a machine that has data sets of this size, and more
            // than the common small sets need: 170,000 grey images of 64x64.
            memory: 512 << 20,
            patience: Duration::from_secs(5),
            // A tenth of a second.
            glance: 64 << 20,
        }
    }

    #[cfg(test)]
    pub(super) fn at(folder: &Path, memory: u64) -> Self {
        let patience = Duration::from_secs(3600);
        Self { folder: Some(folder.to_owned()), memory, patience, glance: memory }
    }

    /// The valid entry of a source. What cannot be read is prepared again.
    pub(super) fn find(&self, key: &CacheKey) -> Option<CacheEntry> {
        let path = self.folder.as_ref()?.join(&key.name).with_extension("toml");
        let record: CacheRecord = toml::from_str(&fs::read_to_string(&path).ok()?).ok()?;
        let dtype = record.dtype.into();
        let form = PixelLayout { len: record.images, shape: record.shape, dtype, planar: false };
        let store = match record.pixels {
            false => None,
            true => Some(open_pixels(&path.with_extension("npy"), form).ok()?),
        };
        let CacheRecord { stamp, brightest, sha256, ending, .. } = record;
        let facts = PixelFacts { brightest, sha256, ending };
        (stamp == key.stamp).then_some(CacheEntry { facts, form, store })
    }

    /// Starts the entry of a source. Whoever prepares the same source at the same time waits here.
    pub(super) fn begin(&self, key: &CacheKey, form: PixelLayout) -> Result<UnfinishedEntry> {
        let folder = self.folder.clone().map_or_else(folder, Ok)?;
        create_folder(&folder)?;
        let prefix = format!("{}-", key.name);
        let lock_path = folder.join(&key.name).with_extension("lock");
        let lock = File::create(&lock_path).context("create", &lock_path)?;
        // Where locks are not supported, work may be done twice, but not wrongly.
        if lock.lock().is_ok() {
            // What a process that was killed has left.
            for file in fs::read_dir(&folder).context("read", &folder)?.flatten() {
                let name = file.file_name();
                if name.to_string_lossy().starts_with(&prefix) {
                    let _ = fs::remove_file(file.path());
                }
            }
        }
        let file = tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempfile_in(&folder);
        let file = file.context("create", &folder)?;
        let path = folder.join(&key.name).with_extension("npy");
        Ok(UnfinishedEntry { key: key.clone(), form: form.arranged(), path, file, _lock: lock })
    }

    /// Keeps facts about a source whose pixels are read in place. A failure costs time later, nothing
    /// else.
    pub(super) fn keep(&self, key: &CacheKey, form: PixelLayout, facts: &PixelFacts) {
        let Some(folder) = &self.folder else { return };
        if fs::create_dir_all(folder).is_ok() {
            let path = folder.join(&key.name).with_extension("toml");
            let _ = CacheRecord::new(key, form, facts, false).write(&path);
        }
    }
}

/// What identifies a source, and what changes when it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CacheKey {
    source: String,
    name: String,
    stamp: String,
}

impl CacheKey {
    /// For the source `path` that is made of `files`, relative to it; of itself if there are none.
    pub(super) fn new(path: &Path, files: &[PathBuf], config: &DataConfig) -> Result<Self> {
        let canonical = path.canonicalize().context("open", path)?;
        // Every setting, also one that is added later, except those that pixels do not depend on.
        let settings = DataConfig { path: None, labels: None, ..config.clone() };
        let settings = DataConfig { order: Default::default(), ..settings };
        let settings = toml::to_string(&settings).unwrap_or_default();
        let mut name = Sha256::new();
        name.update(canonical.as_os_str().as_encoded_bytes());
        name.update([0]);
        name.update(settings);
        let mut stamp = Sha256::new();
        // Another version may decode differently.
        stamp.update(env!("CARGO_PKG_VERSION"));
        let itself = [PathBuf::new()];
        for file in if files.is_empty() { &itself } else { files } {
            let place = if files.is_empty() { canonical.clone() } else { canonical.join(file) };
            let metadata = fs::metadata(&place).context("open", &place)?;
            let time = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
            stamp.update(file.as_os_str().as_encoded_bytes());
            stamp.update([0]);
            stamp.update(metadata.len().to_le_bytes());
            stamp.update(time.map_or(0, |time| time.as_nanos()).to_le_bytes());
        }
        Ok(Self {
            source: canonical.display().to_string(),
            name: HEXLOWER.encode(&name.finalize()[..12]),
            stamp: HEXLOWER.encode(&stamp.finalize()),
        })
    }
}

/// A valid entry.
pub(super) struct CacheEntry {
    pub(super) facts: PixelFacts,
    pub(super) form: PixelLayout,
    /// The prepared pixels; nothing if they are read in place.
    pub(super) store: Option<PixelStore>,
}

/// The content of `NAME.toml`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheRecord {
    source: String,
    stamp: String,
    images: usize,
    shape: ImageShape,
    dtype: PixelType,
    brightest: u8,
    sha256: String,
    /// Whether there is a `NAME.npy`.
    pixels: bool,
    /// The reader's summary.
    #[serde(default)]
    ending: ReaderSummary,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PixelType {
    U8,
    F32,
}

impl From<PixelType> for Dtype {
    fn from(kind: PixelType) -> Self {
        match kind {
            PixelType::U8 => Dtype::U8,
            PixelType::F32 => Dtype::F32 { big_endian: false },
        }
    }
}

impl CacheRecord {
    fn new(key: &CacheKey, form: PixelLayout, facts: &PixelFacts, pixels: bool) -> Self {
        let dtype = match form.dtype {
            Dtype::Bool | Dtype::U8 => PixelType::U8,
            Dtype::F32 { .. } => PixelType::F32,
        };
        Self {
            source: key.source.clone(),
            stamp: key.stamp.clone(),
            images: form.len,
            shape: form.shape,
            dtype,
            brightest: facts.brightest,
            sha256: facts.sha256.clone(),
            pixels,
            ending: facts.ending.clone(),
        }
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|error| Error::file(path, error.to_string()))?;
        files::write_atomically(path, text.as_bytes())
    }
}

/// An entry that is being written. It appears when it is finished; dropped before, it leaves nothing.
pub(super) struct UnfinishedEntry {
    key: CacheKey,
    form: PixelLayout,
    path: PathBuf,
    file: NamedTempFile,
    _lock: File,
}

impl UnfinishedEntry {
    /// Writes what stands before the pixels.
    pub(super) fn start(&mut self) -> Result<()> {
        let code = if self.form.dtype.bytes() == 1 { "u1" } else { "f4" };
        let ImageShape { height, width, channels } = self.form.shape;
        self.write(&npz::header(code, &[self.form.len, height, width, channels]))
    }

    /// Appends arranged images.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// Makes the entry valid and opens it.
    pub(super) fn finish(self, facts: &PixelFacts) -> Result<PixelStore> {
        self.file.as_file().sync_all().map_err(|error| self.failed(&error))?;
        let Self { key, form, path, file, _lock } = self;
        // The old record must not stand beside new pixels.
        let record = path.with_extension("toml");
        match fs::remove_file(&record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).context("remove", &record);
            }
            _ => {}
        }
        file.persist(&path).map_err(|error| error.error).context("create", &path)?;
        CacheRecord::new(&key, form, facts, true).write(&record)?;
        open_pixels(&path, form)
    }

    fn failed(&self, error: &io::Error) -> Error {
        let size = self.form.sizes().map_or(0, |(_, all)| all) as f64 / 1e9;
        let folder = self.path.parent().unwrap_or(&self.path);
        Error::file_hint(
            folder,
            format!("cannot write {size:.1} GB of prepared pixels: {error}"),
            "free some space, or set BETAVAE_DATA to a folder on a larger disk",
        )
    }
}

/// Opens prepared pixels, if they are as they should be.
fn open_pixels(path: &Path, form: PixelLayout) -> Result<PixelStore> {
    let mut source = ArrayFile::open(path)?;
    let ImageShape { height, width, channels } = form.shape;
    let expected = [form.len, height, width, channels];
    let (shape, dtype) = (source.shape(0)?.to_vec(), source.dtype(0)?);
    match source.place(0)? {
        Some((file, start)) if shape == expected && dtype.bytes() == form.dtype.bytes() => {
            Ok(PixelStore::file(form, file, path, start))
        }
        _ => Err(Error::file(path, format!("expected shape {expected:?}, found {shape:?}"))),
    }
}
